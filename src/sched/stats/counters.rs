//! What the BPF side counts, each with a sentence: the first part of the table of metrics.

use super::table::Metric;
use super::table::counter;
use crate::sched::skel::intf;

/// Every counter, in the order of `enum gr_stat`.
pub const COUNTERS: [Metric; intf::gr_stat_GR_NR_STATS as usize] = [
    counter(intf::gr_stat_GR_STAT_IDLE_DISPATCH, "idle_dispatch", "wake-ups that found an idle CPU and ran there"),
    counter(intf::gr_stat_GR_STAT_SYNC_DISPATCH, "sync_dispatch", "tasks that a waker about to sleep handed its CPU"),
    counter(
        intf::gr_stat_GR_STAT_URGENT_DISPATCH,
        "urgent_dispatch",
        "wake-ups of urgent tasks that ran next on a CPU, past the queues",
    ),
    counter(intf::gr_stat_GR_STAT_RR_ENQUEUE, "rr_enqueue", "tasks queued on their own CPU, in turn"),
    counter(intf::gr_stat_GR_STAT_EDF_ENQUEUE, "edf_enqueue", "tasks queued for all CPUs, by deadline"),
    counter(intf::gr_stat_GR_STAT_URGENT_ENQUEUE, "urgent_enqueue", "tasks queued ahead of everybody else"),
    counter(intf::gr_stat_GR_STAT_SHARED_DISPATCH, "shared_dispatch", "tasks taken from the queue for all CPUs"),
    counter(intf::gr_stat_GR_STAT_MIGRATION, "migration", "tasks that ran on another CPU than the last time"),
    counter(
        intf::gr_stat_GR_STAT_MIG_BLOCK,
        "mig_block",
        "tasks kept on their CPU because they had migrated too often",
    ),
    counter(
        intf::gr_stat_GR_STAT_FRAME_MIG_BLOCK,
        "frame_mig_block",
        "tasks kept on their CPU by a frame or NAPI window",
    ),
    counter(intf::gr_stat_GR_STAT_SPILL, "spill", "tasks that a CPU of another NUMA node took"),
    counter(intf::gr_stat_GR_STAT_MM_HINT, "mm_hint", "wake-ups sent to the recent CPU of their address space"),
    counter(intf::gr_stat_GR_STAT_SMT_MOVE, "smt_move", "tasks moved from a shared core to an idle one"),
    counter(intf::gr_stat_GR_STAT_PREEMPT, "preempt", "tasks put off a CPU for an urgent one"),
    counter(
        intf::gr_stat_GR_STAT_WAKE_BOOST,
        "wake_boost",
        "wake-ups by the game of tasks that are not its own: they run at its rank for once",
    ),
    counter(
        intf::gr_stat_GR_STAT_FUTEX_BOOST,
        "futex_boost",
        "tasks of lower rank that held a futex the game waited for",
    ),
    counter(intf::gr_stat_GR_STAT_FLOOR_TURN, "floor_turn", "turns of 0.5 ms that the game gave to others"),
    counter(intf::gr_stat_GR_STAT_RESCUE, "rescue", "turns given to a task that had waited too long"),
    counter(intf::gr_stat_GR_STAT_STEAL, "steal", "tasks taken from another CPU's queue by an idle CPU"),
    counter(
        intf::gr_stat_GR_STAT_DEFERRED_WAKEUP,
        "deferred_wakeup",
        "tasks queued without waking an idle CPU: the timer does",
    ),
    counter(intf::gr_stat_GR_STAT_INPUT_EVENT, "input_event", "keys, buttons and motions seen"),
    counter(intf::gr_stat_GR_STAT_FRAME_EVENT, "frame_event", "beginnings of frames seen"),
    counter(intf::gr_stat_GR_STAT_NAPI_EVENT, "napi_event", "polls seen that brought packets"),
    counter(
        intf::gr_stat_GR_STAT_INPUT_WINDOW,
        "input_window",
        "input windows opened; an event right after another one opens none",
    ),
    counter(intf::gr_stat_GR_STAT_FRAME_WINDOW, "frame_window", "frame windows opened"),
    counter(intf::gr_stat_GR_STAT_NAPI_WINDOW, "napi_window", "NAPI windows opened"),
    counter(intf::gr_stat_GR_STAT_WAKEUP_TICK, "wakeup_tick", "ticks of the timer that looks for forgotten tasks"),
    counter(intf::gr_stat_GR_STAT_NO_TASK_CTX, "no_task_ctx", "tasks seen without a context"),
];

/// Values of all counters, summed over CPUs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Counts(pub [u64; intf::gr_stat_GR_NR_STATS as usize]);

impl Counts {
    /// By how much each counter has grown since `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self(std::array::from_fn(|index| self.0[index].saturating_sub(before.0[index])))
    }

    /// Value of the counter called `name`.
    pub fn get(&self, name: &str) -> Option<u64> {
        COUNTERS.iter().position(|counter| counter.name == name).map(|index| self.0[index])
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, (counter, value)) in COUNTERS.iter().zip(self.0).enumerate() {
            write!(f, "{}{}={value}", if position == 0 { "" } else { " " }, counter.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (position, counter) in COUNTERS.iter().enumerate() {
            assert_eq!(counter.index(), Some(position), "{}", counter.name);
        }
    }

    #[test]
    fn a_counter_that_a_lost_race_set_back_has_not_grown() {
        let (mut before, mut after) = (Counts([0; COUNTERS.len()]), Counts([0; COUNTERS.len()]));
        (before.0[0], before.0[1]) = (10, 10);
        (after.0[0], after.0[1]) = (17, 9);
        assert_eq!(after.since(&before).0[..2], [7, 0]);
    }

    #[test]
    fn counts_are_found_by_name() {
        let mut counts = Counts([0; COUNTERS.len()]);
        counts.0[intf::gr_stat_GR_STAT_RESCUE as usize] = 7;
        assert_eq!(counts.get("rescue"), Some(7));
        assert_eq!(counts.get("no_such"), None);
    }
}
