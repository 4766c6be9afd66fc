//! From the spawn to the game's end: pass signals on, tell the news, keep the foreground right.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;

use crate::game::watch::Change;
use crate::game::watch::Finder;
use crate::game::watch::Watch;
use crate::wrapper::child::Game;
use crate::wrapper::lease::Lease;
use crate::wrapper::lease::News;
use crate::wrapper::report::Ended;
use crate::wrapper::report::Message;
use crate::wrapper::report::Report;
use crate::wrapper::signals;
use crate::wrapper::signals::Signals;

/// How often we look whether the game has ended when no descriptor tells us.
const POLLED_EVERY: Duration = Duration::from_millis(200);

/// How long a game that `--exe` names may take to appear before we say that it is missing.
const MATCH_PATIENCE: Duration = Duration::from_secs(30);

/// Tells `news` of before the spawn; returns at once.
pub fn tell(news: News, is_required: bool, report: &Report) {
    match news {
        News::Attached { scheduler, after, sources } => report.say(&Message::Attached { scheduler, after, sources }),
        News::FrameSource(source) => report.say(&Message::FrameSource(source)),
        News::Failed(why) if is_required => report.say(&Message::Required(why)),
        News::Failed(why) => report.say(&Message::NotScheduled(why)),
        News::Lost(why) => report.say(&Message::SchedulerLost(why)),
        News::Refused(why) => report.say(&Message::Refused(why)),
        News::Foreground(_) => {}
    }
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
    lease: &'a mut Lease,
    watch: Watch,
    report: &'a Report,
    started: Instant,
    /// Names of the processes that were pinned, for the confirmation.
    names: HashMap<i32, String>,
    /// The scheduler has not been told of the last change.
    is_foreground_due: bool,
    was_ever_pinned: bool,
    is_missing_told: bool,
    is_blindness_told: bool,
}

impl<'a> Follow<'a> {
    /// Begins at the spawn.
    pub fn new(finder: &'a Finder, lease: &'a mut Lease, watch: Watch, report: &'a Report, started: Instant) -> Self {
        Self {
            finder,
            lease,
            watch,
            report,
            started,
            names: HashMap::new(),
            is_foreground_due: false,
            was_ever_pinned: false,
            is_missing_told: false,
            is_blindness_told: false,
        }
    }

    /// Returns when the game has ended.
    pub fn until_end(&mut self, game: &mut Game, signals: Option<&Signals>) -> Ended {
        loop {
            pass_signals_on(game, signals, self.report);
            self.hear();
            self.look();
            self.send_foreground();
            if let Some(ended) = game.ended() {
                self.tell_missing();
                return ended;
            }
            let pinned = self.watch.pinned().filter(|_| self.lease.is_hopeful());
            let sources = [game.pidfd(), signals.map(AsFd::as_fd), self.lease.descriptor(), pinned];
            let polled = game.pidfd().is_none().then_some(POLLED_EVERY);
            sleep_until_something(&sources, [self.until_due(), polled].into_iter().flatten().min());
        }
    }

    fn hear(&mut self) {
        for news in self.lease.news() {
            match news {
                News::Foreground(Some(tgid)) => {
                    let own_pid = self.watch.pinned_pid().unwrap_or(tgid);
                    let name = self.names.get(&own_pid).cloned().unwrap_or_default();
                    self.report.say(&Message::Foreground { name, tgid });
                }
                News::Foreground(None) => self.report.say(&Message::NoForeground),
                News::Attached { .. } => {
                    self.is_foreground_due = self.watch.pinned().is_some();
                    tell(news, false, self.report);
                }
                _ => tell(news, false, self.report),
            }
        }
    }

    fn look(&mut self) {
        if !self.lease.is_hopeful() {
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
        let is_final = matches!(self.finder, Finder::Process(_)) || now >= MATCH_PATIENCE;
        if is_final {
            self.tell_missing();
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
    fn until_due(&self) -> Option<Duration> {
        let look = self.watch.next_look().filter(|_| self.lease.is_hopeful());
        let look = look.map(|at| at.saturating_sub(self.started.elapsed()));
        let deadline = self.lease.deadline().map(|at| at.saturating_duration_since(Instant::now()));
        [look, deadline].into_iter().flatten().min()
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
