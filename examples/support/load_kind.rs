//! The names of the synthetic loads.

use std::fmt;

use clap::ValueEnum;
use serde::Deserialize;
use serde::Serialize;

/// What runs beside the game.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoadKind {
    /// Nothing: the baseline
    None,
    /// Two threads a CPU that spin without end
    Hogs,
    /// Two threads a CPU that work 2 ms and sleep 1 ms: they look interactive
    Bursty,
    /// Short-lived processes without end, two at a time for each CPU: a compiler run
    Build,
    /// One hog, one bursty thread and one build job for each CPU
    Mixed,
}

impl fmt::Display for LoadKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("BUG: no kind is hidden");
        out.write_str(value.get_name())
    }
}
