//! The client end of a session: scx_gamer as our child, asked for the scheduler and told which process is the game.
//!
//! Everything that fails here becomes [`News`] and ends in "run the game anyway".

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::time::ClockId;
use nix::time::clock_gettime;

use crate::game::watch::pidfd_open;
use crate::session::protocol::ErrorKind;
use crate::session::protocol::Event;
use crate::session::protocol::Request;
use crate::session::protocol::VERSION;
use crate::session::transport::Received;
use crate::session::transport::Transport;
use crate::wrapper::report::Failure;
use crate::wrapper::report::GivenBack;

const OWNER: &str = "scx_gamer";

/// How long scx_gamer may take to say hello, which it does before it loads anything.
const HELLO_PATIENCE: Duration = Duration::from_secs(10);

/// How long loading may take; the slowest that we measured in an emulated machine took 27 s.
const ATTACH_PATIENCE: Duration = Duration::from_secs(60);

/// How long detaching may take.
const DETACH_PATIENCE: Duration = Duration::from_secs(3);

/// How long after its session closed scx_gamer may take to end, for its status to be part of the message.
const STATUS_PATIENCE: Duration = Duration::from_millis(200);

const HINT_BROKEN: &str = "run `sudo scx_gamer` in a terminal to see what is wrong";

/// What was heard.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum News {
    /// The scheduler stands.
    Attached {
        /// Its name in the kernel.
        scheduler: String,
        /// How long it took.
        after: Duration,
        /// Who sees what the player and the display do, in words; empty: scx_gamer does not say.
        sources: String,
    },
    /// Who sees frames from now on, in words.
    FrameSource(String),
    /// It will not stand.
    Failed(Failure),
    /// It stood and is gone.
    Lost(Failure),
    /// A request was refused.
    Refused(Failure),
    /// Who is pinned now.
    Foreground(Option<i32>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Asked,
    Attached,
    /// The kernel threw the scheduler out; scx_gamer may attach again.
    ThrownOut,
    Over,
}

/// A lease on the scheduler, or what is left of one.
#[derive(Debug)]
pub struct Lease {
    state: State,
    asked_at: Instant,
    is_greeted: bool,
    was_attached: bool,
    session: Option<Transport>,
    owner: Option<Owner>,
    closed_at: Option<Instant>,
    untold: Option<Failure>,
}

impl Lease {
    /// Starts scx_gamer and asks, without waiting for an answer. A failure is the first news.
    #[must_use]
    pub fn ask(verbosity: u8) -> Self {
        let mut lease = Self {
            state: State::Asked,
            asked_at: Instant::now(),
            is_greeted: false,
            was_attached: false,
            session: None,
            owner: None,
            closed_at: None,
            untold: None,
        };
        if let Err(failure) = lease.begin(verbosity) {
            lease.untold = Some(failure);
        }
        lease
    }

    fn begin(&mut self, verbosity: u8) -> Result<(), Failure> {
        let fail = |error: io::Error| Failure::new(format!("can't open a session with {OWNER}: {error}"), HINT_BROKEN);
        let (ours, theirs) = Transport::pair().map_err(fail)?;
        self.owner = Some(Owner::start(theirs, verbosity)?);
        // One that has ended already is told by the next look at the session, which knows its status.
        let acquire = Request::Acquire { since_boot_ns: boot_time_ns() };
        for request in [Request::Hello { version: VERSION }, acquire] {
            let _ = ours.send(&request, None);
        }
        self.session = Some(ours);
        Ok(())
    }

