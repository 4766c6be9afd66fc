//! Can a scheduler attach here? Asked before the kernel answers with a bare errno.

use std::fmt;
use std::path::Path;
use std::path::PathBuf;

use crate::files;
use crate::session::protocol::ErrorKind;

/// The oldest kernel of the test ring on which the scheduler works, as major and minor version.
pub const OLDEST_KERNEL: (u32, u32) = (6, 16);

/// Why the scheduler can't attach, in the player's words.
#[derive(Debug)]
pub enum NotReady {
    /// The kernel has no sched_ext.
    NoSchedExt {
        /// Release of the running kernel.
        release: String,
    },
    /// The kernel's type information describes sched_ext's functions wrongly, so it refuses every scheduler.
    BrokenBtf {
        /// Release of the running kernel.
        release: String,
    },
    /// The kernel's verifier has refused one of our BPF programs.
    Refused {
        /// Release of the running kernel.
        release: String,
        /// Name of the program.
        program: String,
        /// The last line of the verifier's log.
        why: String,
    },
    /// We may not load BPF programs.
    Privilege,
    /// Another sched_ext scheduler is in place.
    OtherScheduler {
        /// Its name, as the kernel lists it.
        name: String,
        /// Why it is left there, where that was decided.
        why: Option<String>,
    },
    /// Whoever asked for it has gone.
    Unwanted,
    /// As many leases are held as may be.
    TooMany {
        /// So many may be.
        most: usize,
        /// By whom.
        whose: &'static str,
    },
    /// The kernel has ended it too often for those who hold it.
    GivenUp {
        /// Why, the last time.
        why: String,
    },
    /// Anything else, told by the step that failed.
    Failed(anyhow::Error),
}

impl NotReady {
    /// The kind as it goes over the wire.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSchedExt { .. } | Self::BrokenBtf { .. } => ErrorKind::Kernel,
            Self::Privilege => ErrorKind::Privilege,
            Self::OtherScheduler { .. } => ErrorKind::OtherScheduler,
            Self::TooMany { .. } => ErrorKind::Limit,
            Self::Refused { .. } | Self::Unwanted | Self::GivenUp { .. } | Self::Failed(_) => ErrorKind::Attach,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoSchedExt { .. } => {
                let (major, minor) = OLDEST_KERNEL;
                format!("boot a kernel with CONFIG_SCHED_CLASS_EXT=y, {major}.{minor} or later")
            }
            Self::BrokenBtf { .. } => "boot another kernel: this one was built with a pahole before 1.26".to_owned(),
            Self::Refused { .. } => {
                "report this line and your distribution; `sudo scx_gamer -v` prints the verifier's whole log".to_owned()
            }
            Self::Privilege => {
                "install the service, which lends that right without a password: see Install in the README".to_owned()
            }
            Self::OtherScheduler { .. } => {
                "stop it first: `scxctl stop`, `systemctl stop scx`, or Ctrl+C where it runs".to_owned()
            }
            Self::TooMany { .. } => {
                "end a game, or what else holds one: `scx-gamer-run --status` names them".to_owned()
            }
            Self::GivenUp { .. } => "it is tried again once no game runs any more".to_owned(),
            Self::Unwanted | Self::Failed(_) => return None,
        })
    }
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSchedExt { release } => write!(f, "this kernel ({release}) has no sched_ext"),
            Self::BrokenBtf { release } => {
                write!(f, "this kernel ({release}) refuses every sched_ext scheduler because its BTF is broken")
            }
            Self::Refused { release, program, why } => {
                write!(f, "this kernel ({release}) refuses the BPF program {program}: {why}")
            }
            Self::Privilege => write!(f, "no permission to load a scheduler into the kernel"),
            Self::OtherScheduler { name, why } => {
                write!(f, "another sched_ext scheduler is active ({name})")?;
                why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
            }
            Self::Unwanted => write!(f, "nobody wants the scheduler any more"),
            Self::TooMany { most, whose } => write!(f, "{whose} may hold {most} leases, and all are held"),
            Self::GivenUp { why } => write!(f, "the kernel has ended the scheduler too often ({why})"),
            Self::Failed(error) => write!(f, "the scheduler could not be attached: {error:#}"),
        }
    }
}

impl std::error::Error for NotReady {}

