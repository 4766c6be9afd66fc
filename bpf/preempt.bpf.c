/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who gives way to the game, and when does the game give way?
 *
 * How: an urgent task that finds no idle CPU takes one that runs something else, at once: put straight there if nobody
 * is owed anything (select_cpu, enqueue), else queued, which kicks that CPU. The one is taken where it last ran,
 * else one of the same cache (and a strong one where not all are), else any. In return the others keep a floor:
 * 5 % of each CPU over 100 ms (10 % without a game), given as turns of 0.5 ms so that no single frame pays much,
 * during which the CPU may not be preempted. A CPU where they ran anyway owes nothing. Apart from the floor, a task
 * that has waited for too long gets a short turn of rescue.
 *
 * A turn ends by a timer of its own: the tick is 4 ms on many kernels, eight times too coarse.
 *
 * Limits: the floor is looked at when the game's slice ends, so it is paid at ticks, not evenly.
 */
#include "gamer.bpf.h"

struct turn_timer {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GR_CPUS_MAX);
	__type(key, u32);
	__type(value, struct turn_timer);
} turn_timers SEC(".maps");

static bool in_floor_turn(struct cpu_ctx *cpuc, u64 now_ns)
{
	u64 end_ns = cpuc->turn_end_ns;

	return end_ns && time_is_before(now_ns, end_ns);
}

static bool may_preempt(s32 cpu, struct task_struct *p, u64 now_ns)
{
	struct cpu_ctx *cpuc = cpu_ctx_of(cpu);

	if (!cpuc->is_preemptible || cpuc->is_kicked || in_floor_turn(cpuc, now_ns))
		return false;
	return bpf_cpumask_test_cpu(cpu, p->cpus_ptr);
}

/* True for a CPU that suits @p as well as the one it last ran on: same cache, and strong if that matters. */
static bool is_near(s32 cpu, s32 last_cpu)
{
	const volatile struct gr_place *place = &places[cpu & (GR_CPUS_MAX - 1)];

	return place->llc == places[last_cpu & (GR_CPUS_MAX - 1)].llc && (!is_asymmetric || place->is_strong);
}

static s32 preemptible_among(struct task_struct *p, s32 last_cpu, bool is_far, u64 now_ns)
{
	bool is_uniform = nr_llcs == 1 && !is_asymmetric;
	s32 i, cpu;

	bpf_for(i, 0, nr_cpu_ids) {
		cpu = last_cpu + i;
		if (cpu >= nr_cpu_ids)
			cpu -= nr_cpu_ids;
		if (!is_uniform && is_far == is_near(cpu, last_cpu))
			continue;
		if (may_preempt(cpu, p, now_ns))
			return cpu;
	}
	return -1;
}

__hidden s32 preemptible_cpu_for(struct task_struct *p, s32 last_cpu, u64 now_ns)
{
	s32 cpu = preemptible_among(p, last_cpu, false, now_ns);

	if (cpu < 0 && (nr_llcs > 1 || is_asymmetric))
		cpu = preemptible_among(p, last_cpu, true, now_ns);
	return cpu;
}

/* Kicks the CPU that suits @p best of those that run something else. */
__hidden void preempt_for(struct task_struct *p, u64 now_ns)
{
	s32 cpu = preemptible_cpu_for(p, task_cpu_of(p), now_ns);

	if (cpu < 0)
		return;
	/* Two wakers may pick the same CPU; the loser's task is next in the queue of all CPUs. */
	cpu_ctx_of(cpu)->is_kicked = true;
	scx_bpf_kick_cpu(cpu, SCX_KICK_PREEMPT);
	stat_inc(cpu_ctx_of(bpf_get_smp_processor_id()), GR_STAT_PREEMPT);
}

/* True if the others are owed nothing on this CPU, nor is it time to look whether one of them starves. */
static bool owes_nothing(struct cpu_ctx *cpuc, u64 now_ns)
{
	return time_is_before(now_ns, cpuc->floor_due_ns) && time_is_before(now_ns, cpuc->rescue_look_ns);
}

/*
 * An urgent task that wakes may go straight to the CPU that was chosen for it if that runs somebody of lower rank, or if
 * it has no choice. Past the queues nobody looks at the floor: if somebody waits, only a game's, and only while nothing
 * is owed to the others.
 */
static bool may_run_next(struct task_struct *p, s32 cpu, u64 now_ns)
{
	struct cpu_ctx *cpuc = cpu_ctx_of(cpu);

	if (nr_urgent || cpuc->turn_end_ns || cpuc->is_kicked)
		return false;
	if (!nobody_waits(cpu) && (!nr_leases || !owes_nothing(cpuc, now_ns)))
		return false;
	return cpuc->is_preemptible || p->nr_cpus_allowed == 1;
}

__hidden bool run_next(struct task_struct *p, s32 cpu, u64 now_ns, u64 enq_flags)
{
	struct cpu_ctx *cpuc = cpu_ctx_of(cpu);

	if (!may_run_next(p, cpu, now_ns))
		return false;
	stat_inc(cpuc, GR_STAT_URGENT_DISPATCH);
	if (cpuc->is_preemptible) {
		cpuc->is_kicked = true;	/* the next one that wakes looks for another CPU */
		stat_inc(cpuc, GR_STAT_PREEMPT);
		enq_flags |= SCX_ENQ_PREEMPT;
	}
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, urgent_slice_ns(), enq_flags);
	return true;
}

