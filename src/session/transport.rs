//! SOCK_SEQPACKET with descriptors: whole datagrams in, whole datagrams out, never a blocking call.

use std::io;
use std::io::IoSlice;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::path::Path;

use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::ControlMessage;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::UnixAddr;
use nix::sys::socket::connect;
use nix::sys::socket::sendmsg;
use nix::sys::socket::socket;
use nix::sys::socket::socketpair;
use rustix::net::RecvAncillaryBuffer;
use rustix::net::RecvAncillaryMessage;
use rustix::net::RecvFlags;
use rustix::net::RecvMsg;
use rustix::net::ReturnFlags;
use rustix::net::recvmsg;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::session::protocol::DATAGRAM_BYTES_MAX;

/// How many descriptors are taken off the socket; one is wanted, and the kernel closes what is over.
const DESCRIPTORS_ROOM: usize = 4;

/// One end of a session.
#[derive(Debug)]
pub struct Transport {
    socket: OwnedFd,
}

/// What one look at the socket brought.
#[derive(Debug)]
pub enum Received<T> {
    /// A message, with the descriptor that travelled with it.
    Message(T, Option<OwnedFd>),
    /// Bytes that are no message of this protocol, and why.
    Garbage(String),
    /// Nothing now; wait until the socket is readable.
    Nothing,
    /// The peer has gone; the lease is over.
    Closed,
}

impl Transport {
    /// Makes a connected pair, both ends close-on-exec and non-blocking.
    ///
    /// # Errors
    /// What `socketpair(2)` says, EMFILE for instance.
    pub fn pair() -> io::Result<(Self, Self)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Self { socket: ours }, Self { socket: theirs }))
    }

    /// Opens a session with whoever listens at `path`, close-on-exec and non-blocking.
    ///
    /// # Errors
    /// What [`connect_to`] says.
    pub fn connect(path: &Path) -> io::Result<Self> {
        connect_to(path, SockType::SeqPacket).map(Self::from)
    }

    /// Whether somebody is still at the other end, whatever is left to be read.
    #[must_use]
    pub fn has_peer(&self) -> bool {
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::empty())];
        // POLLHUP and POLLERR are told unasked.
        !poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Sends one message, with a descriptor beside it if one is given.
    ///
    /// # Errors
    /// EAGAIN when the peer does not read, EPIPE when it is gone, EMSGSIZE when the message is over the limit.
    pub fn send<T: Serialize>(&self, message: &T, descriptor: Option<BorrowedFd>) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return Err(Errno::EMSGSIZE.into());
        }
        let raw: Option<[RawFd; 1]> = descriptor.map(|fd| [fd.as_raw_fd()]);
        let control: Vec<ControlMessage> = raw.iter().map(|fds| ControlMessage::ScmRights(fds)).collect();
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(&bytes)], &control, flags, None)?;
        Ok(())
    }

    /// Takes one datagram off the socket, without waiting.
    ///
    /// # Errors
    /// What `recvmsg(2)` says, apart from EAGAIN and a connection that ended.
    pub fn receive<T: DeserializeOwned>(&self) -> io::Result<Received<T>> {
        let mut buffer = vec![0u8; DATAGRAM_BYTES_MAX];
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_ROOM))];
        // Closes whatever is not taken out of it, also when there was no room for all.
        let mut control = RecvAncillaryBuffer::new(&mut room);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let RecvMsg { bytes, flags, .. } = match recvmsg(&self.socket, &mut parts, &mut control, flags) {
            Ok(got) => got,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(Received::Nothing),
            Err(rustix::io::Errno::CONNRESET) => return Ok(Received::Closed),
            Err(errno) => return Err(errno.into()),
        };
        let mut descriptors: Vec<OwnedFd> = control.drain().flat_map(rights).collect();
        if flags.contains(ReturnFlags::TRUNC) {
            return Ok(Received::Garbage(format!("a datagram over {DATAGRAM_BYTES_MAX} bytes")));
        }
        if flags.contains(ReturnFlags::CTRUNC) || descriptors.len() > 1 {
            return Ok(Received::Garbage("more than one descriptor in a datagram".to_owned()));
        }
        if bytes == 0 {
            return Ok(Received::Closed);
        }
        Ok(match serde_json::from_slice(&buffer[..bytes]) {
            Ok(message) => Received::Message(message, descriptors.pop()),
            Err(error) => Received::Garbage(error.to_string()),
        })
    }
}

/// Connects to the Unix socket at `path`, without waiting.
///
/// # Errors
/// ENOENT when there is none, ECONNREFUSED when nobody listens there, EACCES when it is not ours to write, EAGAIN when
/// too many wait to be let in, EPROTOTYPE when it is of another kind.
pub fn connect_to(path: &Path, kind: SockType) -> io::Result<OwnedFd> {
    let address = UnixAddr::new(path)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, kind, flags, None)?;
    connect(socket.as_raw_fd(), &address)?;
    Ok(socket)
}

