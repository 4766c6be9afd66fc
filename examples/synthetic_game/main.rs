//! A synthetic game: what a frame costs a real one, without the pictures.
//!
//! Each frame, the simulation thread asks a server process a few things, computes, lets a worker
//! per CPU run fork-join jobs, and hands the frame to the render thread, which draws while the
//! simulation is at the next frame. An input thread is woken hundreds of times a second. Uncapped
//! it runs as fast as it can; capped it sleeps to the next frame. `--shape` divides a frame's work in
//! other ways that real programs have.
//!
//! Bulk threads work beside the frames without a deadline: `--compile-threads` as shader compilers do,
//! `--stream-threads` as asset streaming does.
//!
//! Limits: no GPU, no memory traffic, every frame the same work. It shows what a scheduler does to
//! a game's threads, not what a real game's frame rate will be.

#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared; each example uses a part")]
mod process;
#[path = "../support/progress.rs"]
mod progress;
#[path = "../support/report.rs"]
#[allow(dead_code, reason = "shared; each example uses a part")]
mod report;
#[path = "../support/sched_ext.rs"]
#[allow(dead_code, reason = "shared; each example uses a part")]
mod sched_ext;
#[path = "../support/spin.rs"]
mod spin;
#[path = "../support/stats.rs"]
mod stats;

mod bulk;
mod frames;
mod handover;
mod input;
mod jobs;
mod mouse;
mod policy;
mod screen;
mod server;
mod spin_lock;
mod wakeups;

use std::process::ExitCode;

use anyhow::Context;
use anyhow::Result;
use clap::Parser;

use crate::process::available_cpus;
use crate::report::BulkConfig;
use crate::report::BulkPolicy;
use crate::report::FrameTimes;
use crate::report::GameConfig;
use crate::report::GameReport;
use crate::report::InputTimes;
use crate::report::Shape;
use crate::report::WakeTimes;
use crate::stats::Samples;
use crate::stats::fps;

