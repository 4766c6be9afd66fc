//! Who holds leases, what each one's family and game are, and how they come from an old scheduler to a new one.

use std::path::Path;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use procfs::process::Process;
use procfs::process::all_processes_with_root;

use super::peer::Peer;
use crate::kernel::NotReady;
use crate::sched::LEASES_MAX;
use crate::sched::LeaseId;
use crate::sched::Scheduler;
use crate::session::protocol::LeaseStatus;

/// Most leases of one user: more games at once nobody plays, and there have to be some left for others.
const LEASES_OF_USER_MAX: usize = 4;

/// Root of a family whose first process has gone; a TGID that no process has, nor the kernel's own, which are 0.
const NOBODYS_TGID: i32 = -1;

/// What a holder shows; never given twice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ticket(pub u32);

/// A process for good: a PID is used again, one with its start time is not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Kin {
    tgid: i32,
    start_ticks: u64,
}

/// Somebody who holds a lease.
struct Holder {
    ticket: Ticket,
    peer: Peer,
    /// The process of `peer` for good. The family outlives it where a child has kept the connection.
    root: Option<Kin>,
    since_boot_ns: u64,
    since: SystemTime,
    /// In the scheduler that is attached.
    lease: LeaseId,
    foreground: Option<Kin>,
    /// Members of the family when the last scheduler ended; parent links no longer lead to all of them.
    kin: Vec<Kin>,
}

/// Everybody who holds a lease.
#[derive(Default)]
pub struct Holders {
    all: Vec<Holder>,
    nr_tickets_ever: u32,
}

impl Holders {
    /// Whether nobody does.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether one more lease may be held by `uid`.
    ///
    /// # Errors
    /// It may not.
    pub fn check_room(&self, uid: u32) -> Result<(), NotReady> {
        let of_user = self.all.iter().filter(|holder| holder.peer.uid == uid).count();
        match (self.all.len(), of_user) {
            (LEASES_MAX.., _) => Err(NotReady::TooMany { most: LEASES_MAX, whose: "this machine's users" }),
            (_, LEASES_OF_USER_MAX..) => Err(NotReady::TooMany { most: LEASES_OF_USER_MAX, whose: "one user" }),
            _ => Ok(()),
        }
    }

    /// Begins a lease for `peer`.
    ///
    /// # Errors
    /// The kernel part refuses.
    pub fn begin(
        &mut self,
        scheduler: &mut Scheduler,
        peer: Peer,
        since_boot_ns: u64,
        proc_root: &Path,
    ) -> anyhow::Result<Ticket> {
        let lease = scheduler.begin_lease(peer.tgid, since_boot_ns)?;
        self.nr_tickets_ever += 1;
        let ticket = Ticket(self.nr_tickets_ever);
        let (root, since) = (kin_of(peer.tgid, proc_root), SystemTime::now());
        self.all.push(Holder { ticket, peer, root, since_boot_ns, since, lease, foreground: None, kin: Vec::new() });
        Ok(ticket)
    }

    /// Ends a lease.
    pub fn end(&mut self, ticket: Ticket, scheduler: Option<&mut Scheduler>) {
        let Some(index) = self.all.iter().position(|holder| holder.ticket == ticket) else { return };
        let holder = self.all.remove(index);
        if let Some(scheduler) = scheduler {
            scheduler.end_lease(holder.lease);
        }
    }

    /// Pins the game of a lease, or un-pins it.
    pub fn set_foreground(&mut self, scheduler: &mut Scheduler, ticket: Ticket, tgid: Option<i32>, proc_root: &Path) {
        if let Some(holder) = self.all.iter_mut().find(|holder| holder.ticket == ticket) {
            scheduler.set_foreground(holder.lease, tgid);
            holder.foreground = tgid.and_then(|tgid| kin_of(tgid, proc_root));
        }
    }

    /// Makes a process one of a lease's family.
    pub fn join(&mut self, scheduler: &mut Scheduler, ticket: Ticket, tgid: i32) {
        if let Some(holder) = self.all.iter().find(|holder| holder.ticket == ticket) {
            scheduler.join(holder.lease, tgid);
        }
    }

    /// Whose family `lease` is.
    pub fn ticket_of(&self, lease: LeaseId) -> Option<Ticket> {
        self.all.iter().find(|holder| holder.lease == lease).map(|holder| holder.ticket)
    }

    /// Every lease, as `--status` shows it.
    pub fn status(&self, proc_root: &Path) -> Vec<LeaseStatus> {
        self.all.iter().map(|holder| holder.status(proc_root)).collect()
    }

