/* SPDX-License-Identifier: GPL-2.0-only */
/* Contexts, queues and prototypes that the files of the scheduler share; each contract stands here. */
#ifndef __GAMER_BPF_H
#define __GAMER_BPF_H

#include <scx/common.bpf.h>
#include <scx/compat.bpf.h>
#include "intf.h"
#include "math.h"

/* tunables.bpf.c */
extern const volatile u32 nr_cpu_ids;
extern const volatile s32 own_tgid;
extern const volatile u64 slice_max_ns;
extern const volatile u64 slice_lag_ns;
extern const volatile u32 busy_enter;
extern const volatile u32 busy_exit;
extern const volatile u64 wakeup_timer_ns;
extern const volatile struct gr_place places[GR_CPUS_MAX];
extern const volatile u16 scan_order[GR_CPUS_MAX];
extern const volatile u32 node_cpus[GR_NODES_MAX];
extern const volatile u32 nr_nodes, nr_llcs, is_asymmetric, has_smt, has_domain;
extern const volatile u32 flat_idle_scan, preferred_idle_scan, prefer_idle_core, avoid_smt;
extern const volatile u32 wake_sync, deferred_wakeup, mm_affinity, mm_hint;
extern const volatile u64 mig_window_ns;
extern const volatile u32 mig_max;
extern const volatile u64 input_window_ns, frame_window_ns;
extern const volatile u32 prefer_napi;
extern const volatile u32 use_cpufreq;

/*
 * Dispatch queues. 0..nr_cpu_ids-1 are the per-CPU ones: first in, first out, so that they take turns
 * (round-robin). The others are sorted by deadline and served by every CPU, its own node's first.
 */
#define DSQ_URGENT 0x10000	/* foreground, light critical and family tasks, who is boosted; without a game all light ones */
#define DSQ_SHARED 0x20000	/* + node: everybody else under heavy load */

/* The game's promise to the others: their share of each CPU, over which time, in turns of which length. */
#define FLOOR_PCT 5
#define FLOOR_IDLE_PCT 10	/* while there is no game: who is light is more important then, but nobody's promise */
#define FLOOR_WINDOW_NS (100 * NSEC_PER_MSEC)
#define FLOOR_TURN_NS (500 * NSEC_PER_USEC)
#define FLOOR_LATE_NS (10 * NSEC_PER_MSEC)	/* the game's slice ends at a tick: up to 10 ms late at 100 Hz */

/*
 * Nobody waits longer than 500 ms. The head of the shared queue may be younger than the task that waits
 * longest by as much as deadlines move: one --slice-lag-us back, one forward and one for background work,
 * 300 ms at its upper end. 50 ms are left to serve whom rescue finds.
 */
#define WAIT_MAX_NS (500 * NSEC_PER_MSEC)
#define RESCUE_MARGIN_NS (50 * NSEC_PER_MSEC)
#define RESCUE_TURN_NS (100 * NSEC_PER_USEC)
#define RESCUE_LOOK_NS (10 * NSEC_PER_MSEC)

/* The game's slice while others wait: their floor is looked at when it ends. */
#define URGENT_SLICE_MAX_NS (4 * NSEC_PER_MSEC)

/* A round of all who wait takes this long at most, were there one CPU: leaves room under WAIT_MAX_NS. */
#define ROUND_MAX_NS (400 * NSEC_PER_MSEC)

/* Below this much in its bucket a task is light. */
#define BUCKET_LIGHT_NS (20 * NSEC_PER_MSEC)

/* While there is no game a sleep counts for this at least, and so makes up for 2 ms of work (ADR 0010). */
#define SLEEP_LEAST_NS NSEC_PER_MSEC

/* What a thread of the game uses is charged this much later at most: at its first wake-up from then on. */
#define CHARGE_GAME_NS NSEC_PER_MSEC

/* A task_ctx.class_epoch that equals no epoch: look again. */
#define CLASS_STALE (~0U)

/* Where a runnable task waits; see leave_queue(). */
enum gr_queue {
	QUEUE_NONE,
	QUEUE_URGENT,
	QUEUE_SHARED,
	QUEUE_CPU,	/* the per-CPU queue of task_ctx.queue_cpu */
};

