//! Under `--wait-family`: a process whose parent has ended becomes our child, so that it is neither lost nor, once it has
//! ended, left behind.
//!
//! Only there: it changes which parent a detached program sees, and obliges us to reap.

use std::io;

use nix::sys::wait::WaitPidFlag;
use nix::sys::wait::WaitStatus;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::game::proc::ProcFs;
use crate::game::tree::Identity;

/// Makes orphans below us ours from now on.
///
/// # Errors
/// Before Linux 3.4.
pub fn adopt() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Reaps those that have ended, and tells who still lives. `own` are the children that somebody else waits for.
#[must_use]
pub fn tend(procfs: &ProcFs, own: &[i32]) -> Vec<Identity> {
    let children = procfs.children(std::process::id().cast_signed());
    let orphans = children.into_iter().filter(|pid| !own.contains(pid));
    orphans.filter(|pid| lives(*pid)).filter_map(|pid| procfs.identity(pid)).collect()
}

fn lives(pid: i32) -> bool {
    matches!(waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive))
}
