//! The demo: the synthetic game alone, and under load without and with scx-gamer-run.
//!
//! It needs root and a kernel with sched_ext; `make demo` runs it in a virtual machine. Each cell
//! checks before, during and after that the scheduler was the one the row says.

#[path = "../support/claim.rs"]
mod claim;
#[path = "../support/load_kind.rs"]
mod load_kind;
#[path = "../support/play.rs"]
#[allow(dead_code, reason = "shared; each example uses a part")]
mod play;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared; each example uses a part")]
mod process;
#[path = "../support/report.rs"]
#[allow(dead_code, reason = "shared; each example uses a part")]
mod report;
#[path = "../support/sched_ext.rs"]
mod sched_ext;
#[path = "../support/workload.rs"]
#[allow(dead_code, reason = "shared; each example uses a part")]
mod workload;

mod cell;
mod table;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use clap::Parser;

use crate::cell::Cell;
use crate::cell::Outcome;
use crate::cell::Programs;
use crate::sched_ext::SchedExt;
use crate::workload::Workload;

/// Show what scx-gamer-run does to a game beside a load
#[derive(Parser)]
struct Args {
    /// Count this many frames in each cell
    #[arg(long, value_name = "N", default_value_t = 600,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    frames: u32,

    /// Cap the frame rate; 0 is uncapped (several: --fps 0,60)
    #[arg(long, value_name = "FPS", default_value = "0", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(0..=1000))]
    fps: Vec<u32>,

    /// Load the machine in this way, outside or inside the game (several: --load mixed,compile-2x)
    #[arg(long, value_name = "KIND", default_value = "mixed,compile-2x", value_delimiter = ',')]
    load: Vec<Workload>,

    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("Error: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let sched_ext = Path::new(sched_ext::ROOT);
    check_kernel(&SchedExt::read(sched_ext))?;
    let programs = find_programs()?;

    let start = Instant::now();
    let mut outcomes: Vec<Outcome> = Vec::new();
    for cell in cells(args) {
        tell(start, &format!("{}: {} frames", cell.name(), args.frames));
        let spins_per_ms = outcomes.first().map(|first| first.game.config.spins_per_ms);
        let outcome = cell.play(&programs, sched_ext, args.frames, spins_per_ms).with_context(|| cell.name())?;
        outcomes.push(outcome);
    }
    tell(start, "done");

    if args.json {
        let ratios: serde_json::Map<_, _> =
            table::p99_ratios(&outcomes).into_iter().map(|(name, ratio)| (name.to_string(), ratio.into())).collect();
        let report = serde_json::json!({ "cells": outcomes, "p99_to_alone": ratios });
        println!("{report}");
    } else {
        print_text(&outcomes);
    }
    Ok(())
}

/// The cells of each frame cap, in the order of the table.
fn cells(args: &Args) -> Vec<Cell> {
    let row = |fps, load, with_us| Cell { fps, load, with_us, again: false };
    let of_rate = |fps| {
        let alone = row(fps, Workload::None, false);
        let loaded = args.load.iter().flat_map(move |&load| [row(fps, load, false), row(fps, load, true)]);
        std::iter::once(alone).chain(loaded).chain([Cell { again: true, ..alone }])
    };
    args.fps.iter().flat_map(|&fps| of_rate(fps)).collect()
}

fn check_kernel(seen: &SchedExt) -> Result<()> {
    if seen.state.is_none() {
        bail!(
            "this kernel has no sched_ext ({} is missing)\n\
             Hint: `make demo` runs this in a virtual machine whose kernel has it",
            sched_ext::ROOT
        );
    }
    ensure!(seen.is_disabled(), "a sched_ext scheduler is at work already: {seen}\nHint: stop it first");
    ensure!(nix::unistd::geteuid().is_root(), "attaching a scheduler needs root\nHint: `make demo` needs none");
    Ok(())
}

/// The programs built beside this one: target/release and target/release/examples.
fn find_programs() -> Result<Programs> {
    let myself = std::env::current_exe().context("find this program")?;
    let examples = myself.parent().context("find the directory of this program")?;
    let release = examples.parent().context("find the build directory")?;
    let built = |path: PathBuf| {
        ensure!(
            path.exists(),
            "{} is missing\nHint: build it with `cargo build --release --bins --examples`",
            path.display()
        );
        Ok(path)
    };
    Ok(Programs {
        wrapper: built(release.join("scx-gamer-run"))?,
        game: built(examples.join("synthetic_game"))?,
        load: built(examples.join("synthetic_load"))?,
    })
}

fn tell(start: Instant, what: &str) {
    eprintln!("[{:5.1} s] {what}", start.elapsed().as_secs_f64());
}

fn print_text(outcomes: &[Outcome]) {
    println!("{}\n", table::table(outcomes));
    println!("p99 frame time, times that of the game alone:");
    for (name, ratio) in table::p99_ratios(outcomes) {
        println!("  {ratio:6.2}  {name}");
    }
    if !table::was_steady(outcomes) {
        println!(
            "The machine was not steady: the game alone differs too much from itself. \
             Run this again when nothing else runs."
        );
    }
    for outcome in outcomes.iter().filter(|outcome| outcome.with_us) {
        println!("\nsched_ext, {}:", outcome.name);
        println!("  before  {}", outcome.around[0]);
        println!("  during  {}", outcome.game.scheduler[1]);
        println!("  after   {}", outcome.around[1]);
    }
}
