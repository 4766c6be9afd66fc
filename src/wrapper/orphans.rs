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

/// Our children beside the game and scx_gamer.
#[derive(Debug)]
pub struct Orphans {
    /// Who was there before the game.
    strangers: Vec<Identity>,
    /// Who was told of.
    told: Vec<Identity>,
}

impl Orphans {
    /// Makes orphans below us ours from now on. Who is our child already is no orphan of the game's: a script may have
    /// started other programs before it became us (`discord & exec scx-gamer-run ...`).
    ///
    /// Limit: what such a program itself orphans later can't be told from the game's.
    ///
    /// # Errors
    /// Before Linux 3.4.
    pub fn adopt(procfs: &ProcFs) -> io::Result<Self> {
        nix::sys::prctl::set_child_subreaper(true)?;
        Ok(Self { strangers: identities(procfs, children(procfs)).collect(), told: Vec::new() })
    }

    /// Reaps those that have ended, and tells who lives if there are new ones. `own` are the children that somebody else
    /// waits for.
    #[must_use]
    pub fn tend(&mut self, procfs: &ProcFs, own: &[i32]) -> Option<&[Identity]> {
        let living = children(procfs).into_iter().filter(|pid| !own.contains(pid)).filter(|pid| lives(*pid));
        let orphans: Vec<Identity> = identities(procfs, living).filter(|id| !self.strangers.contains(id)).collect();
        let has_new = orphans.iter().any(|orphan| !self.told.contains(orphan));
        self.told = orphans;
        has_new.then_some(&self.told)
    }
}

fn children(procfs: &ProcFs) -> Vec<i32> {
    procfs.children(std::process::id().cast_signed())
}

fn identities(procfs: &ProcFs, pids: impl IntoIterator<Item = i32>) -> impl Iterator<Item = Identity> {
    pids.into_iter().filter_map(|pid| procfs.identity(pid))
}

fn lives(pid: i32) -> bool {
    matches!(waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive))
}