fn rights(message: RecvAncillaryMessage<'_>) -> Vec<OwnedFd> {
    match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
        _ => Vec::new(),
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<OwnedFd> for Transport {
    /// Takes over a connected SOCK_SEQPACKET socket.
    fn from(socket: OwnedFd) -> Self {
        Self { socket }
    }
}

impl From<Transport> for OwnedFd {
    fn from(transport: Transport) -> Self {
        transport.socket
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::protocol::Event;
    use crate::session::protocol::Request;
    use nix::sys::socket::Backlog;
    use nix::sys::socket::accept;
    use nix::sys::socket::bind;
    use nix::sys::socket::listen;
    use nix::sys::socket::send;
    use std::os::fd::FromRawFd;
    use std::path::PathBuf;

    fn pair() -> (Transport, Transport) {
        Transport::pair().expect("socketpair")
    }

    #[test]
    fn a_message_arrives_with_its_descriptor() {
        let (client, server) = pair();
        let null = std::fs::File::open("/dev/null").expect("open /dev/null");
        client.send(&Request::SetForeground, Some(null.as_fd())).expect("send");
        let Received::Message(Request::SetForeground, Some(_)) = server.receive().expect("receive") else {
            panic!("the request or its descriptor is missing");
        };
    }

    fn listener(kind: SockType, backlog: i32) -> (OwnedFd, PathBuf, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("socket");
        let listener = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).expect("socket");
        bind(listener.as_raw_fd(), &UnixAddr::new(&path).expect("address")).expect("bind");
        listen(&listener, Backlog::new(backlog).expect("backlog")).expect("listen");
        (listener, path, directory)
    }

    fn why_not(path: &Path) -> Option<i32> {
        Transport::connect(path).expect_err("no session").raw_os_error()
    }

    #[test]
    fn a_session_is_opened_by_path_and_carries_messages() {
        let (listener, path, _directory) = listener(SockType::SeqPacket, 1);
        let client = Transport::connect(&path).expect("connect");
        let accepted = accept(listener.as_raw_fd()).expect("accept");
        // SAFETY: the kernel has just made this descriptor for us.
        let server = Transport::from(unsafe { OwnedFd::from_raw_fd(accepted) });
        client.send(&Request::Status, None).expect("send");
        assert!(matches!(server.receive().expect("receive"), Received::Message(Request::Status, None)));
    }

    #[test]
    fn where_no_session_can_be_had_that_is_told_at_once() {
        let (_listener, full, directory) = listener(SockType::SeqPacket, 0);
        let _waiting = Transport::connect(&full).expect("one may wait");
        assert_eq!(why_not(&full), Some(libc::EAGAIN));
        assert_eq!(why_not(&directory.path().join("missing")), Some(libc::ENOENT));
        std::fs::write(directory.path().join("file"), "").expect("write");
        assert_eq!(why_not(&directory.path().join("file")), Some(libc::ECONNREFUSED));
        let (_other, stream, _directory) = self::listener(SockType::Stream, 1);
        assert_eq!(why_not(&stream), Some(libc::EPROTOTYPE));
        assert_eq!(why_not(&directory.path().join("x".repeat(200))), Some(libc::ENAMETOOLONG));
    }

    #[test]
    fn silence_and_a_closed_peer_are_told_apart() {
        let (client, server) = pair();
        assert!(matches!(server.receive::<Request>().expect("receive"), Received::Nothing));
        drop(client);
        assert!(matches!(server.receive::<Request>().expect("receive"), Received::Closed));
    }

    #[test]
    fn a_peer_that_has_gone_is_missed_although_it_left_something_to_read() {
        let (client, server) = pair();
        client.send(&Request::Status, None).expect("send");
        assert!(server.has_peer());
        drop(client);
        assert!(!server.has_peer());
        assert!(matches!(server.receive().expect("receive"), Received::Message(Request::Status, None)));
    }

    #[test]
    fn a_datagram_over_the_limit_and_one_that_is_no_json_are_garbage() {
        let (client, server) = pair();
        let long = vec![b' '; DATAGRAM_BYTES_MAX + 1];
        send(client.as_fd().as_raw_fd(), &long, MsgFlags::empty()).expect("send");
        assert!(matches!(server.receive::<Request>().expect("receive"), Received::Garbage(_)));
        send(client.as_fd().as_raw_fd(), b"\xff\xfe{", MsgFlags::empty()).expect("send");
        assert!(matches!(server.receive::<Request>().expect("receive"), Received::Garbage(_)));
    }

    #[test]
    fn surplus_descriptors_are_refused_and_closed() {
        let bytes = br#"{"type":"set_foreground"}"#;
        for nr_surplus in [2, 3, 4, 5, 253] {
            let (client, server) = pair();
            // A socket, whose other end tells when nobody holds it any more.
            let (ours, theirs) = pair();
            let fds = vec![theirs.as_fd().as_raw_fd(); nr_surplus];
            let rights = [ControlMessage::ScmRights(&fds)];
            sendmsg::<()>(client.as_fd().as_raw_fd(), &[IoSlice::new(bytes)], &rights, MsgFlags::empty(), None)
                .expect("send");
            drop(theirs);
            assert!(ours.has_peer(), "they are in the datagram");
            assert!(matches!(server.receive::<Request>().expect("receive"), Received::Garbage(_)));
            assert!(!ours.has_peer(), "{nr_surplus} descriptors: some are still open");
        }
    }

    #[test]
    fn a_message_over_the_limit_is_not_sent() {
        let (client, _server) = pair();
        let event = Event::Ended { message: "x".repeat(DATAGRAM_BYTES_MAX), retry_ms: None };
        assert_eq!(client.send(&event, None).map_err(|e| e.raw_os_error()), Err(Some(libc::EMSGSIZE)));
    }
}
