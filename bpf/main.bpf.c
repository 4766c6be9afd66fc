/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * scx_gamer: the game first, a floor for everybody else.
 *
 * Why another scheduler: those that look at behaviour alone can't tell a game from a load that sleeps and
 * wakes as the game does. This one is told which tasks are the game, so it does not guess.
 *
 * The life of a task, in the order of the callbacks below:
 *   init_task    it inherits family and role from the task that forks it          family.bpf.c
 *   select_cpu   an idle CPU, if there is one, and it runs there directly          boost, place.bpf.c
 *                else, for the game, one that gives way to it                      preempt.bpf.c
 *   enqueue      else it waits: urgent, by deadline, or in its CPU's own queue     classify, queue, slice.bpf.c
 *                an urgent one kicks a CPU that runs somebody else                 preempt.bpf.c
 *   dispatch     a CPU looks for its next task: a turn owed to the others, then
 *                the urgent, then the others, then what waits elsewhere            preempt, queue.bpf.c
 *   running      it runs; others may see what this CPU runs                        account, freq.bpf.c
 *   tick         its time is booked on the CPU, whose speed follows the load       account, freq.bpf.c
 *   stopping     the rest of its time is booked, for the floor and the metrics     account.bpf.c
 * Beside them one timer measures load and finds forgotten tasks, CPUs come and go, and    load, hotplug.bpf.c
 * events open windows in which the game's threads stay where they are              events, windows.bpf.c
 *
 * Limits: slices end at ticks (1 to 10 ms), as everywhere in sched_ext; only preemption is immediate.
 */
#include "gamer.bpf.h"

char _license[] SEC("license") = "GPL";

UEI_DEFINE(uei);

struct cpu_ctx cpus[GR_CPUS_MAX];
u64 system_vtime;	/* the furthest that any task has got; moves forward only, races lose a step */

/* After a stall of this length the kernel takes the machine back by itself. */
#define KERNEL_TIMEOUT_MS 5000U

/*
 * True if nobody waits who would go before a task put straight on @cpu, past all queues. While a game runs
 * the answer is no: whoever is put there holds the CPU until its slice ends or somebody kicks it.
 */
static bool may_skip_queues(s32 cpu)
{
	return !nr_leases && nobody_waits(cpu);
}

s32 BPF_STRUCT_OPS(gamer_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct task_ctx *taskc = task_ctx_of(p);
	s32 this_cpu = bpf_get_smp_processor_id(), cpu = prev_cpu, idle_cpu;
	u64 now_ns = scx_bpf_now();

	if (!taskc)
		return prev_cpu;
	/* A waker that is about to sleep leaves a CPU behind; the game does not wait for that. */
	if (!wake_sync || nr_leases)
		wake_flags &= ~SCX_WAKE_SYNC;
	if (nr_leases ? !is_settled_game(taskc, now_ns) : taskc->class_epoch != class_epoch) {
		boost_wakee(p, taskc);
		refresh_class(p, taskc, now_ns);
	}
	idle_cpu = idle_cpu_for(p, taskc, wake_flags, now_ns, &cpu);
	if (idle_cpu >= 0) {
		stat_inc(cpu_ctx_of(this_cpu), GR_STAT_IDLE_DISPATCH);
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_max_ns, 0);
		return idle_cpu;
	}
	if ((wake_flags & SCX_WAKE_SYNC) && may_skip_queues(this_cpu) && bpf_cpumask_test_cpu(this_cpu, p->cpus_ptr)) {
		stat_inc(cpu_ctx_of(this_cpu), GR_STAT_SYNC_DISPATCH);
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_max_ns, 0);
		return this_cpu;
	}
	/* Enqueued where it may run next, it preempts at once; to kick a CPU takes an interrupt more. */
	if (nr_leases && taskc->is_urgent) {
		s32 busy_cpu = preemptible_cpu_for(p, cpu, now_ns);

		if (busy_cpu >= 0)
			return busy_cpu;
	}
	return cpu;
}

