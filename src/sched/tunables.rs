//! From command-line options to the BPF side's `rodata`: the one place where units are converted.

use super::skel::OpenBpfSkel;
use super::skel::intf;
use super::topology::Machine;
use super::topology::PrimaryDomain;

/// Shortest period of the wakeup timer, in microseconds: below it the timer costs more than it finds.
pub const WAKEUP_TIMER_US_MIN: u64 = 250;

/// How idle CPUs are looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IdleScan {
    /// As the kernel does, by caches and cores.
    Kernel,
    /// The previous CPU, then by number.
    Flat,
    /// The strongest first.
    Preferred,
}

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
    /// Deadline queues by NUMA node, and no spilling between nodes without need.
    pub numa: bool,
    /// How idle CPUs are looked for.
    pub idle_scan: IdleScan,
    /// Prefer a core of which no hardware thread is busy.
    pub prefer_idle_core: bool,
    /// Leave a core that is shared while another one is idle.
    pub avoid_smt: bool,
    /// Let a waker that is about to sleep hand its CPU over.
    pub wake_sync: bool,
    /// Leave idle CPUs to the wakeup timer where nobody is in a hurry.
    pub deferred_wakeup: bool,
    /// Look for an idle CPU near to the waker of the same address space.
    pub mm_affinity: bool,
    /// Remember the recent CPU of this many address spaces; `None`: of none.
    pub mm_hint_size: Option<u32>,
    /// Window of the migration limiter, in ms; 0: there is no limit.
    pub mig_window_ms: u64,
    /// Migrations of a task in that window.
    pub mig_max: u32,
    /// How long an input window stays open, in µs; 0: none opens.
    pub input_window_us: u64,
    /// How long a frame window stays open, in µs; 0: none opens.
    pub frame_window_us: u64,
    /// In an input window prefer the CPU that has just received packets.
    pub prefer_napi_on_input: bool,
    /// Ask for performance levels.
    pub cpufreq: bool,
    /// Length of the kernel's dump when it throws the scheduler out, in bytes; 0: the kernel's default.
    pub exit_dump_len: u32,
    /// CPUs that are tried first.
    pub primary_domain: PrimaryDomain,
}

impl Tunables {
    /// Writes every tunable and the machine into `skel`, which must be open and not yet loaded.
    ///
    /// # Errors
    /// The kernel refuses a map's size.
    pub fn write_to(&self, skel: &mut OpenBpfSkel<'_>, machine: &Machine) -> anyhow::Result<()> {
        let rodata = skel.maps.rodata_data.as_deref_mut().expect("BUG: no rodata after open");
        rodata.own_tgid = std::process::id().cast_signed();
        rodata.slice_max_ns = self.slice_us * 1000;
        rodata.slice_lag_ns = self.slice_lag_us * 1000;
        rodata.busy_enter = of_1024(self.cpu_busy_enter_pct);
        rodata.busy_exit = of_1024(self.cpu_busy_exit_pct);
        rodata.wakeup_timer_ns = self.wakeup_timer_us() * 1000;
        rodata.flat_idle_scan = (self.idle_scan == IdleScan::Flat).into();
        rodata.preferred_idle_scan = (self.idle_scan == IdleScan::Preferred).into();
        rodata.prefer_idle_core = self.prefer_idle_core.into();
        rodata.avoid_smt = self.avoid_smt.into();
        rodata.wake_sync = self.wake_sync.into();
        rodata.deferred_wakeup = self.deferred_wakeup.into();
        rodata.mm_affinity = self.mm_affinity.into();
        rodata.mm_hint = self.mm_hint_size.is_some().into();
        rodata.mig_window_ns = self.mig_window_ms * 1_000_000;
        rodata.mig_max = self.mig_max;
        rodata.input_window_ns = self.input_window_us * 1000;
        rodata.frame_window_ns = self.frame_window_us * 1000;
        rodata.prefer_napi = self.prefer_napi_on_input.into();
        rodata.use_cpufreq = self.cpufreq.into();

        rodata.nr_cpu_ids = machine.places.len() as u32;
        rodata.nr_nodes = if self.numa { machine.nr_nodes as u32 } else { 1 };
        rodata.nr_llcs = machine.nr_llcs as u32;
        rodata.is_asymmetric = machine.is_asymmetric.into();
        rodata.has_smt = machine.has_smt.into();
        rodata.has_domain = machine.places.iter().any(|place| !place.is_primary).into();
        for (cpu, place) in machine.places.iter().enumerate() {
            rodata.places[cpu] = (*place).into();
            rodata.node_cpus[place.node as usize % NODES_MAX] += 1;
        }
        rodata.scan_order[..machine.scan_order.len()].copy_from_slice(&machine.scan_order);

        skel.maps.mm_cpus.set_max_entries(self.mm_hint_size.unwrap_or(1))?;
        let ops = skel.struct_ops.gamer_ops_mut();
        ops.exit_dump_len = self.exit_dump_len;
        if self.avoid_smt {
            ops.flags |= *scx_utils::compat::SCX_OPS_ENQ_LAST;
        }
        Ok(())
    }

    /// The timer's period in effect, in µs.
    fn wakeup_timer_us(&self) -> u64 {
        let asked_us = if self.wakeup_timer_us == 0 { self.slice_us } else { self.wakeup_timer_us };
        asked_us.max(WAKEUP_TIMER_US_MIN)
    }
}

/// Most NUMA nodes that the BPF side tells apart.
pub const NODES_MAX: usize = intf::gr_limits_GR_NODES_MAX as usize;

/// Percent in the unit that the BPF side counts utilisation in.
fn of_1024(percent: u32) -> u32 {
    percent * 1024 / 100
}

#[cfg(test)]
mod tests {
    use crate::service::cli::Options;

    fn period_us(words: &[&str]) -> u64 {
        Options::from_words(words).expect("good flags").tunables.wakeup_timer_us()
    }

    #[test]
    fn the_wakeup_timer_follows_the_slice_down_to_its_shortest_period() {
        assert_eq!(period_us(&["--slice-us", "10"]), 250);
        assert_eq!(period_us(&["--slice-us", "3000"]), 3000);
        assert_eq!(period_us(&["--slice-us", "3000", "--wakeup-timer-us", "1000"]), 1000);
    }

    #[test]
    fn utilisation_is_told_in_1024ths() {
        assert_eq!([0, 75, 100].map(super::of_1024), [0, 768, 1024]);
    }
}
