//! When to look again, and a pidfd for what was chosen.
//!
//! While nothing is pinned we look often at first and ever less; a stable game is looked at every 5 s, and its exit
//! wakes us through its pidfd. What the kernel tells of the family brings a look forward. All looks are within a budget:
//! short programs could be pinned one after another, and looked for as often.

use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::time::ClockId;

use crate::game::budget::Budget;
use crate::game::lineage::Search;
use crate::game::names::ExePattern;
use crate::game::proc::ProcFs;
use crate::game::score::Choice;
use crate::game::score::choose;
use crate::game::score::has_only_helpers;
use crate::game::tree::Family;
use crate::game::tree::Identity;

const SEARCH_FIRST: Duration = Duration::from_millis(50);
const SEARCH_LAST: Duration = Duration::from_secs(2);
const STABLE_FIRST: Duration = Duration::from_secs(1);
const STABLE_LAST: Duration = Duration::from_secs(5);
/// A stable game is not looked at more often than this, whatever its family does: a challenger has to prove itself for
/// seconds anyway.
const DISTURBED: Duration = Duration::from_millis(500);
const CHALLENGED: Duration = Duration::from_millis(500);

/// How the game is found.
#[derive(Clone, Debug)]
pub enum Finder {
    /// By looking at the family.
    Family,
    /// Among the family, who matches.
    Matching(ExePattern),
    /// This process and no other.
    Process(i32),
    /// Nobody is pinned.
    Nobody,
}

/// What a look changed.
#[derive(Debug, Eq, PartialEq)]
pub enum Change {
    /// This is the game now; its pidfd is [`Watch::pinned`].
    Pinned {
        /// TGID in our PID namespace.
        pid: i32,
        /// A name for the player.
        name: String,
    },
    /// Nothing is.
    Unpinned,
}

/// The search for the game, over time.
#[derive(Debug)]
pub struct Watch {
    procfs: ProcFs,
    finder: Finder,
    family: Family,
    choice: Choice,
    pinned: Option<(Identity, OwnedFd)>,
    has_only_helpers: bool,
    budget: Budget,
    looked_at: Duration,
    pause: Duration,
    next_look: Option<Duration>,
}

impl Watch {
    /// Begins with a look.
    #[must_use]
    pub fn new(procfs: ProcFs, finder: Finder, search: Search) -> Self {
        let next_look = if matches!(finder, Finder::Nobody) { None } else { Some(Duration::ZERO) };
        Self {
            procfs,
            finder,
            family: Family::new(search),
            choice: Choice::default(),
            pinned: None,
            has_only_helpers: false,
            budget: Budget::default(),
            looked_at: Duration::ZERO,
            pause: Duration::ZERO,
            next_look,
        }
    }

    /// When to call [`Watch::look`] next; `None` if never.
    #[must_use]
    pub fn next_look(&self) -> Option<Duration> {
        self.next_look
    }

    /// When the last look began.
    #[must_use]
    pub fn looked_at(&self) -> Duration {
        self.looked_at
    }

    /// All that the last look has found are helpers without a window. Whom the player has named is none.
    #[must_use]
    pub fn has_only_helpers(&self) -> bool {
        self.has_only_helpers
    }

