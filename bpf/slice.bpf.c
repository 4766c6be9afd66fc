/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How long may a task run at a stretch?
 *
 * How: --slice-us, but less when so many wait that their round would take too long, when tasks on this CPU tend to
 * leave by themselves (somebody who reacts to somebody is likely to be among those who wait), and while a window
 * is open. The game's slice is bounded while others wait, as their floor is looked at when it ends. Who finds an idle
 * CPU does not come by here: it gets --slice-us, as it takes nothing from anybody yet.
 *
 * Limits: the kernel looks at slices at its tick, so that with the default of 1 ms all of them mean one tick.
 */
#include "gamer.bpf.h"

__hidden u64 slice_of(struct task_ctx *taskc, struct cpu_ctx *cpuc, u32 nr_waiting, u64 now_ns)
{
	u64 slice_ns;

	if (taskc->is_urgent)
		slice_ns = urgent_slice_ns();
	else
		slice_ns = slice_for(slice_max_ns, nr_waiting, ROUND_MAX_NS);
	slice_ns = slice_scaled(slice_ns, cpuc->interactive_sum >> AVG_SHIFT);
	if (has_window(cpuc, taskc, GR_WINDOW_INPUT, now_ns))
		return slice_ns / 2;
	if (has_window(cpuc, taskc, GR_WINDOW_FRAME, now_ns) || has_window(cpuc, taskc, GR_WINDOW_NAPI, now_ns))
		return slice_ns - slice_ns / 4;
	return slice_ns;
}
