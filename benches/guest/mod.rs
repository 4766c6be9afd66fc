//! The guest's side: measures as root beside a sched_ext kernel, and prints a record a line.

pub mod attached;
mod callbacks;
pub mod cost;
pub mod frames;
mod program;
mod waits;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use procfs::Current;

use crate::contestant::Contestant;
use crate::peers;
use crate::plan::Plan;
use crate::process::available_cpus;
use crate::record::Boot;
use crate::record::Record;
use crate::record::Rig;
use crate::sched_ext;
use crate::sched_ext::SchedExt;

/// Name of our wrapper, which finds the scheduler beside itself.
const WRAPPER: &str = "scx-gamer-run";

/// Where the guest's kernel shows itself: the edge that everything below gets as a parameter.
pub struct Machine {
    pub sched_ext: PathBuf,
    pub programs: Programs,
    pub boot: Boot,
}

/// The programs built beside this one: target/release and target/release/examples.
pub struct Programs {
    wrapper: PathBuf,
    baseline_wrapper: Option<PathBuf>,
    pub scx_gamer: PathBuf,
    pub game: PathBuf,
    pub load: PathBuf,
    pub switch_cost: PathBuf,
    pub empty: PathBuf,
    peers: PathBuf,
}

impl Machine {
    /// Looks around; fails where nothing can be measured.
    pub fn here(rig: Rig, plan: &Plan) -> Result<Self> {
        let sched_ext = PathBuf::from(sched_ext::ROOT);
        let seen = SchedExt::read(&sched_ext);
        ensure!(seen.is_disabled(), "sched_ext is to be disabled before anything is measured, but it is: {seen}");
        let line = |path: &str| {
            let text = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
            Ok::<_, anyhow::Error>(text.trim().to_owned())
        };
        let cpus = procfs::CpuInfo::current().context("read /proc/cpuinfo")?;
        let boot = Boot {
            id: line("/proc/sys/kernel/random/boot_id")?,
            rig,
            scene: match rig {
                Rig::Parallel => plan.scenes().first().copied(),
                Rig::Deterministic => None,
            },
            kernel: line("/proc/sys/kernel/osrelease")?,
            cpus: available_cpus(),
            cpu: cpus.model_name(0).unwrap_or("unknown").to_owned(),
            spins_per_ms: None,
        };
        Ok(Self { sched_ext, programs: Programs::of_plan(plan)?, boot })
    }
}

impl Programs {
    /// Where they are; whether each is there shows when it is started.
    fn of_plan(plan: &Plan) -> Result<Self> {
        let examples = directory_of_this()?;
        let release = examples.parent().context("find the build directory")?;
        Ok(Self {
            wrapper: release.join(WRAPPER),
            baseline_wrapper: plan.baseline.as_ref().map(|directory| directory.join(WRAPPER)),
            scx_gamer: release.join("scx_gamer"),
            game: examples.join("synthetic_game"),
            load: examples.join("synthetic_load"),
            switch_cost: examples.join("switch_cost"),
            empty: examples.join("empty_scheduler"),
            peers: peers::root()?,
        })
    }

    /// The wrapper that starts the game for `contestant`; none where it is started as it is.
    pub fn wrapper_of(&self, contestant: Contestant) -> Option<&Path> {
        match contestant {
            Contestant::Ours => Some(&self.wrapper),
            Contestant::Baseline => self.baseline_wrapper.as_deref(),
            _ => None,
        }
    }

    /// The program that attaches `contestant` by itself; none where there is none, or where a wrapper does it.
    pub fn of(&self, contestant: Contestant) -> Option<PathBuf> {
        match (contestant, contestant.peer()) {
            (_, Some(peer)) => Some(peers::program(&self.peers, peer)),
            (Contestant::OursIdle, _) => Some(self.scx_gamer.clone()),
            (Contestant::Empty, _) => Some(self.empty.clone()),
            _ => None,
        }
    }
}

fn directory_of_this() -> Result<PathBuf> {
    let myself = std::env::current_exe().context("find this program")?;
    Ok(myself.parent().context("find the directory of this program")?.to_owned())
}

/// Prints a record for the host, at once.
pub fn emit(record: &Record) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, record)?;
    writeln!(out).and_then(|()| out.flush()).context("hand a record to the host")
}

/// Writes a setting of the kernel.
fn set_sysctl(path: &Path, value: &str) -> Result<()> {
    fs::write(path, value).with_context(|| format!("write {value} to {}", path.display()))
}
