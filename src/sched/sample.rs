//! What the attached scheduler counts, read where the kernel part keeps it.

use std::path::Path;
use std::ptr;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use nix::unistd::SysconfVar;
use nix::unistd::sysconf;
use procfs::process::Process;

use super::Scheduler;
use super::run_syscall;
use super::skel;
use super::skel::intf;
use super::stats::Counts;
use super::stats::Foreground;
use super::stats::Gauges;
use super::stats::Sample;
use super::stats::Sources;
use super::stats::Totals;

impl Scheduler {
    /// All counters since the attach.
    pub fn counts(&self) -> Counts {
        self.totals().counts
    }

    /// Everything that has been counted since the attach.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::zero(Instant::now());
        for cpu in &self.shared().cpus[..self.nr_cpus] {
            add(&mut totals.counts.0, &cpu.stats);
            add(&mut totals.class_ns, &cpu.class_ns);
            for (sum, waits) in totals.waits.iter_mut().zip(&cpu.waits) {
                add(&mut sum.0, waits);
            }
        }
        totals
    }

    /// What has been counted, and how things stand. The game's name is looked up in `proc_root`; who sees events is not
    /// ours to know.
    ///
    /// # Errors
    /// The kernel refuses to run the programs that look, as it does once the scheduler is out.
    pub fn sample(&self, proc_root: &Path, sources: Sources) -> anyhow::Result<Sample> {
        let mut load = intf::gr_load { util: 0, util_ema: 0, interactive_sys_avg: 0, pad: 0 };
        run_syscall(&self.skel.progs.sample_load, &mut load).context("ask for the utilisation")?;
        let gauges = Gauges {
            nr_cpus: nr_cpus_online(),
            util_pct: percent(load.util),
            util_ema_pct: percent(load.util_ema),
            interactive_pct: percent(load.interactive_sys_avg),
            longest_wait: self.longest_wait()?,
            foreground: self.foreground(proc_root),
            sources,
        };
        Ok(Sample { totals: self.totals(), gauges })
    }

    /// How long the head of the slowest queue has waited.
    ///
    /// # Errors
    /// The kernel refuses to run the program, as it does once the scheduler is out.
    pub fn longest_wait(&self) -> anyhow::Result<Duration> {
        let mut longest = intf::gr_longest_wait { wait_ns: 0 };
        run_syscall(&self.skel.progs.longest_wait, &mut longest).context("ask for the longest wait")?;
        Ok(Duration::from_nanos(longest.wait_ns))
    }

    fn foreground(&self, proc_root: &Path) -> Vec<Foreground> {
        let live = self.shared().leases.iter().filter(|lease| lease.id != 0 && lease.foreground_tgid != 0);
        live.map(|lease| Foreground { tgid: lease.foreground_tgid, comm: comm_of(lease.foreground_tgid, proc_root) })
            .collect()
    }

    /// Globals of the kernel part.
    fn shared(&self) -> &skel::Bss {
        self.skel.maps.bss_data.as_deref().expect("BUG: no bss after load")
    }
}

/// Adds one CPU's counts to the sums.
fn add<const N: usize>(sums: &mut [u64; N], counts: &[u64; N]) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        // SAFETY: an aligned word behind a reference; volatile because the kernel counts behind our back.
        *sum += unsafe { ptr::read_volatile(count) };
    }
}

/// The kernel part counts shares in 1024ths.
fn percent(of_1024: u32) -> f64 {
    100.0 * f64::from(of_1024) / 1024.0
}

fn nr_cpus_online() -> u32 {
    let online = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    online.and_then(|cpus| u32::try_from(cpus).ok()).unwrap_or(1)
}

fn comm_of(tgid: i32, proc_root: &Path) -> String {
    let stat = Process::new_with_root(proc_root.join(tgid.to_string())).and_then(|process| process.stat());
    stat.map_or_else(|_| String::new(), |stat| stat.comm)
}
