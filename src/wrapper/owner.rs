//! A scx_gamer of our own, where no service lends one: started with one end of a session, and waited for.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use crate::game::watch::pidfd_open;
use crate::session::transport::Transport;
use crate::wrapper::lease::wait_readable;
use crate::wrapper::report::Failure;

/// Its program.
pub const OWNER: &str = "scx_gamer";

/// How long after its session closed it may take to end, for its status to be part of the message.
pub const STATUS_PATIENCE: Duration = Duration::from_millis(200);

/// What to do when it does not do what it should.
pub const HINT_BROKEN: &str = "run `sudo scx_gamer` in a terminal to see what is wrong";

/// The scx_gamer process.
#[derive(Debug)]
pub struct Owner {
    child: Child,
    pidfd: Option<OwnedFd>,
    ended: Option<ExitStatus>,
}

impl Owner {
    /// Starts it with the session as its standard input. Its own process group keeps the terminal's Ctrl+C away: it
    /// must outlive the game. What the launcher preloads into the game is not for a program of root.
    ///
    /// # Errors
    /// It is missing, or no process can be made for it.
    pub fn start(session: Transport, verbosity: u8) -> Result<Self, Failure> {
        let program = program_of_owner();
        let child = Command::new(&program)
            .arg("--child")
            .args(std::iter::repeat_n("-v", verbosity.into()))
            .stdin(Stdio::from(OwnedFd::from(session)))
            .stdout(Stdio::null())
            .process_group(0)
            .env_remove("LD_PRELOAD")
            .env_remove("LD_LIBRARY_PATH")
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Failure::new(
                    format!("{OWNER} was found neither beside scx-gamer-run nor in PATH"),
                    "put both programs into one directory, or scx_gamer into PATH",
                ),
                _ => Failure::new(format!("can't start {}: {error}", program.display()), HINT_BROKEN),
            })?;
        let pidfd = pidfd_open(child.id().cast_signed()).ok();
        Ok(Self { child, pidfd, ended: None })
    }

    /// Its PID.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Readable once it has ended; `None` when that is known already.
    pub fn end_to_come(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().filter(|_| self.ended.is_none()).map(AsFd::as_fd)
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            // An error is ECHILD: it has ended and its status is lost.
            self.ended = self.child.try_wait().unwrap_or(Some(ExitStatus::from_raw(0xff00)));
        }
        self.ended
    }

    /// How it has ended, waiting for that at most so long.
    pub fn ended_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.ended().is_some() || left.is_zero() {
                return self.ended;
            }
            wait_readable(self.pidfd.as_ref().map(AsFd::as_fd), left);
        }
    }

    /// Ends it at once; the kernel takes its scheduler out.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.ended_within(STATUS_PATIENCE);
    }
}

/// Beside our own program, where a package and a build directory have it; else left to PATH.
pub fn program_of_owner() -> OsString {
    let beside = env::current_exe().ok().and_then(|own| Some(own.parent()?.join(OWNER)));
    beside.filter(|path| Path::is_file(path)).map_or_else(|| OsString::from(OWNER), OsString::from)
}
