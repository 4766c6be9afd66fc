//! A synthetic game: what a frame costs a real one, without the pictures.
//!
//! Each frame, the simulation thread asks a server process a few things, computes, lets a worker
//! per CPU run fork-join jobs, and hands the frame to the render thread, which draws while the
//! simulation is at the next frame. An input thread is woken hundreds of times a second. Uncapped
//! it runs as fast as it can; capped it sleeps to the next frame.
//!
//! Limits: no GPU, no memory traffic, every frame the same work. It shows what a scheduler does to
//! a game's threads, not what a real game's frame rate will be.

#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared; each example uses a part")]
mod process;
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

mod frames;
mod handover;
mod input;
mod jobs;
mod mouse;
mod server;

use anyhow::Context;
use anyhow::Result;
use clap::Parser;

use crate::process::available_cpus;
use crate::report::FrameTimes;
use crate::report::GameConfig;
use crate::report::GameReport;
use crate::report::InputTimes;
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

    /// CPU time of one frame over all threads when alone
    #[arg(long, value_name = "USEC", default_value_t = 9_000,
          value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    work_us: u64,

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
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.server {
        return server::serve();
    }
    let config = GameConfig {
        fps: args.fps,
        warmup_frames: args.warmup_frames as usize,
        work_us: args.work_us,
        spins_per_ms: args.spins_per_ms.unwrap_or_else(spin::calibrate_spins_per_ms),
        input_hz: args.input_hz,
        input_device: args.input_device,
        workers: available_cpus(),
    };
    let played = frames::play(&config, args.frames as usize)?;
    let report = summarise(played, config).context("no frame was counted")?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print_text(&report);
    }
    Ok(())
}

fn summarise(played: frames::Played, config: GameConfig) -> Option<GameReport> {
    let frames = Samples::new(played.frames_ns)?;
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
        cpu_pct: played.cpu_pct,
        scheduler: played.scheduler,
        config,
    })
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
    println!("CPU      {:.0} % of {} CPUs", report.cpu_pct, config.workers);
    println!("sched    {} at the first frame, {} after the last", report.scheduler[0], report.scheduler[1]);
}