impl From<anyhow::Error> for NotReady {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// sched_ext's directory in sysfs.
#[derive(Clone, Debug)]
pub struct SchedExtDir {
    path: PathBuf,
}

impl SchedExtDir {
    /// The directory below `sysfs`, `/sys` outside of tests.
    pub fn at(sysfs: &Path) -> Self {
        Self { path: sysfs.join("kernel/sched_ext") }
    }

    /// `disabled`, `enabling`, `enabled` or `disabling`; `None` where the kernel has no sched_ext.
    pub fn state(&self) -> Option<String> {
        self.read("state")
    }

    /// Name of the attached scheduler.
    pub fn scheduler(&self) -> Option<String> {
        self.read("root/ops")
    }

    /// What the directory alone tells against attaching.
    ///
    /// # Errors
    /// No sched_ext in this kernel, or another scheduler in place.
    pub fn check(&self) -> Result<(), NotReady> {
        match self.state().as_deref() {
            None => Err(NotReady::NoSchedExt { release: kernel_release() }),
            Some("disabled") => Ok(()),
            Some(state) => {
                let name = self.scheduler().unwrap_or_else(|| format!("{state}, without a name"));
                Err(NotReady::OtherScheduler { name, why: None })
            }
        }
    }

    fn read(&self, name: &str) -> Option<String> {
        files::read_text(&self.path.join(name)).ok()
    }
}

/// Whether a scheduler that the kernel calls so is one of ours, of whatever version.
pub fn is_ours(scheduler: &str) -> bool {
    scheduler.starts_with("gamer")
}

/// Release of the running kernel, as `uname -r` prints it.
pub fn kernel_release() -> String {
    nix::sys::utsname::uname()
        .map_or_else(|_| "unknown".to_owned(), |name| name.release().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn sysfs(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().expect("temporary directory");
        for (name, text) in files {
            let path = root.path().join("kernel/sched_ext").join(name);
            fs::create_dir_all(path.parent().expect("file in a directory")).expect("create directory");
            fs::write(path, text).expect("write");
        }
        root
    }

    #[test]
    fn texts_and_ring_name_the_oldest_tested_kernel() {
        let (major, minor) = OLDEST_KERNEL;
        for (file, text, names_it) in [
            (
                "README.md",
                include_str!("../../README.md"),
                format!("- Linux {major}.{minor}, the oldest tested kernel,"),
            ),
            ("README.md", include_str!("../../README.md"), format!("| boot a kernel of {major}.{minor} or later with")),
            (
                "control.in",
                include_str!("../../packaging/debian/control.in"),
                format!("Needs Linux {major}.{minor} or"),
            ),
            (
                "kernel.sh",
                include_str!("../../tests/vm/lib/kernel.sh"),
                format!("_OLDEST_VERSION:-{major}.{minor}.*}}"),
            ),
            ("testing.md", include_str!("../../docs/testing.md"), format!("| `oldest` | {major}.{minor}.* |")),
        ] {
            assert!(text.contains(&names_it), "{file} does not contain {names_it:?}");
        }
    }

    #[test]
    fn refused_program_is_named_with_the_verdict() {
        let refused = NotReady::Refused {
            release: "6.16.12".to_owned(),
            program: "gamer_init".to_owned(),
            why: "expected an RCU CS".to_owned(),
        };
        assert_eq!(refused.to_string(), "this kernel (6.16.12) refuses the BPF program gamer_init: expected an RCU CS");
        assert!(refused.hint().is_some_and(|hint| hint.contains("scx_gamer -v")));
        assert_eq!(refused.kind(), ErrorKind::Attach);
    }

    #[test]
    fn a_kernel_without_the_directory_has_no_sched_ext() {
        let root = sysfs(&[]);
        assert!(matches!(SchedExtDir::at(root.path()).check(), Err(NotReady::NoSchedExt { .. })));
    }

    #[test]
    fn a_scheduler_in_place_is_named() {
        let root = sysfs(&[("state", "enabled\n"), ("root/ops", "lavd_1.1.4\n")]);
        let Err(NotReady::OtherScheduler { name, .. }) = SchedExtDir::at(root.path()).check() else {
            panic!("the other scheduler was not seen");
        };
        assert_eq!(name, "lavd_1.1.4");
    }

    #[test]
    fn a_disabled_sched_ext_is_ready() {
        let root = sysfs(&[("state", "disabled\n")]);
        assert!(SchedExtDir::at(root.path()).check().is_ok());
    }
}
