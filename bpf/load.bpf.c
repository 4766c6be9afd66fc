/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How busy is the machine, and has somebody been forgotten?
 *
 * How: one timer, which runs only while something waits in a queue. At each tick it samples the share of
 * CPUs that are not idle into an average, decides the regime with hysteresis, and kicks idle CPUs if there
 * is work: a task that is queued in the very moment in which the last CPU goes idle is seen by nobody else.
 * It also averages over all CPUs how often tasks leave by themselves, which tells whether they react to each other.
 * When nothing waits the timer stops, and an idle machine sees nothing of us.
 *
 * Limits: one timer for all CPUs; a forgotten task waits for one period at most.
 */
#include "gamer.bpf.h"

u32 is_system_busy;
u32 is_timer_armed;
u32 util;		/* average utilisation of the machine, of 1024 */
u64 sampled_at_ns;
u32 interactive_sys_sum;	/* 32 times the average over time and CPUs of how often tasks leave by themselves */
s32 interactive_cpu;		/* whose turn it is to be sampled */

/* 8 ms: two ticks at 250 Hz; long enough not to take a fork for load, short against a frame. */
#define UTIL_TAU_NS (8 * NSEC_PER_MSEC)

struct wakeup_timer {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct wakeup_timer);
} wakeup_timers SEC(".maps");

/* CPUs that are not idle right now, of 1024. */
static u32 util_now(void)
{
	const struct cpumask *online = scx_bpf_get_online_cpumask();
	const struct cpumask *idle = scx_bpf_get_idle_cpumask();
	u32 nr_online = bpf_cpumask_weight(online), nr_idle = bpf_cpumask_weight(idle);
	u32 busy = nr_online > nr_idle ? nr_online - nr_idle : 0;

	scx_bpf_put_idle_cpumask(idle);
	scx_bpf_put_cpumask(online);
	return busy * UTIL_ONE / (nr_online ? nr_online : 1);
}

static void sample_utilisation(u64 now_ns)
{
	util = util_ema(util, util_now(), now_ns - sampled_at_ns, UTIL_TAU_NS);
	sampled_at_ns = now_ns;
	is_system_busy = is_busy(is_system_busy, util, busy_enter, busy_exit);
}

/* One CPU a tick, in turn: all of them would cost too much on a large machine. */
static void sample_interactivity(void)
{
	s32 cpu = interactive_cpu + 1 < nr_cpu_ids ? interactive_cpu + 1 : 0;

	interactive_cpu = cpu;
	interactive_sys_sum = avg_sum_after(interactive_sys_sum, cpu_ctx_of(cpu)->interactive_sum >> AVG_SHIFT);
}

static void kick_idle_cpus(void)
{
	const struct cpumask *online;
	s32 cpu;

	if (nr_local) {
		bpf_for(cpu, 0, nr_cpu_ids) {
			if (cpu_ctx_of(cpu)->nr_queued)
				scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		}
	}
	online = scx_bpf_get_online_cpumask();
	cpu = scx_bpf_pick_idle_cpu(online, 0);
	scx_bpf_put_cpumask(online);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

static int on_wakeup_timer(void *map, u32 *key, struct wakeup_timer *wakeup)
{
	stat_inc(cpu_ctx_of(bpf_get_smp_processor_id()), GR_STAT_WAKEUP_TICK);
	sample_utilisation(scx_bpf_now());
	sample_interactivity();
	if (!nr_urgent && !nr_shared && !nr_local) {
		/*
		 * A full barrier, paired with the one of arm_wakeup_timer(): who queued before it saw the
		 * timer armed, so look again; who queues after it arms the timer.
		 */
		__sync_lock_test_and_set(&is_timer_armed, false);
		if (!nr_urgent && !nr_shared && !nr_local)
			return 0;
		if (__sync_lock_test_and_set(&is_timer_armed, true))
			return 0;
	}
	abandon_inactive_cpus();
	kick_idle_cpus();
	bpf_timer_start(&wakeup->timer, wakeup_timer_ns, 0);
	return 0;
}

__hidden void arm_wakeup_timer(void)
{
	struct wakeup_timer *wakeup;
	u32 key = 0;

	if (is_timer_armed || __sync_lock_test_and_set(&is_timer_armed, true))
		return;
	wakeup = bpf_map_lookup_elem(&wakeup_timers, &key);
	if (wakeup)
		bpf_timer_start(&wakeup->timer, wakeup_timer_ns, 0);
}

__hidden int init_wakeup_timer(void)
{
	struct wakeup_timer *wakeup;
	u32 key = 0;
	s32 err;

	wakeup = bpf_map_lookup_elem(&wakeup_timers, &key);
	if (!wakeup)
		return -ENOENT;
	err = bpf_timer_init(&wakeup->timer, &wakeup_timers, CLOCK_MONOTONIC);
	return err ?: bpf_timer_set_callback(&wakeup->timer, on_wakeup_timer);
}

/* Tells user space. The average is brought up to date first if the timer sleeps, as it then stands still. */
SEC("syscall")
int sample_load(struct gr_load *load)
{
	load->util = util_now();
	load->util_ema = is_timer_armed ? util : util_ema(util, load->util, scx_bpf_now() - sampled_at_ns, UTIL_TAU_NS);
	load->interactive_sys_avg = interactive_sys_sum >> AVG_SHIFT;
	return 0;
}
