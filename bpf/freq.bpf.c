/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How fast should a CPU run?
 *
 * How: while a lease is held at full speed from the moment in which a foreground or critical task begins to run and
 * for a while after it, so that a game that sleeps between frames does not find a slow CPU each time. Otherwise as
 * fast as the CPU's load of the last milliseconds asks for, looked at from the tick: a switch costs one comparison.
 *
 * Limits: heard by the schedutil governor only, and by drivers that follow it. An idle CPU has no tick and keeps the
 * level it had. Who is boosted does not raise it.
 */
#include "gamer.bpf.h"

#define PERF_LOOK_NS (8 * NSEC_PER_MSEC)
#define PERF_HOLD_NS (20 * NSEC_PER_MSEC)	/* longer than a frame at 60 Hz */
#define PERF_STEP 64				/* smaller changes are not worth a request */

static void ask_for(s32 cpu, struct cpu_ctx *cpuc, u32 perf)
{
	if (cpuc->perf == perf)
		return;
	cpuc->perf = perf;
	scx_bpf_cpuperf_set(cpu, perf);
}

/* As a task begins to run while a lease is held. */
__hidden void follow_class(s32 cpu, struct cpu_ctx *cpuc)
{
	if (cpuc->running_class > GR_CRITICAL)
		return;
	cpuc->perf_raised_until_ns = scx_bpf_now() + PERF_HOLD_NS;
	ask_for(cpu, cpuc, SCX_CPUPERF_ONE);
}

static u64 booked_ns(struct cpu_ctx *cpuc)
{
	u64 sum_ns = 0;
	int class;

	bpf_for(class, 0, GR_NR_CLASSES)
		sum_ns += cpuc->class_ns[class];
	return sum_ns;
}

/* At the tick of a CPU that runs @p. */
__hidden void follow_load(struct task_struct *p, s32 cpu, struct cpu_ctx *cpuc)
{
	u64 now_ns = scx_bpf_now(), elapsed_ns = now_ns - cpuc->perf_looked_at_ns, busy_ns;
	u32 perf;

	book_run(p, cpuc);
	if (!use_cpufreq || elapsed_ns < PERF_LOOK_NS)
		return;
	busy_ns = booked_ns(cpuc);
	perf = perf_for(busy_ns - cpuc->perf_busy_ns, elapsed_ns);
	cpuc->perf_busy_ns = busy_ns;
	cpuc->perf_looked_at_ns = now_ns;
	if (time_is_before(now_ns, cpuc->perf_raised_until_ns) || (nr_leases && cpuc->running_class <= GR_CRITICAL))
		perf = SCX_CPUPERF_ONE;
	if (perf == SCX_CPUPERF_ONE || perf + PERF_STEP < cpuc->perf || perf > cpuc->perf + PERF_STEP)
		ask_for(cpu, cpuc, perf);
}

/* Tells user space about a CPU: tests ask, on real kernels. */
SEC("syscall")
int explain_cpu(struct gr_explain_cpu *explain)
{
	struct cpu_ctx *cpuc = cpu_ctx_of(explain->cpu);
	u64 now_ns = scx_bpf_now();
	u32 window;

	explain->perf = cpuc->perf;
	explain->interactive_avg = cpuc->interactive_sum >> AVG_SHIFT;
	explain->windows = 0;
	bpf_for(window, 0, GR_NR_WINDOWS) {
		if (time_is_before(now_ns, cpuc->window_until_ns[window]))
			explain->windows |= 1U << window;
	}
	return 0;
}
