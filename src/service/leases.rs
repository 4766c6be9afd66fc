//! Who holds the scheduler: one session's requests, answered.

use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use procfs::process::Process;

use super::peer::Peer;
use crate::sched::LeaseId;
use crate::sched::NotReady;
use crate::sched::Scheduler;
use crate::sched::stats::Sources;
use crate::session::protocol::ErrorKind;
use crate::session::protocol::Event;
use crate::session::protocol::LeaseStatus;
use crate::session::protocol::Request;
use crate::session::protocol::VERSION;
use crate::session::transport::Received;
use crate::session::transport::Transport;

/// One client and what it holds.
pub struct Session {
    transport: Transport,
    peer: Peer,
    has_greeted: bool,
    lease: Option<Held>,
}

/// A lease that is held.
struct Held {
    id: LeaseId,
    foreground_tgid: Option<i32>,
    since: SystemTime,
}

/// Whether a session goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// The client may ask for more.
    Go,
    /// The client has gone, gave its lease back, or broke the protocol.
    Over,
}

/// What a session may do to the scheduler.
pub trait Owner {
    /// The attached scheduler, attaching it first if need be; how long that took.
    fn attach(&mut self) -> Result<(&mut Scheduler, Duration), NotReady>;
    /// The scheduler, if it is attached.
    fn scheduler(&mut self) -> Option<&mut Scheduler>;
    /// Who sees events.
    fn sources(&self) -> Sources;
    /// Where /proc is.
    fn proc_root(&self) -> &Path;
}

impl Session {
    /// Opens a session with whoever is at the other end of `transport`.
    ///
    /// # Errors
    /// The kernel does not tell who that is.
    pub fn new(transport: Transport) -> anyhow::Result<Self> {
        let peer = Peer::of(&transport)?;
        Ok(Self { transport, peer, has_greeted: false, lease: None })
    }

    /// Answers everything that has arrived.
    pub fn answer(&mut self, owner: &mut impl Owner) -> Next {
        loop {
            let next = match self.transport.receive() {
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
            if next == Next::Over {
                return next;
            }
        }
    }

    /// Ends the lease, if one is held.
    pub fn release(&mut self, owner: &mut impl Owner) {
        if let (Some(held), Some(scheduler)) = (self.lease.take(), owner.scheduler()) {
            scheduler.end_lease(held.id);
        }
    }

    /// Tells a lease's holder that the scheduler is gone.
    pub fn tell_end(&mut self, message: &str) {
        if self.lease.take().is_some() {
            self.tell(&Event::Ended { message: message.to_owned() });
        }
    }

    /// Tells a lease's holder who sees frames from now on.
    pub fn tell_frame_source(&self, sources: &Sources) {
        if self.lease.is_some() {
            let millihertz = (sources.frame_hz * 1000.0).round() as u64;
            self.tell(&Event::FrameSource { source: sources.frame.clone(), millihertz });
        }
    }

    fn answer_one(&mut self, request: Request, descriptor: Option<OwnedFd>, owner: &mut impl Owner) -> Next {
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
            Request::Acquire { since_boot_ns } => self.acquire(since_boot_ns, owner),
            Request::SetForeground => self.set_foreground(descriptor, owner),
            Request::Status => {
                let leases = self.status(owner.proc_root()).into_iter().collect();
                self.tell(&Event::Status { leases });
            }
            Request::Release => return Next::Over,
            Request::Unknown => {
                self.fail(ErrorKind::Protocol, "this scx_gamer does not know that request".to_owned(), None)
            }
        }
        Next::Go
    }

    fn acquire(&mut self, since_boot_ns: u64, owner: &mut impl Owner) {
        if self.lease.is_some() {
            return self.fail(ErrorKind::Protocol, "you hold a lease already".to_owned(), None);
        }
        let tgid = self.peer.tgid;
        let granted = owner
            .attach()
            .and_then(|(scheduler, took)| Ok((scheduler.begin_lease(tgid, since_boot_ns)?, scheduler.name(), took)));
        match granted {
            Ok((id, scheduler, took)) => {
                self.lease = Some(Held { id, foreground_tgid: None, since: SystemTime::now() });
                let attach_ms = took.as_millis().try_into().unwrap_or(u64::MAX);
                let Sources { input, frame, .. } = owner.sources();
                self.tell(&Event::Attached { scheduler, attach_ms, input_source: input, frame_source: frame });
            }
            Err(why) => self.fail(why.kind(), why.to_string(), why.hint()),
        }
    }

    fn set_foreground(&mut self, descriptor: Option<OwnedFd>, owner: &mut impl Owner) {
        let Some(held) = &mut self.lease else {
            return self.fail(ErrorKind::Protocol, "acquire a lease first".to_owned(), None);
        };
        let named = descriptor.map(|pidfd| self.peer.named_process(pidfd.as_fd(), owner.proc_root())).transpose();
        match (named, owner.scheduler()) {
            (Ok(tgid), Some(scheduler)) => {
                scheduler.set_foreground(held.id, tgid);
                held.foreground_tgid = tgid;
                self.tell(&Event::Foreground { tgid });
            }
            (Err(why), _) => self.fail(ErrorKind::Foreground, format!("{why:#}"), None),
            (_, None) => self.fail(ErrorKind::Attach, "the scheduler is gone".to_owned(), None),
        }
    }

    fn status(&self, proc_root: &Path) -> Option<LeaseStatus> {
        let held = self.lease.as_ref()?;
        let comm_of =
            |tgid: i32| Some(Process::new_with_root(proc_root.join(tgid.to_string())).ok()?.stat().ok()?.comm);
        Some(LeaseStatus {
            pid: self.peer.tgid,
            uid: self.peer.uid,
            foreground_tgid: held.foreground_tgid,
            foreground_comm: held.foreground_tgid.and_then(comm_of),
            since: held.since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        })
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

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }
}