    /// The game's pidfd: readable when it has ended.
    #[must_use]
    pub fn pinned(&self) -> Option<BorrowedFd<'_>> {
        self.pinned.as_ref().map(|(_, pidfd)| pidfd.as_fd())
    }

    /// Its TGID in our PID namespace.
    #[must_use]
    pub fn pinned_pid(&self) -> Option<i32> {
        self.pinned.as_ref().map(|(id, _)| id.pid)
    }

    /// Looks if it is time to, which the end of the pinned game brings forward. `now` is the time since the game was spawned.
    ///
    /// # Errors
    /// When the process directory can't be read; the search goes on at the next look.
    pub fn look(&mut self, now: Duration) -> io::Result<Option<Change>> {
        let before = self.pinned.as_ref().map(|(id, _)| *id);
        if self.pinned().is_some_and(has_ended) {
            self.pinned = None;
            self.pause = Duration::ZERO;
            self.next_look = self.next_look.map(|_| self.budget.next_look(now));
        }
        let is_time = self.next_look.is_some_and(|at| at <= now);
        let name = if is_time { self.find_and_pay(now, before)? } else { None };
        let after = self.pinned.as_ref().map(|(id, _)| *id);
        Ok(match after {
            _ if after == before => None,
            Some(id) => Some(Change::Pinned { pid: id.pid, name: name.unwrap_or_default() }),
            None => Some(Change::Unpinned),
        })
    }

    /// Looks, and says when to look next.
    fn find_and_pay(&mut self, now: Duration, before: Option<Identity>) -> io::Result<Option<String>> {
        let began = thread_cpu_time();
        let found = self.find(now);
        let cost = thread_cpu_time().saturating_sub(began);
        self.budget.spend(cost, now + cost);
        self.looked_at = now;
        self.next_look = match self.finder {
            Finder::Process(_) | Finder::Nobody => None,
            Finder::Family | Finder::Matching(_) => {
                self.pause = pause_after(&self.choice, before, self.pause);
                Some(self.budget.next_look(now + self.pause))
            }
        };
        found
    }

    /// Processes have joined the family or have become other programs; those `members` among them are known to the kernel.
    /// Brings the next look forward.
    pub fn family_changed(&mut self, now: Duration, members: &[Identity]) {
        self.family.remember(members.iter().copied());
        let soonest = match self.pinned {
            Some(_) => now.max(self.looked_at + DISTURBED),
            None => now,
        };
        self.next_look = self.next_look.map(|at| at.min(self.budget.next_look(soonest)));
    }

    /// Members of the family that the kernel part has to be told of, see [`Family::outsiders`].
    #[must_use]
    pub fn outsiders(&self) -> &[Identity] {
        self.family.outsiders()
    }

    /// Brings [`Watch::pinned`] up to date and names it.
    fn find(&mut self, now: Duration) -> io::Result<Option<String>> {
        let wanted = match &self.finder {
            Finder::Nobody => return Ok(None),
            Finder::Process(pid) => {
                // Once: when the named process has ended, its PID is anybody's.
                let first = self.choice.pinned.is_none();
                let id = self.procfs.identity(*pid).filter(|_| first);
                let name = id.and_then(|id| self.procfs.comm(id.pid));
                self.choice.pinned = id.or(self.choice.pinned);
                self.pin(id);
                return Ok(name);
            }
            Finder::Matching(pattern) => Some(pattern),
            Finder::Family => None,
        };
        let snapshot = self.family.look(&self.procfs, now)?;
        self.has_only_helpers = wanted.is_none() && has_only_helpers(&snapshot);
        self.choice = choose(&snapshot, &self.choice, wanted, now);
        self.pin(self.choice.pinned);
        // Gone between the look and the pin: forget it, so that the next look is a search.
        self.choice.pinned = self.pinned.as_ref().map(|(id, _)| *id);
        Ok(self.choice.pinned.and_then(|id| snapshot.find(id)).map(|process| process.name(&self.procfs)))
    }

    fn pin(&mut self, id: Option<Identity>) {
        if self.pinned.as_ref().map(|(pinned, _)| *pinned) != id {
            self.pinned = id.and_then(|id| Some((id, open_pidfd(&self.procfs, id).ok()?)));
        }
    }
}

/// CPU time of this thread: waiting for a CPU beside a game that starts takes nothing from anybody, and must not put the
/// next look off.
fn thread_cpu_time() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().map(Duration::from).unwrap_or_default()
}

/// How long to wait after a look that ended in `choice`, when `before` was pinned and the last wait was `pause`.
fn pause_after(choice: &Choice, before: Option<Identity>, pause: Duration) -> Duration {
    let (first, last) = match choice {
        Choice { challenger: Some(_), .. } => (CHALLENGED, CHALLENGED),
        Choice { pinned: Some(_), .. } => (STABLE_FIRST, STABLE_LAST),
        Choice { pinned: None, .. } => (SEARCH_FIRST, SEARCH_LAST),
    };
    if choice.pinned == before { (pause * 2).clamp(first, last) } else { first }
}

/// Opens a pidfd of exactly this process, not of one that got its PID since.
///
/// # Errors
/// ESRCH when that one has gone, and as [`pidfd_open`].
pub fn open_pidfd(procfs: &ProcFs, id: Identity) -> io::Result<OwnedFd> {
    let pidfd = pidfd_open(id.pid)?;
    if procfs.identity(id.pid) != Some(id) {
        return Err(Errno::ESRCH.into());
    }
    Ok(pidfd)
}

/// Opens a close-on-exec descriptor of the process `pid`: readable when it has ended.
///
/// # Errors
/// ESRCH when there is none, ENOSYS before Linux 5.3, EMFILE.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let raw = Errno::result(raw)?;
    // SAFETY: the kernel has just made this descriptor for us, and descriptors fit an int.
    Ok(unsafe { OwnedFd::from_raw_fd(raw as i32) })
}

