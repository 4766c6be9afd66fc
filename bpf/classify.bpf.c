/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is this task to the game?
 *
 * How: the family is exact (family.bpf.c) and the foreground is the TGID that user space pinned. Critical
 * tasks are known by name. A process's is read from the thread group's leader at the attach and at each exec
 * and inherited at fork, so that a sound server that restarts is known again at once. A kernel thread never
 * execs; it is forked by kthreadd with its own name already in place, which is read then. Everybody else is
 * normal, and background while a game runs and they burn CPU.
 *
 * Critical and family tasks are urgent only while they are light (a leaky bucket of CPU time that sleep drains and
 * waiting does not): a shader compiler of the family, or a hog that calls itself pipewire, runs with everybody else.
 * While there is no game the same is true of everybody, as behaviour is then all that tells who is in a hurry.
 * Whom the game waits for is urgent whatever its class (boost.bpf.c).
 *
 * Limits: names are 15 characters and any process may take one of the first list; the bucket bounds what that
 * is worth. The second list is for kernel threads only. Unbound workers also write back and encrypt: a worker
 * that has just done so is not light, and the display's next commit on it waits with the others.
 */
#include "gamer.bpf.h"

#define COMM_LEN 16

static const char critical_names[][COMM_LEN] = {
	/* sound */
	"pipewire", "pipewire-pulse", "wireplumber", "pulseaudio", "jackd", "jackdbus",
	/* compositors and X servers; comm is cut at 15 characters */
	"gamescope", "gamescope-wl", "kwin_wayland", "kwin_x11", "gnome-shell", "mutter", "sway", "Hyprland",
	"weston", "labwc", "wayfire", "niri", "cosmic-comp", "Xorg", "Xwayland", "picom",
};

/*
 * Kernel threads that a frame, the player's hand or a system call of the game waits for, by how their names
 * begin. The rest serves memory and disks in the background (kswapd, kcompactd, khugepaged, jbd2, btrfs-, md)
 * or is bound to one CPU, as kworker/0:1H is, and enqueue serves it first whatever it is called.
 */
static const char critical_threads[][COMM_LEN] = {
	/*
	 * Workers of no CPU. Their names don't tell the work, which is, beside much else: atomic commits of the
	 * display, the job queues of all GPU drivers with the DRM scheduler (no thread of their own since
	 * 6.8, hence no gfx_0.0.0 here), page flips of i915, Bluetooth and thus its controllers.
	 */
	"kworker/u",
	/* interrupts, vblank work (also of msm, with its GPU's): real-time as they are made, here if demoted */
	"irq/", "card", "crtc_event:", "gpu-worker",
	/* nvidia-modeset/..., nvidia-drm/..., the queue of nvidia's interrupts */
	"nvidia", "nv_queue",
	/* packets and timers that the interrupt left for later */
	"ksoftirqd/", "napi/",
	/* grace periods, short work that synchronize_rcu() in many system calls waits for */
	"rcu_preempt", "rcu_sched", "rcu_exp_",
	/* makes the next worker when all of a pool are stuck */
	"kthreadd",
};

/* True if @comm is @name or, for @is_prefix, begins so; both are COMM_LEN bytes. */
static bool is_named(const char *comm, const char *name, bool is_prefix)
{
	int i;

	bpf_for(i, 0, COMM_LEN) {
		/* verifier: bound i again, the loop's end is not known to it here */
		u32 at = i & (COMM_LEN - 1);

		if (!name[at])
			return is_prefix || !comm[at];
		if (comm[at] != name[at])
			return false;
	}
	return true;
}

static bool is_critical_process(const char *comm)
{
	int i;

	bpf_for(i, 0, sizeof(critical_names) / COMM_LEN)
		if (is_named(comm, critical_names[i], false))
			return true;
	return false;
}

static bool is_critical_thread(const char *comm)
{
	int i;

	bpf_for(i, 0, sizeof(critical_threads) / COMM_LEN)
		if (is_named(comm, critical_threads[i], true))
			return true;
	return false;
}

__hidden void name_role(struct task_struct *p, struct task_ctx *taskc)
{
	bool is_thread = p->flags & PF_KTHREAD;
	bool is_critical = false;
	char comm[COMM_LEN] = {};

	if (bpf_probe_read_kernel_str(comm, sizeof(comm), is_thread ? p->comm : p->group_leader->comm) >= 0)
		is_critical = is_thread ? is_critical_thread(comm) : is_critical_process(comm);
	taskc->has_critical_name = is_critical;
	/*
	 * Last: at an exec the task may be preempted right here, and enqueue then makes a class of the old name. The
	 * barrier keeps the compiler from moving it up.
	 */
	barrier();
	taskc->class_epoch = CLASS_STALE;
}

/* What the task is, apart from how much CPU it uses and who waits for it. */
static enum gr_class lasting_class_of(struct task_struct *p, struct task_ctx *taskc)
{
	struct gr_lease *lease = live_lease_of(taskc);

	if (lease)
		return p->tgid == lease->foreground_tgid ? GR_FOREGROUND : GR_FAMILY;
	return taskc->has_critical_name || p->tgid == own_tgid ? GR_CRITICAL : GR_NORMAL;
}

__hidden void refresh_class(struct task_struct *p, struct task_ctx *taskc, u64 now_ns)
{
	u32 epoch = class_epoch;
	bool is_light;

	charge(p, taskc, now_ns);
	is_light = taskc->bucket_ns < BUCKET_LIGHT_NS;
	if (taskc->class_epoch != epoch) {
		taskc->class = lasting_class_of(p, taskc);
		taskc->class_epoch = epoch;
	}
	if (taskc->class == GR_NORMAL || taskc->class == GR_BACKGROUND) {
		/* Kernel threads burn CPU for others: were kswapd held back, the game would reclaim memory itself. */
		taskc->class = nr_leases && !is_light && !(p->flags & PF_KTHREAD) ? GR_BACKGROUND : GR_NORMAL;
		taskc->is_urgent = !nr_leases && is_light;
	} else {
		taskc->is_urgent = taskc->class == GR_FOREGROUND || is_light;
	}
	if (!taskc->is_urgent && nr_pinned)
		taskc->is_urgent = is_boosted(p, taskc);
}

/* exec gives a process a new name; its threads but this one are gone by now. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *p)
{
	struct task_ctx *taskc = task_ctx_of(p);

	if (taskc) {
		name_role(p, taskc);
		tell_member(p, taskc);
	}
	return 0;
}

/* Tells user space what we take a task for: before a process joins, before we go, and in tests. */
SEC("syscall")
int explain_task(struct gr_explain_task *explain)
{
	struct task_struct *p = bpf_task_from_pid(explain->pid);
	struct task_ctx *taskc;
	struct gr_lease *lease;

	explain->tgid = 0;
	explain->lease_id = 0;
	explain->class_ = GR_NORMAL;
	if (!p)
		return 0;
	taskc = task_ctx_of(p);
	if (taskc) {
		lease = live_lease_of(taskc);
		explain->tgid = p->tgid;
		explain->lease_id = lease ? lease->id : 0;
		explain->class_ = taskc->class_epoch == class_epoch ? taskc->class : lasting_class_of(p, taskc);
	}
	bpf_task_release(p);
	return 0;
}
