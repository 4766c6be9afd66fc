//! A mounted proc file system, asked for no more than the choice of a game needs. Processes vanish while we read and some
//! may not be read at all.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use procfs::FromRead;
use procfs::process::FDTarget;
use procfs::process::Process as ProcDirectory;
use procfs::process::Stat;

use crate::game::tree::Identity;

/// What runs a whole session, in which everything is somebody's descendant.
const SESSIONS: [&str; 2] = ["systemd", "init"];

/// A mounted proc file system.
#[derive(Clone, Debug)]
pub struct ProcFs {
    root: PathBuf,
}

impl ProcFs {
    /// The one mounted at `root`.
    #[must_use]
    pub fn at(root: impl AsRef<Path>) -> Self {
        Self { root: root.as_ref().to_path_buf() }
    }

    /// Who `pid` is now, if it exists.
    #[must_use]
    pub fn identity(&self, pid: i32) -> Option<Identity> {
        self.stat(pid).map(|stat| Identity::from(&stat))
    }

    /// Name of `pid` in the kernel, if it exists.
    #[must_use]
    pub fn comm(&self, pid: i32) -> Option<String> {
        self.stat(pid).map(|stat| stat.comm)
    }

    /// PID and name of each ancestor of `pid`, its parent first, without init and what is the same for a sandbox. Each
    /// is asked once and no sooner than it is wanted: a game waits for this.
    pub fn ancestors(&self, pid: i32) -> impl Iterator<Item = (i32, String)> + '_ {
        /// Deeper than any launcher goes; ends a walk through parents that change under us.
        const ANCESTORS_MAX: usize = 64;
        let parent = |stat: &Stat| self.stat(Some(stat.ppid).filter(|parent| *parent > 1)?);
        let first = self.stat(pid).and_then(|own| parent(&own));
        let ancestors = std::iter::successors(first, parent).take(ANCESTORS_MAX);
        ancestors.map(|stat| (stat.pid, stat.comm)).take_while(|(_, comm)| !SESSIONS.contains(&comm.as_str()))
    }

    /// PIDs of the children of `pid`; none where the kernel does not tell.
    #[must_use]
    pub fn children(&self, pid: i32) -> Vec<i32> {
        let children = self.open(pid).and_then(|process| process.task_main_thread().ok()?.children().ok());
        children.unwrap_or_default().into_iter().map(u32::cast_signed).collect()
    }

    /// User of `pid`, if it exists.
    #[must_use]
    pub fn uid(&self, pid: i32) -> Option<u32> {
        self.open(pid)?.uid().ok()
    }

    /// Environment of `pid` as its program got it, if we may read it.
    #[must_use]
    pub fn environ(&self, pid: i32) -> Option<HashMap<OsString, OsString>> {
        self.open(pid)?.environ().ok()
    }

    /// Command line of `pid`; empty for one that we may not read.
    #[must_use]
    pub fn command_line(&self, pid: i32) -> Vec<String> {
        self.open(pid).and_then(|process| process.cmdline().ok()).unwrap_or_default()
    }

    /// PIDs of all processes.
    ///
    /// # Errors
    /// When the directory itself can't be read.
    pub fn pids(&self) -> io::Result<Vec<i32>> {
        Ok(self.stats()?.into_iter().map(|stat| stat.pid).collect())
    }

    /// The state of every process.
    ///
    /// # Errors
    /// When the directory itself can't be read.
    pub(super) fn stats(&self) -> io::Result<Vec<Stat>> {
        let entries = fs::read_dir(&self.root)?;
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        Ok(pids.filter_map(|pid| self.stat(pid)).collect())
    }

    fn stat(&self, pid: i32) -> Option<Stat> {
        /// More than any has; a file of the kernel's does not tell its size, so that room for it saves questions.
        const STAT_BYTES_MAX: u64 = 4096;
        let mut bytes = Vec::with_capacity(STAT_BYTES_MAX as usize);
        let file = File::open(self.root.join(pid.to_string()).join("stat")).ok()?;
        file.take(STAT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim();
        is_framed(text).then(|| Stat::from_read(text.as_bytes()).ok())?
    }

    /// First argument of `pid`, if we may read it.
    pub(super) fn argv0(&self, pid: i32) -> Option<String> {
        const LONGEST_PATH_BYTES: u64 = 4096;
        let mut start = Vec::new();
        let file = self.open(pid)?.open_relative("cmdline").ok()?;
        file.take(LONGEST_PATH_BYTES).read_to_end(&mut start).ok()?;
        let first = start.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(first).into_owned())
    }

    /// How many DRM and NVIDIA descriptors `pid` has open.
    pub(super) fn gpu_descriptors(&self, pid: i32) -> usize {
        const LOOKED_AT_MAX: usize = 512;
        let Some(descriptors) = self.open(pid).and_then(|process| process.fd().ok()) else { return 0 };
        descriptors
            .take(LOOKED_AT_MAX)
            .filter(|descriptor| {
                descriptor.as_ref().is_ok_and(|descriptor| match &descriptor.target {
                    FDTarget::Path(path) => is_gpu(path),
                    _ => false,
                })
            })
            .count()
    }

    fn open(&self, pid: i32) -> Option<ProcDirectory> {
        ProcDirectory::new_with_root(self.root.join(pid.to_string())).ok()
    }
}

/// Whether the name's brackets stand where the parser of the procfs crate takes them for granted: else it panics.
fn is_framed(stat: &str) -> bool {
    let (Some(start), Some(end)) = (stat.find('('), stat.rfind(')')) else { return false };
    start < end && stat[..start].ends_with(' ') && stat[end + 1..].starts_with(' ')
}

fn is_gpu(path: &Path) -> bool {
    let path = path.to_string_lossy();
    path.contains("/dev/dri/") || path.contains("/dev/nvidia")
}
