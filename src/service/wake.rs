//! What wakes us: one epoll, no polling.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::epoll::Epoll;
use nix::sys::epoll::EpollCreateFlags;
use nix::sys::epoll::EpollEvent;
use nix::sys::epoll::EpollFlags;
use nix::sys::epoll::EpollTimeout;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::ClockId;
use nix::sys::timerfd::Expiration;
use nix::sys::timerfd::TimerFd;
use nix::sys::timerfd::TimerFlags;
use nix::sys::timerfd::TimerSetTimeFlags;
use signal_hook::consts::SIGHUP;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGQUIT;
use signal_hook::consts::SIGTERM;

/// Why [`Wakes::wait`] returned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wake {
    /// INT, TERM, HUP or QUIT arrived.
    Signal,
    /// Somebody wants a session.
    Client,
    /// This session has something to read, or is closed.
    Session(u32),
    /// Time to see who is idle, and whether anybody has to be let in.
    Idle,
    /// Time to attach once more.
    Retry,
    /// Time to attach anew, to the machine as it is now.
    Renew,
    /// Time to watch the locks of a game that was pinned, or to stop that.
    Locks,
    /// The kernel has disabled the scheduler, or has new CPUs.
    Kernel,
    /// Time to see whether queued tasks make progress.
    Watchdog,
    /// Time to print metrics.
    Print,
    /// Somebody wants metrics.
    Metrics,
    /// A source of events has something.
    Event,
    /// The family of a game has grown, or one of it has become another program.
    Family,
    /// [`Wake::Family`] may wake again; never returned.
    Rested,
}

/// Those of which there is one each, by the number that epoll keeps for them.
const SINGLE: [Wake; 13] = [
    Wake::Signal,
    Wake::Client,
    Wake::Idle,
    Wake::Retry,
    Wake::Renew,
    Wake::Locks,
    Wake::Kernel,
    Wake::Watchdog,
    Wake::Print,
    Wake::Metrics,
    Wake::Event,
    Wake::Family,
    Wake::Rested,
];

/// Sessions count from here on.
const FIRST_SESSION: u64 = 1 << 32;

impl Wake {
    fn number(self) -> u64 {
        match self {
            Self::Session(id) => FIRST_SESSION + u64::from(id),
            single => SINGLE.iter().position(|wake| *wake == single).expect("BUG: a wake without a number") as u64,
        }
    }

    fn of_number(number: u64) -> Self {
        match number.checked_sub(FIRST_SESSION) {
            Some(id) => Self::Session(id.try_into().expect("BUG: a session's number that we did not give")),
            None => SINGLE[number as usize],
        }
    }
}

/// How long the family is not listened to after it was heard: a build forks thousands of times a second, and a game that
/// is pinned within 100 ms is pinned in time.
const FAMILY_REST: Duration = Duration::from_millis(20);

/// Everything that may wake us.
pub struct Wakes {
    epoll: Epoll,
    signals: UnixStream,
    timers: Vec<(Wake, TimerFd)>,
    family: Option<Family>,
}

/// What tells of the family, and when it is listened to again.
struct Family {
    news: OwnedFd,
    rest: TimerFd,
}

/// Wakes with `wake` a single time, until it is asked for again.
fn once(wake: Wake) -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT, wake.number())
}