/// Play a synthetic game and report its frame times
#[derive(Parser)]
struct Args {
    /// Cap the frame rate; 0 runs as fast as it can
    #[arg(long, value_name = "FPS", default_value_t = 0,
          value_parser = clap::value_parser!(u32).range(0..=1000))]
    fps: u32,

    /// Count this many frames
    #[arg(long, value_name = "N", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    frames: u32,

    /// Play this many frames before counting
    #[arg(long, value_name = "N", default_value_t = 60,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    warmup_frames: u32,

    /// Divide a frame's work among threads in this way
    #[arg(long, value_name = "SHAPE", default_value = "pipeline")]
    shape: Shape,

    /// CPU time of one frame over all threads when alone
    #[arg(long, value_name = "USEC", default_value_t = 9_000,
          value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    work_us: u64,

    /// Work of one fork-join job; by default a share of the frame's, 40 ms on a loading screen
    #[arg(long, value_name = "USEC", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    job_us: Option<u64>,

    /// Threads that run fork-join jobs, two jobs each; by default one a CPU
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    job_threads: Option<u16>,

    /// Sleep of the main thread in each frame, as if it waited for the GPU
    #[arg(long, value_name = "USEC", default_value_t = 0,
          value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    gpu_us: u64,

    /// Threads that compile shaders for as long as the game runs
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    compile_threads: u16,

    /// Work of a compile thread between two sleeps
    #[arg(long, value_name = "USEC", default_value_t = 40_000,
          value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    compile_burst_us: u64,

    /// Sleep of a compile thread
    #[arg(long, value_name = "USEC", default_value_t = 200,
          value_parser = clap::value_parser!(u64).range(0..=10_000_000))]
    compile_pause_us: u64,

    /// Scheduling policy of the compile threads
    #[arg(long, value_name = "POLICY", default_value = "other")]
    compile_policy: BulkPolicy,

    /// Nice value of the compile threads; 0 leaves it as it is
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i32).range(-20..=19))]
    compile_nice: i32,

    /// Threads that stream assets for as long as the game runs
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    stream_threads: u16,

    /// Work of a streaming thread between two sleeps
    #[arg(long, value_name = "USEC", default_value_t = 2_000,
          value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    stream_burst_us: u64,

    /// Sleep of a streaming thread
    #[arg(long, value_name = "USEC", default_value_t = 1_000,
          value_parser = clap::value_parser!(u64).range(0..=10_000_000))]
    stream_pause_us: u64,

    /// Make the frame threads SCHED_FIFO, the bulk threads not; needs root
    ///
    /// No scheduler can do more for the frames, so this is the bound of what to expect.
    #[arg(long)]
    real_time_frames: bool,

    /// Take this calibration instead of measuring it
    ///
    /// A run prints the one it used. Give it to every run that is to be compared with that one, so
    /// that all do the same work; measured beside a load it would come out wrong.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    spins_per_ms: Option<u64>,

    /// Reports a second from the input device; 0 has none
    #[arg(long, value_name = "HZ", default_value_t = 500,
          value_parser = clap::value_parser!(u32).range(0..=8000))]
    input_hz: u32,

    /// Make a virtual mouse for them instead of a timer; needs root
    #[arg(long)]
    input_device: bool,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,

    /// Be the server process of a game; its socket is standard input
    #[arg(long, hide = true)]
    server: bool,

    /// Be the process of a browser engine that plays the pages; its socket to the browser is standard input
    #[arg(long, hide = true)]
    pages: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if args.server {
        server::serve()?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.shape == Shape::Family && !args.pages {
        let status = server::browse(args.real_time_frames)?;
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let browser = if args.pages { Some(server::standard_input()?) } else { None };
    let config = args.config();
    let played = frames::play(&config, args.frames as usize, browser)?;
    let report = summarise(played, config).context("no frame was counted")?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print_text(&report);
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn config(&self) -> GameConfig {
        let compile = BulkConfig {
            kind: "compile".into(),
            threads: self.compile_threads.into(),
            burst_us: self.compile_burst_us,
            pause_us: self.compile_pause_us,
            policy: self.compile_policy,
            nice: self.compile_nice,
        };
        let stream = BulkConfig {
            kind: "stream".into(),
            threads: self.stream_threads.into(),
            burst_us: self.stream_burst_us,
            pause_us: self.stream_pause_us,
            policy: BulkPolicy::Other,
            nice: 0,
        };
        GameConfig {
            shape: self.shape,
            fps: self.fps,
            warmup_frames: self.warmup_frames as usize,
            work_us: self.work_us,
            job_us: self.job_us,
            job_threads: self.job_threads.map_or_else(available_cpus, usize::from),
            gpu_us: self.gpu_us,
            spins_per_ms: self.spins_per_ms.unwrap_or_else(spin::calibrate_spins_per_ms),
            input_hz: self.input_hz,
            input_device: self.input_device,
            real_time_frames: self.real_time_frames,
            bulk: [compile, stream].into_iter().filter(|bulk| bulk.threads > 0).collect(),
            cpus: available_cpus(),
        }
    }
}

fn summarise(played: frames::Played, config: GameConfig) -> Option<GameReport> {
    let presented = played.presented;
    let frames = Samples::new(presented.frames_ns)?;
    let frame_ms = |per_mille| frames.quantile_ns(per_mille) as f64 / 1e6;
    Some(GameReport {
        frames: frames.count(),
        avg_fps: fps(frames.mean_ns()),
        low_1pct_fps: fps(frames.slowest_1pct_mean_ns()),
        frame_ms: FrameTimes {
            p50: frame_ms(500),
            p99: frame_ms(990),
            p99_9: frame_ms(999),
            max: frames.max_ns() as f64 / 1e6,
        },
        input_us: Samples::new(played.input_delays_ns).map(|delays| InputTimes {
            reports: delays.count(),
            p50: delays.quantile_ns(500) as f64 / 1e3,
            p99: delays.quantile_ns(990) as f64 / 1e3,
        }),
        wake_us: Samples::new(played.waits_ns).map(wake_times),
        wake_net_us: Samples::new(played.net_waits_ns).map(wake_times),
        bulk: presented.bulk,
        cpu_pct: presented.cpu_pct,
        scheduler: presented.scheduler,
        config,
    })
}

fn wake_times(waits: Samples) -> WakeTimes {
    let us = |ns: u64| ns as f64 / 1e3;
    WakeTimes {
        wakes: waits.count(),
        p50: us(waits.quantile_ns(500)),
        p99: us(waits.quantile_ns(990)),
        max: us(waits.max_ns()),
    }
}

fn print_text(report: &GameReport) {
    let GameReport { frames, frame_ms, config, .. } = report;
    let cap = match config.fps {
        0 => "uncapped".to_string(),
        fps => format!("capped at {fps} fps"),
    };
    println!("{frames} frames, {cap}, {} us of work each ({} spins per ms)", config.work_us, config.spins_per_ms);
    println!("fps      average {:.1}, mean of the slowest 1 % {:.1}", report.avg_fps, report.low_1pct_fps);
    println!(
        "frame    p50 {:.2}, p99 {:.2}, p99.9 {:.2}, max {:.2} ms",
        frame_ms.p50, frame_ms.p99, frame_ms.p99_9, frame_ms.max
    );
    if let Some(input) = &report.input_us {
        println!(
            "input    p50 {:.0}, p99 {:.0} us from due to handled, {} reports",
            input.p50, input.p99, input.reports
        );
    }
    for (name, waits) in [("wake", &report.wake_us), ("wake net", &report.wake_net_us)] {
        if let Some(WakeTimes { wakes, p50, p99, max }) = waits {
            println!("{name:8} p50 {p50:.0}, p99 {p99:.0}, max {max:.0} us from woken to running, {wakes} wake-ups");
        }
    }
    for bulk in &report.bulk {
        let BulkConfig { kind, threads, policy, nice, .. } = &bulk.config;
        println!(
            "{kind:8} {:.1} % of {} CPUs, longest wait {:.0} ms, {threads} threads, policy {policy:?}, nice {nice}",
            bulk.work_pct, config.cpus, bulk.longest_wait_ms
        );
    }
    println!("CPU      {:.0} % of {} CPUs", report.cpu_pct, config.cpus);
    println!("sched    {} at the first frame, {} after the last", report.scheduler[0], report.scheduler[1]);
}
