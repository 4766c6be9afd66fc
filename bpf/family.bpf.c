/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who belongs to the game?
 *
 * Problem: parent links lose the tree. Wine's servers double-fork and end up below init, Proton's game is
 * its launcher's sibling, and whatever forks while user space looks is missed.
 *
 * How: membership is a lease's id in the task's context, copied at fork from the task that forks (not from
 * the parent that the child is given) before the child's first instruction. Threads and exec keep it. Tasks
 * that lived before the lease are marked once by begin_lease, parents before children: the task list is in
 * order of birth, and a child that is born while we walk inherits, comes later in the list, or is not in it yet and
 * inherits as it is announced (news.bpf.c).
 * A lease that ends clears its slot; the id in the tasks then matches nothing, so nobody is visited.
 *
 * A game that a launcher starts from elsewhere joins when it is pinned, with all below it but for members of other
 * leases: begin_lease once more, with the game as the root.
 *
 * Limits: a process that was orphaned before the lease reached the kernel has no link to the wrapper
 * any more and stays outside until it is pinned or user space lets it join.
 */
#include "gamer.bpf.h"

struct gr_lease leases[GR_LEASES_MAX];
u32 nr_leases;		/* slots in use: user space counts */
u32 nr_pinned;		/* of them, those that have a foreground: likewise */
u32 class_epoch;	/* moves whenever leases or foregrounds change: user space bumps it last */

int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task__nullable, unsigned int flags) __ksym;
struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) __ksym;
void bpf_iter_task_destroy(struct bpf_iter_task *it) __ksym;

/* Ancestors looked at. Proton under pressure-vessel is about 12 deep; a launcher's terminal adds some. */
#define ANCESTORS_MAX 32

__hidden struct gr_lease *live_lease_of(struct task_ctx *taskc)
{
	struct gr_lease *lease;

	if (!taskc->family)
		return NULL;
	lease = &leases[taskc->family & (GR_LEASES_MAX - 1)];
	return lease->id == taskc->family ? lease : NULL;
}

__hidden void inherit_from_forker(struct task_ctx *taskc)
{
	struct task_struct *forker = bpf_get_current_task_btf();
	struct task_ctx *forkerc = bpf_task_storage_get(&task_ctxs, forker, 0, 0);

	if (!forkerc)
		return;
	taskc->has_critical_name = forkerc->has_critical_name;	/* the same program, until it execs another */
	if (forker->tgid != own_tgid)
		taskc->family = forkerc->family;
}

/*
 * True if @p is the root of lease @begin, or descends from it or from a member. A script that execs the
 * wrapper leaves it children from before, which are none of the game's: everybody on the way must be younger
 * than the lease.
 */
static bool descends_from_lease(struct task_struct *p, const struct gr_begin_lease *begin)
{
	struct task_struct *ancestor = p;
	struct task_ctx *ancestorc;
	int depth;

	bpf_for(depth, 0, ANCESTORS_MAX) {
		if (!ancestor || ancestor->tgid == own_tgid || ancestor->tgid <= 1)
			return false;
		if (ancestor->tgid == begin->root_tgid)
			return true;
		ancestorc = bpf_task_storage_get(&task_ctxs, ancestor, 0, 0);
		if (ancestorc && ancestorc->family == begin->id)
			return true;
		if (ancestor->start_boottime < begin->since_boot_ns)
			return false;
		ancestor = ancestor->real_parent;
	}
	return false;
}

/*
 * Marks the tasks that live already. User space has filled the slot before, so from the root's mark on
 * every fork inherits.
 */
SEC("syscall")
int begin_lease(struct gr_begin_lease *begin)
{
	struct task_struct *p;
	struct task_ctx *taskc;
	u32 nr_marked = 0;

	bpf_rcu_read_lock();
	bpf_for_each(task, p, NULL, BPF_TASK_ITER_ALL_THREADS) {
		if (!descends_from_lease(p, begin))
			continue;
		taskc = bpf_task_storage_get(&task_ctxs, p, 0, 0);
		if (taskc && !(begin->is_join && live_lease_of(taskc))) {
			taskc->family = begin->id;
			taskc->class_epoch = CLASS_STALE;
			tell_member(p, taskc);
			nr_marked++;
		}
	}
	bpf_rcu_read_unlock();
	begin->nr_marked = nr_marked;
	return 0;
}