/* One a task, allocated in init_task. Written under the task's rq lock; class and family by their owners. */
struct task_ctx {
	u64 vtime;		/* CPU time used, scaled by weight, as of charged_until_ns */
	u64 charged_until_ns;	/* p->se.sum_exec_runtime up to which it was charged; see charge() */
	u64 waited_until_ns;	/* p->sched_info.run_delay as of the same moment */
	u64 bucket_ns;		/* leaky bucket of CPU time, as of bucket_at_ns */
	u64 bucket_at_ns;
	u64 queued_at_ns;	/* when it last entered a queue */
	u64 deadline_ns;	/* of that entry */
	u64 mig_window_at_ns;	/* begin of the window in which nr_migrations counts */
	u64 boosted_at_ns;	/* p->se.sum_exec_runtime when it was last woken by the game */
	u32 family;		/* id of the lease whose family it belongs to; 0: none */
	u32 class_epoch;	/* class below is right while this equals the global epoch */
	u8 class;		/* enum gr_class; normal or background by its bucket, as of refresh_class() */
	u8 is_urgent;		/* goes before others: foreground, light or boosted; as of the same moment */
	u8 has_critical_name;
	u8 queue;		/* enum gr_queue */
	u8 has_woken;		/* what put it into its queue was a wake-up */
	u8 is_held;		/* the migration limiter keeps it on its CPU this time */
	u8 is_boosted;		/* woken by the game; see boost.bpf.c */
	u32 nr_futex_waiters;	/* foreground threads that wait for a futex it holds, as of ... */
	u32 held_epoch;		/* ... this class epoch: what an earlier foreground waited for is void */
	s32 futex_holder;	/* pid of the task that it has boosted so, 0: none, as of ... */
	u32 wait_epoch;		/* ... this one */
	u32 nr_migrations;	/* in the current window */
	u32 queue_cpu;		/* QUEUE_CPU: of which CPU; QUEUE_SHARED: of which node */
	s32 last_cpu;		/* where it last ran; -1: nowhere yet */
};

/*
 * One a CPU. The first line is read by wakers on other CPUs when they look for somebody to preempt; the
 * second belongs to the CPU itself.
 */
struct cpu_ctx {
	u32 is_preemptible;	/* runs a task that is not urgent; set in running, cleared in stopping */
	u32 is_kicked;		/* somebody asked for it already; cleared when the next task runs */
	u64 turn_end_ns;	/* a floor turn runs until then and may not be preempted; 0: none */
	u32 nr_queued;		/* tasks in its per-CPU queue */
	u32 pad[11];

	u64 booked_until_ns;	/* p->se.sum_exec_runtime of what runs, up to which book_run() has booked */
	u64 others_ns;		/* what the others ran since floor_due_ns was last reckoned */
	u64 floor_due_ns;	/* when the others are owed their next turn */
	u64 rescue_look_ns;	/* when to look next for a starved task */
	u64 nr_runs;		/* tasks that began to run */
	u64 seen_runs;		/* nr_runs as longest_wait() saw it ... */
	u64 seen_at_ns;		/* ... and since when it has not moved */
	u64 window_until_ns[GR_NR_WINDOWS];
	u64 perf_looked_at_ns;	/* when the performance level last followed the load ... */
	u64 perf_busy_ns;	/* ... and CPU time booked by then */
	u64 perf_raised_until_ns;	/* the game has run here: full performance until then */
	u32 perf;		/* level asked for, of 1024 */
	u32 running_class;	/* enum gr_class of what runs */
	u32 interactive_sum;	/* 32 times the average of how often a task leaves by itself, of 1024 */
	u32 urgent_misses;	/* dispatches in a row that found none of the urgent tasks that are counted */
	s32 promote_pid;	/* a futex holder that the next dispatch looks for in the queues; 0: none */
	u32 is_leaving;		/* goes offline, or is */

	/* read by user space */
	u64 stats[GR_NR_STATS];
	u64 class_ns[GR_NR_CLASSES];	/* CPU time by class */
	u64 waits[GR_NR_WAITERS][GR_NR_WAIT_BUCKETS];
} __attribute__((aligned(64)));

/* main.bpf.c */
extern struct cpu_ctx cpus[GR_CPUS_MAX];
extern u64 system_vtime;
extern u32 nr_urgent, nr_shared, nr_local;	/* tasks in each kind of queue */
extern u32 nr_node[GR_NODES_MAX];	/* of nr_shared, by node; only with several nodes */
/* family.bpf.c */
extern struct gr_lease leases[GR_LEASES_MAX];
extern u32 class_epoch;
extern u32 nr_leases, nr_pinned;
/* load.bpf.c */
extern u32 is_system_busy;
extern u32 is_timer_armed;
extern u32 interactive_sys_sum;

