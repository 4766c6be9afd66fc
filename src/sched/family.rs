//! Leases: whose families the kernel part knows (`bpf/family.bpf.c`), and what it tells of them (`bpf/news.bpf.c`).

use std::os::fd::BorrowedFd;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;
use libbpf_rs::RingBuffer;
use libbpf_rs::RingBufferBuilder;

use super::LEASES_MAX;
use super::LeaseId;
use super::Scheduler;
use super::futex;
use super::publish;
use super::run_syscall;
use super::skel::BpfSkel;
use super::skel::intf;

/// A process of a game's family that was just born, or has just become another program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Member {
    /// Whose family.
    pub lease: LeaseId,
    /// TGID in the initial PID namespace.
    pub tgid: i32,
    /// When it was born, since the machine's boot (CLOCK_BOOTTIME).
    pub born: Duration,
}

/// What the kernel part has told and nobody has taken yet.
pub struct News {
    ring: RingBuffer<'static>,
    told: mpsc::Receiver<Member>,
}

impl News {
    /// Starts to listen.
    ///
    /// # Errors
    /// The process is out of descriptors or memory.
    pub fn watch(skel: &BpfSkel<'_>) -> anyhow::Result<Self> {
        let (sender, told) = mpsc::channel();
        let mut builder = RingBufferBuilder::new();
        let hear = move |message: &[u8]| {
            // A receiver that has gone takes the ring with it.
            let _ = read(message).map(|member| sender.send(member));
            0
        };
        builder.add(&skel.maps.family_news, hear).context("listen for the game's processes")?;
        Ok(Self { ring: builder.build().context("listen for the game's processes")?, told })
    }

    /// Readable when there is something to take.
    pub fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring buffer's epoll descriptor stays open for its life, which the borrow of self bounds.
        unsafe { BorrowedFd::borrow_raw(self.ring.epoll_fd()) }
    }

    /// Everything told since the last time, eldest first.
    pub fn take(&self) -> Vec<Member> {
        if let Err(why) = self.ring.consume() {
            log::debug!("the game's processes can't be heard: {why}");
        }
        self.told.try_iter().collect()
    }
}

impl Scheduler {
    /// Makes the process `root_tgid` (initial PID namespace) a game's family, with all its descendants that were born
    /// after `since_boot_ns` (CLOCK_BOOTTIME) or are yet to be.
    ///
    /// # Errors
    /// All leases are taken, or the kernel refuses to run the marking program.
    pub fn begin_lease(&mut self, root_tgid: i32, since_boot_ns: u64) -> anyhow::Result<LeaseId> {
        let slots = LEASES_MAX as u32;
        let leases = &mut self.bss().leases;
        let slot = leases.iter().position(|lease| lease.id == 0).context("all leases are taken")?;
        // Never twice the same id, and the slot is its remainder; ids start above 0, which means none.
        self.nr_leases_ever += 1;
        let id = LeaseId(self.nr_leases_ever * slots + slot as u32);
        let lease = &mut self.bss().leases[slot];
        lease.root_tgid = root_tgid;
        lease.foreground_tgid = 0;
        publish(&mut lease.id, id.0);
        self.leases_changed(1);
        if let Err(error) = self.mark(id, root_tgid, since_boot_ns, false) {
            self.end_lease(id);
            return Err(error);
        }
        Ok(id)
    }

    /// Makes a process that lives already one of a lease's family, with its descendants; if `is_join`, with those that
    /// are in nobody's.
    fn mark(&self, id: LeaseId, root_tgid: i32, since_boot_ns: u64, is_join: bool) -> anyhow::Result<()> {
        let is_join = is_join.into();
        let mut begin = intf::gr_begin_lease { since_boot_ns, id: id.0, root_tgid, nr_marked: 0, is_join };
        run_syscall(&self.skel.progs.begin_lease, &mut begin).context("mark the game's processes")?;
        log::debug!("lease {}: {} tasks of TGID {root_tgid} and below belong to it", id.0, begin.nr_marked);
        Ok(())
    }

    /// Ends a lease: its family is nobody in particular from now on.
    pub fn end_lease(&mut self, id: LeaseId) {
        if self.bss().leases[id.slot()].id == id.0 {
            self.set_foreground(id, None);
            publish(&mut self.bss().leases[id.slot()].id, 0);
            self.leases_changed(-1);
        }
    }

    /// Makes a process that is in nobody's family one of this lease's, with those of its descendants that are in
    /// nobody's either.
    pub fn join(&mut self, id: LeaseId, tgid: i32) {
        let is_free = self.role_of(tgid).is_ok_and(|role| role.is_some_and(|role| role.lease.is_none()));
        if !is_free {
            return;
        }
        match self.mark(id, tgid, 0, true) {
            Ok(()) => self.leases_changed(0),
            Err(why) => log::warn!("process {tgid} is in nobody's family: {why:#}"),
        }
    }

    /// Pins the game of a lease, or un-pins it. One that belongs to nobody's family joins this one with its descendants:
    /// newer Steam clients start games from another process.
    pub fn set_foreground(&mut self, id: LeaseId, tgid: Option<i32>) {
        if let Some(tgid) = tgid {
            self.join(id, tgid);
        }
        let bss = self.bss();
        publish(&mut bss.leases[id.slot()].foreground_tgid, tgid.unwrap_or(0));
        bss.nr_pinned = bss.leases.iter().filter(|lease| lease.id != 0 && lease.foreground_tgid != 0).count() as u32;
        self.leases_changed(0);
    }

    /// Attaches what tells of locks that a game waits for, or takes it off, as there is a game or none. Takes tens of
    /// milliseconds: a game is pinned before, and whoever asked for that need not wait for this.
    pub fn watch_locks(&mut self) {
        let has_game = self.bss().nr_pinned > 0;
        if has_game != self.futex_watch.is_some() {
            self.futex_watch = has_game.then(|| futex::Watch::attach(&self.skel)).and_then(|watch| {
                watch.inspect_err(|why| log::warn!("{why:#}; a lock that the game waits for is not boosted")).ok()
            });
        }
    }

    /// Becomes readable when a process has joined a game's family or has become another program.
    pub fn family_fd(&self) -> BorrowedFd<'_> {
        self.family_news.fd()
    }

    /// Who has, since the last time that somebody asked.
    pub fn take_family_news(&self) -> Vec<Member> {
        self.family_news.take()
    }

    /// Makes every task look at its class again. Comes after the change that it announces.
    fn leases_changed(&mut self, by: i32) {
        let bss = self.bss();
        bss.nr_leases = bss.nr_leases.wrapping_add_signed(by);
        let next = bss.class_epoch.wrapping_add(1).max(1);
        publish(&mut bss.class_epoch, next);
    }
}

fn read(message: &[u8]) -> Option<Member> {
    let message = message.get(..size_of::<intf::gr_member>())?;
    // SAFETY: as long as the type, which is plain integers (asserted in bpf/intf.h); read_unaligned needs no alignment.
    let raw = unsafe { message.as_ptr().cast::<intf::gr_member>().read_unaligned() };
    Some(Member { lease: LeaseId(raw.lease_id), tgid: raw.tgid, born: Duration::from_nanos(raw.born_ns) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_too_short_is_none() {
        let message = [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];
        let member = Member { lease: LeaseId(2), tgid: 3, born: Duration::from_nanos(1) };
        assert_eq!(read(&message), Some(member));
        assert_eq!(read(&message[..15]), None);
    }
}