    /// Notes whom a scheduler that is about to go, or has ended, takes for whose family.
    pub fn remember(&mut self, scheduler: &Scheduler, proc_root: &Path) {
        for holder in &mut self.all {
            holder.kin.clear();
        }
        let processes = all_processes_with_root(proc_root).into_iter().flatten().flatten();
        for stat in processes.flat_map(|process| process.stat()) {
            let role = scheduler.role_of(stat.pid).ok().flatten();
            let Some(lease) = role.and_then(|role| role.lease) else { continue };
            if let Some(holder) = self.all.iter_mut().find(|holder| holder.lease == lease) {
                holder.kin.push(Kin { tgid: stat.pid, start_ticks: stat.starttime });
            }
        }
    }

    /// Begins everybody's lease anew on another scheduler.
    ///
    /// # Errors
    /// The kernel part refuses.
    pub fn resume(&mut self, scheduler: &mut Scheduler, proc_root: &Path) -> anyhow::Result<()> {
        for holder in &mut self.all {
            let lives = |kin: &Kin| kin_of(kin.tgid, proc_root) == Some(*kin);
            let root_tgid = holder.root.filter(lives).map_or(NOBODYS_TGID, |root| root.tgid);
            holder.lease = scheduler.begin_lease(root_tgid, holder.since_boot_ns)?;
            for kin in holder.kin.drain(..).filter(lives) {
                scheduler.join(holder.lease, kin.tgid);
            }
            holder.foreground = holder.foreground.filter(lives);
            if let Some(game) = holder.foreground {
                scheduler.set_foreground(holder.lease, Some(game.tgid));
            }
        }
        scheduler.watch_locks();
        Ok(())
    }
}

impl Holder {
    fn status(&self, proc_root: &Path) -> LeaseStatus {
        let comm_of = |kin: Kin| stat_of(kin.tgid, proc_root).filter(|stat| stat.starttime == kin.start_ticks);
        LeaseStatus {
            pid: self.peer.tgid,
            uid: self.peer.uid,
            foreground_tgid: self.foreground.map(|game| game.tgid),
            foreground_comm: self.foreground.and_then(comm_of).map(|stat| stat.comm),
            since: self.since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        }
    }
}

fn stat_of(tgid: i32, proc_root: &Path) -> Option<procfs::process::Stat> {
    Process::new_with_root(proc_root.join(tgid.to_string())).and_then(|process| process.stat()).ok()
}

fn kin_of(tgid: i32, proc_root: &Path) -> Option<Kin> {
    stat_of(tgid, proc_root).map(|stat| Kin { tgid, start_ticks: stat.starttime })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROC: &str = "/proc";

    fn holder(peer: Peer, foreground: Option<Kin>) -> Holder {
        let (ticket, since, lease) = (Ticket(1), SystemTime::now(), LeaseId::none());
        Holder { ticket, peer, root: None, since_boot_ns: 0, since, lease, foreground, kin: Vec::new() }
    }

    fn held_by(uids: &[u32]) -> Holders {
        let all = uids.iter().map(|&uid| holder(Peer { tgid: 1, uid }, None)).collect();
        Holders { all, nr_tickets_ever: 0 }
    }

    #[test]
    fn a_user_holds_four_leases_and_all_together_sixteen() {
        let four = held_by(&[7; 4]);
        assert!(matches!(four.check_room(7), Err(NotReady::TooMany { most: 4, .. })));
        assert!(four.check_room(8).is_ok() && held_by(&[7; 3]).check_room(7).is_ok());
        let sixteen: Vec<u32> = (0..16).map(|n| n / 4).collect();
        assert!(matches!(held_by(&sixteen).check_room(99), Err(NotReady::TooMany { most: 16, .. })));
        assert!(held_by(&sixteen[1..]).check_room(99).is_ok());
    }

    #[test]
    fn a_lease_is_told_with_its_game_by_number_and_name() {
        let (tgid, proc_root) = (std::process::id().cast_signed(), Path::new(PROC));
        let peer = Peer { tgid, uid: 1000 };
        let status = holder(peer, kin_of(tgid, proc_root)).status(proc_root);
        assert_eq!((status.pid, status.uid, status.foreground_tgid), (tgid, 1000, Some(tgid)));
        let comm = std::fs::read_to_string("/proc/self/stat").expect("read our stat");
        assert!(status.foreground_comm.is_some_and(|name| comm.contains(&format!("({name})"))), "{comm}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after the epoch").as_secs();
        assert!((now - 60..=now).contains(&status.since), "{}", status.since);
    }

    #[test]
    fn a_game_whose_number_another_process_has_now_is_told_without_a_name() {
        let (tgid, proc_root) = (std::process::id().cast_signed(), Path::new(PROC));
        let game = kin_of(tgid, proc_root).map(|kin| Kin { start_ticks: kin.start_ticks + 1, ..kin });
        let status = holder(Peer { tgid, uid: 0 }, game).status(proc_root);
        assert_eq!((status.foreground_tgid, status.foreground_comm), (Some(tgid), None));
    }
}
