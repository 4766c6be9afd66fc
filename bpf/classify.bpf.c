/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is this task to the game?
 *
 * How: the family is exact (family.bpf.c) and the foreground is the TGID that user space pinned. Critical
 * tasks are known by name, read from the thread group's leader at the attach and at each exec and inherited
 * at fork, so that a sound server that restarts is known again at once. Everybody else is normal, and background while a game runs and
 * they burn CPU.
 *
 * Critical and family tasks are urgent only while they are light (a leaky bucket of CPU time): a shader
 * compiler of the family, or a hog that calls itself pipewire, runs with everybody else.
 *
 * Limits: names are 15 characters and anybody may take one; the bucket bounds what that is worth.
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

/* True if the first string is the second, both COMM_LEN bytes and filled up with zeroes. */
static bool is_comm(const char *comm, const char *name)
{
	int i;

	bpf_for(i, 0, COMM_LEN) {
		/* verifier: bound i again, the loop's end is not known to it here */
		u32 at = i & (COMM_LEN - 1);

		if (comm[at] != name[at])
			return false;
		if (!name[at])
			return true;
	}
	return true;
}

__hidden void name_role(struct task_struct *p, struct task_ctx *taskc)
{
	char comm[COMM_LEN] = {};
	int i;

	taskc->class_epoch = CLASS_STALE;
	taskc->has_critical_name = false;
	/* Kernel threads work for somebody who waits: GPU, input, disk. Heavy ones are caught by the bucket. */
	if (p->flags & PF_KTHREAD) {
		taskc->has_critical_name = true;
		return;
	}
	if (bpf_probe_read_kernel_str(comm, sizeof(comm), p->group_leader->comm) < 0)
		return;
	bpf_for(i, 0, sizeof(critical_names) / COMM_LEN) {
		if (is_comm(comm, critical_names[i])) {
			taskc->has_critical_name = true;
			return;
		}
	}
}

/* What the task is, apart from how much CPU it uses. */
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
		taskc->class = nr_leases && !is_light ? GR_BACKGROUND : GR_NORMAL;
		taskc->is_urgent = false;
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

	if (taskc)
		name_role(p, taskc);
	return 0;
}

/* Tells user space what we take a task for: tests ask, on real kernels. */
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
