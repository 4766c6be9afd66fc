//! The game as our child: what a wrapper owes it, and the exit status that comes back.
//!
//! The child inherits everything as we got it: environment, directory, stdio, process group, terminal, niceness, limits,
//! signal mask and dispositions; SIGPIPE is default. A program without `#!` is run by /bin/sh, as execvp does.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;

use nix::unistd::Pid;

use crate::game::watch::pidfd_open;
use crate::wrapper::cli::Play;
use crate::wrapper::report::Ended;
use crate::wrapper::report::Message;
use crate::wrapper::report::Report;
use crate::wrapper::signals::Inherited;

/// A command line that names no command.
pub const STATUS_USAGE: u8 = 2;
/// `--require` was not met, or we could not start anything.
pub const STATUS_OURS: u8 = 125;
const STATUS_NOT_EXECUTABLE: u8 = 126;
const STATUS_NOT_FOUND: u8 = 127;

/// The running game.
#[derive(Debug)]
pub struct Game {
    child: Child,
    pidfd: Option<OwnedFd>,
    ended: Option<Ended>,
}

/// Why the game does not run.
#[derive(Debug)]
pub struct NotStarted {
    /// For the player.
    pub message: Message,
    /// For the caller.
    pub status: u8,
}

/// Starts the game.
///
/// # Errors
/// When the program can't be found or executed.
pub fn spawn(play: &Play, inherited: Inherited, report: &Report) -> Result<Game, NotStarted> {
    let mut command = Command::new(&play.program);
    command.args(&play.arguments);
    // SAFETY: runs between fork and exec; restore makes two system calls, takes no lock and no memory.
    unsafe { command.pre_exec(move || inherited.restore()) };
    match command.spawn() {
        Ok(child) => {
            let pidfd = pidfd_open(pid_of(&child).as_raw())
                .inspect_err(|error| report.less("the game's end is polled for", error))
                .ok();
            Ok(Game { child, pidfd, ended: None })
        }
        Err(error) if is_shortage(&error) => {
            report.say(&Message::TakesOurPlace(error.to_string()));
            Err(not_started(&play.program, &command.exec()))
        }
        Err(error) => Err(not_started(&play.program, &error)),
    }
}

/// No process or descriptor to be had: nothing that an exec in our own place would need.
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE))
}

fn not_started(program: &OsStr, error: &io::Error) -> NotStarted {
    let status = status_of_exec(error);
    let why = match status {
        STATUS_NOT_FOUND if program.as_encoded_bytes().contains(&b'/') => "no such file, or its interpreter is missing",
        STATUS_NOT_FOUND => "command not found",
        _ => &plain(error),
    };
    NotStarted {
        message: Message::NotStarted { program: program.to_string_lossy().into_owned(), why: why.to_owned() },
        status,
    }
}

/// The words of errno without Rust's number.
fn plain(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |errno| nix::errno::Errno::from_raw(errno).desc().to_owned())
}

fn status_of_exec(error: &io::Error) -> u8 {
    match error.raw_os_error() {
        Some(libc::ENOENT) => STATUS_NOT_FOUND,
        Some(libc::EAGAIN | libc::EMFILE | libc::ENFILE) | None => STATUS_OURS,
        Some(_) => STATUS_NOT_EXECUTABLE,
    }
}

impl Game {
    /// PID of the direct child.
    #[must_use]
    pub fn pid(&self) -> Pid {
        pid_of(&self.child)
    }

    /// Readable when the game has ended; `None` when it must be polled.
    #[must_use]
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// How the game ended, if it has.
    pub fn ended(&mut self) -> Option<Ended> {
        // An error here is ECHILD: somebody else has reaped it and its status can't be had.
        if self.ended.is_none() {
            self.ended = match self.child.try_wait() {
                Ok(status) => status.map(Ended::from),
                Err(_) => Some(Ended::Exited(STATUS_OURS)),
            };
        }
        self.ended
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        let code = |code| Self::Exited(u8::try_from(code).unwrap_or(STATUS_OURS));
        status.signal().map_or_else(|| status.code().map_or(Self::Exited(STATUS_OURS), code), Self::Killed)
    }
}

impl Ended {
    /// Our own exit status.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Self::Exited(status) => status,
            Self::Killed(signal) => 128u8.saturating_add(u8::try_from(signal).unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_is_the_games_own_or_tells_the_signal() {
        assert_eq!(Ended::from(ExitStatus::from_raw(7 << 8)).status(), 7);
        assert_eq!(Ended::from(ExitStatus::from_raw(255 << 8)).status(), 255);
        assert_eq!(Ended::from(ExitStatus::from_raw(libc::SIGKILL)).status(), 137);
        assert_eq!(Ended::from(ExitStatus::from_raw(libc::SIGSEGV | 0x80)), Ended::Killed(libc::SIGSEGV));
    }

    #[test]
    fn each_failure_of_exec_has_its_status() {
        let status = |errno| status_of_exec(&io::Error::from_raw_os_error(errno));
        assert_eq!(status(libc::ENOENT), 127);
        for errno in [libc::EACCES, libc::ENOEXEC, libc::ENOTDIR, libc::ELOOP, libc::E2BIG, libc::ETXTBSY] {
            assert_eq!(status(errno), 126);
        }
        assert_eq!(status(libc::EAGAIN), 125);
    }
}
