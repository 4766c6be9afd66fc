//! The frame loop: simulation, jobs, hand-over, render, and the sleep of a capped game.

use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use nix::sys::resource::UsageWho;
use nix::sys::time::TimeSpec;
use nix::sys::time::TimeValLike;
use nix::time::ClockId;
use nix::time::ClockNanosleepFlags;
use nix::time::clock_nanosleep;

use crate::handover::Handover;
use crate::input::InputReader;
use crate::jobs::JobPool;
use crate::process::available_cpus;
use crate::process::cpu_seconds;
use crate::report::COUNTING;
use crate::report::GameConfig;
use crate::sched_ext;
use crate::sched_ext::SchedExt;
use crate::server::Server;
use crate::spin::monotonic_ns;
use crate::spin::spin;

/// Requests to the server in each frame.
const SERVER_REQUESTS: u64 = 4;
const JOBS_PER_WORKER: usize = 2;
/// Work on one input report.
const INPUT_WORK_US: u64 = 20;

/// What was measured while the counted frames were played.
pub struct Played {
    /// From one present to the next, in order.
    pub frames_ns: Vec<u64>,
    pub input_delays_ns: Vec<u64>,
    pub cpu_pct: f64,
    pub scheduler: [SchedExt; 2],
}

/// How a frame's work is shared out, in spins.
///
/// The critical path (server, simulation, jobs on all CPUs) is about two thirds of the whole, so
/// two CPUs are some 80 % busy: enough that a bad choice hurts, not so much that none is good.
struct FrameWork {
    per_request: u64,
    simulation: u64,
    per_job: u64,
    jobs: usize,
    render: u64,
}

impl FrameWork {
    fn of(config: &GameConfig) -> Self {
        let frame = config.work_us * config.spins_per_ms / 1000;
        let jobs = config.workers * JOBS_PER_WORKER;
        Self {
            per_request: frame * 4 / 100 / SERVER_REQUESTS,
            simulation: frame * 46 / 100,
            per_job: frame * 20 / 100 / jobs as u64,
            jobs,
            render: frame * 30 / 100,
        }
    }
}

/// Plays the warm-up and then `frames` frames.
pub fn play(config: &GameConfig, frames: usize) -> Result<Played> {
    let work = FrameWork::of(config);
    let input = match config.input_hz {
        0 => None,
        hz => Some(InputReader::start(config.input_device, hz, INPUT_WORK_US * config.spins_per_ms / 1000)?),
    };
    let mut server = Server::start()?;
    let jobs = JobPool::start(config.workers).context("start the job threads")?;
    let handover = Handover::default();
    let total = config.warmup_frames + frames;

    let mut played = std::thread::scope(|threads| -> Result<Played> {
        let renderer = std::thread::Builder::new()
            .name("render".into())
            .spawn_scoped(threads, || render(config, &work, &handover, input.as_ref(), frames))
            .context("start the render thread")?;
        let simulated = simulate(&work, &mut server, &jobs, &handover, total);
        handover.close();
        let played = renderer.join().expect("BUG: the render thread panicked");
        simulated.context("talk to the server process")?;
        Ok(played)
    })?;
    played.input_delays_ns = input.map(InputReader::stop).unwrap_or_default();
    Ok(played)
}

fn simulate(
    work: &FrameWork,
    server: &mut Server,
    jobs: &JobPool,
    handover: &Handover,
    frames: usize,
) -> std::io::Result<()> {
    for frame in 0..frames {
        for _ in 0..SERVER_REQUESTS {
            server.request(work.per_request)?;
        }
        spin(work.simulation);
        jobs.run(work.jobs, work.per_job);
        handover.put(frame);
    }
    Ok(())
}

fn render(
    config: &GameConfig,
    work: &FrameWork,
    handover: &Handover,
    input: Option<&InputReader>,
    frames: usize,
) -> Played {
    let mut presents_ns = Vec::with_capacity(frames + 1);
    let mut limiter = Limiter::new(config.fps);
    let mut before = look();
    let mut cpu_before = 0.0;
    while let Some(frame) = handover.take() {
        spin(work.render);
        limiter.sleep_to_next_frame();
        if frame + 1 == config.warmup_frames {
            eprintln!("{COUNTING}");
            if let Some(input) = input {
                input.start_counting();
            }
            before = look();
            cpu_before = cpu_seconds(UsageWho::RUSAGE_SELF);
        }
        if frame + 1 >= config.warmup_frames {
            presents_ns.push(monotonic_ns());
        }
    }
    let cpu_used = cpu_seconds(UsageWho::RUSAGE_SELF) - cpu_before;
    let wall_ns = presents_ns.last().copied().unwrap_or(0) - presents_ns.first().copied().unwrap_or(0);
    Played {
        frames_ns: presents_ns.windows(2).map(|pair| pair[1] - pair[0]).collect(),
        input_delays_ns: Vec::new(),
        cpu_pct: 100.0 * cpu_used / (wall_ns as f64 / 1e9 * available_cpus() as f64),
        scheduler: [before, look()],
    }
}

fn look() -> SchedExt {
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

    #[test]
    fn the_shares_of_a_frame_add_up_to_its_work() {
        let config = GameConfig {
            fps: 0,
            warmup_frames: 1,
            work_us: 10_000,
            spins_per_ms: 100_000,
            input_hz: 0,
            input_device: false,
            workers: 2,
        };
        let work = FrameWork::of(&config);
        let sum = work.per_request * SERVER_REQUESTS + work.simulation + work.per_job * work.jobs as u64 + work.render;
        assert_eq!(sum, 1_000_000);
    }
}
