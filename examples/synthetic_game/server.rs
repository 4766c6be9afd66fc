//! Another process that answers requests: the game sends one, sleeps, and continues when the answer has arrived.
//! wineserver is one, and so are the processes of a browser engine.

use std::io;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;

use anyhow::Context;
use anyhow::Result;
use nix::time::ClockId;
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

use crate::frames::FRAME_PRIORITY;
use crate::policy::become_real_time;
use crate::process::spawn_tied;
use crate::spin::monotonic_ns;
use crate::spin::spin;
use crate::wakeups::WakeUps;

/// The game's end of a server; a server that we started ends when this is dropped.
pub struct Server {
    stream: Option<UnixStream>,
    pid: u32,
    child: Option<Child>,
}

impl Server {
    /// Starts this same program as the server, its end of a socket pair as standard input.
    pub fn start() -> Result<Self> {
        let (ours, theirs) = UnixStream::pair().context("make a socket pair for the server")?;
        let child = start_this(["--server".into()], theirs)?;
        Ok(Self { stream: Some(ours), pid: child.id(), child: Some(child) })
    }

    /// Our parent is the server, at the other end of `stream`.
    pub fn parent(stream: UnixStream) -> Self {
        Self { stream: Some(stream), pid: parent_id(), child: None }
    }

    /// Asks for `spins` of work and waits for the answer.
    pub fn request(&mut self, spins: u64, wakeups: &WakeUps) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let stamp = wakeups.stamp();
        send(stream, [spins, monotonic_ns()])?;
        let [server_wait_ns, answered_ns] = receive(stream)?;
        wakeups.answered(stamp, server_wait_ns, answered_ns);
        Ok(())
    }

    /// The clock of the CPU time that the server uses.
    pub fn cpu_clock(&self) -> Option<ClockId> {
        clock_getcpuclockid(Pid::from_raw(self.pid.cast_signed())).ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stream = None;
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
    }
}

/// The server's side: answers on standard input's socket until the game is gone.
pub fn serve() -> Result<()> {
    serve_at(standard_input()?);
    Ok(())
}

/// The browser's side of a browser engine: starts this program with the same arguments as the process that plays the
/// pages, answers its requests, and returns its status.
pub fn browse(is_real_time: bool) -> Result<ExitStatus> {
    if is_real_time {
        become_real_time(FRAME_PRIORITY).context("make the browser real-time: needs root")?;
    }
    let (ours, theirs) = UnixStream::pair().context("make a socket pair for the pages")?;
    let args = std::env::args_os().skip(1).chain(["--pages".into()]);
    let mut pages = start_this(args, theirs)?;
    serve_at(ours);
    pages.wait().context("wait for the process that plays the pages")
}

/// The socket that this process was started with.
pub fn standard_input() -> Result<UnixStream> {
    let stdin = std::io::stdin();
    let socket = stdin.as_fd().try_clone_to_owned().context("take the socket from standard input")?;
    Ok(UnixStream::from(socket))
}

fn start_this(args: impl IntoIterator<Item = std::ffi::OsString>, stdin: UnixStream) -> Result<Child> {
    let myself = std::env::current_exe().context("find this program")?;
    let mut command = Command::new(&myself);
    command.args(args).stdin(Stdio::from(OwnedFd::from(stdin)));
    spawn_tied(&mut command).with_context(|| format!("start {} as a server", myself.display()))
}

fn serve_at(mut stream: UnixStream) {
    while let Ok([spins, sent_ns]) = receive(&mut stream) {
        let waited_ns = monotonic_ns().saturating_sub(sent_ns);
        spin(spins);
        if send(&mut stream, [waited_ns, monotonic_ns()]).is_err() {
            break;
        }
    }
}

/// A message is two numbers. A request: spins of work, and when it was sent. An answer: how long the request waited for
/// the server to run, and when it was answered.
fn send(stream: &mut UnixStream, numbers: [u64; 2]) -> io::Result<()> {
    stream.write_all(numbers.map(u64::to_ne_bytes).as_flattened())
}

fn receive(stream: &mut UnixStream) -> io::Result<[u64; 2]> {
    let mut message = [[0; 8]; 2];
    stream.read_exact(message.as_flattened_mut())?;
    Ok(message.map(u64::from_ne_bytes))
}
