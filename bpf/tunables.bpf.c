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

/* The machine; src/sched/topology.rs reads it. */
const volatile struct gr_place places[GR_CPUS_MAX] = {};
const volatile u16 scan_order[GR_CPUS_MAX] = {};	/* CPU numbers, strongest first, one thread of each core first */
const volatile u32 nr_nodes = 1;		/* NUMA nodes that are told apart; 1 without --enable-numa */
const volatile u32 node_cpus[GR_NODES_MAX] = {};	/* CPUs of each */
const volatile u32 nr_llcs = 1;
const volatile u32 is_asymmetric = 0;		/* some CPUs are not strong */
const volatile u32 has_smt = 0;
const volatile u32 has_domain = 0;		/* some CPUs are not primary */

/* Placement */
const volatile u32 flat_idle_scan = 0;		/* --flat-idle-scan */
const volatile u32 preferred_idle_scan = 0;	/* --preferred-idle-scan */
const volatile u32 prefer_idle_core = 1;	/* without --disable-smt */
const volatile u32 avoid_smt = 0;		/* --avoid-smt */
const volatile u32 wake_sync = 1;		/* without --no-wake-sync */
const volatile u32 deferred_wakeup = 1;		/* without --no-deferred-wakeup */
const volatile u32 mm_affinity = 0;		/* --mm-affinity */
const volatile u32 mm_hint = 0;			/* --enable-mm-hint */
const volatile u64 mig_window_ns = 50000000;	/* --mig-window-ms; 0: no limit */
const volatile u32 mig_max = 3;			/* --mig-max */

/* Windows; 0: they do not open */
const volatile u64 input_window_ns = 2000000;	/* --input-window-us */
const volatile u64 frame_window_ns = 0;		/* --frame-window-us */
const volatile u32 prefer_napi = 0;		/* --prefer-napi-on-input */

const volatile u32 use_cpufreq = 1;		/* without --disable-cpufreq */
