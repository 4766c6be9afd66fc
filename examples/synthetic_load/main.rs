//! A synthetic load: what else the machine does while the game runs, and what it got done.
//!
//! It runs until INT, TERM or `--seconds`. USR1 starts the count anew, so that a benchmark counts
//! only while the game is measured. Whatever ends it, even KILL, its processes end with it.
//!
//! Limits: it uses no memory and no disk; a real compiler run disturbs by those too.

#[path = "../support/load_kind.rs"]
mod load_kind;
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
#[allow(dead_code, reason = "shared; each example uses a part")]
mod spin;

mod build_jobs;
mod spinners;

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use clap::Parser;
use nix::sys::resource::UsageWho;
use nix::unistd::alarm;
use signal_hook::consts::SIGALRM;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;
use signal_hook::consts::SIGUSR1;
use signal_hook::iterator::Signals;

use crate::build_jobs::BuildJob;
use crate::load_kind::LoadKind;
use crate::process::available_cpus;
use crate::process::cpu_seconds;
use crate::report::LoadReport;
use crate::spinners::Habit;
use crate::spinners::Spinner;

/// Load the CPUs beside a game and report, as one JSON object, what got done
#[derive(Parser)]
struct Args {
    /// What to run
    #[arg(required_unless_present = "build_step")]
    kind: Option<LoadKind>,

    /// End after this time; without it run until INT or TERM
    #[arg(long, value_name = "SECONDS",
          value_parser = clap::value_parser!(u32).range(1..))]
    seconds: Option<u32>,

    /// Be one step of a build
    #[arg(long, hide = true)]
    build_step: bool,
}

static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> Result<()> {
    let args = Args::parse();
    let Some(kind) = args.kind else {
        build_jobs::build_step();
        return Ok(());
    };
    let mut signals = Signals::new([SIGALRM, SIGINT, SIGTERM, SIGUSR1]).context("listen for signals")?;
    let load = Load::start(kind)?;
    let mut start = Counted::from_now(&load);
    if let Some(seconds) = args.seconds {
        alarm::set(seconds);
    }
    for signal in signals.forever() {
        if signal != SIGUSR1 {
            break;
        }
        load.forget_longest();
        start = Counted::from_now(&load);
    }
    let report = load.report_since(&start);
    load.stop();
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// Everything that runs.
struct Load {
    kind: LoadKind,
    spinners: Vec<Spinner>,
    jobs: Vec<BuildJob>,
}

/// How much was done at one moment.
struct Counted {
    at: Instant,
    spin_chunks: u64,
    build_steps: u64,
    cpu_seconds: f64,
}

/// Hogs, bursty threads and build jobs for each CPU.
fn threads_per_cpu(kind: LoadKind) -> (usize, usize, usize) {
    match kind {
        LoadKind::None => (0, 0, 0),
        LoadKind::Hogs => (2, 0, 0),
        LoadKind::Bursty => (0, 2, 0),
        LoadKind::Build => (0, 0, 2),
        LoadKind::Mixed => (1, 1, 1),
    }
}

impl Load {
    fn start(kind: LoadKind) -> Result<Self> {
        let cpus = available_cpus();
        let (hogs, bursty, builds) = threads_per_cpu(kind);
        let myself = std::env::current_exe().context("find this program")?;
        let habits = [(Habit::Hog, hogs), (Habit::Bursty, bursty)];
        let spinners = habits
            .into_iter()
            .flat_map(|(habit, per_cpu)| std::iter::repeat_n(habit, per_cpu * cpus))
            .map(|habit| Spinner::start(habit, &STOP))
            .collect::<Result<_, _>>()
            .context("start a spinning thread")?;
        let jobs = (0..builds * cpus)
            .map(|_| BuildJob::start(myself.clone(), &STOP))
            .collect::<Result<_, _>>()
            .context("start a build job")?;
        Ok(Self { kind, spinners, jobs })
    }

    fn forget_longest(&self) {
        self.spinners.iter().for_each(|spinner| spinner.progress().forget_waits());
        self.jobs.iter().for_each(BuildJob::forget_longest_step);
    }

    fn report_since(&self, start: &Counted) -> LoadReport {
        let now = Counted::from_now(self);
        let wall_seconds = (now.at - start.at).as_secs_f64();
        let cpu_seconds = now.cpu_seconds - start.cpu_seconds;
        let milliseconds = |ns: u64| ns as f64 / 1e6;
        LoadReport {
            kind: self.kind.to_string(),
            wall_seconds,
            spin_chunks: now.spin_chunks - start.spin_chunks,
            build_steps: now.build_steps - start.build_steps,
            cpu_seconds,
            cpu_pct: 100.0 * cpu_seconds / (wall_seconds * available_cpus() as f64),
            longest_wait_ms: self
                .spinners
                .iter()
                .map(|spinner| spinner.progress().longest_wait_ns())
                .max()
                .map(milliseconds),
            longest_build_step_ms: self
                .jobs
                .iter()
                .map(BuildJob::longest_step_ns)
                .max()
                .filter(|&longest_ns| longest_ns > 0)
                .map(milliseconds),
        }
    }

    fn stop(self) {
        STOP.store(true, Ordering::Relaxed);
        self.spinners.into_iter().for_each(Spinner::join);
        self.jobs.into_iter().for_each(BuildJob::join);
    }
}

impl Counted {
    fn from_now(load: &Load) -> Self {
        Self {
            at: Instant::now(),
            spin_chunks: load.spinners.iter().map(|spinner| spinner.progress().chunks()).sum(),
            build_steps: load.jobs.iter().map(BuildJob::steps).sum(),
            cpu_seconds: cpu_seconds(UsageWho::RUSAGE_SELF) + cpu_seconds(UsageWho::RUSAGE_CHILDREN),
        }
    }
}
