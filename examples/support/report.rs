//! What the synthetic game and the synthetic load print, and the demo reads: one JSON object each.

use clap::ValueEnum;
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
    /// From the moment one frame thread woke another until that one continued.
    pub wake_us: Option<WakeTimes>,
    /// The same without the time in which other frame threads ran. Only one CPU can tell.
    pub wake_net_us: Option<WakeTimes>,
    /// What the game's bulk threads did meanwhile; one entry for each kind that the game has.
    pub bulk: Vec<BulkReport>,
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

/// Times from a wake-up until the woken thread continued, in microseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WakeTimes {
    pub wakes: usize,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// Throughput of one kind of bulk threads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BulkReport {
    pub config: BulkConfig,
    /// Work done as a share of what all CPUs could have done alone.
    pub work_pct: f64,
    /// The longest time in which one of the threads made no progress, its sleeps excluded.
    pub longest_wait_ms: f64,
}

/// How the game's frame threads divide their work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Simulation with server requests and fork-join jobs, then a render thread
    Pipeline,
    /// One thread does everything
    SingleThread,
    /// A main thread does nearly everything and wakes a light render thread
    BusyMain,
    /// Two threads do half each and pass frames on: an emulator
    HandOver,
    /// Two threads share a lock and spin while they wait for it
    SpinLock,
    /// Only fork-join jobs: each "frame" is a step of a loading screen
    Loading,
    /// The pipeline, spread over three processes: a browser engine
    Family,
}

/// The scheduling policy of bulk threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BulkPolicy {
    /// SCHED_OTHER, the default
    Other,
    /// SCHED_IDLE, as DXVK's native builds set it
    Idle,
    /// SCHED_BATCH
    Batch,
}

/// One kind of bulk threads: work without a frame's deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkConfig {
    /// `compile` or `stream`; also the beginning of the threads' names.
    pub kind: String,
    pub threads: usize,
    /// Work between two sleeps, and the length of a sleep.
    pub burst_us: u64,
    pub pause_us: u64,
    pub policy: BulkPolicy,
    pub nice: i32,
}

/// Everything that makes two runs comparable.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GameConfig {
    pub shape: Shape,
    /// 0 = uncapped.
    pub fps: u32,
    pub warmup_frames: usize,
    pub work_us: u64,
    /// Length of one fork-join job; none: a share of `work_us`.
    pub job_us: Option<u64>,
    pub job_threads: usize,
    /// Sleep of the main thread at the end of each frame.
    pub gpu_us: u64,
    pub spins_per_ms: u64,
    pub input_hz: u32,
    /// They come from a virtual mouse, not from a timer.
    pub input_device: bool,
    /// The frame threads are SCHED_FIFO.
    pub real_time_frames: bool,
    pub bulk: Vec<BulkConfig>,
    pub cpus: usize,
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

#[cfg(test)]
impl GameReport {
    /// A made-up report in which only frame rate and p99 matter, or what the caller changes.
    pub fn sample(fps: u32, p99: f64) -> Self {
        let off = SchedExt { state: Some("disabled".into()), ops: None, enable_seq: Some(0) };
        Self {
            frames: 1000,
            avg_fps: 100.0,
            low_1pct_fps: 80.0,
            frame_ms: FrameTimes { p50: 9.0, p99, p99_9: p99, max: p99 },
            input_us: None,
            wake_us: None,
            wake_net_us: None,
            bulk: Vec::new(),
            cpu_pct: 80.0,
            scheduler: [off.clone(), off],
            config: GameConfig {
                shape: Shape::Pipeline,
                fps,
                warmup_frames: 60,
                work_us: 9000,
                job_us: None,
                job_threads: 2,
                gpu_us: 0,
                spins_per_ms: 1,
                input_hz: 500,
                input_device: false,
                real_time_frames: false,
                bulk: Vec::new(),
                cpus: 2,
            },
        }
    }
}

#[cfg(test)]
impl BulkReport {
    /// Compile threads that got this much done.
    pub fn sample(work_pct: f64) -> Self {
        let config = BulkConfig {
            kind: "compile".into(),
            threads: 4,
            burst_us: 40_000,
            pause_us: 200,
            policy: BulkPolicy::Other,
            nice: 0,
        };
        Self { config, work_pct, longest_wait_ms: 100.0 }
    }
}
