//! Which sched_ext scheduler the kernel runs right now: /sys/kernel/sched_ext, readable by all.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;

/// Where the kernel tells.
pub const ROOT: &str = "/sys/kernel/sched_ext";

/// One look at the kernel's sched_ext files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedExt {
    /// `disabled`, `enabling`, `enabled`, `disabling`; none on a kernel without sched_ext.
    pub state: Option<String>,
    /// Name of the attached scheduler.
    pub ops: Option<String>,
    /// How often a scheduler was attached since boot: equal before and after means the same one.
    pub enable_seq: Option<u64>,
}

impl SchedExt {
    /// Reads the files under `root`; what is not there is none.
    pub fn read(root: &Path) -> Self {
        let line = |name: &str| {
            let text = fs::read_to_string(root.join(name)).ok()?;
            Some(text.trim().to_string())
        };
        Self {
            state: line("state"),
            ops: line("root/ops"),
            enable_seq: line("enable_seq").and_then(|number| number.parse().ok()),
        }
    }

    pub fn is_enabled(&self) -> bool {
        self.state.as_deref() == Some("enabled")
    }

    pub fn is_disabled(&self) -> bool {
        self.state.as_deref() == Some("disabled")
    }
}

impl fmt::Display for SchedExt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.state, &self.ops) {
            (None, _) => write!(out, "no sched_ext"),
            (Some(state), None) => write!(out, "{state}"),
            (Some(state), Some(ops)) => write!(out, "{state} ({ops})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_sched_ext_is_said_to_have_none() {
        let empty = tempfile::tempdir().expect("temporary directory");
        let seen = SchedExt::read(empty.path());
        assert!(!seen.is_enabled());
        assert_eq!(seen.to_string(), "no sched_ext");
    }

    #[test]
    fn an_attached_scheduler_is_named() {
        let root = tempfile::tempdir().expect("temporary directory");
        fs::create_dir(root.path().join("root")).expect("directory");
        for (name, text) in [("state", "enabled\n"), ("root/ops", "gamer\n"), ("enable_seq", "3\n")] {
            fs::write(root.path().join(name), text).expect("file");
        }
        let seen = SchedExt::read(root.path());
        assert!(seen.is_enabled());
        assert_eq!(seen.enable_seq, Some(3));
        assert_eq!(seen.to_string(), "enabled (gamer)");
    }
}
