//! A directory that looks like `/proc`, for tests.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::game::proc::ProcFs;
use crate::game::tree::Identity;

/// Who gets this PID here.
pub fn born(pid: i32) -> Identity {
    Identity { pid, start_ticks: 1000 + pid as u64 }
}

/// Processes as files.
pub struct FakeProc(TempDir);

impl FakeProc {
    /// Nobody lives.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("temporary directory"))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The directory as what it looks like.
    pub fn fs(&self) -> ProcFs {
        ProcFs::at(self.path())
    }

    /// A process whose environment can't be read.
    pub fn process(self, pid: i32, parent_pid: i32, comm: &[u8], cmdline: &[u8]) -> Self {
        self.write(pid, parent_pid, comm, cmdline, 0);
        self
    }

    /// A process with this environment, which lies there.
    pub fn marked(&self, pid: i32, parent_pid: i32, environ_at: u64, environ: &str) {
        self.write(pid, parent_pid, b"sleep", b"", environ_at);
        fs::write(self.path().join(format!("{pid}/environ")), environ).expect("environ");
    }

    fn write(&self, pid: i32, parent_pid: i32, comm: &[u8], cmdline: &[u8], environ_at: u64) {
        let directory = self.path().join(pid.to_string());
        fs::create_dir_all(&directory).expect("process directory");
        let mut stat = format!("{pid} (").into_bytes();
        stat.extend_from_slice(comm);
        stat.extend_from_slice(
            format!(
                ") S {parent_pid} 1 1 0 -1 0 0 0 0 0 30 20 0 0 20 0 7 0 {} 4096 25 18446744073709551615 \
                 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 {environ_at} {environ_at} 0\n",
                born(pid).start_ticks
            )
            .as_bytes(),
        );
        fs::write(directory.join("stat"), stat).expect("stat");
        fs::write(directory.join("cmdline"), cmdline).expect("cmdline");
    }
}
