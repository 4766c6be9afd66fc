//! From the spawn to the game's end: pass signals on, tell the news, keep the foreground right.

use std::collections::HashMap;
use std::collections::HashSet;
use std::mem;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::game::proc::ProcFs;
use crate::game::tree::Identity;
use crate::game::watch::Change;
use crate::game::watch::Finder;
use crate::game::watch::Watch;
use crate::game::watch::has_ended;
use crate::game::watch::open_pidfd;
use crate::wrapper::child::Game;
use crate::wrapper::cli::Options;
use crate::wrapper::lease::Lease;
use crate::wrapper::news::News;
use crate::wrapper::news::tell;
use crate::wrapper::orphans::Orphans;
use crate::wrapper::patience::Looks;
use crate::wrapper::patience::Patience;
use crate::wrapper::patience::Pinned;
use crate::wrapper::report::Ended;
use crate::wrapper::report::Message;
use crate::wrapper::report::Report;
use crate::wrapper::signals;
use crate::wrapper::signals::Signals;

/// How often we look whether the game has ended when no descriptor tells us.
const POLLED_EVERY: Duration = Duration::from_millis(200);

/// How long a game that `--exe` names may take to appear before we say that it is missing.
const MATCH_PATIENCE: Duration = Duration::from_secs(30);

/// Why a lease without a command was given back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Released {
    /// Somebody asked for it.
    Told(Signal),
    /// The game that was found has ended, and no other has followed.
    GameEnded,
    /// Whoever started us has ended.
    LauncherEnded,
    /// No game has appeared.
    NoGame,
}

/// Waits for the game and passes signals on, with nothing else that could fail.
pub fn wait_only(game: &mut Game, signals: Option<&Signals>, report: &Report) -> Ended {
    loop {
        if let Some(ended) = game.ended() {
            return ended;
        }
        sleep_until_something(&[game.pidfd(), signals.map(AsFd::as_fd)], Some(POLLED_EVERY));
        pass_signals_on(game, signals, report);
    }
}

/// What is followed beside the game itself.
pub struct Follow<'a> {
    finder: &'a Finder,
    /// The end of the first process is not the end.
    waits_for_family: bool,
    lease: &'a mut Lease,
    watch: Watch,
    report: &'a Report,
    started: Instant,
    patience: Patience,
    procfs: ProcFs,
    orphans: Option<Orphans>,
    /// Members that the scheduler was told of because it could not know them.
    joined: HashSet<Identity>,
    /// Names of the processes that were pinned, for the confirmation.
    names: HashMap<i32, String>,
    /// The scheduler has not been told of the last change.
    is_foreground_due: bool,
    /// The last report to the player named a foreground process.
    is_foreground_reported: bool,
    was_ever_pinned: bool,
    is_missing_told: bool,
    is_blindness_told: bool,
}

impl<'a> Follow<'a> {
    /// Begins at the spawn.
    pub fn new(
        options: &'a Options,
        procfs: ProcFs,
        lease: &'a mut Lease,
        watch: Watch,
        report: &'a Report,
        started: Instant,
        orphans: Option<Orphans>,
    ) -> Self {
        Self {
            finder: &options.finder,
            waits_for_family: options.wait_family,
            lease,
            watch,
            report,
            started,
            patience: Patience::new(&options.finder),
            procfs,
            orphans,
            joined: HashSet::new(),
            names: HashMap::new(),
            is_foreground_due: false,
            is_foreground_reported: false,
            was_ever_pinned: false,
            is_missing_told: false,
            is_blindness_told: false,
        }
    }

    /// Returns when the game has ended: its first process, and under `--wait-family` whom we found after it.
    pub fn until_end(&mut self, game: &mut Game, signals: Option<&Signals>) -> Ended {
        loop {
            let ended = game.ended();
            match ended {
                None => pass_signals_on(game, signals, self.report),
                Some(_) => self.pass_signals_to_pinned(game, signals),
            }
            self.hear();
            self.tend_orphans(game.pid());
            self.look();
            self.send_outsiders();
            self.send_foreground();
            let ended = ended.or_else(|| game.ended());
            if let Some(ended) = ended
                && !self.awaits_family()
            {
                self.tell_missing();
                return ended;
            }
            let first = game.pidfd().filter(|_| ended.is_none());
            let pinned = self.watch.pinned().filter(|_| self.is_looking());
            let sources = [first, signals.map(AsFd::as_fd), self.lease.descriptor(), pinned];
            let polled = (game.pidfd().is_none() && ended.is_none()).then_some(POLLED_EVERY);
            let due = self.until_due(self.patience.due(self.looks()));
            sleep_until_something(&sources, [due, polled].into_iter().flatten().min());
        }
    }