/* __weak: libbpf's linker makes one map of the definition that every file carries; it has no extern maps. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} task_ctxs __weak SEC(".maps");

#ifndef max
#define max(a, b) ({ typeof(a) _a = (a); typeof(b) _b = (b); _a > _b ? _a : _b; })
#endif

static inline struct cpu_ctx *cpu_ctx_of(s32 cpu)
{
	return &cpus[cpu & (GR_CPUS_MAX - 1)];
}

/* The CPU that @p is queued or runs on; scx_bpf_task_cpu() without the call. */
static inline s32 task_cpu_of(const struct task_struct *p)
{
	if (bpf_core_field_exists(p->thread_info.cpu))
		return p->thread_info.cpu;
	return scx_bpf_task_cpu(p);
}

static inline void stat_inc(struct cpu_ctx *cpuc, enum gr_stat stat)
{
	cpuc->stats[stat]++;	/* under that CPU's rq lock, but for wake-ups: a race loses one count */
}

/* NULL for a task that is not ours (idle, or seen before init_task); count it, take the plain path. */
static inline struct task_ctx *task_ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&task_ctxs, p, 0, 0);
}

/* account.bpf.c: who has used how much? charge() books on the task, and is called when somebody wants to know. */
__hidden void charge(struct task_struct *p, struct task_ctx *taskc, u64 now_ns);
__hidden void forgive(struct task_struct *p, struct task_ctx *taskc);
__hidden void count_wait(struct task_ctx *taskc, struct cpu_ctx *cpuc);

/*
 * Books on the CPU what runs there. Dispatch precedes stopping for the task that ran, so that both may book it. In
 * line, as it is in each switch.
 */
static inline void book_run(struct task_struct *p, struct cpu_ctx *cpuc)
{
	u64 ran_ns = p->se.sum_exec_runtime - cpuc->booked_until_ns;
	u32 class = cpuc->running_class;

	cpuc->booked_until_ns += ran_ns;
	if (class < GR_NR_CLASSES)	/* verifier */
		cpuc->class_ns[class] += ran_ns;
	if (cpuc->is_preemptible)
		cpuc->others_ns += ran_ns;
}

/*
 * True if the CPU serves an interrupt, so that the current task has nothing to do with what happens. Read from the
 * preemption count, as scx's helper for it asks for the kernel's configuration file, which is not everywhere to be had.
 * Soft interrupts are in bits 8 to 15; hard ones and NMI follow them up to bit 23 (include/linux/preempt.h) or, since
 * 7.3, from bit 24 on, after a count of who keeps interrupts off, which came with the variable that is looked for here.
 * x86 since 6.15; else always true.
 */
extern const int __preempt_count __ksym __weak;
extern const unsigned long local_interrupt_disable_state __ksym __weak;

static inline bool in_interrupt(void)
{
	u32 mask = bpf_ksym_exists(&local_interrupt_disable_state) ? 0xff00ff00 : 0x00ffff00;

	return !bpf_ksym_exists(&__preempt_count) || *(u32 *)bpf_this_cpu_ptr(&__preempt_count) & mask;
}

/* The node whose shared queue @cpu uses: 0 for all without --enable-numa. */
static inline u32 node_of(s32 cpu)
{
	return nr_nodes > 1 ? places[cpu & (GR_CPUS_MAX - 1)].node & (GR_NODES_MAX - 1) : 0;
}

/* Tasks in the shared queue of @node. */
static inline u32 nr_shared_of(u32 node)
{
	return nr_nodes > 1 ? nr_node[node & (GR_NODES_MAX - 1)] : nr_shared;
}

static inline bool nobody_waits(s32 cpu)
{
	return !nr_urgent && !nr_shared && !cpu_ctx_of(cpu)->nr_queued;
}

/*
 * True for a thread of the game that was charged a moment ago: it is urgent whatever it uses and whoever wakes it,
 * so that there is nothing to look at. Most of its wake-ups come so soon.
 */
static inline bool is_settled_game(const struct task_ctx *taskc, u64 now_ns)
{
	return taskc->class == GR_FOREGROUND && taskc->class_epoch == class_epoch &&
		time_is_before(now_ns, taskc->bucket_at_ns + CHARGE_GAME_NS);
}