/// Whether the process behind `pidfd` has ended.
#[must_use]
pub fn has_ended(pidfd: BorrowedFd) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::game::lineage::Root;
    use crate::game::marks::Marks;
    use std::ffi::OsStr;
    use std::process::Child;
    use std::process::Command;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().expect("spawn sleep")
    }

    fn end(mut child: Child) {
        child.kill().expect("kill");
        child.wait().expect("wait");
    }

    fn watch(finder: Finder) -> Watch {
        let own = ProcFs::at("/proc").identity(std::process::id() as i32).expect("ourselves");
        let root = Root::Game(own);
        Watch::new(ProcFs::at("/proc"), finder, Search { root, marks: Marks::default(), since_ticks: 0 })
    }

    #[test]
    fn a_search_backs_off_and_a_stable_game_is_left_alone() {
        let mut pause = Duration::ZERO;
        let searching: Vec<u128> = (0..8)
            .map(|_| {
                pause = pause_after(&Choice::default(), None, pause);
                pause.as_millis()
            })
            .collect();
        assert_eq!(searching, [50, 100, 200, 400, 800, 1600, 2000, 2000]);

        let id = Some(Identity { pid: 7, start_ticks: 1 });
        let stable = Choice { pinned: id, ..Choice::default() };
        assert_eq!(pause_after(&stable, None, at(2000)), STABLE_FIRST);
        assert_eq!(pause_after(&stable, id, at(4000)), STABLE_LAST);
        let challenged = Choice { challenger: Some((Identity { pid: 8, start_ticks: 2 }, at(0))), ..stable };
        assert_eq!(pause_after(&challenged, id, at(5000)), CHALLENGED);
    }

    #[test]
    fn a_named_process_is_pinned_once_and_never_searched_again() {
        let child = sleeper();
        let mut watch = watch(Finder::Process(child.id() as i32));
        let change = watch.look(at(0)).expect("look");
        assert!(matches!(change, Some(Change::Pinned { pid, .. }) if pid == child.id() as i32), "{change:?}");
        assert_eq!(watch.next_look(), None);
        end(child);
        assert_eq!(watch.look(at(1)).expect("look"), Some(Change::Unpinned));
        assert_eq!(watch.look(at(2)).expect("look"), None);
        assert!(watch.pinned().is_none());
    }

    #[test]
    fn a_pinned_game_that_ends_is_replaced_at_once() {
        // A name of its own keeps the children of other tests out.
        let directory = tempfile::tempdir().expect("temporary directory");
        let program = directory.path().join("unique-game");
        std::os::unix::fs::symlink("/bin/sleep", &program).expect("link to sleep");
        let pattern = ExePattern::parse(OsStr::new("unique-game")).expect("pattern");
        let spawn = || Command::new(&program).arg("60").spawn().expect("spawn");
        let (first, second) = (spawn(), spawn());
        let mut watch = watch(Finder::Matching(pattern));

        let (first_pid, second_pid) = (first.id() as i32, second.id() as i32);
        let pinned = |change| match change {
            Some(Change::Pinned { pid, name }) => (pid, name),
            other => panic!("{other:?}"),
        };
        let before = pinned(watch.look(at(0)).expect("look"));
        let (ends, stays) = if before.0 == first_pid { (first, second) } else { (second, first) };
        assert_eq!(watch.look(at(1)).expect("too early"), None);
        end(ends);
        watch.budget = Budget::default(); // however slow the machine was
        let after = pinned(watch.look(at(2)).expect("look"));
        assert_eq!(after, (if before.0 == first_pid { second_pid } else { first_pid }, "unique-game".to_owned()));
        end(stays);
        watch.budget = Budget::default();
        assert_eq!(watch.look(at(3)).expect("look"), Some(Change::Unpinned));
    }

    #[test]
    fn an_end_is_told_at_once_but_a_look_for_the_next_waits_for_its_budget() {
        let mut watch = watch(Finder::Family);
        watch.budget.spend(at(500), at(0));
        let (soonest, child) = (watch.budget.next_look(at(0)), sleeper());
        let id = ProcFs::at("/proc").identity(child.id() as i32).expect("the child");
        watch.pin(Some(id));
        watch.next_look = Some(soonest);
        end(child);
        assert_eq!(watch.look(at(1)).expect("no look"), Some(Change::Unpinned));
        assert!(watch.pinned().is_none(), "a descriptor that stays readable would keep us awake");
        assert_eq!(watch.next_look(), Some(soonest));
        assert_eq!(watch.looked_at, Duration::ZERO);
    }

    #[test]
    fn no_look_begins_before_the_ones_so_far_are_paid_for() {
        let mut watch = watch(Finder::Matching(ExePattern::parse(OsStr::new("no-such-game")).expect("pattern")));
        watch.budget.spend(at(500), at(0));
        assert_eq!(watch.look(at(1)).expect("look"), None);
        assert!(watch.next_look() >= Some(at(9000)), "{:?}", watch.next_look());
    }

    #[test]
    fn nobody_is_ever_pinned_when_told_so() {
        let mut watch = watch(Finder::Nobody);
        assert_eq!(watch.next_look(), None);
        assert_eq!(watch.look(at(10_000)).expect("look"), None);
    }
}
