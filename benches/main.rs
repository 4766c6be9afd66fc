//! The benchmark: the kernel's scheduler, five peers and ours, beside the same loads, in virtual machines.
//!
//! On the host it fetches the peers, boots the machines, keeps what they report and writes the page. In the guest it
//! is the same program that measures, since a guest sees the host's files.
//!
//! An example and no `[[bench]]`: cargo runs the unit tests of an example, but not those of a benchmark that brings its
//! own `main`, and it puts examples where the guest finds them beside the programs they start.

#[path = "../examples/support/claim.rs"]
mod claim;
#[path = "../examples/support/load_kind.rs"]
mod load_kind;
#[path = "../examples/support/play.rs"]
#[allow(dead_code, reason = "shared; each example uses a part")]
mod play;
#[path = "../examples/support/process.rs"]
#[allow(dead_code, reason = "shared; each example uses a part")]
mod process;
#[path = "../examples/support/report.rs"]
#[allow(dead_code, reason = "shared; each example uses a part")]
mod report;
#[path = "../examples/support/sched_ext.rs"]
mod sched_ext;
#[path = "../examples/support/spin.rs"]
#[allow(dead_code, reason = "shared; each example uses a part")]
mod spin;

mod cli;
mod contestant;
mod guest;
mod journal;
mod page;
mod peers;
mod plan;
mod provenance;
mod record;
mod vm;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::Result;
use clap::Parser;

use crate::cli::Action;
use crate::cli::Args;
use crate::cli::Measure;
use crate::cli::RigChoice;
use crate::journal::Journal;
use crate::page::results::Results;
use crate::plan::Plan;
use crate::record::Record;
use crate::record::Rig;

/// What a run leaves behind, and the pages of partial runs.
const KEPT_IN: &str = "target/bench";
/// The pages of full runs.
const PUBLISHED_IN: &str = "docs/measure";
/// The emulator does not survive every attach of a scheduler; a repeat that it cut short is played again.
const BOOTS_MAX: u32 = 4;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.action {
        None => measure(&args.measure),
        Some(Action::Render { file, out }) => {
            let beside = file.parent().map_or_else(PathBuf::new, Path::to_owned);
            render(file, out.as_ref().unwrap_or(&beside))
        }
        Some(Action::GuestFrames { plan }) => plan_from(plan).and_then(|plan| guest::frames::run(&plan)),
        Some(Action::GuestCost { plan }) => plan_from(plan).and_then(|plan| guest::cost::run(&plan)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("Error: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Measure) -> Result<()> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut plan = args.plan();
    peers::fetch(&plan.contestants, repository)?;

    let run = provenance::of(&plan, repository)?;
    let mut journal = Journal::create(&repository.join(KEPT_IN), &provenance::name_of_run())?;
    eprintln!("bench: keeps what it measures in {}", journal.path().display());
    journal.keep(&Record::Run(Box::new(run)))?;

    let frames = match args.rig {
        Some(RigChoice::Cost) => Ok(()),
        _ => measure_frames(&mut plan, &mut journal, repository),
    };
    let cost = match args.rig {
        Some(RigChoice::Frames) => Ok(()),
        _ => vm::measure(Rig::Deterministic, &plan, repository, |record| journal.keep(&record)),
    };
    // What was measured is worth a page, whatever became of the rest.
    let published = repository.join(if plan.is_partial { KEPT_IN } else { PUBLISHED_IN });
    render(journal.path(), args.out.as_ref().unwrap_or(&published))?;
    frames.context("measure frames")?;
    cost.context("measure cost")
}

/// All repeats in one boot, unless the machine dies.
fn measure_frames(plan: &mut Plan, journal: &mut Journal, repository: &Path) -> Result<()> {
    let mut outcome = Ok(());
    for _ in 0..BOOTS_MAX {
        plan.finished_repeats = journal.finished_repeats();
        let mut has_begun = false;
        outcome = vm::measure(Rig::Parallel, plan, repository, |record| {
            has_begun = true;
            journal.keep(&record)
        });
        match &outcome {
            Err(why) if has_begun => eprintln!("bench: {why:#}"),
            _ => break,
        }
    }
    outcome
}

fn render(file: &Path, out: &Path) -> Result<()> {
    let results = Results::new(journal::read(file)?)?;
    let page = page::write(&results, out)?;
    println!("{}", page::summary(&results));
    println!("The whole page: {}", page.display());
    Ok(())
}

fn plan_from(json: &str) -> Result<Plan> {
    serde_json::from_str(json).context("understand the plan")
}
