//! Answers who asks for metrics, from the event loop: no thread, no timer, nothing blocks.
//!
//! A client that sends no line end, does not read its answers or comes as one too many is let go. None costs more
//! than [`REQUEST_BYTES_MAX`] of memory and one answer's time a turn.

use std::collections::BTreeMap;
use std::io;
use std::io::ErrorKind;
use std::io::Read as _;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::epoll::Epoll;
use nix::sys::epoll::EpollCreateFlags;
use nix::sys::epoll::EpollEvent;
use nix::sys::epoll::EpollFlags;
use nix::sys::epoll::EpollTimeout;

use super::super::socket_file::Modes;
use super::super::socket_file::SocketFile;
use super::wire::Dialogue;
use crate::sched::stats::Sample;
use crate::sched::stats::Totals;
use crate::session::protocol::LeaseStatus;

/// Longest request; those of scx's own tools have 40 bytes.
const REQUEST_BYTES_MAX: usize = 1024;

/// Most clients at a time. One more, and the one that has been silent for the longest has to go.
const CLIENTS_MAX: usize = 16;

/// Stands for the listener where clients have their number.
const LISTENER: u64 = 0;

/// Listens, and knows its clients.
pub struct Server {
    // The order is the order of dropping: the path goes before the listener, so that nobody finds it deaf.
    _file: SocketFile,
    listener: UnixListener,
    epoll: Epoll,
    clients: BTreeMap<u64, Client>,
    nr_clients_ever: u64,
    nr_turns: u64,
    since: Totals,
}

struct Client {
    stream: UnixStream,
    dialogue: Dialogue,
    /// The beginning of a request.
    received: Vec<u8>,
    heard_in_turn: u64,
}

impl Server {
    /// Serves at `path`. A client's first answer tells what has happened since `since`.
    ///
    /// # Errors
    /// What [`SocketFile::make`] says; the process is out of descriptors.
    pub fn bind(path: &Path, since: Totals) -> anyhow::Result<Self> {
        let (listener, file) = SocketFile::make(path, Modes::ForOwner, || UnixListener::bind(path))?;
        listener.set_nonblocking(true).context("listen without blocking")?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("create an epoll")?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER)).context("wait for clients")?;
        Ok(Self { _file: file, listener, epoll, clients: BTreeMap::new(), nr_clients_ever: 0, nr_turns: 0, since })
    }

    /// Does what can be done without waiting, once for each who wants something.
    ///
    /// # Errors
    /// No more clients can be accepted; the server is of no use any more.
    pub fn serve(
        &mut self,
        mut sample: impl FnMut() -> anyhow::Result<Sample>,
        leases: impl Fn() -> Vec<LeaseStatus>,
    ) -> anyhow::Result<()> {
        let mut events = [EpollEvent::empty(); CLIENTS_MAX + 1];
        let nr_events = match self.epoll.wait(&mut events, EpollTimeout::ZERO) {
            Err(Errno::EINTR) => 0,
            outcome => outcome.context("see who asks for metrics")?,
        };
        self.nr_turns += 1;
        for event in &events[..nr_events] {
            match event.data() {
                LISTENER => self.accept()?,
                id => {
                    let Some(client) = self.clients.get_mut(&id) else { continue }; // it has made room
                    client.heard_in_turn = self.nr_turns;
                    if let Err(why) = client.answer(&mut sample, &leases) {
                        log::debug!("metrics client {id} is let go: {why}");
                        self.clients.remove(&id);
                    }
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if is_passing(error.kind()) || error.kind() == ErrorKind::ConnectionAborted => return Ok(()),
            Err(error) => return Err(error).context("accept a client"),
        };
        if self.clients.len() == CLIENTS_MAX {
            let most_silent = self.clients.iter().min_by_key(|(_, client)| client.heard_in_turn).map(|(&id, _)| id);
            most_silent.map(|id| self.clients.remove(&id));
        }
        stream.set_nonblocking(true).context("serve a client without blocking")?;
        self.nr_clients_ever += 1;
        let id = self.nr_clients_ever;
        self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, id)).context("wait for a client")?;
        let dialogue = Dialogue::new(self.since.clone());
        self.clients.insert(id, Client { stream, dialogue, received: Vec::new(), heard_in_turn: self.nr_turns });
        Ok(())
    }
}

impl AsFd for Server {
    /// Becomes readable when somebody wants something.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

impl Client {
    /// Answers the requests that have arrived whole.
    fn answer(
        &mut self,
        mut sample: impl FnMut() -> anyhow::Result<Sample>,
        leases: impl Fn() -> Vec<LeaseStatus>,
    ) -> io::Result<()> {
        let mut buffer = [0; REQUEST_BYTES_MAX];
        let room = REQUEST_BYTES_MAX - self.received.len();
        let nr_bytes = match self.stream.read(&mut buffer[..room]) {
            Ok(0) => return Err(io::Error::other("it has hung up")),
            Err(error) if is_passing(error.kind()) => return Ok(()),
            outcome => outcome?,
        };
        self.received.extend_from_slice(&buffer[..nr_bytes]);
        while let Some(end) = self.received.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.received.drain(..=end).collect();
            // An answer that does not fit into the socket's buffer is for somebody who does not read.
            self.stream.write_all(&self.dialogue.answer(&line, &mut sample, &leases))?;
        }
        if self.received.len() == REQUEST_BYTES_MAX {
            return Err(io::Error::other("it sends no end of line"));
        }
        Ok(())
    }
}

/// Whether trying again later may help.
fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests;
