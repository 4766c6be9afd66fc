//! What does a task switch cost? The same work in every run, and one figure as JSON.
//!
//! `pipe` is one thread waking another and going to sleep, back and forth: what `perf bench sched pipe` does, but
//! with threads of one process, so that a scheduler that knows processes sees one. `fanout` is a thread
//! that wakes a pool and sleeps until the last of it is done, as a game's main thread does with its jobs.
//!
//! Limits: on a machine with several CPUs the figure is mostly about idle CPUs and where the threads meet.
//! Compare on one CPU, best the deterministic rig (docs/testing.md).

mod fanout;
mod pipe;

use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use clap::ValueEnum;
use serde::Serialize;

/// Measure what a task switch costs
#[derive(Parser)]
struct Args {
    /// What to do over and over
    work: Work,

    /// Count this many rounds
    #[arg(long, value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    rounds: u32,

    /// Do this many rounds before counting
    #[arg(long, value_name = "N", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(0..=100_000_000))]
    warmup_rounds: u32,
}

#[derive(Clone, Copy, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Work {
    /// A round is a wake-up there and one back
    Pipe,
    /// A round is eight wake-ups there and one back
    Fanout,
}

#[derive(Serialize)]
struct Report {
    work: Work,
    rounds: u32,
    ns_per_round: f64,
}

/// How often a workload does its round: first without a clock, then on it.
#[derive(Clone, Copy)]
struct Rounds {
    warmup: u32,
    counted: u32,
}

impl Rounds {
    fn all(self) -> u32 {
        self.warmup + self.counted
    }

    /// Does all rounds and tells what a counted one took.
    fn time(self, mut round: impl FnMut() -> Result<()>) -> Result<f64> {
        for _ in 0..self.warmup {
            round()?;
        }
        let start = Instant::now();
        for _ in 0..self.counted {
            round()?;
        }
        Ok(start.elapsed().as_nanos() as f64 / f64::from(self.counted))
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let rounds = Rounds { warmup: args.warmup_rounds, counted: args.rounds };
    let ns_per_round = match args.work {
        Work::Pipe => pipe::run(rounds)?,
        Work::Fanout => fanout::run(rounds)?,
    };
    let report = Report { work: args.work, rounds: args.rounds, ns_per_round };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
