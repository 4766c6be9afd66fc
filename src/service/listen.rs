//! Where clients connect: the socket that systemd has handed over, or one of our own.

use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd as _;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;
use listenfd::ListenFd;
use nix::errno::Errno;
use nix::fcntl::FcntlArg;
use nix::fcntl::OFlag;
use nix::fcntl::fcntl;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::Backlog;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::UnixAddr;
use nix::sys::socket::accept4;
use nix::sys::socket::bind;
use nix::sys::socket::getsockopt;
use nix::sys::socket::listen;
use nix::sys::socket::socket;
use nix::sys::socket::sockopt;

use super::socket_file::Modes;
use super::socket_file::SocketFile;
use crate::session::transport::Transport;

/// How many may wait to be let in.
const BACKLOG: i32 = 64;

/// Whether there is a socket to listen at: one from systemd, or a path to make one at.
///
/// # Errors
/// One sentence on what to give.
pub fn check(path: Option<&Path>) -> Result<(), String> {
    let is_handed_over = std::env::var_os("LISTEN_FDS").is_some();
    match path {
        None if !is_handed_over => {
            Err("there is nowhere to listen; give --socket PATH, or start scx-gamer.socket".to_owned())
        }
        Some(path) if is_handed_over => {
            Err(format!("systemd has handed over a socket; --socket {} names another one", path.display()))
        }
        _ => Ok(()),
    }
}

/// A socket at which clients connect.
pub struct Listener {
    // The order is the order of dropping: the path goes before the listener, so that nobody finds it deaf.
    file: Option<SocketFile>,
    socket: OwnedFd,
}

impl Listener {
    /// One at `path`; without that what systemd has handed over.
    ///
    /// # Errors
    /// Somebody else listens at `path`, or what was handed over can't be listened at.
    pub fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let mut handed_over = ListenFd::from_env();
        match (path, handed_over.len()) {
            (Some(path), _) => Self::bind(path),
            (None, 1) => Self::take(&mut handed_over),
            (None, nr_sockets) => bail!("systemd has handed over {nr_sockets} sockets where one is wanted"),
        }
    }

    fn take(handed_over: &mut ListenFd) -> anyhow::Result<Self> {
        let raw = handed_over.take_raw_fd(0).context("take the socket from systemd")?;
        let raw = raw.context("take the socket from systemd")?;
        // SAFETY: the descriptor was handed over to this process, and listenfd gives it away a single time.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        let is_listening = getsockopt(&socket, sockopt::AcceptConn).unwrap_or(false);
        let kind = getsockopt(&socket, sockopt::SockType).ok();
        ensure!(
            is_listening && kind == Some(SockType::SeqPacket),
            "systemd has handed over something else than a listening SOCK_SEQPACKET socket: ListenSequentialPacket= is needed"
        );
        fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("listen without blocking")?;
        Ok(Self { file: None, socket })
    }

    fn bind(path: &Path) -> anyhow::Result<Self> {
        let at = || format!("listen at {}", path.display());
        let address = UnixAddr::new(path).with_context(at)?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (socket, file) = SocketFile::make(path, Modes::ForAll, || {
            let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
            bind(socket.as_raw_fd(), &address)?;
            listen(&socket, Backlog::new(BACKLOG)?)?;
            Ok(socket)
        })?;
        Ok(Self { file: Some(file), socket })
    }

    /// Somebody starts us again when the next client comes.
    pub fn is_handed_over(&self) -> bool {
        self.file.is_none()
    }

    /// The next client; `None` when nobody waits.
    ///
    /// # Errors
    /// What `accept4(2)` says, EMFILE for instance.
    pub fn accept(&self) -> io::Result<Option<Transport>> {
        match accept4(self.socket.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK) {
            // SAFETY: the kernel has just made this descriptor for us.
            Ok(raw) => Ok(Some(Transport::from(unsafe { OwnedFd::from_raw_fd(raw) }))),
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNABORTED) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::protocol::Request;
    use crate::session::transport::Received;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn everybody_may_connect_and_the_path_goes_with_the_listener() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("run/socket");
        let listener = Listener::open(Some(&path)).expect("listen");
        assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o666);
        assert!(listener.accept().expect("accept").is_none(), "nobody has come");
        let client = Transport::connect(&path).expect("connect");
        client.send(&Request::Status, None).expect("send");
        let server = listener.accept().expect("accept").expect("a client");
        assert!(matches!(server.receive(), Ok(Received::Message(Request::Status, None))));
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn a_path_at_which_somebody_listens_is_left_to_them_and_a_stale_one_is_taken() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("socket");
        let first = Listener::open(Some(&path)).expect("listen");
        let why = format!("{:#}", Listener::open(Some(&path)).err().expect("taken"));
        assert!(why.contains("another program serves at"), "{why}");
        let Listener { file, socket } = first;
        std::mem::forget(file); // as if it had been killed
        drop(socket);
        assert!(path.exists());
        Listener::open(Some(&path)).expect("listen where nobody does any more");
    }

    #[test]
    fn without_a_socket_the_mistake_says_what_to_give() {
        // cargo test was not started by a socket unit.
        assert!(check(None).expect_err("nowhere").contains("give --socket PATH"));
        assert_eq!(check(Some(Path::new("/run/here"))), Ok(()));
    }
}
