/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where does a runnable task wait, and who is next?
 *
 * How: urgent tasks wait in one queue that every CPU looks at first. The others wait, while the machine is
 * lightly loaded, in the queue of the CPU they ran on (first in, first out: warm cache, no shared lock), and
 * under heavy load in one queue for all CPUs sorted by deadline, so that who has used little goes first.
 * Tasks that may run on one CPU only always use its own queue; a CPU serves both in turn.
 *
 * We count what waits ourselves, because asking the kernel costs a hash look-up a queue and dispatch asks at
 * every switch. The count goes up before the insertion, which the kernel carries out after the callback, and
 * down when the task runs: it may be too high for a moment, never too low.
 *
 * Limits: the two queues for all CPUs take one lock each, which is too few for machines of many nodes.
 */
#include "gamer.bpf.h"

u32 nr_urgent, nr_shared, nr_local;

/* A task that runs, or leaves us, waits no more. */
__hidden void leave_queue(struct task_ctx *taskc)
{
	switch (taskc->queue) {
	case QUEUE_URGENT:
		__sync_fetch_and_sub(&nr_urgent, 1);
		break;
	case QUEUE_SHARED:
		__sync_fetch_and_sub(&nr_shared, 1);
		break;
	case QUEUE_CPU:
		__sync_fetch_and_sub(&cpu_ctx_of(taskc->queue_cpu)->nr_queued, 1);
		__sync_fetch_and_sub(&nr_local, 1);
		break;
	}
	taskc->queue = QUEUE_NONE;
}

/* When @taskc should run, in wall-clock time. */
static u64 deadline_of_task(struct task_ctx *taskc, u64 now_ns)
{
	u64 deadline = deadline_of(now_ns, taskc->vtime, system_vtime, slice_lag_ns);

	return taskc->class == GR_BACKGROUND ? deadline + slice_lag_ns : deadline;
}

__hidden void queue_task(struct task_struct *p, struct task_ctx *taskc, u64 now_ns, u64 enq_flags)
{
	s32 cpu = task_cpu_of(p);
	struct cpu_ctx *cpuc = cpu_ctx_of(cpu);
	u64 deadline;

	if (taskc->queue)	/* it was queued, and its affinity or priority changed */
		leave_queue(taskc);
	taskc->queued_at_ns = now_ns;
	taskc->has_woken = !!(enq_flags & SCX_ENQ_WAKEUP);
	/* A task that slept for long may claim no more than the credit. */
	if (time_is_before(taskc->vtime, system_vtime - slice_lag_ns))
		taskc->vtime = system_vtime - slice_lag_ns;

	if (!taskc->is_urgent && (!is_system_busy || (p->nr_cpus_allowed == 1 && nr_cpu_ids > 1))) {
		taskc->queue = QUEUE_CPU;
		taskc->queue_cpu = cpu;
		__sync_fetch_and_add(&cpuc->nr_queued, 1);
		__sync_fetch_and_add(&nr_local, 1);
		stat_inc(cpuc, GR_STAT_RR_ENQUEUE);
		scx_bpf_dsq_insert(p, cpu, slice_for(slice_max_ns, cpuc->nr_queued, ROUND_MAX_NS), enq_flags);
		return;
	}

	deadline = deadline_of_task(taskc, now_ns);
	if (taskc->is_urgent) {
		taskc->queue = QUEUE_URGENT;
		__sync_fetch_and_add(&nr_urgent, 1);	/* full barrier: paired with the one in gamer_running */
		stat_inc(cpuc, GR_STAT_URGENT_ENQUEUE);
		scx_bpf_dsq_insert_vtime(p, DSQ_URGENT, urgent_slice_ns(), deadline, enq_flags);
		return;
	}
	taskc->queue = QUEUE_SHARED;
	__sync_fetch_and_add(&nr_shared, 1);
	stat_inc(cpuc, GR_STAT_EDF_ENQUEUE);
	scx_bpf_dsq_insert_vtime(p, DSQ_SHARED, slice_for(slice_max_ns, nr_shared, ROUND_MAX_NS), deadline, enq_flags);
}

/*
 * True if @prev, which has used its slice up and wants to go on, has an earlier deadline than everybody who
 * waits for @cpuc: without this two tasks would share a CPU evenly, whatever their niceness.
 */
__hidden bool goes_before_queue(struct task_struct *prev, struct cpu_ctx *cpuc)
{
	struct task_struct *head;
	struct task_ctx *prevc;
	u64 now_ns;

	if (!prev || !(prev->scx.flags & SCX_TASK_QUEUED) || cpuc->nr_queued)
		return false;
	prevc = task_ctx_of(prev);
	head = __COMPAT_scx_bpf_dsq_peek(DSQ_SHARED);
	if (!prevc || !head)
		return false;
	now_ns = scx_bpf_now();
	charge(prev, prevc, now_ns);
	return time_is_before(deadline_of_task(prevc, now_ns), head->scx.dsq_vtime);
}

/* Moves the next task that is not urgent to @cpu: own queue and shared queue in turn. */
__hidden bool serve_others(s32 cpu, struct cpu_ctx *cpuc)
{
	bool own_first = !cpuc->own_queue_was_first;

	if (own_first && cpuc->nr_queued && scx_bpf_dsq_move_to_local(cpu, 0)) {
		cpuc->own_queue_was_first = true;
		return true;
	}
	cpuc->own_queue_was_first = false;
	if (nr_shared && scx_bpf_dsq_move_to_local(DSQ_SHARED, 0)) {
		stat_inc(cpuc, GR_STAT_SHARED_DISPATCH);
		return true;
	}
	return !own_first && cpuc->nr_queued && scx_bpf_dsq_move_to_local(cpu, 0);
}

/* A CPU about to idle takes what waits for another one, nearest number first. */
__hidden bool steal_from_others(s32 cpu, struct cpu_ctx *cpuc)
{
	s32 i, victim;

	bpf_for(i, 1, nr_cpu_ids) {
		victim = cpu + i;
		if (victim >= nr_cpu_ids)
			victim -= nr_cpu_ids;
		if (cpu_ctx_of(victim)->nr_queued && scx_bpf_dsq_move_to_local(victim, 0)) {
			stat_inc(cpuc, GR_STAT_STEAL);
			return true;
		}
	}
	return false;
}