/* Nobody else wants the CPU of @p; with --avoid-smt an idle core may suit it better. */
static void run_last(struct task_struct *p, u64 enq_flags)
{
	s32 this_cpu = task_cpu_of(p), core = claim_core_for(p, this_cpu);

	if (core < 0) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_max_ns, enq_flags);
		return;
	}
	stat_inc(cpu_ctx_of(this_cpu), GR_STAT_SMT_MOVE);
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | core, slice_max_ns, enq_flags);
	scx_bpf_kick_cpu(core, SCX_KICK_IDLE);
}

/* Whether an idle CPU may be left to the wakeup timer: not where tasks react to each other. */
static bool may_defer_wakeup(void)
{
	return deferred_wakeup && interactive_sys_sum >> AVG_SHIFT < UTIL_ONE / 2;
}

void BPF_STRUCT_OPS(gamer_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *taskc = task_ctx_of(p);
	s32 this_cpu = bpf_get_smp_processor_id(), cpu = task_cpu_of(p);
	u64 now_ns;

	if (cpu_ctx_of(this_cpu)->is_leaving && is_past_interrupts(this_cpu)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_max_ns, enq_flags);
		return;
	}
	if (!taskc) {
		stat_inc(cpu_ctx_of(cpu), GR_STAT_NO_TASK_CTX);
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_max_ns, enq_flags);
		return;
	}
	if (p->nr_cpus_allowed == 1) {
		/*
		 * A kernel thread of one CPU serves that CPU (migration, softirqs, timers' work): it goes next, and
		 * nobody may put it off, else it would starve at the head of a queue that dispatch does not see.
		 */
		if (p->flags & PF_KTHREAD) {
			taskc->is_urgent = true;
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_max_ns, enq_flags);
			return;
		}
		/* It wakes, nobody else can take it and nobody waits: spare it the way through a queue. */
		if ((enq_flags & SCX_ENQ_WAKEUP) && may_skip_queues(cpu) && taskc->class_epoch == class_epoch) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_max_ns, enq_flags);
			return;
		}
	}
	now_ns = scx_bpf_now();
	if (!is_settled_game(taskc, now_ns)) {
		/* The kernel asks select_cpu only about tasks that have a choice. */
		if ((enq_flags & SCX_ENQ_WAKEUP) &&
		    (p->nr_cpus_allowed == 1 || !__COMPAT_is_enq_cpu_selected(enq_flags)))
			boost_wakee(p, taskc);
		refresh_class(p, taskc, now_ns);
	}
	if (enq_flags & SCX_ENQ_LAST) {
		run_last(p, enq_flags);
		return;
	}
	if ((enq_flags & SCX_ENQ_WAKEUP) && taskc->is_urgent && run_next(p, cpu, now_ns, enq_flags))
		return;
	queue_task(p, taskc, now_ns, enq_flags);
	arm_wakeup_timer();

	/* Nobody has looked for an idle CPU yet if it comes back from running. The timer will, if that is enough. */
	if (!__COMPAT_is_enq_cpu_selected(enq_flags) && p->nr_cpus_allowed > 1) {
		if (!taskc->is_urgent && may_defer_wakeup()) {
			stat_inc(cpu_ctx_of(cpu), GR_STAT_DEFERRED_WAKEUP);
			return;
		}
		cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
		if (cpu >= 0) {
			scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
			return;
		}
	}
	if (taskc->is_urgent)
		preempt_for(p, now_ns);
}

/* Lets @prev go on where it may: nobody better is waiting. */
static bool keep(struct task_struct *prev, s32 cpu)
{
	if (!prev || !(prev->scx.flags & SCX_TASK_QUEUED))
		return false;
	if (avoid_smt && shares_core_in_vain(prev, cpu))
		return false;	/* the kernel hands it to enqueue: SCX_ENQ_LAST */
	scx_bpf_task_set_slice(prev, nr_shared || nr_local ? urgent_slice_ns() : slice_max_ns);
	return true;
}

