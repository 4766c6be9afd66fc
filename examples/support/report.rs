//! What the synthetic game and the synthetic load print, and the demo reads: one JSON object each.

use serde::Deserialize;
use serde::Serialize;

use crate::sched_ext::SchedExt;

/// The game's line on standard error when the warm-up is over.
pub const COUNTING: &str = "synthetic_game: counting frames";

/// What the player would have seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct GameReport {
    /// Counted frames; those of the warm-up are not among them.
    pub frames: usize,
    pub avg_fps: f64,
    /// Frames a second in the mean of the slowest 1 % of the frames.
    pub low_1pct_fps: f64,
    pub frame_ms: FrameTimes,
    /// From the moment a report was due to the moment the game had handled it; none without input.
    pub input_us: Option<InputTimes>,
    /// CPU time of the game's threads, its server excluded, as a share of all CPUs.
    pub cpu_pct: f64,
    /// The scheduler before the first and after the last counted frame.
    pub scheduler: [SchedExt; 2],
    pub config: GameConfig,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct FrameTimes {
    pub p50: f64,
    pub p99: f64,
    #[serde(rename = "p99.9")]
    pub p99_9: f64,
    pub max: f64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct InputTimes {
    pub reports: usize,
    pub p50: f64,
    pub p99: f64,
}

/// Everything that makes two runs comparable.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GameConfig {
    /// 0 = uncapped.
    pub fps: u32,
    pub warmup_frames: usize,
    pub work_us: u64,
    pub spins_per_ms: u64,
    pub input_hz: u32,
    /// They come from a virtual mouse, not from a timer.
    #[serde(default)]
    pub input_device: bool,
    pub workers: usize,
}

/// What the load got done beside the game: the price others paid.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoadReport {
    pub kind: String,
    /// Length of the counted window.
    pub wall_seconds: f64,
    /// Chunks of spinning finished, and build steps finished.
    pub spin_chunks: u64,
    pub build_steps: u64,
    pub cpu_seconds: f64,
    /// `cpu_seconds` as a share of all CPUs.
    pub cpu_pct: f64,
    /// The longest any spinning thread made no progress; none if the kind has no such thread.
    pub longest_wait_ms: Option<f64>,
    /// The longest a build step took from fork to exit; none if none finished.
    pub longest_build_step_ms: Option<f64>,
}
