//! What competes with the game's frames: a load outside the game, bulk threads inside it, or both.

use std::fmt;

use clap::ValueEnum;
use serde::Deserialize;
use serde::Serialize;

use crate::load_kind::LoadKind;

/// Streaming threads for each CPU, as many as the bursty load outside has.
const STREAM_THREADS_PER_CPU: usize = 2;
/// Length of a job that the frame waits for.
const LONG_JOB_US: usize = 10_000;

/// A load outside the game, inside it, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Nothing: the game alone
    None,
    /// Outside: two threads a CPU that spin without end
    Hogs,
    /// Outside: two threads a CPU that work 2 ms and sleep 1 ms
    Bursty,
    /// Outside: short-lived processes without end
    Build,
    /// Outside: one hog, one bursty thread and one build job for each CPU
    Mixed,
    /// Inside: a compile thread for each CPU (40 ms bursts)
    #[value(name = "compile-1x")]
    #[serde(rename = "compile-1x")]
    Compile1x,
    /// Inside: a compile thread for each CPU at nice 10
    #[value(name = "compile-1x-nice10")]
    #[serde(rename = "compile-1x-nice10")]
    Compile1xNice10,
    /// Inside: a compile thread for each CPU at SCHED_IDLE
    #[value(name = "compile-1x-idle")]
    #[serde(rename = "compile-1x-idle")]
    Compile1xIdle,
    /// Inside: two compile threads for each CPU
    #[value(name = "compile-2x")]
    #[serde(rename = "compile-2x")]
    Compile2x,
    /// Inside: two compile threads for each CPU at nice 10
    #[value(name = "compile-2x-nice10")]
    #[serde(rename = "compile-2x-nice10")]
    Compile2xNice10,
    /// Inside: two compile threads for each CPU at SCHED_IDLE
    #[value(name = "compile-2x-idle")]
    #[serde(rename = "compile-2x-idle")]
    Compile2xIdle,
    /// Inside: two threads a CPU that work 2 ms and sleep 1 ms
    Stream,
    /// Inside: each frame waits for jobs of 10 ms
    Jobs,
    /// Both: the mixed load, and two compile threads for each CPU
    #[value(name = "mixed+compile")]
    #[serde(rename = "mixed+compile")]
    MixedCompile,
}

/// Compile threads of a workload.
struct Compile {
    per_cpu: usize,
    policy: &'static [&'static str],
}

impl Workload {
    /// What runs beside the game.
    pub fn outside(self) -> LoadKind {
        match self {
            Self::Hogs => LoadKind::Hogs,
            Self::Bursty => LoadKind::Bursty,
            Self::Build => LoadKind::Build,
            Self::Mixed | Self::MixedCompile => LoadKind::Mixed,
            _ => LoadKind::None,
        }
    }

    /// What the synthetic game needs to be given, on so many CPUs.
    pub fn game_args(self, cpus: usize) -> Vec<String> {
        let flag = |name: &str, number: usize| vec![name.to_owned(), number.to_string()];
        match (self, self.compile()) {
            (_, Some(Compile { per_cpu, policy })) => {
                let mut args = flag("--compile-threads", per_cpu * cpus);
                args.extend(policy.iter().map(ToString::to_string));
                args
            }
            (Self::Stream, _) => flag("--stream-threads", STREAM_THREADS_PER_CPU * cpus),
            (Self::Jobs, _) => flag("--job-us", LONG_JOB_US),
            _ => Vec::new(),
        }
    }

    fn compile(self) -> Option<Compile> {
        const NICE_10: &[&str] = &["--compile-nice", "10"];
        const IDLE: &[&str] = &["--compile-policy", "idle"];
        let (per_cpu, policy): (_, &[&str]) = match self {
            Self::Compile1x => (1, &[]),
            Self::Compile1xNice10 => (1, NICE_10),
            Self::Compile1xIdle => (1, IDLE),
            Self::Compile2x | Self::MixedCompile => (2, &[]),
            Self::Compile2xNice10 => (2, NICE_10),
            Self::Compile2xIdle => (2, IDLE),
            _ => return None,
        };
        Some(Compile { per_cpu, policy })
    }

    /// Whether the game has load inside: bulk threads or long jobs.
    pub fn is_inside(self) -> bool {
        !self.game_args(1).is_empty()
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("BUG: no workload is hidden");
        out.write_str(value.get_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_outside_gives_the_game_nothing_and_the_other_way_round() {
        for workload in Workload::value_variants() {
            let is_outside = workload.outside() != LoadKind::None;
            let is_both = *workload == Workload::MixedCompile;
            let is_nothing = *workload == Workload::None;
            assert!(is_both || is_nothing || is_outside != workload.is_inside(), "{workload}");
        }
    }

    #[test]
    fn compile_threads_are_counted_for_each_cpu() {
        assert_eq!(Workload::Compile2xIdle.game_args(3), ["--compile-threads", "6", "--compile-policy", "idle"]);
        assert_eq!(Workload::MixedCompile.game_args(1), ["--compile-threads", "2"]);
    }

    #[test]
    fn journals_and_the_command_line_have_the_same_names() {
        for workload in Workload::value_variants() {
            assert_eq!(serde_json::to_string(workload).expect("JSON"), format!("\"{workload}\""));
        }
    }
}