impl Wakes {
    /// Starts to listen for signals.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn new() -> anyhow::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("create an epoll")?;
        let (signals, sender) = UnixStream::pair().context("create a pipe for signals")?;
        signals.set_nonblocking(true).context("create a pipe for signals")?;
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            let sender = sender.try_clone().context("create a pipe for signals")?;
            signal_hook::low_level::pipe::register(signal, sender)
                .with_context(|| format!("listen for signal {signal}"))?;
        }
        let wakes = Self { epoll, signals, timers: Vec::new(), family: None };
        wakes.add(wakes.signals.as_fd(), Wake::Signal)?;
        Ok(wakes)
    }

    /// Wakes with `wake` while `source` is readable, until it is closed.
    ///
    /// # Errors
    /// What `epoll_ctl(2)` says.
    pub fn add(&self, source: BorrowedFd<'_>, wake: Wake) -> anyhow::Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, wake.number());
        self.epoll.add(source, event).with_context(|| format!("wait for {wake:?}"))
    }

    /// Wakes no more by `source`.
    pub fn remove(&self, source: BorrowedFd<'_>) {
        let _ = self.epoll.delete(source); // only fails for one that was not added
    }

    /// Wakes with `wake` a single time, `after` so long; a time that was set before is forgotten.
    ///
    /// # Errors
    /// What `timerfd_settime(2)` or `epoll_ctl(2)` says.
    pub fn once_after(&mut self, wake: Wake, after: Duration) -> anyhow::Result<()> {
        self.cancel(wake);
        self.set_timer(wake, Expiration::OneShot(TimeSpec::from_duration(after)))
    }

    /// Forgets the timer of `wake`, if there is one.
    pub fn cancel(&mut self, wake: Wake) {
        self.timers.retain(|(of, _)| *of != wake);
    }

    /// Wakes with `wake` every `interval`; a timer that was set before is forgotten.
    ///
    /// # Errors
    /// What `timerfd_settime(2)` or `epoll_ctl(2)` says.
    pub fn add_timer(&mut self, wake: Wake, interval: Duration) -> anyhow::Result<()> {
        self.cancel(wake);
        self.set_timer(wake, Expiration::Interval(TimeSpec::from_duration(interval)))
    }

    fn set_timer(&mut self, wake: Wake, expiration: Expiration) -> anyhow::Result<()> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        timer.set(expiration, TimerSetTimeFlags::empty())?;
        self.add(timer.as_fd(), wake)?;
        self.timers.push((wake, timer));
        Ok(())
    }

    /// Wakes when `news` of the family is readable, and then not again for a moment.
    ///
    /// # Errors
    /// What `dup(2)`, `timerfd_create(2)` or `epoll_ctl(2)` says.
    pub fn add_family(&mut self, news: BorrowedFd<'_>) -> anyhow::Result<()> {
        let news = news.try_clone_to_owned().context("listen for the game's processes")?;
        let rest = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        self.epoll.add(&news, once(Wake::Family)).context("listen for the game's processes")?;
        self.add(rest.as_fd(), Wake::Rested)?;
        self.family = Some(Family { news, rest });
        Ok(())
    }

    /// Listens to no family any more.
    pub fn forget_family(&mut self) {
        self.family = None;
    }

    /// Sleeps until something happens.
    ///
    /// # Errors
    /// What `epoll_wait(2)` says, other than being interrupted.
    pub fn wait(&mut self) -> anyhow::Result<Wake> {
        let mut events = [EpollEvent::empty()];
        let wake = loop {
            match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => match Wake::of_number(events[0].data()) {
                    Wake::Rested => self.listen_to_family()?,
                    wake => break wake,
                },
                Err(errno) => return Err(errno).context("wait for events"),
            }
        };
        if let (Wake::Family, Some(family)) = (wake, &self.family) {
            let rest = Expiration::OneShot(TimeSpec::from_duration(FAMILY_REST));
            family.rest.set(rest, TimerSetTimeFlags::empty()).context("let the family rest")?;
        }
        if wake == Wake::Signal {
            while self.signals.read(&mut [0; 64]).is_ok_and(|bytes| bytes > 0) {}
        }
        for (_, timer) in self.timers.iter().filter(|(of, _)| *of == wake) {
            let _ = timer.wait(); // only resets it: how many ticks passed does not matter
        }
        Ok(wake)
    }

    fn listen_to_family(&self) -> anyhow::Result<()> {
        let Some(family) = &self.family else { return Ok(()) };
        let _ = family.rest.wait(); // only resets it
        self.epoll.modify(&family.news, &mut once(Wake::Family)).context("listen for the game's processes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wake_is_told_by_its_number() {
        let sessions = [Wake::Session(0), Wake::Session(u32::MAX)];
        for wake in SINGLE.into_iter().chain(sessions) {
            assert_eq!(Wake::of_number(wake.number()), wake);
        }
    }

    #[test]
    fn a_timer_that_is_set_anew_fires_as_set_last_and_one_that_is_cancelled_never() {
        let mut wakes = Wakes::new().expect("epoll");
        wakes.once_after(Wake::Idle, Duration::from_secs(3600)).expect("timer");
        wakes.once_after(Wake::Idle, Duration::from_nanos(1)).expect("timer");
        assert_eq!(wakes.wait().expect("wait"), Wake::Idle);
        wakes.once_after(Wake::Idle, Duration::from_nanos(1)).expect("timer");
        wakes.cancel(Wake::Idle);
        wakes.once_after(Wake::Retry, Duration::from_millis(20)).expect("timer");
        assert_eq!(wakes.wait().expect("wait"), Wake::Retry);
    }
}
