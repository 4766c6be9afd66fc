/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which numbers can be tuned?
 *
 * Every const volatile of the scheduler. src/sched/tunables.rs writes all of them between open and load;
 * the values here serve the verifier and veristat only.
 */
#include "gamer.bpf.h"

const volatile u32 nr_cpu_ids = 8;		/* highest possible CPU + 1; from the machine */
const volatile s32 own_tgid = 0;		/* scx_gamer itself: its event loop must not starve */
const volatile u64 slice_max_ns = 1000000;	/* --slice-us; below a tick it means "one tick" */
const volatile u64 slice_lag_ns = 20000000;	/* --slice-lag-us: most credit or debt in a deadline */
const volatile u32 busy_enter = 768;		/* --cpu-busy-thresh, of 1024 */
const volatile u32 busy_exit = 665;		/* --cpu-busy-exit, of 1024 */
const volatile u64 wakeup_timer_ns = 250000;	/* --wakeup-timer-us */
