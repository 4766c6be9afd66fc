/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who has used how much?
 *
 * How: the kernel counts each task's CPU time anyway (se.sum_exec_runtime). A task is charged for what was added
 * since the last time only when somebody asks: as it is queued, or as it competes with who waits; a thread of the
 * game, whose rank does not depend on it, once a millisecond at most. That spares every switch a look-up of its
 * context. What a CPU ran is booked on the CPU, at the tick and when the task stops, for the floor and for the
 * shares that are reported.
 *
 * Limits: a kernel that does not tell how long a task has waited (CONFIG_SCHED_INFO) makes waiting look like sleep,
 * so that hogs in a crowd stay light. A task that runs for long without being queued is charged late; its bucket is
 * emptied and filled in one step then, which forgets at most the bucket's size.
 */
#include "gamer.bpf.h"

/* Time that @p has waited for a CPU since it was born; 0 where the kernel does not tell (no CONFIG_SCHED_INFO). */
static u64 waited_ns_of(struct task_struct *p)
{
	return bpf_core_field_exists(p->sched_info.run_delay) ? p->sched_info.run_delay : 0;
}

__hidden void charge(struct task_struct *p, struct task_ctx *taskc, u64 now_ns)
{
	u64 waited_until_ns = waited_ns_of(p);
	u64 ran_ns = p->se.sum_exec_runtime - taskc->charged_until_ns;
	u64 on_rq_ns = ran_ns + waited_until_ns - taskc->waited_until_ns;
	u64 elapsed_ns = now_ns - taskc->bucket_at_ns;
	u64 slept_ns = elapsed_ns > on_rq_ns ? elapsed_ns - on_rq_ns : 0;

	if (!nr_leases)
		slept_ns = sleep_credit(slept_ns, SLEEP_LEAST_NS);
	taskc->charged_until_ns += ran_ns;
	taskc->waited_until_ns = waited_until_ns;
	taskc->bucket_at_ns = now_ns;
	taskc->vtime += scale_by_weight(ran_ns, p->scx.weight);
	taskc->bucket_ns = bucket_after(taskc->bucket_ns, ran_ns, slept_ns);
}

/* From here on: what @p has used before is not charged. */
__hidden void forgive(struct task_struct *p, struct task_ctx *taskc)
{
	taskc->charged_until_ns = p->se.sum_exec_runtime;
	taskc->waited_until_ns = waited_ns_of(p);
}

/* Counts how long a task that was woken has waited in its queue. */
__hidden void count_wait(struct task_ctx *taskc, struct cpu_ctx *cpuc)
{
	u64 now_ns = scx_bpf_now();
	/* clocks of two CPUs may differ by a little */
	u64 wait_ns = time_is_before(taskc->queued_at_ns, now_ns) ? now_ns - taskc->queued_at_ns : 0;
	u32 waiter = taskc->class == GR_FOREGROUND ? GR_WAITER_FOREGROUND : GR_WAITER_OTHER;
	u32 bucket = log2_bucket(wait_ns / NSEC_PER_USEC, GR_NR_WAIT_BUCKETS);

	if (bucket < GR_NR_WAIT_BUCKETS)	/* verifier: it has lost the bound on the way */
		cpuc->waits[waiter][bucket]++;
}