    /// Holds a lease without a first process until a signal asks for it back, or, where there is a `launcher`, until nobody
    /// needs it any more.
    pub fn until_released(&mut self, signals: &Signals, launcher: Option<BorrowedFd>) -> Released {
        loop {
            if let Some(signal) = signals.next_that_asks_to_end() {
                return Released::Told(signal);
            }
            self.hear();
            self.look();
            self.send_outsiders();
            self.send_foreground();
            if let Some(launcher) = launcher
                && let Some(why) = self.is_over(launcher)
            {
                return why;
            }
            let pinned = self.watch.pinned().filter(|_| self.is_looking());
            let sources = [Some(signals.as_fd()), launcher, self.lease.descriptor(), pinned];
            let due = launcher.and_then(|_| self.patience.due_of_holder(self.looks()));
            sleep_until_something(&sources, self.until_due(due));
        }
    }

    /// Why nobody needs the lease any more, if so.
    fn is_over(&mut self, launcher: BorrowedFd) -> Option<Released> {
        if has_ended(launcher) {
            return Some(Released::LauncherEnded);
        }
        self.patience.over(self.started.elapsed(), self.looks())
    }

    /// Under `--wait-family` orphans are our children: new ones are a reason to look.
    fn tend_orphans(&mut self, game: Pid) {
        let Some(orphans) = &mut self.orphans else { return };
        let own: Vec<i32> = [Some(game.as_raw()), self.lease.owner_pid()].into_iter().flatten().collect();
        if let Some(orphans) = orphans.tend(&self.procfs, &own) {
            self.watch.family_changed(self.started.elapsed(), orphans);
        }
    }

    /// Whether somebody is to be waited for although the first process has ended.
    fn awaits_family(&mut self) -> bool {
        if !self.waits_for_family {
            return false;
        }
        self.patience.awaits_family(self.started.elapsed(), self.looks())
    }

    fn looks(&self) -> Looks {
        Looks { last: self.watch.looked_at(), go_on: self.watch.next_look().is_some() }
    }

    /// Who is to know which process is the game.
    fn is_looking(&self) -> bool {
        self.lease.is_hopeful() || self.waits_for_family
    }

    /// The heir of the first process gets what that would have got. Without one, whoever wants us to end is obeyed.
    fn pass_signals_to_pinned(&mut self, game: &Game, signals: Option<&Signals>) {
        let Some(signals) = signals else { return };
        let heir = self.watch.pinned_pid().map_or(game.pid(), Pid::from_raw);
        while let Ok(Some(signal)) = signals.next(heir) {
            match self.watch.pinned() {
                Some(pidfd) => match signals::pass_on_to(signal, pidfd) {
                    Ok(()) => self.report.say(&Message::Forwarded(signal.as_str())),
                    Err(error) => self.report.less(&format!("{signal} did not reach the game"), &error),
                },
                None => self.waits_for_family &= !signals.ends_us(signal),
            }
        }
    }

    fn hear(&mut self) {
        for news in self.lease.news() {
            match news {
                News::Foreground(Some(tgid)) => {
                    let own_pid = self.watch.pinned_pid().unwrap_or(tgid);
                    let name = self.names.get(&own_pid).cloned().unwrap_or_default();
                    self.is_foreground_reported = true;
                    self.report.say(&Message::Foreground { name, tgid });
                }
                // The first process of the family to be selected may end before the scheduler has confirmed it.
                News::Foreground(None) => {
                    if mem::take(&mut self.is_foreground_reported) {
                        self.report.say(&Message::NoForeground);
                    }
                }
                News::Family(members) => self.watch.family_changed(self.started.elapsed(), &members),
                News::Attached { .. } => {
                    self.joined.clear();
                    self.is_foreground_due = self.watch.pinned().is_some();
                    tell(news, false, self.report);
                }
                _ => tell(news, false, self.report),
            }
        }
    }

