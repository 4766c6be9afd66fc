//! A second process that answers requests, as wineserver does: the game sends one, sleeps, and
//! goes on when the reply is there.

use std::io;
use std::io::Read;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use anyhow::Context;
use anyhow::Result;

use crate::process::spawn_tied;
use crate::spin::spin;

/// The game's end; the server ends when it is dropped.
pub struct Server {
    stream: Option<UnixStream>,
    process: Child,
}

impl Server {
    /// Starts this same program as the server, its end of a socket pair as standard input.
    pub fn start() -> Result<Self> {
        let (ours, theirs) = UnixStream::pair().context("make a socket pair for the server")?;
        let myself = std::env::current_exe().context("find this program")?;
        let process = spawn_tied(Command::new(&myself).arg("--server").stdin(Stdio::from(OwnedFd::from(theirs))))
            .with_context(|| format!("start {} --server", myself.display()))?;
        Ok(Self { stream: Some(ours), process })
    }

    /// Asks for `spins` of work and waits for the reply.
    pub fn request(&mut self, spins: u64) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        stream.write_all(&spins.to_ne_bytes())?;
        stream.read_exact(&mut [0; 8])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stream = None;
        let _ = self.process.wait();
    }
}

/// The server's side: answers on standard input's socket until the game is gone.
pub fn serve() -> Result<()> {
    let socket = std::io::stdin();
    let socket =
        std::os::fd::AsFd::as_fd(&socket).try_clone_to_owned().context("take the socket from standard input")?;
    let mut stream = UnixStream::from(socket);
    let mut request = [0; 8];
    while stream.read_exact(&mut request).is_ok() {
        spin(u64::from_ne_bytes(request));
        if stream.write_all(&request).is_err() {
            break;
        }
    }
    Ok(())
}
