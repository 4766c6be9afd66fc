/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where does a runnable task wait, and who is next?
 *
 * How: urgent tasks wait in one queue that every CPU looks at first. The others wait, while the machine is lightly
 * loaded, in the queue of the CPU they ran on (first in, first out: warm cache, no shared lock), and under heavy
 * load in one queue for all CPUs (with --enable-numa one a node) sorted by deadline, so that who has used little
 * goes first. Tasks that may run on one CPU of several, and those that the migration limiter holds, always use that
 * CPU's own queue. Of two queues with work a CPU takes the earlier head. One about to idle takes from the queues of
 * other CPUs, those of other nodes only when somebody has waited there for too long or too many do.
 *
 * We count what waits ourselves, because asking the kernel costs a hash look-up a queue and dispatch asks at
 * every switch. The count goes up before the insertion, which the kernel carries out after the callback, and
 * down when the task runs: it may be too high for a moment, never too low.
 *
 * Limits: the urgent queue takes one lock, which is too few for a game on very many CPUs.
 */
#include "gamer.bpf.h"

u32 nr_urgent, nr_shared, nr_local;
u32 nr_node[GR_NODES_MAX];

/*
 * Another node's CPUs help when more wait in a node's queue than it has CPUs for, or when the head of one has
 * waited for longer than the way to its memory costs.
 */
#define SPILL_WAIT_NS (2 * NSEC_PER_MSEC)

/* A task that the migration limiter holds is left to its CPU for so long: two ticks at 250 Hz. */
#define HOLD_NS (8 * NSEC_PER_MSEC)

/* A task that runs, or leaves us, waits no more. */
__hidden void leave_queue(struct task_ctx *taskc)
{
	switch (taskc->queue) {
	case QUEUE_URGENT:
		__sync_fetch_and_sub(&nr_urgent, 1);
		break;
	case QUEUE_SHARED:
		__sync_fetch_and_sub(&nr_shared, 1);
		if (nr_nodes > 1)
			__sync_fetch_and_sub(&nr_node[taskc->queue_cpu & (GR_NODES_MAX - 1)], 1);
		break;
	case QUEUE_CPU:
		__sync_fetch_and_sub(&cpu_ctx_of(taskc->queue_cpu)->nr_queued, 1);
		__sync_fetch_and_sub(&nr_local, 1);
		break;
	}
	taskc->queue = QUEUE_NONE;
}

/* When @taskc should run, by the kernel's clock: it orders a queue, nobody promises it. */
static u64 deadline_of_task(struct task_ctx *taskc, u64 now_ns)
{
	u64 deadline = deadline_of(now_ns, taskc->vtime, system_vtime, slice_lag_ns);

	return taskc->class == GR_BACKGROUND ? deadline + slice_lag_ns : deadline;
}

/* True if it waits in its CPU's own queue: bound to it, held there, or while there is little load. */
static bool belongs_to_cpu(struct task_struct *p, struct task_ctx *taskc, struct cpu_ctx *cpuc, u64 now_ns)
{
	if (!is_system_busy || taskc->is_held)
		return true;
	if (p->nr_cpus_allowed == 1)
		return nr_cpu_ids > 1;
	if (!is_held_back(taskc, cpuc, now_ns))
		return false;
	count_block(taskc, cpuc, now_ns);
	taskc->is_held = true;
	return true;
}

static void queue_on_cpu(struct task_struct *p, struct task_ctx *taskc, s32 cpu, u64 now_ns, u64 enq_flags)
{
	struct cpu_ctx *cpuc = cpu_ctx_of(cpu);

	taskc->queue = QUEUE_CPU;
	taskc->queue_cpu = cpu;
	__sync_fetch_and_add(&cpuc->nr_queued, 1);
	__sync_fetch_and_add(&nr_local, 1);
	stat_inc(cpuc, GR_STAT_RR_ENQUEUE);
	scx_bpf_dsq_insert(p, cpu, slice_of(taskc, cpuc, cpuc->nr_queued, now_ns), enq_flags);
}

