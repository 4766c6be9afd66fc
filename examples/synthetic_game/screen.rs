//! The screen: keeps a capped game to its rate, and counts what is presented after the warm-up.

use std::path::Path;

use nix::sys::resource::UsageWho;
use nix::sys::time::TimeSpec;
use nix::sys::time::TimeValLike;
use nix::time::ClockId;
use nix::time::ClockNanosleepFlags;
use nix::time::clock_nanosleep;

use crate::bulk::Bulk;
use crate::bulk::Counted;
use crate::input::InputReader;
use crate::process::available_cpus;
use crate::process::cpu_seconds;
use crate::report::BulkReport;
use crate::report::COUNTING;
use crate::report::GameConfig;
use crate::sched_ext;
use crate::sched_ext::SchedExt;
use crate::spin::monotonic_ns;
use crate::wakeups::WakeUps;

/// What was measured while the counted frames were played.
pub struct Presented {
    /// From one present to the next, in order.
    pub frames_ns: Vec<u64>,
    pub bulk: Vec<BulkReport>,
    pub cpu_pct: f64,
    pub scheduler: [SchedExt; 2],
}

/// Where one thread of the game presents its frames.
pub struct Screen<'a> {
    warmup_frames: usize,
    limiter: Limiter,
    parts: Parts<'a>,
    nr_presents: usize,
    presents_ns: Vec<u64>,
    start: Option<Start>,
}

/// Everything that begins to count with the first counted frame.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    pub input: Option<&'a InputReader>,
    pub bulk: &'a Bulk,
    pub wakeups: &'a WakeUps,
}

/// The state at the beginning of the count.
struct Start {
    scheduler: SchedExt,
    cpu_seconds: f64,
    bulk: Counted,
}

impl<'a> Screen<'a> {
    pub fn new(config: &GameConfig, frames: usize, parts: Parts<'a>) -> Self {
        Self {
            warmup_frames: config.warmup_frames,
            limiter: Limiter::new(config.fps),
            parts,
            nr_presents: 0,
            presents_ns: Vec::with_capacity(frames + 1),
            start: None,
        }
    }

    /// Shows a frame, in a capped game not before its time.
    pub fn present(&mut self) {
        self.limiter.sleep_to_next_frame();
        self.nr_presents += 1;
        if self.nr_presents == self.warmup_frames {
            self.start = Some(self.start_counting());
        }
        if self.nr_presents >= self.warmup_frames {
            self.presents_ns.push(monotonic_ns());
        }
    }

    fn start_counting(&self) -> Start {
        eprintln!("{COUNTING}");
        if let Some(input) = self.parts.input {
            input.start_counting();
        }
        self.parts.wakeups.start_counting();
        Start {
            scheduler: current_scheduler(),
            cpu_seconds: cpu_seconds(UsageWho::RUSAGE_SELF),
            bulk: self.parts.bulk.count_from_now(),
        }
    }

    /// To be called right after the last frame; none if no frame was counted.
    pub fn finish(self) -> Option<Presented> {
        let start = self.start?;
        let cpu_used = cpu_seconds(UsageWho::RUSAGE_SELF) - start.cpu_seconds;
        let wall_ns = self.presents_ns.last()? - self.presents_ns.first()?;
        Some(Presented {
            frames_ns: self.presents_ns.windows(2).map(|pair| pair[1] - pair[0]).collect(),
            bulk: self.parts.bulk.report_since(&start.bulk),
            cpu_pct: 100.0 * cpu_used / (wall_ns as f64 / 1e9 * available_cpus() as f64),
            scheduler: [start.scheduler, current_scheduler()],
        })
    }
}

fn current_scheduler() -> SchedExt {
    SchedExt::read(Path::new(sched_ext::ROOT))
}

/// Keeps a capped game to its rate.
struct Limiter {
    period_ns: Option<u64>,
    deadline_ns: u64,
}

impl Limiter {
    /// `fps` 0 never sleeps.
    fn new(fps: u32) -> Self {
        Self { period_ns: 1_000_000_000_u64.checked_div(u64::from(fps)), deadline_ns: monotonic_ns() }
    }

    fn sleep_to_next_frame(&mut self) {
        let Some(period_ns) = self.period_ns else {
            return;
        };
        self.deadline_ns = next_deadline_ns(self.deadline_ns, period_ns, monotonic_ns());
        let deadline = TimeSpec::nanoseconds(self.deadline_ns as i64);
        // A signal may cut the sleep short; that frame is then early, and the next not later.
        let _ = clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &deadline);
    }
}

/// A late frame moves the deadlines after it: catching up would show as frames too short.
fn next_deadline_ns(last_ns: u64, period_ns: u64, now_ns: u64) -> u64 {
    (last_ns + period_ns).max(now_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_one_period_apart_however_long_the_work_was() {
        assert_eq!(next_deadline_ns(1000, 16, 1001), 1016);
        assert_eq!(next_deadline_ns(1000, 16, 1015), 1016);
    }

    #[test]
    fn a_late_frame_is_not_caught_up() {
        let late = next_deadline_ns(1000, 16, 1050);
        assert_eq!(late, 1050);
        assert_eq!(next_deadline_ns(late, 16, 1052), 1066);
    }
}
