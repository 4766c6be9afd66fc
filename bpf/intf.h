/* SPDX-License-Identifier: GPL-2.0-only */
/* What both sides see: bindgen turns this file into Rust. */
#ifndef __GAMER_INTF_H
#define __GAMER_INTF_H

#ifndef __VMLINUX_H__
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;
#endif

enum gr_limits {
	GR_CPUS_MAX = 1024,	/* power of two: the verifier bounds an index by a mask */
	GR_LEASES_MAX = 16,	/* power of two, likewise */
	GR_NODES_MAX = 64,	/* NUMA nodes; power of two, likewise */
	GR_CRTCS_MAX = 32,	/* of a card, as the kernel has it: a mask of them fits 32 bits */
};

/* What a task is to the game. The family wins over a critical name: gamescope in the tree is family. */
enum gr_class {
	GR_FOREGROUND,	/* a thread of a pinned TGID */
	GR_CRITICAL,	/* audio servers, the compositor, kernel threads, ourselves */
	GR_FAMILY,	/* the rest of a game's process tree */
	GR_NORMAL,
	GR_BACKGROUND,	/* burns CPU outside the family while a game runs */
	GR_NR_CLASSES,
};

/* Where a CPU stands in the machine: one a CPU, filled in by user space before the load. */
struct gr_place {
	u32 sibling;		/* another hardware thread of the same core; the CPU itself: none */
	u32 llc;		/* index of its last-level cache, 0.. */
	u32 node;		/* index of its NUMA node, 0.. */
	u32 capacity;		/* of 1024, which is the machine's strongest */
	u8 is_primary;		/* in --primary-domain */
	u8 is_strong;		/* where the game belongs; all of them on a machine whose CPUs are alike */
	u8 is_known;		/* was online when we attached; all else here is a guess otherwise */
	u8 pad;
};

/* Counters, one copy a CPU; src/sched/stats/counters.rs says in a sentence what each one counts. */
enum gr_stat {
	GR_STAT_IDLE_DISPATCH,
	GR_STAT_SYNC_DISPATCH,
	GR_STAT_URGENT_DISPATCH,
	GR_STAT_RR_ENQUEUE,
	GR_STAT_EDF_ENQUEUE,
	GR_STAT_URGENT_ENQUEUE,
	GR_STAT_SHARED_DISPATCH,
	GR_STAT_MIGRATION,
	GR_STAT_MIG_BLOCK,
	GR_STAT_FRAME_MIG_BLOCK,
	GR_STAT_SPILL,
	GR_STAT_MM_HINT,
	GR_STAT_SMT_MOVE,
	GR_STAT_PREEMPT,
	GR_STAT_WAKE_BOOST,
	GR_STAT_FUTEX_BOOST,
	GR_STAT_FLOOR_TURN,
	GR_STAT_RESCUE,
	GR_STAT_STEAL,
	GR_STAT_DEFERRED_WAKEUP,
	GR_STAT_INPUT_EVENT,	/* these and the next three in the order of enum gr_window */
	GR_STAT_FRAME_EVENT,
	GR_STAT_NAPI_EVENT,
	GR_STAT_INPUT_WINDOW,
	GR_STAT_FRAME_WINDOW,
	GR_STAT_NAPI_WINDOW,
	GR_STAT_WAKEUP_TICK,
	GR_STAT_NO_TASK_CTX,
	GR_NR_STATS,
};

/*
 * Time from being queued by a wake-up to running, one histogram a CPU for each kind of waiter. Bucket 0 counts
 * less than 1 us, bucket n less than 2^n us and no less than half of that, the last one everything longer.
 */
enum gr_waiter {
	GR_WAITER_FOREGROUND,
	GR_WAITER_OTHER,
	GR_NR_WAITERS,
};

enum gr_wait_buckets {
	GR_NR_WAIT_BUCKETS = 22,	/* the last one: 1.05 s and more */
};

/*
 * A game's family, from the wrapper that holds the lease down. Written by user space only. The slot is
 * live when @id is not 0; ids are never used twice and id % GR_LEASES_MAX is the slot, so that a task
 * needs to remember the id alone.
 */
struct gr_lease {
	u32 id;
	s32 root_tgid;
	s32 foreground_tgid;	/* 0: nothing is pinned */
	u32 pad;
};

/* Argument of the begin_lease program. */
struct gr_begin_lease {
	u64 since_boot_ns;	/* descendants born before (CLOCK_BOOTTIME) are none of the game's */
	u32 id;
	s32 root_tgid;
	u32 nr_marked;	/* out: tasks found that live already */
	u32 is_join;	/* the lease has begun already: members of other leases stay what they are */
};

/* Argument of the explain_task program. */
struct gr_explain_task {
	s32 pid;	/* in: thread id in the initial PID namespace */
	s32 tgid;	/* out: 0 when there is no such task */
	u32 lease_id;	/* out: 0 when it belongs to no live lease */
	u32 class_;	/* out: enum gr_class */
};

/* What wakes user space through the ring buffer. */
enum gr_event_kind {
	GR_EVENT_EXIT = 1,	/* the kernel has disabled the scheduler */
	GR_EVENT_NEW_CPU = 2,	/* a CPU has come that was not there when we attached */
};

struct gr_event {
	u32 kind;	/* enum gr_event_kind */
	u32 pad;
};

/* A process of a lease's family that was born or has become another program; see news.bpf.c. */
struct gr_member {
	u64 born_ns;	/* CLOCK_BOOTTIME; with the TGID it names one process for good */
	u32 lease_id;
	s32 tgid;	/* in the initial PID namespace */
};

/* Argument of the longest_wait program. */
struct gr_longest_wait {
	u64 wait_ns;	/* out: how long the head of the slowest queue has waited */
};

/* Events that open a window; see windows.bpf.c. */
enum gr_window {
	GR_WINDOW_INPUT,
	GR_WINDOW_FRAME,
	GR_WINDOW_NAPI,
	GR_NR_WINDOWS,
};

/* Argument of the open_window program. */
struct gr_open_window {
	u32 window;	/* enum gr_window */
	s32 cpu;	/* -1: all of them */
};

/* Argument of the explain_cpu program. */
struct gr_explain_cpu {
	s32 cpu;	/* in */
	u32 perf;	/* out: performance level asked for, of 1024 */
	u32 interactive_avg;	/* out: how often tasks give it up by themselves, of 1024 */
	u32 windows;	/* out: bit n: window n of enum gr_window is open */
};

/* Argument of the sample_load program. */
struct gr_load {
	u32 util;	/* out: CPUs that are not idle right now, in 1/1024 of those online */
	u32 util_ema;	/* out: its average */
	u32 interactive_sys_avg;	/* out: how often tasks give up their CPU by themselves, of 1024 */
	u32 pad;
};

#ifdef __BPF__
#define GR_ASSERT_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type ": Rust reads this layout")
GR_ASSERT_SIZE(struct gr_lease, 16);
GR_ASSERT_SIZE(struct gr_begin_lease, 24);
GR_ASSERT_SIZE(struct gr_explain_task, 16);
GR_ASSERT_SIZE(struct gr_event, 8);
GR_ASSERT_SIZE(struct gr_member, 16);
GR_ASSERT_SIZE(struct gr_longest_wait, 8);
GR_ASSERT_SIZE(struct gr_load, 16);
GR_ASSERT_SIZE(struct gr_place, 20);
GR_ASSERT_SIZE(struct gr_open_window, 8);
GR_ASSERT_SIZE(struct gr_explain_cpu, 16);
#endif

#endif /* __GAMER_INTF_H */
