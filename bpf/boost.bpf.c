/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whom does the game wait for?
 *
 * Problem: a frame often goes through somebody who is not the game: wineserver, a sound or display server, a helper
 * that holds a lock in shared memory. If that one waits behind the load, so does the frame.
 *
 * How: whoever a foreground thread wakes runs at the foreground's rank until it sleeps again or has used
 * BOOST_RUN_NS: a request's worth, not a hog's. And when a foreground thread waits for a futex, the futex itself
 * tells who holds it (the words of a glibc mutex, or the TID of a robust or priority-inheriting one); if that is
 * a task of lower rank it runs at the foreground's until the thread stops waiting. It may be queued already, so
 * the next dispatch of this CPU, which is the one that puts the waiting thread to sleep, moves it ahead.
 *
 * Only futexes that foreground threads wait for are looked at, and the programs are attached only while there is
 * a foreground (src/sched/futex.rs).
 *
 * Limits: locks whose words do not name their holder are not followed; wine's wait for wineserver is a wake-up.
 */
#include "gamer.bpf.h"

#define BOOST_RUN_NS (4 * NSEC_PER_MSEC)

/* include/uapi/linux/futex.h */
#define FUTEX_WAITERS 0x80000000U
#define FUTEX_TID_MASK 0x3fffffffU

struct task_struct *bpf_task_from_vpid(s32 vpid) __ksym __weak;

/* In the waker's context, or in that of whatever interrupted it. */
__hidden void boost_wakee(struct task_struct *p, struct task_ctx *taskc)
{
	struct task_ctx *wakerc;

	taskc->is_boosted = false;
	if (!nr_pinned || (taskc->class == GR_FOREGROUND && taskc->class_epoch == class_epoch) || in_interrupt())
		return;	/* its own rank is no lower */
	wakerc = task_ctx_of(bpf_get_current_task_btf());
	if (!wakerc || wakerc->class != GR_FOREGROUND || wakerc->class_epoch != class_epoch)
		return;
	stat_inc(cpu_ctx_of(bpf_get_smp_processor_id()), GR_STAT_WAKE_BOOST);
	taskc->is_boosted = true;
	taskc->boosted_at_ns = p->se.sum_exec_runtime;
}

__hidden bool is_boosted(struct task_struct *p, struct task_ctx *taskc)
{
	if (taskc->nr_futex_waiters && taskc->held_epoch == class_epoch)
		return true;
	if (!taskc->is_boosted)
		return false;
	if (p->se.sum_exec_runtime - taskc->boosted_at_ns < BOOST_RUN_NS)
		return true;
	taskc->is_boosted = false;
	return false;
}

/* The TID that a futex names as its holder, as its user sees it; 0: none. */
static s32 holder_named_by(const u32 *uaddr)
{
	/* pthread_mutex_t of glibc begins with lock, count, owner; lock is 2 when somebody waits */
	u32 words[3];

	if (bpf_probe_read_user(words, sizeof(words), uaddr))
		return 0;
	return words[0] == 2 ? words[2] : words[0] & FUTEX_WAITERS ? words[0] & FUTEX_TID_MASK : 0;
}

/* A word of the game's memory is only a hint: it must name another task of the same user. */
static bool may_hold_for(struct task_struct *holder, struct task_struct *waiter)
{
	return holder->tgid != waiter->tgid && !(holder->flags & PF_KTHREAD) &&
		holder->cred->uid.val == waiter->cred->uid.val;
}

/* Two that begin at once in a new epoch may lose a count, and with it the rest of one boost. */
static void begin_hold(struct task_ctx *holderc)
{
	if (holderc->held_epoch != class_epoch) {
		holderc->nr_futex_waiters = 0;
		holderc->held_epoch = class_epoch;
	}
	__sync_fetch_and_add(&holderc->nr_futex_waiters, 1);
}