/* Looked at every 10 ms, and every 1 ms while there is somebody to rescue. */
static bool somebody_starves(s32 cpu, struct cpu_ctx *cpuc, u64 now_ns)
{
	bool starves;

	if (time_is_before(now_ns, cpuc->rescue_look_ns))
		return false;
	starves = head_wait_ns(DSQ_SHARED + node_of(cpu), now_ns) > WAIT_MAX_NS - RESCUE_MARGIN_NS - 3 * slice_lag_ns ||
		head_wait_ns(cpu, now_ns) > WAIT_MAX_NS - 3 * RESCUE_MARGIN_NS;
	cpuc->rescue_look_ns = now_ns + (starves ? NSEC_PER_MSEC : RESCUE_LOOK_NS);
	return starves;
}

/* Moves one of the others to @cpu although an urgent task wants it, if that is due. The caller has booked what ran there. */
bool give_turn_to_others(s32 cpu)
{
	struct cpu_ctx *cpuc = cpu_ctx_of(cpu);
	u64 now_ns = scx_bpf_now();
	struct turn_timer *turn;
	u64 turn_ns = FLOOR_TURN_NS;
	bool is_rescue = false;
	u32 key = cpu;

	if (cpuc->others_ns) {
		cpuc->floor_due_ns = floor_due_after(cpuc->floor_due_ns, now_ns, cpuc->others_ns,
						     nr_leases ? FLOOR_PCT : FLOOR_IDLE_PCT, FLOOR_LATE_NS, FLOOR_WINDOW_NS);
		cpuc->others_ns = 0;
	}
	if (time_is_before(now_ns, cpuc->floor_due_ns)) {
		if (!somebody_starves(cpu, cpuc, now_ns))
			return false;
		is_rescue = true;
		turn_ns = RESCUE_TURN_NS;
	}
	if (!serve_others(cpu))
		return false;
	stat_inc(cpuc, is_rescue ? GR_STAT_RESCUE : GR_STAT_FLOOR_TURN);
	cpuc->turn_end_ns = now_ns + turn_ns;
	turn = bpf_map_lookup_elem(&turn_timers, &key);
	if (turn)
		bpf_timer_start(&turn->timer, turn_ns, BPF_F_TIMER_CPU_PIN);
	return true;
}

/* Runs on the CPU whose turn it ends. A timer that fires after its turn was over finds 0, or a later end. */
static int end_turn(void *map, u32 *cpu, struct turn_timer *turn)
{
	struct cpu_ctx *cpuc = cpu_ctx_of(*cpu);

	if (!cpuc->turn_end_ns || in_floor_turn(cpuc, scx_bpf_now()))
		return 0;
	cpuc->turn_end_ns = 0;
	if (nr_urgent && cpuc->is_preemptible)
		scx_bpf_kick_cpu(*cpu, SCX_KICK_PREEMPT);
	return 0;
}

__hidden int init_turn_timers(void)
{
	struct turn_timer *turn;
	s32 cpu, err;
	u32 key;

	bpf_for(cpu, 0, nr_cpu_ids) {
		key = cpu;
		turn = bpf_map_lookup_elem(&turn_timers, &key);
		if (!turn)
			return -ENOENT;
		err = bpf_timer_init(&turn->timer, &turn_timers, CLOCK_MONOTONIC);
		if (err)
			return err;
		err = bpf_timer_set_callback(&turn->timer, end_turn);
		if (err)
			return err;
	}
	return 0;
}

/*
 * For how long @cpu has run nothing although the kernel's own queue of it holds tasks, as far as the looks
 * of this function can tell: a real-time task, say, that never ends.
 */
static u64 stuck_ns(s32 cpu, u64 now_ns)
{
	struct cpu_ctx *cpuc = cpu_ctx_of(cpu);
	bool has_work = scx_bpf_dsq_nr_queued(SCX_DSQ_LOCAL_ON | cpu) > 0;

	if (!has_work) {
		cpuc->seen_at_ns = 0;
		return 0;
	}
	if (cpuc->nr_runs != cpuc->seen_runs || !cpuc->seen_at_ns) {
		cpuc->seen_runs = cpuc->nr_runs;
		cpuc->seen_at_ns = now_ns;
	}
	return now_ns - cpuc->seen_at_ns;
}

/* How long the most patient queue has waited; user space's watchdog asks. */
SEC("syscall")
int longest_wait(struct gr_longest_wait *longest)
{
	u64 now_ns = scx_bpf_now(), max_ns = 0;
	u32 node;
	s32 cpu;

	bpf_rcu_read_lock();
	max_ns = head_wait_ns(DSQ_URGENT, now_ns);
	bpf_for(node, 0, nr_nodes)
		max_ns = max(max_ns, head_wait_ns(DSQ_SHARED + node, now_ns));
	bpf_for(cpu, 0, nr_cpu_ids) {
		max_ns = max(max_ns, head_wait_ns(cpu, now_ns));
		max_ns = max(max_ns, stuck_ns(cpu, now_ns));
	}
	bpf_rcu_read_unlock();
	longest->wait_ns = max_ns;
	return 0;
}
