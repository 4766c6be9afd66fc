//! From command-line options to the BPF side's `rodata`: the one place where units are converted.

use super::skel::OpenBpfSkel;

/// Shortest period of the wakeup timer, in microseconds: below it the timer costs more than it finds.
pub const WAKEUP_TIMER_US_MIN: u64 = 250;

/// Every number of the policy that can be set, in the command line's units.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tunables {
    /// Longest slice, in µs; below a tick of the kernel it means one tick.
    pub slice_us: u64,
    /// Most credit or debt in a task's deadline, in µs.
    pub slice_lag_us: u64,
    /// CPU utilisation above which the machine counts as busy, in percent.
    pub cpu_busy_enter_pct: u32,
    /// CPU utilisation below which it no longer does, in percent.
    pub cpu_busy_exit_pct: u32,
    /// Period of the wakeup timer, in µs; 0: as long as a slice.
    pub wakeup_timer_us: u64,
    /// Length of the kernel's dump when it throws the scheduler out, in bytes; 0: the kernel's default.
    pub exit_dump_len: u32,
}

impl Tunables {
    /// Writes every tunable into `skel`, which must be open and not yet loaded.
    pub fn write_to(&self, skel: &mut OpenBpfSkel<'_>, nr_cpu_ids: u32) {
        let rodata = skel.maps.rodata_data.as_deref_mut().expect("BUG: no rodata after open");
        rodata.nr_cpu_ids = nr_cpu_ids;
        rodata.own_tgid = std::process::id().cast_signed();
        rodata.slice_max_ns = self.slice_us * 1000;
        rodata.slice_lag_ns = self.slice_lag_us * 1000;
        rodata.busy_enter = of_1024(self.cpu_busy_enter_pct);
        rodata.busy_exit = of_1024(self.cpu_busy_exit_pct);
        rodata.wakeup_timer_ns = self.wakeup_timer_us() * 1000;
        skel.struct_ops.gamer_ops_mut().exit_dump_len = self.exit_dump_len;
    }

    /// The timer's period in effect, in µs.
    fn wakeup_timer_us(&self) -> u64 {
        let asked_us = if self.wakeup_timer_us == 0 { self.slice_us } else { self.wakeup_timer_us };
        asked_us.max(WAKEUP_TIMER_US_MIN)
    }
}

/// Percent in the unit that the BPF side counts utilisation in.
fn of_1024(percent: u32) -> u32 {
    percent * 1024 / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunables() -> Tunables {
        Tunables {
            slice_us: 10,
            slice_lag_us: 20_000,
            cpu_busy_enter_pct: 75,
            cpu_busy_exit_pct: 65,
            wakeup_timer_us: 0,
            exit_dump_len: 0,
        }
    }

    #[test]
    fn the_wakeup_timer_follows_the_slice_down_to_its_shortest_period() {
        assert_eq!(tunables().wakeup_timer_us(), 250);
        assert_eq!(Tunables { slice_us: 3000, ..tunables() }.wakeup_timer_us(), 3000);
        assert_eq!(Tunables { wakeup_timer_us: 1000, ..tunables() }.wakeup_timer_us(), 1000);
    }

    #[test]
    fn utilisation_is_told_in_1024ths() {
        assert_eq!((of_1024(0), of_1024(75), of_1024(100)), (0, 768, 1024));
    }
}
