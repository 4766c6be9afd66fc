/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where should a waking task run?
 *
 * How: on an idle CPU, near to where its data is. By default the kernel's own choice: the previous CPU if its whole
 * core is idle, else an idle core near by, else any idle CPU. Where some CPUs suit a task better than others we scan
 * ourselves, those first and the rest after them:
 *   a hybrid or dual-CCD machine   the game belongs on the strong CPUs, and while it runs the others on the rest
 *   --primary-domain               everybody belongs there
 *   --flat-idle-scan               the previous CPU, then the next numbers: cheap where caches are all the same
 *   --preferred-idle-scan          the strongest first
 *
 * The migration limiter keeps a task that has changed its CPU too often in a short time where its cache is warm: it
 * waits in that CPU's own queue, from which nobody else takes it for a while. An urgent one preempts there instead,
 * or is let go if what runs there is urgent, too. A frame window does the same to everybody whom it concerns.
 *
 * Limits: the scan costs as many steps as there are CPUs, and a second round where the domain has no idle one.
 */
#include "gamer.bpf.h"

enum domain {
	DOMAIN_ALL,
	DOMAIN_PRIMARY,
	DOMAIN_STRONG,
	DOMAIN_WEAK,
};

/* The address space's recent CPU; the least recently used is forgotten. --mm-hint-size entries. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, s32);
} mm_cpus SEC(".maps");

extern s32 napi_cpu;

/* A pair is light if neither uses much: well below what makes a task urgent. */
#define BUCKET_PAIR_NS (5 * NSEC_PER_MSEC)

static const volatile struct gr_place *place_of(s32 cpu)
{
	return &places[cpu & (GR_CPUS_MAX - 1)];
}

static bool is_in(s32 cpu, enum domain domain)
{
	const volatile struct gr_place *place = place_of(cpu);

	switch (domain) {
	case DOMAIN_STRONG:
		return place->is_primary && place->is_strong;
	case DOMAIN_WEAK:
		return place->is_primary && !place->is_strong;
	case DOMAIN_PRIMARY:
		return place->is_primary;
	default:
		return true;
	}
}

static enum domain domain_of(struct task_ctx *taskc)
{
	if (is_asymmetric && nr_leases) {
		if (taskc->class == GR_FOREGROUND)
			return DOMAIN_STRONG;
		if (taskc->class == GR_NORMAL || taskc->class == GR_BACKGROUND)
			return DOMAIN_WEAK;
	}
	return has_domain ? DOMAIN_PRIMARY : DOMAIN_ALL;
}

