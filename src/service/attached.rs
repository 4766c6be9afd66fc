//! A scheduler in the kernel, who looks at it, and what it has us woken for.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;

use super::Roots;
use super::cli::Job;
use super::cli::Options;
use super::housekeeping;
use super::metrics::Metrics;
use super::metrics::Wanted;
use super::wake::Wake;
use super::wake::Wakes;
use crate::events::Events;
use crate::events::Wish;
use crate::sched::Scheduler;
use crate::sched::stats::Sources;
use crate::session::protocol::LeaseStatus;

/// A scheduler in the kernel and what belongs to it. Dropping it detaches.
pub struct Attached {
    // The order is the order of dropping, see `detach`.
    /// Itself.
    pub scheduler: Scheduler,
    metrics: Metrics,
    events: Option<Events>,
    /// How long attaching took.
    pub took: Duration,
}

impl Attached {
    /// Begins to look at a scheduler that has been attached since `started`: `wakes` wakes for what it has to say, for
    /// events that are wished for, and for whoever asks for metrics.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn watch(
        mut scheduler: Scheduler,
        wish: &Wish,
        options: &Options,
        roots: &Roots,
        wakes: &mut Wakes,
        started: Instant,
    ) -> anyhow::Result<Self> {
        housekeeping::stay_away(options.event_loop_cpu, scheduler.weak_cpus());
        let events = Events::begin(wish, roots.dev, roots.sysfs, &mut scheduler);
        let events = events.map_err(|why| log::warn!("no windows open: {why:#}")).ok();
        wakes.add(scheduler.kernel_fd(), Wake::Kernel)?;
        if let Some(events) = &events {
            wakes.add(events.as_fd(), Wake::Event)?;
        }
        // In a terminal nobody looks for the game.
        if options.job != Job::Direct {
            wakes.add_family(scheduler.family_fd())?;
        }
        if let Some(secs) = options.watchdog_secs {
            wakes.add_timer(Wake::Watchdog, Duration::from_secs(secs) / 4)?;
        }
        let wanted =
            Wanted { interval: options.stats_interval, on_stderr: options.job == Job::Child, socket: roots.metrics };
        let metrics = Metrics::begin(&wanted, &scheduler, wakes)?;
        Ok(Self { metrics, events, scheduler, took: started.elapsed() })
    }

    /// Who sees events.
    pub fn sources(&self) -> Sources {
        self.events.as_ref().map(Events::sources).unwrap_or_default()
    }

    /// Prints what has happened since the last time.
    pub fn print_metrics(&mut self, proc_root: &Path) {
        let sources = self.sources();
        self.metrics.print(|| self.scheduler.sample(proc_root, sources));
    }

    /// Answers who has asked for metrics or `leases`.
    pub fn serve_metrics(&mut self, proc_root: &Path, leases: impl Fn() -> Vec<LeaseStatus>) {
        let sources = self.sources();
        self.metrics.serve(|| self.scheduler.sample(proc_root, sources.clone()), leases);
    }

    /// Opens windows for what has happened. True if another source of frames is used from now on, which is logged.
    pub fn handle_events(&mut self) -> bool {
        let Some(events) = &mut self.events else { return false };
        let has_changed = events.handle(&mut self.scheduler);
        if has_changed {
            let Sources { frame, frame_hz, .. } = events.sources();
            log::info!("frames: {frame}, {frame_hz:.1} Hz");
        }
        has_changed
    }

    /// Fails when a queued task has waited longer than the watchdog allows.
    ///
    /// # Errors
    /// That, in one sentence.
    pub fn check_progress(&self, limit_secs: u64) -> anyhow::Result<()> {
        let waited = self.scheduler.longest_wait()?;
        if waited >= Duration::from_secs(limit_secs) {
            bail!(
                "a queued task has waited {:.1} s, longer than --watchdog-secs {limit_secs} allows",
                waited.as_secs_f64()
            );
        }
        Ok(())
    }

    /// Gives the machine back, which comes first: before the kernel lets go of what sees events it waits until every task
    /// has slept once, also one that starves under this scheduler.
    ///
    /// # Errors
    /// The kernel still reports the scheduler.
    pub fn detach(self) -> anyhow::Result<()> {
        log::debug!("{}", self.scheduler.counts());
        self.scheduler.detach()?;
        log::info!("detached; the kernel's scheduler is back");
        Ok(())
    }
}