    /// The scheduler stands.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.state == State::Attached
    }

    /// It stands or may yet: finding the game is worth the work.
    #[must_use]
    pub fn is_hopeful(&self) -> bool {
        matches!(self.state, State::Asked | State::Attached)
    }

    /// Readable when there is news, or scx_gamer to be reaped.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        let session = self.session.as_ref().map(AsFd::as_fd);
        session.or_else(|| self.owner.as_ref().filter(|owner| owner.ended.is_none())?.pidfd.as_ref().map(AsFd::as_fd))
    }

    /// When to look at [`Lease::news`] even if nothing was heard.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let patience = if self.is_greeted { ATTACH_PATIENCE } else { HELLO_PATIENCE };
        (self.state == State::Asked).then(|| self.asked_at + patience)
    }

    /// Everything that was heard since the last time, without waiting.
    pub fn news(&mut self) -> Vec<News> {
        let mut news = Vec::new();
        if let Some(failure) = self.untold.take() {
            news.extend(self.give_up(failure));
        }
        // A peer that left requests unread is reported as gone before what it said can be read: look once more.
        let mut times_closed = 0;
        while let Some(session) = &self.session {
            match session.receive::<Event>() {
                Ok(Received::Message(event, _)) => news.extend(self.hear(event)),
                Ok(Received::Nothing) => break,
                Ok(Received::Closed) if times_closed == 0 => times_closed += 1,
                Ok(Received::Closed) => {
                    let failure = self.why_closed();
                    news.extend(self.give_up(failure));
                }
                Ok(Received::Garbage(why)) => {
                    let message = format!("{OWNER} sent something that is no message ({why})");
                    news.extend(self.give_up(Failure::new(message, HINT_BROKEN)));
                }
                Err(error) => {
                    let message = format!("can't read the session with {OWNER}: {error}");
                    news.extend(self.give_up(Failure::new(message, HINT_BROKEN)));
                }
            }
        }
        if self.deadline().is_some_and(|deadline| Instant::now() >= deadline) {
            let message = format!("{OWNER} has not answered for {} s", self.asked_at.elapsed().as_secs());
            news.extend(self.give_up(Failure::new(message, HINT_BROKEN)));
        }
        if self.session.is_none() {
            self.owner.as_mut().map(Owner::ended);
        }
        news
    }

    /// Waits until it is known whether the scheduler stands.
    pub fn settle(&mut self) -> Vec<News> {
        let mut news = self.news();
        while self.state == State::Asked {
            let left = self.deadline().map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()));
            wait_readable(self.descriptor(), left);
            news.extend(self.news());
        }
        news
    }

    /// Pins the process behind `pidfd`, or nobody.
    ///
    /// # Errors
    /// EAGAIN when scx_gamer does not read; a session that ended is told by [`Lease::news`].
    pub fn set_foreground(&self, pidfd: Option<BorrowedFd>) -> io::Result<()> {
        self.session.as_ref().map_or(Ok(()), |session| session.send(&Request::SetForeground, pidfd))
    }

    /// Gives the scheduler back and waits until scx_gamer has put the kernel's in its place.
    pub fn give_back(&mut self) -> GivenBack {
        let was_lost = self.was_attached && !self.is_attached();
        self.close();
        let Some(owner) = &mut self.owner else { return GivenBack::Nothing };
        let spent = self.closed_at.map_or(Duration::ZERO, |at| at.elapsed());
        match owner.ended_within(DETACH_PATIENCE.saturating_sub(spent)) {
            None => {
                owner.kill();
                GivenBack::Killed
            }
            Some(_) if was_lost => GivenBack::LostBefore,
            Some(_) if !self.was_attached => GivenBack::Nothing,
            Some(status) if status.success() => GivenBack::Confirmed,
            Some(status) => GivenBack::Unconfirmed(format!("ended with {status}")),
        }
    }

    fn hear(&mut self, event: Event) -> Option<News> {
        match event {
            Event::Hello { version } if version != VERSION => {
                let message =
                    format!("{OWNER} speaks version {version} of the session protocol and we speak {VERSION}");
                self.give_up(Failure::new(message, "install both programs from the same package"))
            }
            Event::Hello { .. } => {
                self.is_greeted = true;
                None
            }
            Event::Attached { scheduler, attach_ms, input_source, frame_source } => {
                self.state = State::Attached;
                self.was_attached = true;
                let sources = match input_source.as_str() {
                    "" => String::new(),
                    _ => format!("input: {input_source}, frames: {frame_source}"),
                };
                Some(News::Attached { scheduler, after: Duration::from_millis(attach_ms), sources })
            }
            Event::FrameSource { source, millihertz } => {
                Some(News::FrameSource(format!("{source}, {:.1} Hz", millihertz as f64 / 1000.0)))
            }
            Event::Foreground { tgid } => Some(News::Foreground(tgid)),
            Event::Ended { message } => {
                self.state = State::ThrownOut;
                Some(News::Lost(Failure { message, hint: None }))
            }
            Event::Error { kind, message, hint } => {
                let failure = Failure { message, hint };
                let is_final = self.state == State::Asked && kind != ErrorKind::Foreground;
                if is_final { self.give_up(failure) } else { Some(News::Refused(failure)) }
            }
            Event::Status { .. } | Event::Unknown => None,
        }
    }

    /// Ends the session; says why, unless its loss has been told already.
    fn give_up(&mut self, failure: Failure) -> Option<News> {
        self.close();
        match std::mem::replace(&mut self.state, State::Over) {
            State::Asked => Some(News::Failed(failure)),
            State::Attached => Some(News::Lost(failure)),
            State::ThrownOut | State::Over => None,
        }
    }

    fn close(&mut self) {
        if let Some(session) = self.session.take() {
            let _ = session.send(&Request::Release, None);
            self.closed_at = Some(Instant::now());
        }
    }

    fn why_closed(&mut self) -> Failure {
        let status = self.owner.as_mut().and_then(|owner| owner.ended_within(STATUS_PATIENCE));
        let how = status.map_or_else(|| "closed the session".to_owned(), |status| format!("ended ({status})"));
        let when = if self.state == State::Asked { " before the scheduler stood" } else { "" };
        Failure::new(format!("{OWNER} {how}{when}"), HINT_BROKEN)
    }
}

