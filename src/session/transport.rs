//! SOCK_SEQPACKET with descriptors: whole datagrams in, whole datagrams out, never a blocking call.

use std::io;
use std::io::IoSlice;
use std::io::IoSliceMut;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::ControlMessage;
use nix::sys::socket::ControlMessageOwned;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::recvmsg;
use nix::sys::socket::sendmsg;
use nix::sys::socket::socketpair;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::session::protocol::DATAGRAM_BYTES_MAX;

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
        let mut control = nix::cmsg_space!([RawFd; 4]);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let got = match recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), flags) {
            Ok(got) => got,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Received::Nothing),
            Err(Errno::ECONNRESET) => return Ok(Received::Closed),
            Err(errno) => return Err(errno.into()),
        };
        let mut descriptors = owned_descriptors(got.cmsgs()?);
        let (bytes, flags) = (got.bytes, got.flags);
        if flags.contains(MsgFlags::MSG_TRUNC) {
            return Ok(Received::Garbage(format!("a datagram over {DATAGRAM_BYTES_MAX} bytes")));
        }
        if flags.contains(MsgFlags::MSG_CTRUNC) || descriptors.len() > 1 {
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

/// Takes ownership of every descriptor in `messages`, so that none leaks whatever comes after.
fn owned_descriptors(messages: impl Iterator<Item = ControlMessageOwned>) -> Vec<OwnedFd> {
    messages
        .filter_map(|message| match message {
            ControlMessageOwned::ScmRights(raw) => Some(raw),
            _ => None,
        })
        .flatten()
        // SAFETY: the kernel has just installed these descriptors for this process and nothing else knows them.
        .map(|raw| unsafe { OwnedFd::from_raw_fd(raw) })
        .collect()
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
    use nix::sys::socket::send;

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

    #[test]
    fn silence_and_a_closed_peer_are_told_apart() {
        let (client, server) = pair();
        assert!(matches!(server.receive::<Request>().expect("receive"), Received::Nothing));
        drop(client);
        assert!(matches!(server.receive::<Request>().expect("receive"), Received::Closed));
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
        let (client, server) = pair();
        let fds = [0, 1, 2];
        let rights = [ControlMessage::ScmRights(&fds)];
        let bytes = br#"{"type":"set_foreground"}"#;
        sendmsg::<()>(client.as_fd().as_raw_fd(), &[IoSlice::new(bytes)], &rights, MsgFlags::empty(), None)
            .expect("send");
        assert!(matches!(server.receive::<Request>().expect("receive"), Received::Garbage(_)));
    }

    #[test]
    fn a_message_over_the_limit_is_not_sent() {
        let (client, _server) = pair();
        let event = Event::Ended { message: "x".repeat(DATAGRAM_BYTES_MAX) };
        assert_eq!(client.send(&event, None).map_err(|e| e.raw_os_error()), Err(Some(libc::EMSGSIZE)));
    }
}
