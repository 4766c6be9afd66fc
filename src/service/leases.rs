//! One session's requests, answered.

#[cfg(any(test, fuzzing))]
pub mod rehearsal;

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use super::budget::Budget;
use super::cli::Tuned;
use super::holders::Ticket;
use super::peer::Peer;
use super::peer::has_ended;
use super::peer::pidfd_of;
use crate::kernel::NotReady;
use crate::sched::Member;
use crate::sched::stats::Sources;
use crate::session::protocol;
use crate::session::protocol::ErrorKind;
use crate::session::protocol::Event;
use crate::session::protocol::LeaseStatus;
use crate::session::protocol::Request;
use crate::session::protocol::VERSION;
use crate::session::transport::Received;
use crate::session::transport::Transport;

/// How many members a datagram has room for: one takes 50 bytes at most.
const MEMBERS_PER_DATAGRAM: usize = 1000;

/// How many requests are answered before others have their turn.
const REQUESTS_PER_TURN: usize = 32;

/// Most tuning options that are looked at; there are fewer.
const TUNING_OPTIONS_MAX: usize = 64;

const NS_PER_SECOND: u128 = 1_000_000_000;

/// One client.
pub struct Session {
    transport: Transport,
    peer: Peer,
    /// That process for good, while the number of a dead one may be somebody else's. `None`: it has ended already.
    process: Option<OwnedFd>,
    has_greeted: bool,
    ticket: Option<Ticket>,
    budget: Budget,
    heard: Instant,
}

/// Whether a session goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// The client may ask for more.
    Go,
    /// The client gave its lease back and waits to hear that it is done.
    Released,
    /// The client has gone or broke the protocol.
    Over,
}

/// How a lease is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// Descendants born before this time (CLOCK_BOOTTIME, in ns) are none of the family.
    pub since_boot_ns: u64,
    /// How the scheduler is to be.
    pub tuned: Tuned,
}

/// A lease that has begun.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun {
    /// What its holder shows from now on.
    pub ticket: Ticket,
    /// The kernel's name of the scheduler.
    pub scheduler: String,
    /// How long attaching took.
    pub took: Duration,
    /// Who sees what the player does, in words.
    pub input_source: String,
    /// Who sees the beginnings of frames, in words.
    pub frame_source: String,
    /// It is tuned as this holder wants it.
    pub is_as_wished: bool,
}

/// What a session may do to the scheduler.
pub trait Owner {
    /// How the scheduler is to be with these tuning options.
    fn tuned(&self, tuning: &BTreeMap<String, String>) -> Result<Tuned, String>;
    /// Begins a lease, attaching the scheduler first if need be and if it is wanted then.
    fn begin(&mut self, holder: Peer, wish: &Wish, is_wanted: &dyn Fn() -> bool) -> Result<Begun, NotReady>;
    /// Ends a lease.
    fn end(&mut self, ticket: Ticket);
    /// Pins a lease's game, or un-pins it. False while there is no scheduler.
    fn set_foreground(&mut self, ticket: Ticket, tgid: Option<i32>) -> bool;
    /// Makes a process one of a lease's family.
    fn join(&mut self, ticket: Ticket, tgid: i32);
    /// Every lease that is held.
    fn leases(&self) -> Vec<LeaseStatus>;
    /// Where /proc is.
    fn proc_root(&self) -> &Path;
}

