//! What the guest tells the host, and what is kept of a run: one JSON object a line.
//!
//! A line is written as soon as its figure is known, so that a run that was cut short keeps what it has.

use serde::Deserialize;
use serde::Serialize;

use crate::cli::RigChoice;
use crate::contestant::Contestant;
use crate::plan::Cell;
use crate::plan::Plan;
use crate::plan::Scene;
use crate::report::GameReport;
use crate::report::LoadReport;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    Run(Box<Run>),
    Boot(Boot),
    Frames(Box<Frames>),
    /// Every cell of this boot's scene was played or thrown out, in every repeat.
    SceneDone {
        boot: String,
        scene: Scene,
    },
    Cost(Cost),
    /// Every scheduler's cost was measured or thrown out.
    CostDone {
        boot: String,
    },
    /// The run was continued.
    Resumed(Resumed),
    ThrownOut(ThrownOut),
}

/// Everything that somebody needs to do it again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Day on which it began, YYYY-MM-DD.
    pub date: String,
    pub commit: String,
    pub command: String,
    /// Processor of the machine below the virtual one, and how many of it.
    pub host: String,
    pub emulator: String,
    pub plan: Plan,
    /// The only rig that was to be used; none: both.
    pub rig: Option<RigChoice>,
}

/// A later sitting of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Resumed {
    /// Day on which it began, YYYY-MM-DD.
    pub date: String,
    pub commit: String,
    pub host: String,
}

/// One start of the virtual machine: figures of different ones are never compared.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Boot {
    /// The kernel's own random name for it.
    pub id: String,
    pub rig: Rig,
    /// What was played in it; none on the deterministic rig.
    pub scene: Option<Scene>,
    pub kernel: String,
    pub cpus: usize,
    /// What the guest takes its processor for; tells emulation from KVM.
    pub cpu: String,
    /// The game's calibration; the deterministic rig plays no frames.
    pub spins_per_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rig {
    Parallel,
    Deterministic,
}

/// One cell, played once under one scheduler.
#[derive(Debug, Serialize, Deserialize)]
pub struct Frames {
    pub boot: String,
    pub repeat: u32,
    pub contestant: Contestant,
    pub cell: Cell,
    /// On average.
    pub fps: f64,
    /// None for a program of others, which reports nothing but that.
    pub game: Option<GameReport>,
    pub load: LoadReport,
    pub waits: Waits,
}

/// The longest wait for a CPU that any task of the machine had to endure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Waits {
    pub longest_ms: f64,
    /// Name of the task that waited.
    pub comm: String,
    pub switches: u64,
}

/// What one scheduler costs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cost {
    pub boot: String,
    pub contestant: Contestant,
    /// From its start to `enabled`; none for the kernel's own, and for ours where the wrapper starts it.
    pub attach_ms: Option<f64>,
    pub pipe_ns: f64,
    pub fan_out_ns: f64,
    pub callbacks: Vec<Callback>,
}

/// BPF run time of one callback while `perf bench sched pipe` ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Callback {
    /// As the kernel keeps it: 15 characters.
    pub name: String,
    pub runs: u64,
    pub run_time_ns: u64,
}

/// A cell that says nothing, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ThrownOut {
    pub boot: String,
    pub repeat: Option<u32>,
    pub contestant: Contestant,
    /// None on the deterministic rig.
    pub cell: Option<Cell>,
    pub reason: String,
}
