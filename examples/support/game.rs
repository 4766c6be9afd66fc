//! The games of the benchmark: the synthetic one in its usual shape, guards, and programs of others.
//!
//! A guard is a game that a change for the usual shape could ruin. No change may make it worse.

use std::fmt;

use clap::ValueEnum;
use serde::Deserialize;
use serde::Serialize;

/// A shape of the synthetic game, or a program that this project did not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Game {
    /// Simulation, server requests, short jobs and a render thread
    Usual,
    /// A main thread that works 12 of 13 ms of each frame
    BusyMain,
    /// Each frame waits for jobs of 10 ms
    ForkJoin,
    /// Two threads that never rest and pass frames on
    HandOver,
    /// One thread does everything
    SingleThread,
    /// 64 job threads
    ManyJobs,
    /// Two threads that spin for a lock
    SpinLock,
    /// A loading screen: jobs of 40 ms and nothing else
    Loading,
    /// A browser engine: the frame's work is spread over three processes
    Family,
    /// Debian's glxgears
    Glxgears,
    /// A scene of Debian's glmark2
    Glmark2,
    /// Debian's dsda-doom, which plays a demo as fast as it can
    Doom,
}

/// What a game is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Compared with peers under every load.
    Compared,
    /// To stay as it is.
    Guard,
    /// To compare with peers, too, but as a program that reports nothing but frames per second.
    Program,
}

impl Game {
    /// What the synthetic game needs to be given.
    pub fn args(self) -> &'static [&'static str] {
        match self {
            Self::Usual | Self::Glxgears | Self::Glmark2 | Self::Doom => &[],
            Self::BusyMain => &["--shape", "busy-main", "--work-us", "12000", "--gpu-us", "1000"],
            Self::ForkJoin => &["--job-us", "10000"],
            Self::HandOver => &["--shape", "hand-over"],
            Self::SingleThread => &["--shape", "single-thread", "--input-hz", "0"],
            Self::ManyJobs => &["--job-threads", "64", "--job-us", "50"],
            Self::SpinLock => &["--shape", "spin-lock"],
            Self::Loading => &["--shape", "loading", "--input-hz", "0"],
            Self::Family => &["--shape", "family"],
        }
    }

    pub fn purpose(self) -> Purpose {
        match self {
            Self::Usual => Purpose::Compared,
            Self::Glxgears | Self::Glmark2 | Self::Doom => Purpose::Program,
            _ => Purpose::Guard,
        }
    }

    /// Frames to count where the usual game counts `frames`: a step of a loading screen takes ten times as long.
    pub fn frames(self, frames: u32) -> u32 {
        if self == Self::Loading { (frames / 10).max(10) } else { frames }
    }

    /// All games for one purpose.
    pub fn all_for(purpose: Purpose) -> Vec<Self> {
        Self::value_variants().iter().copied().filter(|game| game.purpose() == purpose).collect()
    }
}

impl fmt::Display for Game {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("BUG: no game is hidden");
        out.write_str(value.get_name())
    }
}