    fn look(&mut self) {
        if !self.is_looking() {
            return;
        }
        let now = self.started.elapsed();
        match self.watch.look(now) {
            Ok(None) => {}
            Ok(Some(change)) => {
                self.is_foreground_due = true;
                if let Change::Pinned { pid, name } = change {
                    self.was_ever_pinned = true;
                    self.names.insert(pid, name);
                }
            }
            Err(error) if !self.is_blindness_told => {
                self.is_blindness_told = true;
                self.report.less("the game's processes can't be seen", &error);
            }
            Err(_) => {}
        }
        let is_helper = self.watch.has_only_helpers();
        self.patience.note(self.watch.pinned_pid().map(|pid| Pinned { pid, is_helper }), now);
        let is_final = matches!(self.finder, Finder::Process(_)) || now >= MATCH_PATIENCE;
        if is_final {
            self.tell_missing();
        }
    }

    /// Members that do not descend from the game's first process join the family in the kernel as well.
    fn send_outsiders(&mut self) {
        if !self.lease.is_attached() {
            return;
        }
        self.joined.retain(|id| self.watch.outsiders().contains(id));
        for id in self.watch.outsiders() {
            if self.joined.contains(id) {
                continue;
            }
            let sent = open_pidfd(&self.procfs, *id).map(|pidfd| self.lease.join(pidfd.as_fd()));
            match sent {
                // It does not read at the moment: after the next look.
                Ok(Err(error)) if error.raw_os_error() == Some(Errno::EAGAIN as i32) => return,
                // Told, gone, or a session that has ended, which is news.
                Ok(_) | Err(_) => self.joined.insert(*id),
            };
        }
    }

    fn send_foreground(&mut self) {
        if !self.is_foreground_due || !self.lease.is_attached() {
            return;
        }
        match self.lease.set_foreground(self.watch.pinned()) {
            // It does not read at the moment: the next time that something wakes us.
            Err(error) if error.raw_os_error() == Some(Errno::EAGAIN as i32) => {}
            // A session that ended is news; anything else would only fail again.
            Ok(()) | Err(_) => self.is_foreground_due = false,
        }
    }

    /// What the player named and we never saw, said once and only where it would have mattered.
    fn tell_missing(&mut self) {
        if self.was_ever_pinned || self.is_missing_told || !self.lease.is_hopeful() {
            return;
        }
        let what = match self.finder {
            Finder::Process(pid) => format!("--foreground-pid: there is no process {pid}"),
            Finder::Matching(pattern) => format!("--exe: no process of the game matches '{}'", pattern.as_str()),
            Finder::Family | Finder::Nobody => return,
        };
        self.is_missing_told = true;
        self.report.say(&Message::ForegroundMissing(what));
    }

    /// How long until something is to be done that no descriptor announces.
    fn until_due(&self, patience: Option<Duration>) -> Option<Duration> {
        let now = self.started.elapsed();
        let look = self.watch.next_look().filter(|_| self.is_looking());
        let look = look.map(|at| at.saturating_sub(now));
        let patience = patience.map(|at| at.saturating_sub(now));
        let deadline = self.lease.deadline().map(|at| at.saturating_duration_since(Instant::now()));
        [look, patience, deadline].into_iter().flatten().min()
    }
}

fn pass_signals_on(game: &Game, signals: Option<&Signals>, report: &Report) {
    let Some(signals) = signals else { return };
    while let Ok(Some(signal)) = signals.next(game.pid()) {
        match signals::pass_on(signal, game.pid()) {
            Ok(()) => report.say(&Message::Forwarded(signal.as_str())),
            Err(error) => report.less(&format!("{signal} did not reach the game"), &error),
        }
    }
}

/// Sleeps until one of `sources` is readable or `longest` has passed.
fn sleep_until_something(sources: &[Option<BorrowedFd>], longest: Option<Duration>) {
    let mut fds: Vec<PollFd> = sources.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    // One more, because what is left of a millisecond is cut off.
    let timeout = longest.map_or(PollTimeout::NONE, |longest| {
        PollTimeout::try_from(longest + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
    });
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        // ENOMEM: try again, but not at once.
        Err(_) => std::thread::sleep(POLLED_EVERY),
    }
}
