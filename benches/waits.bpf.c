/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * waits: how long was the longest that any runnable task had to wait for a CPU?
 *
 * How: the kernel adds up what each task has waited (sched_info.run_delay), under every scheduler alike, but
 * keeps the sum only. A task waits once from one of its turns to its next one, so that wait is what the sum has
 * grown by in between. Neither a wake-up's time nor sched_info.last_queued alone will do: a task that is moved to
 * another CPU while it waits, which is how sched_ext hands tasks out of a shared queue, starts anew in both.
 *
 * Limits: a wait is seen when it ends. Read the result when everybody has had a CPU again: once the load is over.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define CPUS_MAX 1024
#define COMM_LEN 16
#define TASK_IS_IDLE 0

char _license[] SEC("license") = "GPL";

extern const struct rq runqueues __ksym;	/* the kernel's, one for each CPU */

/* What one CPU has seen since the last reset. */
struct longest {
	u64 wait_ns;
	u64 nr_switches;
	u32 epoch;
	s32 pid;
	char comm[COMM_LEN];
};

struct longest cpus[CPUS_MAX];
u32 epoch = 1;			/* user space raises it to reset; each CPU follows by itself, so nothing races */
u64 since_ns = 0;		/* CLOCK_MONOTONIC of the reset: a wait counts from there. Written before epoch */

/* What is kept of a task from one turn to the next. */
struct last_turn {
	u64 waited_ns;		/* in its whole life, until it got that turn */
	u64 is_known;		/* 0: we have not seen one */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct last_turn);
} last_turns SEC(".maps");

/* The wait that ends now, as @next gets this CPU at @now_ns. */
static u64 wait_of(struct task_struct *next, u64 now_ns)
{
	u64 last_queued_ns = next->sched_info.last_queued;
	u64 last_part_ns = last_queued_ns && now_ns > last_queued_ns ? now_ns - last_queued_ns : 0;
	u64 waited_ns = next->sched_info.run_delay + last_part_ns;
	u64 wait_ns = last_part_ns;
	struct last_turn *last = bpf_task_storage_get(&last_turns, next, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!last)
		return wait_ns;		/* out of memory: the part since it was last moved is at least true */
	/* Seen before, or its very first turn. Else its sum is older than we are. */
	if (last->is_known || !next->sched_info.pcount)
		wait_ns = waited_ns - last->waited_ns;
	last->waited_ns = waited_ns;
	last->is_known = 1;
	return wait_ns;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct rq *rq = bpf_this_cpu_ptr(&runqueues);
	struct longest *seen;
	u64 wait_ns, age_ns;

	if (cpu >= CPUS_MAX)
		return 0;
	seen = &cpus[cpu];
	if (seen->epoch != epoch) {
		seen->epoch = epoch;
		seen->wait_ns = 0;
		seen->nr_switches = 0;
	}
	seen->nr_switches++;
	if (next->pid == TASK_IS_IDLE)
		return 0;
	wait_ns = wait_of(next, rq->clock);
	if (wait_ns <= seen->wait_ns)
		return 0;
	age_ns = bpf_ktime_get_ns() - since_ns;
	if (wait_ns > age_ns)
		wait_ns = age_ns;
	if (wait_ns > seen->wait_ns) {
		seen->wait_ns = wait_ns;
		seen->pid = next->pid;
		__builtin_memcpy(seen->comm, next->comm, COMM_LEN);
	}
	return 0;
}