/* family.bpf.c: who belongs to the game? */
__hidden struct gr_lease *live_lease_of(struct task_ctx *taskc);
__hidden void inherit_from_forker(struct task_ctx *taskc);

/* news.bpf.c: what does user space have to know at once? */
__hidden void tell(enum gr_event_kind kind);
/* Tells of @p, if it is a process of a live lease's family. */
__hidden void tell_member(struct task_struct *p, struct task_ctx *taskc);

/* classify.bpf.c: what is this task to the game? refresh_class() charges it, and looks again if the epoch moved. */
__hidden void name_role(struct task_struct *p, struct task_ctx *taskc);
__hidden void refresh_class(struct task_struct *p, struct task_ctx *taskc, u64 now_ns);

/* place.bpf.c: where should a waking task run? -1: no idle CPU is worth it, @*cpu is where it should wait. */
__hidden s32 idle_cpu_for(struct task_struct *p, struct task_ctx *taskc, u64 wake_flags, u64 now_ns, s32 *cpu);
__hidden bool shares_core_in_vain(struct task_struct *p, s32 cpu);
__hidden s32 claim_core_for(struct task_struct *p, s32 cpu);
__hidden void note_migration(struct task_struct *p, struct task_ctx *taskc, s32 cpu, u64 now_ns);
__hidden bool is_held_back(struct task_ctx *taskc, struct cpu_ctx *cpuc, u64 now_ns);
__hidden void count_block(struct task_ctx *taskc, struct cpu_ctx *cpuc, u64 now_ns);

/* windows.bpf.c: does the game need its CPUs right now? */
__hidden bool has_window(struct cpu_ctx *cpuc, struct task_ctx *taskc, enum gr_window window, u64 now_ns);
__hidden void open_windows(u32 window, s32 cpu);

/* slice.bpf.c: how long may a task run at a stretch? */
static inline u64 urgent_slice_ns(void)
{
	return slice_max_ns < URGENT_SLICE_MAX_NS ? slice_max_ns : URGENT_SLICE_MAX_NS;
}

__hidden u64 slice_of(struct task_ctx *taskc, struct cpu_ctx *cpuc, u32 nr_waiting, u64 now_ns);

/* boost.bpf.c: whom does the game wait for? */
__hidden void boost_wakee(struct task_struct *p, struct task_ctx *taskc);
__hidden bool is_boosted(struct task_struct *p, struct task_ctx *taskc);
int promote_holder(s32 cpu);

/* queue.bpf.c: where does a runnable task wait, and who is next? */
__hidden void leave_queue(struct task_ctx *taskc);
__hidden void queue_task(struct task_struct *p, struct task_ctx *taskc, u64 now_ns, u64 enq_flags);
__hidden u64 head_wait_ns(u64 dsq, u64 now_ns);
__hidden bool goes_before_queue(struct task_struct *prev, s32 cpu, struct cpu_ctx *cpuc);
/*
 * Global, as are promote_holder() and give_turn_to_others(): the verifier reads them once, and not in every state in
 * which dispatch calls them.
 */
bool serve_others(s32 cpu);
bool steal_from_others(s32 cpu);

/* preempt.bpf.c: who gives way to the game, and when does the game give way? */
__hidden void preempt_for(struct task_struct *p, u64 now_ns);
/* The CPU that suits @p best of those that run somebody who gives way to it, where it last ran before all; -1: none. */
__hidden s32 preemptible_cpu_for(struct task_struct *p, s32 last_cpu, u64 now_ns);
/* Puts @p, which is urgent and wakes, on @cpu past all queues, if that wrongs nobody. */
__hidden bool run_next(struct task_struct *p, s32 cpu, u64 now_ns, u64 enq_flags);
bool give_turn_to_others(s32 cpu);
__hidden int init_turn_timers(void);

/* freq.bpf.c: how fast should a CPU run? */
__hidden void follow_class(s32 cpu, struct cpu_ctx *cpuc);
__hidden void follow_load(struct task_struct *p, s32 cpu, struct cpu_ctx *cpuc);

/* load.bpf.c: how busy is the machine, and has somebody been forgotten? */
__hidden void arm_wakeup_timer(void);
__hidden int init_wakeup_timer(void);

/* hotplug.bpf.c: what becomes of those who wait for a CPU that goes away? */
__hidden bool is_past_interrupts(s32 cpu);
__hidden void abandon_cpu(s32 cpu);
__hidden void abandon_inactive_cpus(void);

#endif /* __GAMER_BPF_H */