/* True if @prev goes on and is urgent: it may have become the game while it ran, or be light no more. */
static bool is_still_urgent(struct task_struct *prev, struct cpu_ctx *cpuc)
{
	struct task_ctx *taskc;

	if (!prev || !(prev->scx.flags & SCX_TASK_QUEUED))
		return false;	/* spares most switches the look-up */
	taskc = task_ctx_of(prev);
	if (!taskc)
		return false;
	if (taskc->class_epoch != CLASS_STALE)
		refresh_class(prev, taskc, scx_bpf_now());
	if (cpuc->is_preemptible == taskc->is_urgent) {
		book_run(prev, cpuc);
		/* a full barrier, as in gamer_running */
		__sync_lock_test_and_set(&cpuc->is_preemptible, !taskc->is_urgent);
	}
	return taskc->is_urgent;
}

void BPF_STRUCT_OPS(gamer_dispatch, s32 cpu, struct task_struct *prev)
{
	struct cpu_ctx *cpuc = cpu_ctx_of(cpu);
	bool others_wait = nr_shared || cpuc->nr_queued, prev_is_urgent = is_still_urgent(prev, cpuc);
	u32 urgent_misses = cpuc->urgent_misses;

	cpuc->urgent_misses = 0;
	cpuc->is_kicked = false;	/* also if another CPU was faster and whom we put off goes on */
	cpuc->turn_end_ns = 0;	/* whose turn it was either sleeps or has had it */
	if (cpuc->promote_pid)
		promote_holder(cpu);
	if (nr_urgent || (others_wait && prev_is_urgent)) {
		if (others_wait) {
			/* The turn that has just ended counts. */
			if (prev && cpuc->is_preemptible)
				book_run(prev, cpuc);
			if (give_turn_to_others(cpu))
				return;
		}
		if (nr_urgent && scx_bpf_dsq_move_to_local(DSQ_URGENT, 0))
			return;
		if (nr_urgent)
			cpuc->urgent_misses = urgent_misses + 1;
		if (prev_is_urgent && keep(prev, cpu))
			return;
	}
	if (others_wait && !goes_before_queue(prev, cpu, cpuc) && serve_others(cpu))
		return;
	if (keep(prev, cpu))
		return;
	if ((nr_local || (nr_nodes > 1 && nr_shared)) && steal_from_others(cpu))
		return;
	cpuc->urgent_misses = 0;	/* who runs here next is not of this dispatch */
}

void BPF_STRUCT_OPS(gamer_running, struct task_struct *p)
{
	s32 cpu = task_cpu_of(p);
	struct cpu_ctx *cpuc = cpu_ctx_of(cpu);
	struct task_ctx *taskc = task_ctx_of(p);

	cpuc->is_kicked = false;
	cpuc->nr_runs++;
	cpuc->booked_until_ns = p->se.sum_exec_runtime;
	if (!taskc)
		return;
	cpuc->running_class = taskc->class;
	if (taskc->last_cpu != cpu)
		note_migration(p, taskc, cpu, scx_bpf_now());
	if (use_cpufreq && nr_leases)
		follow_class(cpu, cpuc);
	if (taskc->queue) {
		if (taskc->has_woken)
			count_wait(taskc, cpuc);
		leave_queue(taskc);
	}
	if (time_is_before(system_vtime, taskc->vtime))
		system_vtime = taskc->vtime;
	if (taskc->is_urgent)
		return;
	/*
	 * A full barrier, paired with the count of queue_task(): either an urgent task that is queued right
	 * now sees that we can be preempted, or we see it here. The dispatch that has just missed it may have come
	 * between its count and its queue, so that we look again, once: those that are left may not run here, or are
	 * stuck behind a real-time task.
	 */
	__sync_lock_test_and_set(&cpuc->is_preemptible, true);
	if (nr_urgent && !cpuc->turn_end_ns && cpuc->urgent_misses < 2)
		scx_bpf_kick_cpu(cpu, SCX_KICK_PREEMPT);
}

void BPF_STRUCT_OPS(gamer_stopping, struct task_struct *p, bool runnable)
{
	struct cpu_ctx *cpuc = cpu_ctx_of(task_cpu_of(p));

	book_run(p, cpuc);
	cpuc->interactive_sum = avg_sum_after(cpuc->interactive_sum, runnable ? 0 : UTIL_ONE);
	cpuc->is_preemptible = false;
}

