/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What does user space have to know at once?
 *
 * Problem: user space chooses the game among the family. Looking all the time costs too much, looking now and then finds
 * the game late, and what double-forks between two looks has no parent link to the wrapper any more.
 *
 * How: each process of a live lease's family is told at its fork and at its exec through a ring buffer, by its TGID and
 * its time of birth, which together are never used twice. User space reads at leisure: the ring holds what a few thousand
 * of them leave. Ends are not told: a pidfd tells that of the game, and nobody asks for the others'.
 *
 * That we were thrown out, and CPUs that come, are told through a ring of their own, which no game's family can fill.
 *
 * Limits: what a full ring has no room for is not told; user space still looks now and then.
 */
#include "gamer.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 128 * 1024);	/* bytes: 5461 messages with the ring's own 8 */
} family_news SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

/* User space sleeps in epoll until somebody tells it. */
__hidden void tell(enum gr_event_kind kind)
{
	struct gr_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return;
	event->kind = kind;
	event->pad = 0;
	bpf_ringbuf_submit(event, 0);
}

__hidden void tell_member(struct task_struct *p, struct task_ctx *taskc)
{
	struct gr_member *member;

	if (p->pid != p->tgid || !live_lease_of(taskc))
		return;
	member = bpf_ringbuf_reserve(&family_news, sizeof(*member), 0);
	if (!member)
		return;
	member->born_ns = p->start_boottime;
	member->lease_id = taskc->family;
	member->tgid = p->tgid;
	bpf_ringbuf_submit(member, 0);
}

/*
 * After init_task, which has made it one of the family, and before its first instruction. It inherits once more: a
 * lease that begins after init_task, and whose walk ends before the child is in the list of tasks, has met neither.
 */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct task_ctx *taskc = nr_leases ? bpf_task_storage_get(&task_ctxs, child, 0, 0) : NULL;

	if (!taskc)
		return 0;
	if (!(child->flags & PF_KTHREAD))	/* as in init_task: those go by their own names */
		inherit_from_forker(taskc);
	tell_member(child, taskc);
	return 0;
}
