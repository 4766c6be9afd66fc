/* SPDX-License-Identifier: GPL-2.0-only */
/* bpf/math.h is all static inline: names for tests/bpf_math.rs to call. build.rs compiles this. */
#include "../bpf/intf.h"
#include "../bpf/math.h"

u64 test_bucket_after(u64 bucket_ns, u64 ran_ns, u64 slept_ns)
{
	return bucket_after(bucket_ns, ran_ns, slept_ns);
}

u64 test_sleep_credit(u64 slept_ns, u64 least_ns)
{
	return sleep_credit(slept_ns, least_ns);
}

u64 test_scale_by_weight(u64 ran_ns, u32 weight)
{
	return scale_by_weight(ran_ns, weight);
}

u64 test_deadline_of(u64 now_ns, u64 task, u64 system, u64 lag_ns)
{
	return deadline_of(now_ns, task, system, lag_ns);
}

u64 test_slice_for(u64 max_ns, u32 nr_waiting, u64 round_max_ns)
{
	return slice_for(max_ns, nr_waiting, round_max_ns);
}

u64 test_floor_due_after(u64 due, u64 now, u64 ran, u32 pct, u64 late_max, u64 window)
{
	return floor_due_after(due, now, ran, pct, late_max, window);
}

u32 test_util_ema(u32 ema, u32 sample, u64 elapsed_ns, u64 tau_ns)
{
	return util_ema(ema, sample, elapsed_ns, tau_ns);
}

int test_is_busy(int was_busy, u32 util, u32 enter, u32 leave)
{
	return is_busy(was_busy, util, enter, leave);
}

int test_time_is_before(u64 a, u64 b)
{
	return time_is_before(a, b);
}

u32 test_log2_bucket(u64 value, u32 nr)
{
	return log2_bucket(value, nr);
}

u32 test_avg_sum_after(u32 sum, u32 sample)
{
	return avg_sum_after(sum, sample);
}

u64 test_slice_scaled(u64 slice_ns, u32 interactive)
{
	return slice_scaled(slice_ns, interactive);
}

u32 test_perf_for(u64 busy_ns, u64 elapsed_ns)
{
	return perf_for(busy_ns, elapsed_ns);
}