impl Session {
    /// Opens a session with `peer` at the other end of `transport`.
    pub fn new(transport: Transport, peer: Peer) -> Self {
        let process = pidfd_of(&transport);
        let heard = Instant::now();
        Self { transport, peer, process, has_greeted: false, ticket: None, budget: Budget::full(heard), heard }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// What it shows for its lease, if it holds one.
    pub fn ticket(&self) -> Option<Ticket> {
        self.ticket
    }

    /// Since when nothing was heard of it.
    pub fn heard(&self) -> Instant {
        self.heard
    }

    /// Answers what has arrived, but no more than others can wait for.
    pub fn answer(&mut self, owner: &mut impl Owner) -> Next {
        for _ in 0..REQUESTS_PER_TURN {
            let next = match self.transport.receive() {
                Ok(Received::Message(request @ Request::Acquire { .. }, _)) => {
                    return self.answer_one(request, None, owner); // takes long: others have their turn after it
                }
                Ok(Received::Message(request, descriptor)) => self.answer_one(request, descriptor, owner),
                Ok(Received::Garbage(why)) => {
                    self.fail(ErrorKind::Protocol, format!("that was no request: {why}"), None);
                    Next::Over
                }
                Ok(Received::Nothing) => return Next::Go,
                Ok(Received::Closed) => Next::Over,
                Err(error) => {
                    log::warn!("session with process {} ends: {error}", self.peer.tgid);
                    Next::Over
                }
            };
            if next != Next::Go {
                return next;
            }
        }
        Next::Go
    }

    /// Ends the lease, if one is held.
    pub fn release(&mut self, owner: &mut impl Owner) {
        if let Some(ticket) = self.ticket.take() {
            owner.end(ticket);
        }
    }

    /// Tells a client that gave its lease back what became of the scheduler.
    pub fn tell_released(&self, is_kept_for_others: bool) {
        self.tell(&Event::Released { is_kept_for_others });
    }

    /// Tells a lease's holder that the scheduler is gone, and in how long it is attached once more.
    pub fn tell_end(&self, message: &str, retry: Option<Duration>) {
        if self.ticket.is_some() {
            let retry_ms = retry.map(|after| after.as_millis().try_into().unwrap_or(u64::MAX));
            self.tell(&Event::Ended { message: message.to_owned(), retry_ms });
        }
    }

    /// Tells a lease's holder that the scheduler stands once more.
    pub fn tell_back(&self, scheduler: &str, took: Duration, sources: &Sources) {
        if self.ticket.is_some() {
            self.tell(&Event::Attached {
                scheduler: scheduler.to_owned(),
                attach_ms: took.as_millis().try_into().unwrap_or(u64::MAX),
                input_source: sources.input.clone(),
                frame_source: sources.frame.clone(),
                is_tuned_otherwise: false,
            });
        }
    }

    /// Tells a lease's holder who sees frames from now on.
    pub fn tell_frame_source(&self, sources: &Sources) {
        if self.ticket.is_some() {
            let millihertz = (sources.frame_hz * 1000.0).round() as u64;
            self.tell(&Event::FrameSource { source: sources.frame.clone(), millihertz });
        }
    }

    /// Tells a lease's holder who has joined its family or has become another program.
    pub fn tell_family(&self, news: &[(Ticket, Member)], proc_root: &Path) {
        let ours = news.iter().filter(|(ticket, _)| Some(*ticket) == self.ticket);
        let members: Vec<protocol::Member> = ours.map(|(_, member)| on_the_wire(member)).collect();
        if members.is_empty() {
            return;
        }
        if !self.peer.shares_our_pids(proc_root) {
            return self.tell(&Event::Family { members: Vec::new() });
        }
        for members in members.chunks(MEMBERS_PER_DATAGRAM) {
            self.tell(&Event::Family { members: members.to_vec() });
        }
    }

    /// Tells the client why it is not, or no longer, served.
    pub fn refuse(&self, kind: ErrorKind, message: String, hint: Option<String>) {
        self.fail(kind, message, hint);
    }

    fn answer_one(&mut self, request: Request, descriptor: Option<OwnedFd>, owner: &mut impl Owner) -> Next {
        self.heard = Instant::now();
        if !self.budget.take(self.heard) {
            self.fail(ErrorKind::Limit, "that were too many requests".to_owned(), None);
            return Next::Over;
        }
        match request {
            Request::Hello { version: VERSION } => {
                self.has_greeted = true;
                self.tell(&Event::Hello { version: VERSION });
            }
            Request::Hello { version } => {
                let message = format!("you speak version {version} of the session protocol, this scx_gamer {VERSION}");
                self.fail(ErrorKind::Version, message, Some("install both programs from one package".to_owned()));
                return Next::Over;
            }
            _ if !self.has_greeted => {
                self.fail(ErrorKind::Protocol, "say hello first".to_owned(), None);
                return Next::Over;
            }
            Request::Acquire { since_boot_ns, tuning } if tuning.len() <= TUNING_OPTIONS_MAX => {
                match owner.tuned(&tuning) {
                    Ok(tuned) => return self.acquire(&Wish { since_boot_ns, tuned }, owner),
                    Err(why) => self.fail(ErrorKind::Tuning, why, None),
                }
            }
            Request::Acquire { .. } => {
                let message = format!("there are at most {TUNING_OPTIONS_MAX} tuning options");
                self.fail(ErrorKind::Tuning, message, None);
            }
            Request::SetForeground => self.set_foreground(descriptor, owner),
            Request::Join => self.join(descriptor, owner),
            Request::Status => self.tell(&Event::Status { leases: owner.leases() }),
            Request::Release => return Next::Released,
            Request::Unknown => {
                self.fail(ErrorKind::Protocol, "this scx_gamer does not know that request".to_owned(), None);
            }
        }
        Next::Go
    }

    fn acquire(&mut self, wish: &Wish, owner: &mut impl Owner) -> Next {
        if self.ticket.is_some() {
            self.fail(ErrorKind::Protocol, "you hold a lease already".to_owned(), None);
            return Next::Go;
        }
        if self.is_gone() {
            return Next::Over;
        }
        match owner.begin(self.peer, wish, &|| self.transport.has_peer()) {
            Ok(begun) if self.is_gone() => {
                // The family that was just marked may be that of another process, which has its number now.
                owner.end(begun.ticket);
                Next::Over
            }
            Ok(begun) => {
                self.ticket = Some(begun.ticket);
                self.tell(&Event::Attached {
                    scheduler: begun.scheduler,
                    attach_ms: begun.took.as_millis().try_into().unwrap_or(u64::MAX),
                    input_source: begun.input_source,
                    frame_source: begun.frame_source,
                    is_tuned_otherwise: !begun.is_as_wished,
                });
                Next::Go
            }
            // Another attempt costs the client another connection: each may stop and start other schedulers.
            Err(why) => {
                self.fail(why.kind(), why.to_string(), why.hint());
                Next::Over
            }
        }
    }

    /// The process that connected has ended, whoever holds the connection now.
    fn is_gone(&self) -> bool {
        self.process.as_ref().is_none_or(|process| has_ended(process.as_fd()))
    }

    fn set_foreground(&mut self, descriptor: Option<OwnedFd>, owner: &mut impl Owner) {
        let Some(ticket) = self.ticket else {
            return self.fail(ErrorKind::Protocol, "acquire a lease first".to_owned(), None);
        };
        let named = descriptor.map(|pidfd| self.peer.named_process(pidfd.as_fd(), owner.proc_root())).transpose();
        match named {
            Ok(tgid) if owner.set_foreground(ticket, tgid) => self.tell(&Event::Foreground { tgid }),
            Ok(_) => self.fail(ErrorKind::Attach, "the scheduler is gone".to_owned(), None),
            Err(why) => self.fail(ErrorKind::Foreground, format!("{why:#}"), None),
        }
    }

    fn join(&self, descriptor: Option<OwnedFd>, owner: &mut impl Owner) {
        let (Some(ticket), Some(pidfd)) = (self.ticket, descriptor) else {
            return self.fail(ErrorKind::Protocol, "a lease and a process are needed for that".to_owned(), None);
        };
        match self.peer.named_process(pidfd.as_fd(), owner.proc_root()) {
            Ok(tgid) => owner.join(ticket, tgid),
            Err(why) => log::debug!("process {}: nobody joins: {why:#}", self.peer.tgid),
        }
    }

    fn fail(&self, kind: ErrorKind, message: String, hint: Option<String>) {
        log::debug!("process {}: {message}", self.peer.tgid);
        self.tell(&Event::Error { kind, message, hint });
    }

    /// A client that has gone, or does not read, misses what it is told; its next look at the socket ends it.
    fn tell(&self, event: &Event) {
        if let Err(error) = self.transport.send(event, None) {
            log::debug!("process {} was not told {event:?}: {error}", self.peer.tgid);
        }
    }
}

fn on_the_wire(member: &Member) -> protocol::Member {
    protocol::Member { pid: member.tgid, start_ticks: start_ticks(member.born, procfs::ticks_per_second()) }
}

/// As the kernel makes it of a process's time of birth for `/proc/PID/stat`: what is left of a tick is cut off.
fn start_ticks(born: Duration, ticks_per_second: u64) -> u64 {
    let ticks = born.as_nanos() / (NS_PER_SECOND / u128::from(ticks_per_second.max(1)));
    ticks.try_into().unwrap_or(u64::MAX)
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }
}

#[cfg(test)]
mod tests;
