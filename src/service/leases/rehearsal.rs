//! A session whose scheduler is none: for tests, and for `fuzz/`.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::MsgFlags;
use nix::sys::socket::send;

use super::Begun;
use super::Next;
use super::Owner;
use super::Session;
use super::Wish;
use crate::kernel::NotReady;
use crate::service::cli::Options;
use crate::service::cli::Tuned;
use crate::service::holders::Ticket;
use crate::service::peer::Peer;
use crate::session::protocol::LeaseStatus;
use crate::session::transport::Transport;

/// Grants leases without a scheduler, as long as it has any.
pub struct FakeOwner {
    options: Options,
    nr_left: u32,
    /// Those that are held.
    pub held: Vec<Ticket>,
    /// Who was pinned last.
    pub foreground: Option<i32>,
    /// Who has joined.
    pub joined: Vec<i32>,
}

impl FakeOwner {
    /// With so many to grant.
    pub fn of_leases(nr_left: u32) -> Self {
        let options = Options::from_words(&[]).expect("flags");
        Self { options, nr_left, held: Vec::new(), foreground: None, joined: Vec::new() }
    }
}

impl Owner for FakeOwner {
    fn tuned(&self, tuning: &BTreeMap<String, String>) -> Result<Tuned, String> {
        self.options.tuned(tuning)
    }

    fn begin(&mut self, _holder: Peer, wish: &Wish, is_wanted: &dyn Fn() -> bool) -> Result<Begun, NotReady> {
        if !is_wanted() {
            return Err(NotReady::Unwanted);
        }
        let ticket = Ticket(self.nr_left);
        self.nr_left = self.nr_left.checked_sub(1).ok_or(NotReady::TooMany { most: 0, whose: "nobody" })?;
        self.held.push(ticket);
        Ok(Begun {
            ticket,
            scheduler: "gamer".to_owned(),
            took: Duration::from_millis(7),
            input_source: "fake".to_owned(),
            frame_source: "fake".to_owned(),
            is_as_wished: wish.tuned == self.options.untuned(),
        })
    }

    fn end(&mut self, ticket: Ticket) {
        self.held.retain(|held| *held != ticket);
    }

    fn set_foreground(&mut self, _ticket: Ticket, tgid: Option<i32>) -> bool {
        self.foreground = tgid;
        true
    }

    fn join(&mut self, _ticket: Ticket, tgid: i32) {
        self.joined.push(tgid);
    }

    fn leases(&self) -> Vec<LeaseStatus> {
        Vec::new()
    }

    fn proc_root(&self) -> &Path {
        Path::new("/proc")
    }
}

/// Plays a client that sends these datagrams, until its session is over.
///
/// # Panics
/// Another lease is held than the one that the session knows of, or one is left when it is over.
pub fn rehearse<'a>(datagrams: impl IntoIterator<Item = &'a [u8]>) {
    let (client, server) = Transport::pair().expect("socketpair");
    let peer = Peer::of(&server).expect("a peer");
    let (mut session, mut owner) = (Session::new(server, peer), FakeOwner::of_leases(3));
    for bytes in datagrams {
        if send(client.as_fd().as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL).is_err() {
            break;
        }
        let next = session.answer(&mut owner);
        assert_eq!(owner.held.len(), usize::from(session.ticket().is_some()));
        if next != Next::Go {
            break;
        }
    }
    session.release(&mut owner);
    assert!(owner.held.is_empty(), "a lease outlives its session");
}
