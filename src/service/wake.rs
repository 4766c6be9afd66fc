//! What wakes us: one epoll, no polling.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::fd::BorrowedFd;
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
#[repr(u64)]
pub enum Wake {
    /// INT, TERM, HUP or QUIT arrived.
    Signal,
    /// A session has something to read, or is closed.
    Session,
    /// The kernel has disabled the scheduler.
    KernelExit,
    /// Time to see whether queued tasks make progress.
    Watchdog,
    /// Time to print metrics.
    Print,
    /// Somebody wants metrics.
    Metrics,
    /// A source of events has something.
    Event,
}

const ALL: [Wake; 7] =
    [Wake::Signal, Wake::Session, Wake::KernelExit, Wake::Watchdog, Wake::Print, Wake::Metrics, Wake::Event];

/// Everything that may wake us.
pub struct Wakes {
    epoll: Epoll,
    signals: UnixStream,
    timers: Vec<(Wake, TimerFd)>,
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
        let wakes = Self { epoll, signals, timers: Vec::new() };
        wakes.add(wakes.signals.as_fd(), Wake::Signal)?;
        Ok(wakes)
    }

    /// Wakes by a session.
    ///
    /// # Errors
    /// What `epoll_ctl(2)` says.
    pub fn add_session(&self, session: BorrowedFd<'_>) -> anyhow::Result<()> {
        self.add(session, Wake::Session)
    }

    /// Wakes when the kernel disables the scheduler.
    ///
    /// # Errors
    /// What `epoll_ctl(2)` says.
    pub fn add_kernel_exit(&self, exit: BorrowedFd<'_>) -> anyhow::Result<()> {
        self.add(exit, Wake::KernelExit)
    }

    /// Wakes by the metrics server.
    ///
    /// # Errors
    /// What `epoll_ctl(2)` says.
    pub fn add_metrics(&self, server: BorrowedFd<'_>) -> anyhow::Result<()> {
        self.add(server, Wake::Metrics)
    }

    /// Wakes by the sources of events, which have an epoll of their own.
    ///
    /// # Errors
    /// What `epoll_ctl(2)` says.
    pub fn add_events(&self, events: BorrowedFd<'_>) -> anyhow::Result<()> {
        self.add(events, Wake::Event)
    }

    /// Wakes with `wake` every `interval`.
    ///
    /// # Errors
    /// What `timerfd_settime(2)` or `epoll_ctl(2)` says.
    pub fn add_timer(&mut self, wake: Wake, interval: Duration) -> anyhow::Result<()> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        timer.set(Expiration::Interval(TimeSpec::from_duration(interval)), TimerSetTimeFlags::empty())?;
        self.add(timer.as_fd(), wake)?;
        self.timers.push((wake, timer));
        Ok(())
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
                Ok(_) => break ALL[events[0].data() as usize],
                Err(errno) => return Err(errno).context("wait for events"),
            }
        };
        if wake == Wake::Signal {
            while self.signals.read(&mut [0; 64]).is_ok_and(|bytes| bytes > 0) {}
        }
        for (_, timer) in self.timers.iter().filter(|(of, _)| *of == wake) {
            let _ = timer.wait(); // only resets it: how many ticks passed does not matter
        }
        Ok(wake)
    }

    fn add(&self, fd: BorrowedFd<'_>, wake: Wake) -> anyhow::Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, wake as u64);
        self.epoll.add(fd, event).with_context(|| format!("wait for {wake:?}"))
    }
}