void BPF_STRUCT_OPS(gamer_tick, struct task_struct *p)
{
	s32 cpu = task_cpu_of(p);

	follow_load(p, cpu, cpu_ctx_of(cpu));
}

s32 BPF_STRUCT_OPS(gamer_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_ctx *taskc = bpf_task_storage_get(&task_ctxs, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!taskc)
		return -ENOMEM;
	taskc->vtime = system_vtime;
	taskc->class = GR_NORMAL;
	taskc->class_epoch = CLASS_STALE;
	taskc->last_cpu = -1;
	if (args->fork && !nr_leases) {
		taskc->bucket_ns = BUCKET_LIGHT_NS;	/* has to sleep first: a build is made of newcomers */
		taskc->bucket_at_ns = scx_bpf_now();
	}
	if (args->fork && !(p->flags & PF_KTHREAD))
		inherit_from_forker(taskc);
	else
		name_role(p, taskc);
	return 0;
}

/* What it used before it came to us, as a real-time task for instance, is none of our business. */
void BPF_STRUCT_OPS(gamer_enable, struct task_struct *p)
{
	struct task_ctx *taskc = task_ctx_of(p);

	if (taskc)
		forgive(p, taskc);
}

/* The task leaves for another scheduling class, or for good. */
void BPF_STRUCT_OPS(gamer_disable, struct task_struct *p)
{
	struct task_ctx *taskc = task_ctx_of(p);

	if (taskc)
		leave_queue(taskc);
}

/*
 * Without these two the kernel would end us as soon as a CPU comes or goes. One that comes asks for work itself. Where it
 * stands in the machine is read-only here, so that user space attaches anew for one that was not there: those that
 * come back from a suspend were.
 */
void BPF_STRUCT_OPS(gamer_cpu_online, s32 cpu)
{
	cpu_ctx_of(cpu)->is_leaving = false;
	if (!places[cpu & (GR_CPUS_MAX - 1)].is_known)
		tell(GR_EVENT_NEW_CPU);
}

void BPF_STRUCT_OPS(gamer_cpu_offline, s32 cpu)
{
	abandon_cpu(cpu);
}

/* Names the queue: of a failed init the kernel reports the errno alone. */
static s32 create_queue(u64 dsq, s32 node)
{
	s32 err = scx_bpf_create_dsq(dsq, node);

	if (err)
		scx_bpf_error("cannot create queue 0x%llx on node %d: error %d", dsq, node, err);
	return err;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(gamer_init)
{
	s32 cpu, node, err;

	err = create_queue(DSQ_URGENT, -1);
	if (err)
		return err;
	bpf_for(node, 0, nr_nodes) {
		err = create_queue(DSQ_SHARED + node, node);
		if (err)
			return err;
	}
	bpf_for(cpu, 0, nr_cpu_ids) {
		err = create_queue(cpu, -1);
		if (err)
			return err;
	}
	return init_wakeup_timer() ?: init_turn_timers();
}

/* Recorded first: user space tells by the record what it was woken for. */
void BPF_STRUCT_OPS(gamer_exit, struct scx_exit_info *ei)
{
	UEI_RECORD(uei, ei);
	tell(GR_EVENT_EXIT);
}

SCX_OPS_DEFINE(gamer_ops,
	.select_cpu	= (void *)gamer_select_cpu,
	.enqueue	= (void *)gamer_enqueue,
	.dispatch	= (void *)gamer_dispatch,
	.running	= (void *)gamer_running,
	.stopping	= (void *)gamer_stopping,
	.tick		= (void *)gamer_tick,
	.init_task	= (void *)gamer_init_task,
	.enable		= (void *)gamer_enable,
	.disable	= (void *)gamer_disable,
	.cpu_online	= (void *)gamer_cpu_online,
	.cpu_offline	= (void *)gamer_cpu_offline,
	.init		= (void *)gamer_init,
	.exit		= (void *)gamer_exit,
	/* src/sched/load.rs sets .flags at load time, to those that the running kernel knows */
	.timeout_ms	= KERNEL_TIMEOUT_MS,
	.name		= "gamer");