/// The scx_gamer process.
#[derive(Debug)]
struct Owner {
    child: Child,
    pidfd: Option<OwnedFd>,
    ended: Option<ExitStatus>,
}

impl Owner {
    /// Starts it with the session as its standard input. Its own process group keeps the terminal's Ctrl+C away: it
    /// must outlive the game. What the launcher preloads into the game is not for a program of root.
    fn start(session: Transport, verbosity: u8) -> Result<Self, Failure> {
        let program = program_of_owner();
        let child = Command::new(&program)
            .arg("--child")
            .args(std::iter::repeat_n("-v", verbosity.into()))
            .stdin(Stdio::from(OwnedFd::from(session)))
            .stdout(Stdio::null())
            .process_group(0)
            .env_remove("LD_PRELOAD")
            .env_remove("LD_LIBRARY_PATH")
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Failure::new(
                    format!("{OWNER} was found neither beside scx-gamer-run nor in PATH"),
                    "put both programs into one directory, or scx_gamer into PATH",
                ),
                _ => Failure::new(format!("can't start {}: {error}", program.display()), HINT_BROKEN),
            })?;
        let pidfd = pidfd_open(child.id().cast_signed()).ok();
        Ok(Self { child, pidfd, ended: None })
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            // An error is ECHILD: it has ended and its status is lost.
            self.ended = self.child.try_wait().unwrap_or(Some(ExitStatus::from_raw(0xff00)));
        }
        self.ended
    }

    fn ended_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.ended().is_some() || left.is_zero() {
                return self.ended;
            }
            wait_readable(self.pidfd.as_ref().map(AsFd::as_fd), left);
        }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        self.ended_within(STATUS_PATIENCE);
    }
}

/// Time since boot, sleep included: what the kernel stamps a process with at its birth. 0 when it can't be told.
fn boot_time_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
    now.as_nanos().try_into().unwrap_or_default()
}

/// Beside our own program, where a package and a build directory have it; else left to PATH.
fn program_of_owner() -> OsString {
    let beside = env::current_exe().ok().and_then(|own| Some(own.parent()?.join(OWNER)));
    beside.filter(|path| Path::is_file(path)).map_or_else(|| OsString::from(OWNER), OsString::from)
}

/// Waits until `descriptor` is readable; without one, for a moment.
fn wait_readable(descriptor: Option<BorrowedFd>, longest: Duration) {
    const MOMENT: Duration = Duration::from_millis(20);
    let mut fds: Vec<PollFd> = descriptor.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    let longest = if fds.is_empty() { longest.min(MOMENT) } else { longest };
    // One more, because what is left of a millisecond is cut off.
    let timeout = PollTimeout::try_from(longest + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
    let _ = poll(&mut fds, timeout);
}