static int begin_wait(const u32 *uaddr)
{
	struct task_struct *waiter = bpf_get_current_task_btf(), *holder;
	struct task_ctx *waiterc = task_ctx_of(waiter), *holderc;
	s32 vpid;

	if (!waiterc || waiterc->class != GR_FOREGROUND || waiterc->class_epoch != class_epoch)
		return 0;
	waiterc->futex_holder = 0;
	vpid = holder_named_by(uaddr);
	if (!vpid || !bpf_ksym_exists(bpf_task_from_vpid))
		return 0;
	holder = bpf_task_from_vpid(vpid);
	if (!holder)
		return 0;
	holderc = task_ctx_of(holder);
	if (holderc && holderc->class != GR_FOREGROUND && may_hold_for(holder, waiter)) {
		begin_hold(holderc);
		waiterc->futex_holder = holder->pid;
		waiterc->wait_epoch = class_epoch;
		cpu_ctx_of(bpf_get_smp_processor_id())->promote_pid = holder->pid;
		stat_inc(cpu_ctx_of(bpf_get_smp_processor_id()), GR_STAT_FUTEX_BOOST);
	}
	bpf_task_release(holder);
	return 0;
}

/*
 * Released, timed out or interrupted: also when it is killed it comes by here, unless the programs were detached
 * meanwhile. That moves the epoch.
 */
static int end_wait(void)
{
	struct task_ctx *waiterc = task_ctx_of(bpf_get_current_task_btf()), *holderc;
	struct task_struct *holder;

	if (!waiterc || !waiterc->futex_holder || waiterc->wait_epoch != class_epoch)
		return 0;
	holder = bpf_task_from_pid(waiterc->futex_holder);
	waiterc->futex_holder = 0;
	if (!holder)
		return 0;
	holderc = task_ctx_of(holder);
	if (holderc && holderc->nr_futex_waiters && holderc->held_epoch == class_epoch)
		__sync_fetch_and_sub(&holderc->nr_futex_waiters, 1);
	bpf_task_release(holder);
	return 0;
}

SEC("?fentry/futex_wait")
int BPF_PROG(on_futex_wait, u32 *uaddr)
{
	return begin_wait(uaddr);
}

SEC("?fexit/futex_wait")
int BPF_PROG(after_futex_wait)
{
	return end_wait();
}

SEC("?fentry/futex_lock_pi")
int BPF_PROG(on_futex_lock_pi, u32 *uaddr)
{
	return begin_wait(uaddr);
}

SEC("?fexit/futex_lock_pi")
int BPF_PROG(after_futex_lock_pi)
{
	return end_wait();
}

/* Called from dispatch: moves the holder that this CPU has just begun to wait for ahead of the others. */
int promote_holder(s32 cpu)
{
	struct cpu_ctx *cpuc = cpu_ctx_of(cpu);
	struct task_struct *holder = bpf_task_from_pid(cpuc->promote_pid), *p;
	struct task_ctx *holderc;
	s32 pid = cpuc->promote_pid;
	u64 dsq;

	cpuc->promote_pid = 0;
	if (!holder)
		return 0;
	holderc = task_ctx_of(holder);
	if (holderc && is_boosted(holder, holderc) && (holderc->queue == QUEUE_SHARED || holderc->queue == QUEUE_CPU)) {
		dsq = holderc->queue == QUEUE_SHARED ? DSQ_SHARED + holderc->queue_cpu : holderc->queue_cpu;
		bpf_for_each(scx_dsq, p, dsq, 0) {
			if (p->pid != pid)
				continue;
			/* Counted first, as in queue_task(); running takes the counts back wherever it runs. */
			leave_queue(holderc);
			holderc->queue = QUEUE_URGENT;
			holderc->is_urgent = true;
			__sync_fetch_and_add(&nr_urgent, 1);
			scx_bpf_dsq_move_set_vtime(BPF_FOR_EACH_ITER, holderc->queued_at_ns);
			scx_bpf_dsq_move_vtime(BPF_FOR_EACH_ITER, p, DSQ_URGENT, 0);
			break;
		}
	}
	bpf_task_release(holder);
	return 0;
}