/* Claims an idle CPU of @domain for @p, the strongest or the nearest above @start first; -1: none. */
static s32 claim_idle(struct task_struct *p, s32 start, enum domain domain, bool wants_core)
{
	const struct cpumask *idle = wants_core ? scx_bpf_get_idle_smtmask() : scx_bpf_get_idle_cpumask();
	s32 i, cpu, claimed = -1;

	bpf_for(i, 0, nr_cpu_ids) {
		if (preferred_idle_scan) {
			cpu = scan_order[i & (GR_CPUS_MAX - 1)];
		} else {
			cpu = start + i;
			if (cpu >= nr_cpu_ids)
				cpu -= nr_cpu_ids;
		}
		if (!is_in(cpu, domain) || !bpf_cpumask_test_cpu(cpu, idle) || !bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			continue;
		if (scx_bpf_test_and_clear_cpu_idle(cpu)) {
			claimed = cpu;
			break;
		}
	}
	scx_bpf_put_idle_cpumask(idle);
	return claimed;
}

static s32 scan(struct task_struct *p, s32 start, enum domain domain)
{
	s32 cpu = -1;

	if (has_smt && prefer_idle_core)
		cpu = claim_idle(p, start, domain, true);
	if (cpu < 0)
		cpu = claim_idle(p, start, domain, false);
	if (cpu < 0 && domain != DOMAIN_ALL)
		cpu = claim_idle(p, start, DOMAIN_ALL, false);
	return cpu;
}

static s32 pick_idle(struct task_struct *p, struct task_ctx *taskc, s32 start, u64 wake_flags)
{
	enum domain domain = domain_of(taskc);
	bool is_idle = false;
	s32 cpu;

	if (flat_idle_scan || preferred_idle_scan || domain != DOMAIN_ALL)
		return scan(p, start, domain);
	cpu = scx_bpf_select_cpu_dfl(p, start, wake_flags, &is_idle);
	return is_idle ? cpu : -1;
}

/* True if @p shares the core of @cpu with somebody while another core is idle. */
__hidden bool shares_core_in_vain(struct task_struct *p, s32 cpu)
{
	s32 sibling = place_of(cpu)->sibling;
	const struct cpumask *idle, *idle_cores;
	bool is_in_vain;

	if (!has_smt || sibling == cpu || p->nr_cpus_allowed == 1)
		return false;
	idle = scx_bpf_get_idle_cpumask();
	idle_cores = scx_bpf_get_idle_smtmask();
	is_in_vain = !bpf_cpumask_test_cpu(sibling, idle) && bpf_cpumask_intersects(idle_cores, p->cpus_ptr);
	scx_bpf_put_idle_cpumask(idle_cores);
	scx_bpf_put_idle_cpumask(idle);
	return is_in_vain;
}

/* Claims an idle core for @p, which shares the one of @cpu; -1: none, or it does not. */
__hidden s32 claim_core_for(struct task_struct *p, s32 cpu)
{
	return avoid_smt && shares_core_in_vain(p, cpu) ? scx_bpf_pick_idle_cpu(p->cpus_ptr, SCX_PICK_IDLE_CORE) : -1;
}

static bool has_frame_window(struct task_ctx *taskc, struct cpu_ctx *cpuc, u64 now_ns)
{
	return has_window(cpuc, taskc, GR_WINDOW_FRAME, now_ns) || has_window(cpuc, taskc, GR_WINDOW_NAPI, now_ns);
}

/* True if the limiter wants the task to stay on @cpuc, where it last ran. */
__hidden bool is_held_back(struct task_ctx *taskc, struct cpu_ctx *cpuc, u64 now_ns)
{
	u32 max = mig_max;

	if (taskc->last_cpu < 0)
		return false;
	if (has_frame_window(taskc, cpuc, now_ns))
		return true;
	if (!mig_window_ns || now_ns - taskc->mig_window_at_ns > mig_window_ns)
		return false;
	if (has_window(cpuc, taskc, GR_WINDOW_INPUT, now_ns))
		max *= 2;
	return taskc->nr_migrations >= max;
}

__hidden void count_block(struct task_ctx *taskc, struct cpu_ctx *cpuc, u64 now_ns)
{
	stat_inc(cpuc, has_frame_window(taskc, cpuc, now_ns) ? GR_STAT_FRAME_MIG_BLOCK : GR_STAT_MIG_BLOCK);
}

static bool is_idle_cpu(s32 cpu)
{
	const struct cpumask *idle = scx_bpf_get_idle_cpumask();
	bool is_idle = bpf_cpumask_test_cpu(cpu, idle);

	scx_bpf_put_idle_cpumask(idle);
	return is_idle;
}

static bool is_woken_by_own_mm(struct task_struct *p)
{
	struct task_struct *waker = bpf_get_current_task_btf();

	return p->mm && waker->mm == p->mm && !in_interrupt();
}

/* With --avoid-smt: a light pair of threads gains more from a shared core than it loses, while there is room. */
static s32 claim_wakers_sibling(struct task_struct *p, struct task_ctx *taskc, u64 now_ns)
{
	s32 sibling;

	if (!avoid_smt || !has_smt || !is_woken_by_own_mm(p))
		return -1;
	charge(p, taskc, now_ns);	/* who always finds an idle CPU is charged nowhere else */
	if (taskc->bucket_ns >= BUCKET_PAIR_NS)
		return -1;
	/* While nobody waits the timer sleeps, and what it has found last may be long past. */
	if (is_system_busy && is_timer_armed)
		return -1;
	sibling = place_of(bpf_get_smp_processor_id())->sibling;
	if (!bpf_cpumask_test_cpu(sibling, p->cpus_ptr) || !scx_bpf_test_and_clear_cpu_idle(sibling))
		return -1;
	return sibling;
}

/* Where to begin to look: the previous CPU, or one that has @p's data or will have it. */
static s32 start_for(struct task_struct *p, struct task_ctx *taskc, s32 prev_cpu, u64 now_ns)
{
	s32 this_cpu = bpf_get_smp_processor_id(), cpu = prev_cpu;
	u64 mm = (u64)p->mm;
	s32 *hint;

	if (prefer_napi && napi_cpu >= 0 && has_window(cpu_ctx_of(this_cpu), taskc, GR_WINDOW_INPUT, now_ns) &&
	    has_window(cpu_ctx_of(napi_cpu), taskc, GR_WINDOW_NAPI, now_ns)) {
		cpu = napi_cpu;
	} else if (mm_affinity && is_woken_by_own_mm(p)) {
		cpu = this_cpu;
	} else if (mm_hint && mm && !is_idle_cpu(prev_cpu)) {
		hint = bpf_map_lookup_elem(&mm_cpus, &mm);
		if (hint && *hint != prev_cpu) {
			cpu = *hint;
			stat_inc(cpu_ctx_of(this_cpu), GR_STAT_MM_HINT);
		}
	}
	return bpf_cpumask_test_cpu(cpu, p->cpus_ptr) ? cpu : prev_cpu;
}

__hidden s32 idle_cpu_for(struct task_struct *p, struct task_ctx *taskc, u64 wake_flags, u64 now_ns, s32 *cpu)
{
	struct cpu_ctx *prev_cpuc = cpu_ctx_of(*cpu);
	s32 idle_cpu;

	taskc->is_held = false;
	if (is_held_back(taskc, prev_cpuc, now_ns) && bpf_cpumask_test_cpu(*cpu, p->cpus_ptr)) {
		if (scx_bpf_test_and_clear_cpu_idle(*cpu))
			return *cpu;
		/* The game waits for nobody but its equals. */
		if (!taskc->is_urgent || prev_cpuc->is_preemptible) {
			count_block(taskc, prev_cpuc, now_ns);
			taskc->is_held = true;
			return -1;
		}
	}
	idle_cpu = claim_wakers_sibling(p, taskc, now_ns);
	if (idle_cpu >= 0)
		return idle_cpu;
	*cpu = start_for(p, taskc, *cpu, now_ns);
	return pick_idle(p, taskc, *cpu, wake_flags);
}

/* @p begins to run on @cpu and did not before. */
__hidden void note_migration(struct task_struct *p, struct task_ctx *taskc, s32 cpu, u64 now_ns)
{
	s32 last_cpu = taskc->last_cpu;
	u64 mm = (u64)p->mm;

	taskc->last_cpu = cpu;
	if (mm_hint && mm)
		bpf_map_update_elem(&mm_cpus, &mm, &cpu, BPF_ANY);
	if (last_cpu < 0)
		return;
	stat_inc(cpu_ctx_of(cpu), GR_STAT_MIGRATION);
	if (now_ns - taskc->mig_window_at_ns > mig_window_ns) {
		taskc->mig_window_at_ns = now_ns;
		taskc->nr_migrations = 0;
	}
	taskc->nr_migrations++;
}