static void queue_shared(struct task_struct *p, struct task_ctx *taskc, s32 cpu, u64 now_ns, u64 enq_flags)
{
	struct cpu_ctx *cpuc = cpu_ctx_of(cpu);
	u32 node = node_of(cpu);

	taskc->queue = QUEUE_SHARED;
	taskc->queue_cpu = node;
	__sync_fetch_and_add(&nr_shared, 1);
	if (nr_nodes > 1)
		__sync_fetch_and_add(&nr_node[node], 1);
	stat_inc(cpuc, GR_STAT_EDF_ENQUEUE);
	scx_bpf_dsq_insert_vtime(p, DSQ_SHARED + node, slice_of(taskc, cpuc, nr_shared_of(node), now_ns),
				 taskc->deadline_ns, enq_flags);
}

__hidden void queue_task(struct task_struct *p, struct task_ctx *taskc, u64 now_ns, u64 enq_flags)
{
	s32 cpu = task_cpu_of(p);
	struct cpu_ctx *cpuc = cpu_ctx_of(cpu);

	if (taskc->queue)	/* it was queued, and its affinity or priority changed */
		leave_queue(taskc);
	taskc->queued_at_ns = now_ns;
	taskc->has_woken = !!(enq_flags & SCX_ENQ_WAKEUP);
	if (!taskc->has_woken)	/* what select_cpu decided is over */
		taskc->is_held = false;
	/* A task that slept for long may claim no more than the credit. */
	if (time_is_before(taskc->vtime, system_vtime - slice_lag_ns))
		taskc->vtime = system_vtime - slice_lag_ns;
	taskc->deadline_ns = deadline_of_task(taskc, now_ns);

	if (taskc->is_urgent) {
		taskc->queue = QUEUE_URGENT;
		__sync_fetch_and_add(&nr_urgent, 1);	/* full barrier: paired with the one in gamer_running */
		stat_inc(cpuc, GR_STAT_URGENT_ENQUEUE);
		scx_bpf_dsq_insert_vtime(p, DSQ_URGENT, slice_of(taskc, cpuc, 0, now_ns), taskc->deadline_ns, enq_flags);
	} else if (belongs_to_cpu(p, taskc, cpuc, now_ns)) {
		queue_on_cpu(p, taskc, cpu, now_ns, enq_flags);
	} else {
		queue_shared(p, taskc, cpu, now_ns, enq_flags);
	}
}

__hidden u64 head_wait_ns(u64 dsq, u64 now_ns)
{
	struct task_struct *p = __COMPAT_scx_bpf_dsq_peek(dsq);
	struct task_ctx *taskc = p ? task_ctx_of(p) : NULL;

	return taskc && time_is_before(taskc->queued_at_ns, now_ns) ? now_ns - taskc->queued_at_ns : 0;
}

/*
 * True if @prev, which has used its slice up and wants to go on, has an earlier deadline than everybody who
 * waits for @cpuc: without this two tasks would share a CPU evenly, whatever their niceness.
 */
__hidden bool goes_before_queue(struct task_struct *prev, s32 cpu, struct cpu_ctx *cpuc)
{
	struct task_struct *head;
	struct task_ctx *prevc;
	u64 now_ns;

	if (!prev || !(prev->scx.flags & SCX_TASK_QUEUED) || cpuc->nr_queued)
		return false;
	prevc = task_ctx_of(prev);
	head = __COMPAT_scx_bpf_dsq_peek(DSQ_SHARED + node_of(cpu));
	if (!prevc || !head)
		return false;
	now_ns = scx_bpf_now();
	charge(prev, prevc, now_ns);
	return time_is_before(deadline_of_task(prevc, now_ns), head->scx.dsq_vtime);
}

