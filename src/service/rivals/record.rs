//! What was stopped for ours, on disk, so that it comes back even if we do not.

use std::fmt;
use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use nix::fcntl::Flock;
use nix::fcntl::FlockArg;
use nix::unistd::geteuid;
use procfs::process::Process;
use serde::Deserialize;
use serde::Serialize;
use tempfile::Builder;

use crate::files;

const FILE: &str = "stopped.json";

/// Where a record goes that nobody can read.
const FILE_UNREADABLE: &str = "stopped.json.unreadable";

/// A scheduler that was stopped, and how it comes back.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Stopped {
    /// scx_loader ran it.
    Loader {
        /// The kernel's name for it.
        ops: String,
        /// Its program.
        scheduler: String,
        /// scx_loader's mode.
        mode: u32,
        /// Its arguments; `None` where the mode decides.
        args: Option<Vec<String>>,
    },
    /// A service of systemd's did.
    Service {
        /// The kernel's name for it.
        ops: String,
        /// The service.
        unit: String,
    },
}

impl Stopped {
    /// The kernel's name for it.
    pub fn ops(&self) -> &str {
        match self {
            Self::Loader { ops, .. } | Self::Service { ops, .. } => ops,
        }
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loader { scheduler, args: Some(args), .. } if args.is_empty() => {
                write!(f, "{scheduler} without arguments, of scx_loader's")
            }
            Self::Loader { scheduler, args: Some(args), .. } => {
                write!(f, "{scheduler} {}, of scx_loader's", args.join(" "))
            }
            Self::Loader { scheduler, mode, args: None, .. } => {
                write!(f, "{scheduler} in mode {mode}, of scx_loader's")
            }
            Self::Service { ops, unit } => write!(f, "{ops}, of {unit}"),
        }
    }
}

/// The file's content.
#[derive(Debug, Deserialize, Serialize)]
struct Record {
    boot_id: String,
    owner: Owner,
    stopped: Stopped,
}

/// The process that stopped it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Owner {
    pid: i32,
    start_ticks: u64,
}

/// What the record says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Noted {
    /// Nothing.
    Nothing,
    /// This is ours to put back: we have stopped it, or who has is dead.
    Ours(Stopped),
    /// A process that lives has stopped something.
    Anothers(i32),
}

/// The directory of the record.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    proc_root: PathBuf,
}

impl Store {
    /// In `directory`, which need not exist; who lives is looked up below `proc_root`.
    pub fn new(directory: &Path, proc_root: &Path) -> Self {
        Self { directory: directory.to_owned(), proc_root: proc_root.to_owned() }
    }

    /// Reads the record. One of an earlier boot is removed, one that makes no sense is told and moved aside.
    pub fn read(&self) -> Noted {
        match self.read_record() {
            Ok(None) => Noted::Nothing,
            Ok(Some(record)) if self.boot_id().is_ok_and(|boot_id| boot_id != record.boot_id) => {
                log::debug!("{} was stopped before the last boot, which decides anew", record.stopped);
                self.remove();
                Noted::Nothing
            }
            Ok(Some(record)) if !self.is_us(record.owner) && self.lives(record.owner) => {
                Noted::Anothers(record.owner.pid)
            }
            Ok(Some(record)) => Noted::Ours(record.stopped),
            Err(why) => {
                log::warn!("what an earlier scx_gamer had stopped can't be told: {why:#}");
                let aside = fs::rename(self.path(), self.directory.join(FILE_UNREADABLE));
                aside.unwrap_or_else(|error| log::debug!("move it aside: {error}"));
                Noted::Nothing
            }
        }
    }

    /// Notes what is about to be stopped, and returns when that is on disk.
    ///
    /// # Errors
    /// It could not be written, or another scx_gamer has noted something.
    pub fn write(&self, stopped: &Stopped) -> Result<()> {
        let directory = &self.directory;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .and_then(|()| fs::set_permissions(directory, Permissions::from_mode(0o700)))
            .with_context(|| format!("make the directory {}", directory.display()))?;
        let handle = File::open(directory).with_context(|| format!("open {}", directory.display()))?;
        let lock = Flock::lock(handle, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno);
        let lock = lock.with_context(|| format!("lock {}", directory.display()))?;
        if let Noted::Anothers(pid) = self.read() {
            bail!("another scx_gamer (process {pid}) has stopped a scheduler already");
        }
        let record = Record { boot_id: self.boot_id()?, owner: self.us()?, stopped: stopped.clone() };
        // Readable by its owner alone, as tempfile makes them.
        let mut file = Builder::new().prefix(FILE).tempfile_in(directory).context("make a file")?;
        file.write_all(&serde_json::to_vec(&record)?).context("write")?;
        file.as_file().sync_all().context("write through to the disk")?;
        file.persist(self.path()).with_context(|| format!("write {}", self.path().display()))?;
        lock.sync_all().context("write the directory through to the disk")
    }

    /// Forgets what was noted.
    pub fn remove(&self) {
        match fs::remove_file(self.path()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                log::warn!("can't remove {}: {error}", self.path().display());
            }
            _ => {}
        }
    }

    fn read_record(&self) -> Result<Option<Record>> {
        let path = self.path();
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            // A player's own scx_gamer may not look: there is nothing that it could put back.
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error).with_context(|| format!("look at {}", path.display())),
        };
        let is_private = metadata.is_file() && metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o077 == 0;
        ensure!(is_private, "{} is not a file of ours alone", path.display());
        let text = files::read_text(&path).with_context(|| format!("read {}", path.display()))?;
        let record: Record = serde_json::from_str(&text).with_context(|| format!("understand {}", path.display()))?;
        Ok(Some(record))
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    fn boot_id(&self) -> Result<String> {
        files::read_text(&self.proc_root.join("sys/kernel/random/boot_id")).context("read the boot's id")
    }

    fn us(&self) -> Result<Owner> {
        self.owner("self").context("read our own time of birth")
    }

    fn is_us(&self, owner: Owner) -> bool {
        self.us().is_ok_and(|us| us == owner)
    }

    fn lives(&self, owner: Owner) -> bool {
        self.owner(&owner.pid.to_string()).is_some_and(|now| now == owner)
    }

    /// The process below `name`; `None` when it has ended, reaped or not.
    fn owner(&self, name: &str) -> Option<Owner> {
        let process = Process::new_with_root(self.proc_root.join(name)).ok()?;
        let stat = process.stat().ok().filter(|stat| !matches!(stat.state, 'Z' | 'X'))?;
        Some(Owner { pid: stat.pid, start_ticks: stat.starttime })
    }
}

#[cfg(test)]
mod tests;
