//! The BPF side's arithmetic (`bpf/math.h`), compiled for this machine and called from here.

mod math {
    unsafe extern "C" {
        pub safe fn test_bucket_after(bucket_ns: u64, ran_ns: u64, slept_ns: u64) -> u64;
        pub safe fn test_sleep_credit(slept_ns: u64, least_ns: u64) -> u64;
        pub safe fn test_scale_by_weight(ran_ns: u64, weight: u32) -> u64;
        pub safe fn test_deadline_of(now_ns: u64, task: u64, system: u64, lag_ns: u64) -> u64;
        pub safe fn test_slice_for(max_ns: u64, nr_waiting: u32, round_max_ns: u64) -> u64;
        pub safe fn test_floor_due_after(due: u64, now: u64, ran: u64, pct: u32, late_max: u64, window: u64) -> u64;
        pub safe fn test_util_ema(ema: u32, sample: u32, elapsed_ns: u64, tau_ns: u64) -> u32;
        pub safe fn test_is_busy(was_busy: i32, util: u32, enter: u32, leave: u32) -> i32;
        pub safe fn test_log2_bucket(value: u64, nr: u32) -> u32;
        pub safe fn test_avg_sum_after(sum: u32, sample: u32) -> u32;
        pub safe fn test_slice_scaled(slice_ns: u64, interactive: u32) -> u64;
        pub safe fn test_perf_for(busy_ns: u64, elapsed_ns: u64) -> u32;
        pub safe fn test_time_is_before(a: u64, b: u64) -> i32;
    }
}
use math::*;

const MS: u64 = 1_000_000;
const US: u64 = 1000;

#[test]
fn a_bucket_drains_while_its_task_sleeps_and_is_never_fuller_than_50_ms() {
    assert_eq!(test_bucket_after(0, 6 * MS, 3 * MS), 0, "two thirds of a CPU leave nothing behind");
    assert_eq!(test_bucket_after(0, 10 * MS, 4 * MS), 2 * MS);
    assert_eq!(test_bucket_after(30 * MS, 0, 5 * MS), 20 * MS);
    assert_eq!(test_bucket_after(50 * MS, MS, 0), 50 * MS);
}

#[test]
fn a_short_sleep_counts_for_more_and_none_for_nothing() {
    assert_eq!(test_sleep_credit(100 * US, MS), MS);
    assert_eq!(test_sleep_credit(5 * MS, MS), 5 * MS);
    assert_eq!(test_sleep_credit(0, MS), 0);
    assert_eq!(test_sleep_credit(20 * US, MS), 20 * US, "clocks that differ a little");
}

#[test]
fn an_average_reaches_what_it_averages_from_both_sides_and_forgets_in_about_a_hundred_samples() {
    let after = |sum, sample, times| (0..times).fold(sum, |sum, _| test_avg_sum_after(sum, sample));
    assert_eq!(after(0, 1024, 1000) >> 5, 1024);
    assert_eq!(after(1024 << 5, 0, 1000) >> 5, 0);
    assert!((300..700).contains(&(after(0, 1024, 22) >> 5)), "half way after 22 samples");
}

#[test]
fn a_slice_shrinks_to_half_where_tasks_leave_by_themselves() {
    assert_eq!(test_slice_scaled(MS, 0), MS);
    assert_eq!(test_slice_scaled(2048, 1024), 1024);
    assert_eq!(test_slice_scaled(2048, 512), 1536);
}

#[test]
fn performance_follows_the_load_with_a_quarter_of_headroom() {
    assert_eq!(test_perf_for(0, MS), 0);
    assert_eq!(test_perf_for(MS / 2, MS), 640);
    assert_eq!(test_perf_for(MS, MS), 1024);
    assert_eq!(test_perf_for(0, 0), 1024, "nothing is known yet");
}

#[test]
fn a_light_weight_pays_more_virtual_time_and_no_weight_divides_by_zero() {
    assert_eq!(test_scale_by_weight(MS, 100), MS);
    assert_eq!(test_scale_by_weight(MS, 50), 2 * MS);
    assert_eq!(test_scale_by_weight(MS, 10_000), MS / 100);
    assert_eq!(test_scale_by_weight(MS, 0), 100 * MS);
}

#[test]
fn a_deadline_moves_by_credit_and_debt_within_their_bounds() {
    let now = 1000 * MS;
    assert_eq!(test_deadline_of(now, 500, 500, 20 * MS), now);
    assert_eq!(test_deadline_of(now, 0, 900 * MS, 20 * MS), now - 20 * MS);
    assert_eq!(test_deadline_of(now, 900 * MS, 0, 20 * MS), now + 20 * MS);
    // Across a wrap of the virtual clock.
    assert_eq!(test_deadline_of(now, 5 * MS, u64::MAX, 20 * MS), now + 5 * MS + 1);
}

#[test]
fn slices_shrink_when_a_round_of_all_who_wait_would_take_too_long() {
    assert_eq!(test_slice_for(MS, 0, 400 * MS), MS);
    assert_eq!(test_slice_for(MS, 400, 400 * MS), MS);
    assert_eq!(test_slice_for(MS, 800, 400 * MS), MS / 2);
    assert_eq!(test_slice_for(1000 * MS, 4, 400 * MS), 100 * MS);
}

#[test]
fn the_others_get_five_percent_also_when_each_turn_comes_late() {
    let (mut now, mut due, mut served) = (0, 0, 0);
    while now < 10_000 * MS {
        now += 4 * MS; // the game's slices end at ticks of 250 Hz
        if now >= due {
            due = test_floor_due_after(due, now, MS / 2, 5, 10 * MS, 100 * MS);
            now += MS / 2;
            served += MS / 2;
        }
    }
    let share_pct = served as f64 * 100.0 / now as f64;
    assert!((4.8..=5.2).contains(&share_pct), "{share_pct} %");
}

#[test]
fn a_long_run_of_the_others_pays_for_one_window_at_most() {
    assert_eq!(test_floor_due_after(0, 500 * MS, 400 * MS, 5, 10 * MS, 100 * MS), 600 * MS);
}

#[test]
fn the_average_reaches_what_it_samples_and_forgets_after_a_pause() {
    let mut ema = 0;
    for _ in 0..1000 {
        ema = test_util_ema(ema, 1024, 250_000, 8 * MS);
    }
    assert!(ema > 1000, "{ema}");
    assert_eq!(test_util_ema(ema, 0, 8 * MS, 8 * MS), 0);
    assert!(test_util_ema(0, 1024, 250_000, 8 * MS) < 40, "one sample must not make a load");
}

#[test]
fn busy_has_hysteresis() {
    assert_eq!(test_is_busy(0, 768, 768, 665), 0);
    assert_eq!(test_is_busy(0, 769, 768, 665), 1);
    assert_eq!(test_is_busy(1, 665, 768, 665), 1);
    assert_eq!(test_is_busy(1, 664, 768, 665), 0);
}

#[test]
fn time_compares_across_a_wrap() {
    assert_eq!(test_time_is_before(u64::MAX, 1), 1);
    assert_eq!(test_time_is_before(1, u64::MAX), 0);
    assert_eq!(test_time_is_before(7, 7), 0);
}

#[test]
fn a_histogram_has_a_bucket_for_each_power_of_two_and_the_last_takes_the_rest() {
    let bucket = |value| test_log2_bucket(value, 6);
    assert_eq!([0, 1, 2, 3, 4, 7, 8, 15, 16].map(bucket), [0, 1, 2, 2, 3, 3, 4, 4, 5]);
    assert_eq!([31, 32, u64::MAX].map(bucket), [5, 5, 5]);
}
