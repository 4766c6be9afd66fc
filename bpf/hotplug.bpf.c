/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What becomes of those who wait for a CPU that goes away?
 *
 * Problem: the kernel no longer asks us what a CPU is to run once it goes offline, but the CPU can't go before
 * everybody has left it. Who waits in its queue would be taken only by a CPU that idles, and who may run nowhere
 * else by nobody. The queues of all CPUs are no better: if another CPU takes the last task away, the one that
 * goes sleeps on and does not see that it may (seen on 6.18.15: the third time that a CPU went, it never was off).
 *
 * How: the kernel empties what it has queued itself on such a CPU: it pushes each task to one where it may
 * run, and lets it run anywhere if there is none left. So all who belong to the CPU are moved to the kernel's
 * queue of it. Nobody comes after them: what is enqueued there from now on the kernel doesn't show us. A
 * CPU that comes back asks for work by itself. Its context and counters stay, and its timers fire elsewhere, where
 * they find nothing to do.
 *
 * The kernel stops to ask some time before it tells us: first it takes the CPU out of those that are active, then it
 * waits for a grace period of RCU (sched_cpu_deactivate). Who waits in our queues for that CPU and was preempted as a
 * reader keeps that period from its end, and so itself from ever running (seen on 6.18.15, once in 40 runs of a test
 * that takes a CPU away eight times: a stall, and the kernel threw us out). So the wakeup timer, which runs as long as
 * anybody waits, looks for such CPUs.
 *
 * Whom it wakes with its last instructions is the kernel's to place, too. That may be the thread of RCU that has waited
 * for it (rcutree_report_cpu_dead), and to kick another CPU for that is to put off work (irq_work) until an interrupt
 * that never comes. All that it puts off after it is back would queue up behind that, for good: who waits for RCU-tasks
 * or frees a ring buffer would wait for ever (seen on 6.18.15, once in eight times that a CPU went under load).
 *
 * Limits: a task that is pushed queues up anew, and its wait is counted from then. The CPU's last deed is to idle,
 * and the kernel takes it for idle until somebody is offered it, once.
 */
#include "gamer.bpf.h"

/* How far each CPU is on its way up or down; without it in the kernel's type information nobody looks. */
extern const struct cpuhp_cpu_state cpuhp_state __ksym __weak;

/* True on a CPU that executes its last instructions: it can neither kick another one nor start a timer any more. */
__hidden bool is_past_interrupts(s32 cpu)
{
	const struct cpumask *online = scx_bpf_get_online_cpumask();
	bool is_online = bpf_cpumask_test_cpu(cpu, online);

	scx_bpf_put_cpumask(online);
	return !is_online;
}

/* Gives the kernel those of @dsq that belong to @cpu. */
static void hand_back(u64 dsq, s32 cpu)
{
	struct task_struct *p;

	/* verifier: up to 6.17 a timer's callback counts as sleepable if a sleepable program (gamer_init) sets it */
	bpf_rcu_read_lock();
	bpf_for_each(scx_dsq, p, dsq, 0) {
		if (task_cpu_of(p) == cpu)
			scx_bpf_dsq_move(BPF_FOR_EACH_ITER, p, SCX_DSQ_LOCAL_ON | cpu, 0);
	}
	bpf_rcu_read_unlock();
}

__hidden void abandon_cpu(s32 cpu)
{
	u32 node;

	cpu_ctx_of(cpu)->is_leaving = true;	/* until gamer_cpu_online(), which follows an attempt that fails, too */
	hand_back(cpu, cpu);
	hand_back(DSQ_URGENT, cpu);
	bpf_for(node, 0, nr_nodes)
		hand_back(DSQ_SHARED + node, cpu);
}

/* True for a CPU that runs tasks, but none that it would have to ask us for. */
static bool is_inactive(s32 cpu)
{
	const struct cpuhp_cpu_state *hotplug;
	enum cpuhp_state state;

	if (!bpf_ksym_exists(&cpuhp_state))
		return false;
	hotplug = bpf_per_cpu_ptr(&cpuhp_state, cpu);
	if (!hotplug)
		return false;
	state = hotplug->state;
	return state > bpf_core_enum_value(enum cpuhp_state, CPUHP_TEARDOWN_CPU) &&
		state < bpf_core_enum_value(enum cpuhp_state, CPUHP_AP_ACTIVE);
}

__hidden void abandon_inactive_cpus(void)
{
	s32 cpu;

	bpf_for(cpu, 0, nr_cpu_ids) {
		if (!is_inactive(cpu))
			continue;
		abandon_cpu(cpu);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);	/* what is moved by somebody else wakes nobody */
	}
}
