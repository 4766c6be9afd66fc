/* SPDX-License-Identifier: GPL-2.0-only */
/* Pure arithmetic: no kernel, no state. tests/bpf_math.rs compiles this file on the host. */
#ifndef __GAMER_MATH_H
#define __GAMER_MATH_H

#define NSEC_PER_USEC 1000ULL
#define NSEC_PER_MSEC 1000000ULL

/* A leaky bucket of CPU time: what a task runs goes in, what it sleeps leaks out. */
#define BUCKET_MAX_NS (50 * NSEC_PER_MSEC)

/* Utilisation is told in 1/1024. */
#define UTIL_ONE 1024U

/* True if time @a comes before time @b, across a wrap of the clock. */
static inline int time_is_before(u64 a, u64 b)
{
	return (long long)(a - b) < 0;
}

/*
 * Contents of a task's bucket. A task that sleeps for more than half as long as it runs drains it, one that does not
 * fills it: 20 ms of headroom is one long frame, 50 ms are forgotten in 25 ms of sleep. Time spent waiting for a CPU
 * does not drain it, else hogs in a crowd would all look light. Sleep counts double because waiting takes it from a
 * task that has something to do at fixed times: counted once, who falls behind beside a load stays behind.
 */
static inline u64 bucket_after(u64 bucket_ns, u64 ran_ns, u64 slept_ns)
{
	bucket_ns += ran_ns;
	slept_ns *= 2;
	bucket_ns = bucket_ns > slept_ns ? bucket_ns - slept_ns : 0;
	return bucket_ns < BUCKET_MAX_NS ? bucket_ns : BUCKET_MAX_NS;
}

/* Less than this between two moments is no sleep: the clocks of waiting and running begin and end a little apart. */
#define SLEEP_NOISE_NS (20 * NSEC_PER_USEC)

/*
 * What a sleep counts for: at least @least_ns. That somebody sleeps again and again tells more of him than for how long:
 * a thread that is behind with its frame sleeps briefly, a dozen times, and a hog not at all.
 */
static inline u64 sleep_credit(u64 slept_ns, u64 least_ns)
{
	return slept_ns > SLEEP_NOISE_NS && slept_ns < least_ns ? least_ns : slept_ns;
}

/* CPU time of a task of @weight (100 = nice 0) in virtual time. */
static inline u64 scale_by_weight(u64 ran_ns, u32 weight)
{
	if (weight == 100)	/* nearly every task: spare the division */
		return ran_ns;
	return ran_ns * 100 / (weight ? weight : 1);
}

/*
 * Earliest-deadline key in wall-clock time: @now, moved back by what the task is owed or forward by what it
 * owes, at most @lag_max_ns either way. Because that is bounded and @now moves on, whoever is queued becomes
 * the earliest one in the end.
 */
static inline u64 deadline_of(u64 now_ns, u64 task_vtime, u64 system_vtime, u64 lag_max_ns)
{
	long long ahead_ns = (long long)(task_vtime - system_vtime);

	if (ahead_ns < -(long long)lag_max_ns)
		ahead_ns = -(long long)lag_max_ns;
	if (ahead_ns > (long long)lag_max_ns)
		ahead_ns = (long long)lag_max_ns;
	return now_ns + ahead_ns;
}

/*
 * How long a task may run at a stretch: @max_ns, but less while many wait, so that a round through all of
 * them takes @round_max_ns at most. The kernel rounds up to its tick.
 */
static inline u64 slice_for(u64 max_ns, u32 nr_waiting, u64 round_max_ns)
{
	if (max_ns * nr_waiting <= round_max_ns)
		return max_ns;
	return round_max_ns / nr_waiting;
}

/*
 * When a CPU next owes the others a turn, after they ran @ran_ns of it and ended at @now: with a floor of
 * 5 %, 19 times as long later. A turn that came late does not delay the next one, as long as not more than
 * @late_max_ns was lost; and a long run of theirs pays for one @window_ns at most.
 */
static inline u64 floor_due_after(u64 due_ns, u64 now_ns, u64 ran_ns, u32 floor_pct, u64 late_max_ns, u64 window_ns)
{
	u64 due = time_is_before(due_ns, now_ns - late_max_ns) ? now_ns - late_max_ns : due_ns;

	due += ran_ns * 100 / floor_pct;
	return time_is_before(now_ns + window_ns, due) ? now_ns + window_ns : due;
}

/*
 * Exponential average of utilisation. The weight of a sample grows with the time since the last one, as
 * the timer may have slept: all of it after @tau_ns.
 */
static inline u32 util_ema(u32 ema, u32 sample, u64 elapsed_ns, u64 tau_ns)
{
	u64 part;

	if (elapsed_ns >= tau_ns)
		return sample;
	part = (elapsed_ns << 10) / tau_ns;	/* 0..1023 of 1024 */
	/* rounded to the nearest, else the average would never reach the sample from below */
	return (u32)((ema * (1024 - part) + sample * part + 512) >> 10);
}

/*
 * Average of the last 32 or so samples, kept as 32 times itself so that it reaches every value: new sum from
 * the old one.
 */
#define AVG_SHIFT 5

static inline u32 avg_sum_after(u32 sum, u32 sample)
{
	return sum - (sum >> AVG_SHIFT) + sample;
}

/* @slice_ns, shorter where tasks tend to leave by themselves (@interactive of 1024): half of it at the most. */
static inline u64 slice_scaled(u64 slice_ns, u32 interactive)
{
	return slice_ns - (slice_ns >> 11) * interactive;
}

/* Performance level for a CPU that was busy for @busy_ns of @elapsed_ns, with a quarter of headroom as schedutil. */
static inline u32 perf_for(u64 busy_ns, u64 elapsed_ns)
{
	u64 level = elapsed_ns ? busy_ns * 1280 / elapsed_ns : 1024;

	return level < 1024 ? (u32)level : 1024;
}

/* Bucket of a histogram by powers of two: 0 for 0, n for 2^(n-1) and more, @nr - 1 for all that is too large. */
static inline u32 log2_bucket(u64 value, u32 nr)
{
	u32 bucket = value ? 64 - __builtin_clzll(value) : 0;

	return bucket < nr ? bucket : nr - 1;
}

/* Busy with hysteresis: enter above @enter, leave below @leave, else stay. */
static inline int is_busy(int was_busy, u32 util, u32 enter, u32 leave)
{
	if (util > enter)
		return 1;
	if (util < leave)
		return 0;
	return was_busy;
}

#endif /* __GAMER_MATH_H */
