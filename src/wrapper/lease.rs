//! The client end of a session: the service, or else scx_gamer as our child, is asked for the scheduler and told which
//! process is the game.
//!
//! Everything that fails here becomes [`News`] and ends in "run the game anyway".

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::time::ClockId;
use nix::time::clock_gettime;

use crate::game::tree::Identity;
use crate::session::protocol::ErrorKind;
use crate::session::protocol::Event;
use crate::session::protocol::Member;
use crate::session::protocol::Request;
use crate::session::protocol::VERSION;
use crate::session::transport::Received;
use crate::session::transport::Transport;
use crate::wrapper::ask;
use crate::wrapper::news::News;
use crate::wrapper::owner::HINT_BROKEN;
use crate::wrapper::owner::OWNER;
use crate::wrapper::owner::Owner;
use crate::wrapper::owner::STATUS_PATIENCE;
use crate::wrapper::report::Failure;
use crate::wrapper::report::GivenBack;

/// How long scx_gamer may take to say hello, which it does before it loads anything.
const HELLO_PATIENCE: Duration = Duration::from_secs(10);

/// How long loading may take; the slowest that we measured in an emulated machine took 27 s.
const ATTACH_PATIENCE: Duration = Duration::from_secs(60);

/// How long detaching may take, and the scheduler that was there before to come back: that one's owner has 5 s to answer.
const DETACH_PATIENCE: Duration = Duration::from_secs(10);

const HINT_SERVICE: &str = "`journalctl -u scx-gamer` tells what is wrong with the service";

/// What is asked for, and whom we ask.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// Where the service listens.
    pub service: &'a Path,
    /// Nobody else is asked where it does not.
    pub is_service_required: bool,
    /// How much an scx_gamer of our own says.
    pub verbosity: u8,
    /// How the scheduler is to be: flags of scx_gamer without dashes, and their values.
    pub tuning: &'a BTreeMap<String, String>,
    /// A scheduler that can't be tuned so is none.
    pub is_tuning_required: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Asked,
    Attached,
    /// The kernel threw the scheduler out, and it will be attached again.
    Suspended,
    /// The kernel threw the scheduler out for good.
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
    /// The scx_gamer that we have started; without one it is the service's.
    owner: Option<Owner>,
    tuning: BTreeMap<String, String>,
    is_tuning_required: bool,
    closed_at: Option<Instant>,
    untold: Option<Failure>,
}

impl Lease {
    /// Asks the service, or a scx_gamer that is started for it, without waiting for an answer. A failure is the first news.
    #[must_use]
    pub fn ask(wish: &Wish<'_>) -> Self {
        let (tuning, is_tuning_required) = (wish.tuning.clone(), wish.is_tuning_required);
        let mut lease = Self { state: State::Asked, tuning, is_tuning_required, ..Self::none() };
        if let Err(failure) = lease.begin(wish) {
            lease.untold = Some(failure);
        }
        lease
    }

    /// No lease, and none asked for.
    #[must_use]
    pub fn none() -> Self {
        Self {
            state: State::Over,
            asked_at: Instant::now(),
            is_greeted: false,
            was_attached: false,
            session: None,
            owner: None,
            tuning: BTreeMap::new(),
            is_tuning_required: false,
            closed_at: None,
            untold: None,
        }
    }

    fn begin(&mut self, wish: &Wish<'_>) -> Result<(), Failure> {
        self.session = Some(match Transport::connect(wish.service) {
            Ok(session) => session,
            Err(error) if is_absence(&error) && !wish.is_service_required => self.start_owner(wish.verbosity)?,
            Err(error) => {
                let message = format!("the service at {} can't be asked: {error}", wish.service.display());
                return Err(Failure::new(message, HINT_SERVICE));
            }
        });
        // One that has ended already is told by the next look at the session, which knows its status.
        self.say(&Request::Hello { version: VERSION });
        self.acquire();
        Ok(())
    }

    fn start_owner(&mut self, verbosity: u8) -> Result<Transport, Failure> {
        let fail = |error: io::Error| Failure::new(format!("can't open a session with {OWNER}: {error}"), HINT_BROKEN);
        let (ours, theirs) = Transport::pair().map_err(fail)?;
        self.owner = Some(Owner::start(theirs, verbosity)?);
        Ok(ours)
    }

    fn acquire(&self) {
        self.say(&Request::Acquire { since_boot_ns: boot_time_ns(), tuning: self.tuning.clone() });
    }

    /// Who does not hear it has ended, which the next look at the session tells.
    fn say(&self, request: &Request) {
        if let Some(session) = &self.session {
            let _ = session.send(request, None);
        }
    }