/* True if the head of @cpu's own queue has an earlier deadline than the head of its shared one, or that is empty. */
static bool own_is_first(s32 cpu, u32 node)
{
	struct task_struct *own = __COMPAT_scx_bpf_dsq_peek(cpu);
	struct task_struct *shared = __COMPAT_scx_bpf_dsq_peek(DSQ_SHARED + node);
	struct task_ctx *ownc = own ? task_ctx_of(own) : NULL;

	return ownc && (!shared || time_is_before(ownc->deadline_ns, shared->scx.dsq_vtime));
}

static bool take_own(s32 cpu, struct cpu_ctx *cpuc)
{
	return cpuc->nr_queued && scx_bpf_dsq_move_to_local(cpu, 0);
}

static bool take_shared(u32 node, struct cpu_ctx *cpuc)
{
	if (!nr_shared_of(node) || !scx_bpf_dsq_move_to_local(DSQ_SHARED + node, 0))
		return false;
	stat_inc(cpuc, GR_STAT_SHARED_DISPATCH);
	return true;
}

/* Moves the next task that is not urgent to @cpu: the earlier of its own queue's head and the shared one's. */
bool serve_others(s32 cpu)
{
	struct cpu_ctx *cpuc = cpu_ctx_of(cpu);
	u32 node = node_of(cpu);

	if (cpuc->nr_queued && nr_shared_of(node) && !own_is_first(cpu, node))
		return take_shared(node, cpuc) || take_own(cpu, cpuc);
	return take_own(cpu, cpuc) || take_shared(node, cpuc);
}

/* True if the head of @cpu's queue may be taken elsewhere. */
static bool may_be_stolen(s32 cpu, u64 now_ns)
{
	struct task_struct *p = __COMPAT_scx_bpf_dsq_peek(cpu);
	struct task_ctx *taskc = p ? task_ctx_of(p) : NULL;

	return taskc && (!taskc->is_held || now_ns - taskc->queued_at_ns > HOLD_NS);
}

/* From the queues of CPUs, by number from @cpu on: of those of other nodes if @is_far, else of this one's. */
static bool steal_from_cpus(s32 cpu, struct cpu_ctx *cpuc, u64 now_ns, bool is_far)
{
	u32 node = node_of(cpu);
	s32 i, victim;

	bpf_for(i, 1, nr_cpu_ids) {
		victim = cpu + i;
		if (victim >= nr_cpu_ids)
			victim -= nr_cpu_ids;
		if (!cpu_ctx_of(victim)->nr_queued || is_far != (node_of(victim) != node))
			continue;
		if (is_far && head_wait_ns(victim, now_ns) < SPILL_WAIT_NS)
			continue;
		if (!may_be_stolen(victim, now_ns) || !scx_bpf_dsq_move_to_local(victim, 0))
			continue;
		stat_inc(cpuc, GR_STAT_STEAL);
		if (is_far)
			stat_inc(cpuc, GR_STAT_SPILL);
		return true;
	}
	return false;
}

/* From the shared queues of other nodes. */
static bool steal_from_nodes(s32 cpu, struct cpu_ctx *cpuc, u64 now_ns)
{
	u32 node;

	bpf_for(node, 0, nr_nodes) {
		if (node == node_of(cpu) || node >= GR_NODES_MAX || !nr_node[node])
			continue;
		if (nr_node[node] <= node_cpus[node] && head_wait_ns(DSQ_SHARED + node, now_ns) < SPILL_WAIT_NS)
			continue;
		if (take_shared(node, cpuc)) {
			stat_inc(cpuc, GR_STAT_SPILL);
			return true;
		}
	}
	return false;
}

/* A CPU about to idle takes what waits for another one, its own node's first. */
bool steal_from_others(s32 cpu)
{
	struct cpu_ctx *cpuc = cpu_ctx_of(cpu);
	u64 now_ns = scx_bpf_now();

	if (nr_local && steal_from_cpus(cpu, cpuc, now_ns, false))
		return true;
	if (nr_nodes == 1)
		return false;
	return (nr_shared && steal_from_nodes(cpu, cpuc, now_ns)) ||
		(nr_local && steal_from_cpus(cpu, cpuc, now_ns, true));
}
