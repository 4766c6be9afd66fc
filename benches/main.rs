//! The benchmark: the kernel's scheduler, five peers and ours, beside the same loads, in virtual machines.
//!
//! On the host it fetches the peers, boots the machines, keeps what they report and writes the page. In the guest it
//! is the same program that measures, since a guest sees the host's files.
//!
//! An example and no `[[bench]]`: cargo runs the unit tests of an example, but not those of a benchmark that brings its
//! own `main`, and it puts examples where the guest finds them beside the programs they start.

#[path = "../examples/support/claim.rs"]
mod claim;
#[path = "../examples/support/game.rs"]
mod game;
#[path = "../examples/support/load_kind.rs"]
mod load_kind;
#[path = "../examples/support/play.rs"]
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
#[path = "../examples/support/workload.rs"]
mod workload;

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
use std::process::Command;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use clap::Parser;

use crate::cli::Action;
use crate::cli::Args;
use crate::cli::Measure;
use crate::cli::RigChoice;
use crate::game::Purpose;
use crate::journal::Journal;
use crate::page::results::Results;
use crate::plan::Plan;
use crate::plan::Scene;
use crate::record::Boot;
use crate::record::Record;
use crate::record::Rig;
use crate::record::Run;

/// What a run leaves behind, and the pages of partial runs.
const KEPT_IN: &str = "target/bench";
/// The pages of full runs.
const PUBLISHED_IN: &str = "docs/measure";
/// The emulator does not survive every attach of a scheduler; a scene that it cut short is played again from its start,
/// since figures of different boots are never compared.
const BOOTS_MAX: u32 = 4;
/// Exit status for a command line that cannot be followed, as clap has it.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.action {
        None => match args.measure.resume.as_deref() {
            Some(file) => resume(file, &args.measure),
            None => match args.measure.plan() {
                Ok(plan) => begin(plan, &args.measure),
                Err(why) => {
                    eprintln!("error: {why}");
                    return ExitCode::from(USAGE);
                }
            },
        },
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

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A new run.
fn begin(plan: Plan, args: &Measure) -> Result<()> {
    fetch(&plan)?;
    let run = provenance::of(&plan, args.rig, repository())?;
    let mut journal = Journal::create(&repository().join(KEPT_IN), &provenance::name_of_run())?;
    journal.keep(&Record::Run(Box::new(run.clone())))?;
    measure(&run, journal, args)
}

/// The rest of a run that was cut short.
fn resume(file: &Path, args: &Measure) -> Result<()> {
    let (mut journal, records) = Journal::resume(file)?;
    let run = Results::new(records)?.run;
    fetch(&run.plan)?;
    journal.keep(&Record::Resumed(provenance::of_resumed(repository())?))?;
    measure(&run, journal, args)
}

/// Everything that the plan plays and that the machine lacks.
fn fetch(plan: &Plan) -> Result<()> {
    if plan.cells.iter().any(|cell| cell.game.purpose() == Purpose::Program) {
        let status =
            Command::new(repository().join("tools/deps")).arg("programs").status().context("run tools/deps")?;
        ensure!(status.success(), "the programs to play could not be installed\nHint: --suite leaves them out");
    }
    peers::fetch(&plan.contestants, repository())
}

fn measure(run: &Run, mut journal: Journal, args: &Measure) -> Result<()> {
    eprintln!("bench: keeps what it measures in {}", journal.path().display());
    let frames = match run.rig {
        Some(RigChoice::Cost) => Ok(()),
        _ => measure_frames(&run.plan, &mut journal),
    };
    let cost = match run.rig {
        Some(RigChoice::Frames) => Ok(()),
        _ => measure_cost(&run.plan, &mut journal),
    };
    // What was measured is worth a page, whatever became of the rest.
    let published = repository().join(if run.plan.is_partial { KEPT_IN } else { PUBLISHED_IN });
    render(journal.path(), args.out.as_ref().unwrap_or(&published))?;
    frames.context("measure frames")?;
    cost.context("measure cost")
}

/// Every scene that the journal lacks, each in a boot of its own.
fn measure_frames(plan: &Plan, journal: &mut Journal) -> Result<()> {
    let mut outcome = Ok(());
    for scene in plan.scenes() {
        if !journal.has_finished(scene)
            && let Err(why) = measure_scene(plan, scene, journal)
        {
            eprintln!("bench: {scene}: {why:#}");
            outcome = Err(why.context(scene.to_string()));
        }
    }
    outcome
}

/// One scene in one boot; in another one if the machine dies.
fn measure_scene(plan: &Plan, scene: Scene, journal: &mut Journal) -> Result<()> {
    let part = plan.of_scene(scene);
    let mut outcome = Ok(());
    for _ in 0..BOOTS_MAX {
        let mut boot = None;
        outcome = vm::measure(Rig::Parallel, &part, repository(), |record| {
            if let Record::Boot(Boot { id, .. }) = &record {
                boot = Some(id.clone());
            }
            journal.keep(&record)
        });
        match (&outcome, boot) {
            (Ok(()), Some(boot)) => return journal.keep(&Record::SceneDone { boot, scene }),
            (Err(why), Some(_)) => eprintln!("bench: {scene}: {why:#}; it is measured again from its start"),
            // What could not begin once will not begin the next time.
            (_, None) => break,
        }
    }
    outcome
}

fn measure_cost(plan: &Plan, journal: &mut Journal) -> Result<()> {
    if journal.has_costs() {
        return Ok(());
    }
    let mut boot = String::new();
    vm::measure(Rig::Deterministic, plan, repository(), |record| {
        if let Record::Boot(Boot { id, .. }) = &record {
            boot.clone_from(id);
        }
        journal.keep(&record)
    })?;
    journal.keep(&Record::CostDone { boot })
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