    /// The scheduler stands.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.state == State::Attached
    }

    /// It stands or may yet: finding the game is worth the work.
    pub fn is_hopeful(&self) -> bool {
        matches!(self.state, State::Asked | State::Attached | State::Suspended)
    }

    /// PID of the scx_gamer that we started.
    pub fn owner_pid(&self) -> Option<i32> {
        self.owner.as_ref().map(Owner::pid)
    }

    /// Readable when there is news, or scx_gamer to be reaped.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        let session = self.session.as_ref().map(AsFd::as_fd);
        session.or_else(|| self.owner.as_ref()?.end_to_come())
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
                    news.extend(self.give_up(Failure::new(message, self.hint())));
                }
                Err(error) => {
                    let message = format!("can't read the session with {OWNER}: {error}");
                    news.extend(self.give_up(Failure::new(message, self.hint())));
                }
            }
        }
        if self.deadline().is_some_and(|deadline| Instant::now() >= deadline) {
            let message = format!("{OWNER} has not answered for {} s", self.asked_at.elapsed().as_secs());
            news.extend(self.give_up(Failure::new(message, self.hint())));
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

    /// Makes the process behind `pidfd` one of the family.
    ///
    /// # Errors
    /// As [`Lease::set_foreground`].
    pub fn join(&self, pidfd: BorrowedFd) -> io::Result<()> {
        self.session.as_ref().map_or(Ok(()), |session| session.send(&Request::Join, Some(pidfd)))
    }

    /// Gives the scheduler back and waits until scx_gamer has put the kernel's in its place, or says who else needs it.
    pub fn give_back(&mut self) -> GivenBack {
        let was_lost = self.was_attached && !self.is_attached();
        if self.owner.is_none() {
            return match self.session.take() {
                Some(session) if self.is_attached() => ask::give_back(&session, DETACH_PATIENCE),
                _ if was_lost => GivenBack::LostBefore,
                _ => GivenBack::Nothing,
            };
        }
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

    /// Gives back what no game has needed. An scx_gamer that still loads is not waited for: once it has loaded it looks
    /// whether the scheduler is still wanted, and ends. It is not killed, since it may have stopped another scheduler,
    /// which it puts back first.
    pub fn abandon(&mut self) {
        self.news();
        match self.state {
            State::Asked => self.close(),
            _ => drop(self.give_back()),
        }
    }

    fn hear(&mut self, event: Event) -> Vec<News> {
        match event {
            Event::Hello { version } if version != VERSION => {
                let message =
                    format!("{OWNER} speaks version {version} of the session protocol and we speak {VERSION}");
                let hint = "install both programs from the same package";
                self.give_up(Failure::new(message, hint)).into_iter().collect()
            }
            Event::Hello { .. } => {
                self.is_greeted = true;
                vec![]
            }
            Event::Attached { scheduler, attach_ms, input_source, frame_source, is_tuned_otherwise } => {
                self.state = State::Attached;
                self.was_attached = true;
                let sources = match input_source.as_str() {
                    "" => String::new(),
                    _ => format!("input: {input_source}, frames: {frame_source}"),
                };
                let attached = News::Attached { scheduler, after: Duration::from_millis(attach_ms), sources };
                let otherwise = (is_tuned_otherwise && !self.tuning.is_empty()).then(|| {
                    News::Untuned(
                        "--tune: the scheduler is there for another game already and stays as it is".to_owned(),
                    )
                });
                [attached].into_iter().chain(otherwise).collect()
            }
            Event::FrameSource { source, millihertz } => {
                vec![News::FrameSource(format!("{source}, {:.1} Hz", millihertz as f64 / 1000.0))]
            }
            Event::Family { members } => {
                let identity = |member: Member| Identity { pid: member.pid, start_ticks: member.start_ticks };
                vec![News::Family(members.into_iter().map(identity).collect())]
            }
            Event::Foreground { tgid } => vec![News::Foreground(tgid)],
            Event::Ended { message, retry_ms } => {
                let was_told = self.state == State::ThrownOut;
                self.state = retry_ms.map_or(State::ThrownOut, |_| State::Suspended);
                let hint = retry_ms.map(|ms| format!("it is tried again in {} s", ms.div_ceil(1000)));
                if was_told { vec![] } else { vec![News::Lost(Failure { message, hint })] }
            }
            Event::Error { kind: ErrorKind::Tuning, message, .. }
                if self.state == State::Asked && !self.tuning.is_empty() && !self.is_tuning_required =>
            {
                self.tuning.clear();
                self.acquire();
                vec![News::Untuned(message)]
            }
            Event::Error { kind, message, hint } => {
                let failure = Failure { message, hint };
                let is_final = self.state == State::Asked && kind != ErrorKind::Foreground;
                if is_final { self.give_up(failure).into_iter().collect() } else { vec![News::Refused(failure)] }
            }
            Event::Status { .. } | Event::Released { .. } | Event::Unknown => vec![],
        }
    }

    /// Ends the session; says why, unless its loss has been told already.
    fn give_up(&mut self, failure: Failure) -> Option<News> {
        self.close();
        match std::mem::replace(&mut self.state, State::Over) {
            State::Asked => Some(News::Failed(failure)),
            // A suspended one was said to be tried again.
            State::Attached | State::Suspended => Some(News::Lost(failure)),
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
        Failure::new(format!("{OWNER} {how}{when}"), self.hint())
    }

    /// Where to look when scx_gamer does not do what it should.
    fn hint(&self) -> &'static str {
        if self.owner.is_some() { HINT_BROKEN } else { HINT_SERVICE }
    }
}

/// Nobody listens there.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::NotFound | Kind::NotADirectory | Kind::ConnectionRefused)
}

/// Time since boot, sleep included: what the kernel stamps a process with at its birth. 0 when it can't be told.
fn boot_time_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
    now.as_nanos().try_into().unwrap_or_default()
}

/// Waits until `descriptor` is readable; without one, for a moment.
pub fn wait_readable(descriptor: Option<BorrowedFd>, longest: Duration) {
    const MOMENT: Duration = Duration::from_millis(20);
    let mut fds: Vec<PollFd> = descriptor.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    let longest = if fds.is_empty() { longest.min(MOMENT) } else { longest };
    // One more, because what is left of a millisecond is cut off.
    let timeout = PollTimeout::try_from(longest + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
    let _ = poll(&mut fds, timeout);
}
