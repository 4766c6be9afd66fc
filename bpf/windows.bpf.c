/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Does the game need its CPUs right now?
 *
 * Problem: between an input event, or a vblank, and the frame that answers it every millisecond counts; at other
 * times a little more freedom for the scheduler costs nothing.
 *
 * How: an event opens a window, which is a point in time on each CPU until which it holds:
 *   input   slices are halved, so that the game's threads alternate faster, and the migration limit is doubled
 *   frame   nobody migrates who can run where he was, and slices are a quarter shorter
 *   NAPI    as a frame window, on the CPU that has just received packets: they are in its cache
 * While a game is pinned they concern its threads alone, else everybody.
 *
 * Who sees the events: the kernel itself where it can (events.bpf.c), user space where not (open_window() below).
 *
 * Limits: a slice ends at a tick, so that shorter slices are felt where --slice-us is longer than one.
 */
#include "gamer.bpf.h"

s32 napi_cpu = -1;	/* the last one that a NAPI window opened on */
u64 input_until_ns;	/* of the last input window that opened on all CPUs; two events at once both open one */

static u64 length_ns_of(u32 window)
{
	return window == GR_WINDOW_FRAME ? frame_window_ns : input_window_ns;
}

static void open_on(s32 cpu, u32 window, u64 until_ns)
{
	struct cpu_ctx *cpuc = cpu_ctx_of(cpu);

	if (window >= GR_NR_WINDOWS)	/* verifier: the caller has checked */
		return;
	cpuc->window_until_ns[window] = until_ns;
}

/*
 * True if all CPUs have had this window opened a moment ago. A mouse tells of up to three things in a report and 8000
 * times a second: to walk over all CPUs for each would cost more than the last eighth of a window is worth.
 */
static bool is_fresh(u32 window, u64 now_ns, u64 length_ns)
{
	return window == GR_WINDOW_INPUT && time_is_before(now_ns + length_ns - length_ns / 8, input_until_ns);
}

/* The entry point for whatever has seen the event: a window on @cpu, or on all CPUs if that is negative. */
__hidden void open_windows(u32 window, s32 cpu)
{
	struct cpu_ctx *seen_by = cpu_ctx_of(bpf_get_smp_processor_id());
	u64 length_ns = length_ns_of(window), now_ns = scx_bpf_now();
	u64 until_ns = now_ns + length_ns;

	if (!length_ns || window >= GR_NR_WINDOWS)
		return;
	stat_inc(seen_by, GR_STAT_INPUT_EVENT + window);
	if (cpu < 0 && is_fresh(window, now_ns, length_ns))
		return;
	stat_inc(seen_by, GR_STAT_INPUT_WINDOW + window);
	if (window == GR_WINDOW_NAPI)
		napi_cpu = cpu;
	if (cpu >= 0) {
		open_on(cpu, window, until_ns);
		return;
	}
	if (window == GR_WINDOW_INPUT)
		input_until_ns = until_ns;
	bpf_for(cpu, 0, nr_cpu_ids)
		open_on(cpu, window, until_ns);
}

__hidden bool has_window(struct cpu_ctx *cpuc, struct task_ctx *taskc, enum gr_window window, u64 now_ns)
{
	if (!length_ns_of(window) || (nr_pinned && taskc->class != GR_FOREGROUND))
		return false;
	return time_is_before(now_ns, cpuc->window_until_ns[window]);
}

/* For events that user space sees. Fan-out to all CPUs costs one system call. */
SEC("syscall")
int open_window(struct gr_open_window *event)
{
	if (event->window >= GR_NR_WINDOWS || event->cpu >= (s32)nr_cpu_ids)
		return -EINVAL;
	open_windows(event->window, event->cpu);
	return 0;
}
