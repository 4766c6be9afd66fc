//! Signals: which are passed on to the game, and what it gets back as it was.
//!
//! No handler is installed. The signals that we pass on are blocked and read from a descriptor, so what was ignored
//! when we were started (nohup) is still ignored in the game. TSTP is left alone: Ctrl+Z stops us with the group.
//!
//! Limit: a signal that somebody sends to the whole process group reaches the game twice, once from us; only what the
//! terminal sends can be told apart.

use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::signal::SaFlags;
use nix::sys::signal::SigAction;
use nix::sys::signal::SigHandler;
use nix::sys::signal::SigSet;
use nix::sys::signal::SigmaskHow;
use nix::sys::signal::Signal;
use nix::sys::signal::sigaction;
use nix::sys::signalfd::SfdFlags;
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use nix::unistd::getpgrp;
use nix::unistd::getpid;
use nix::unistd::getsid;

const FORWARDED: [Signal; 7] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCONT,
];

/// What the game gets back.
#[derive(Clone, Copy, Debug)]
pub struct Inherited {
    mask: SigSet,
    ignores_chld: bool,
}

impl Inherited {
    /// Remembers our mask. An ignored SIGCHLD would cost us the exit status, so it is made default here.
    #[must_use]
    pub fn take() -> Self {
        let mask = SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty());
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: the default action runs no code of ours.
        let before = unsafe { sigaction(Signal::SIGCHLD, &default) };
        Self { mask, ignores_chld: before.is_ok_and(|before| matches!(before.handler(), SigHandler::SigIgn)) }
    }

    /// Puts it back, in the game before its exec. SIGPIPE, which Rust ignores, std has made default by then.
    ///
    /// # Errors
    /// None that a caller can cause. Async-signal-safe: two system calls and no memory.
    pub fn restore(&self) -> io::Result<()> {
        if self.ignores_chld {
            let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
            // SAFETY: ignoring runs no code of ours.
            unsafe { sigaction(Signal::SIGCHLD, &ignore) }?;
        }
        self.mask.thread_set_mask()?;
        Ok(())
    }
}

/// The blocked signals, to be read.
#[derive(Debug)]
pub struct Signals {
    descriptor: SignalFd,
    /// Ignored when we were started.
    ignored: SigSet,
}

impl Signals {
    /// Blocks what we pass on; from here on it waits for [`Signals::next`].
    ///
    /// # Errors
    /// EMFILE, ENFILE or ENOMEM; then nothing is blocked and signals act on us alone.
    pub fn block() -> io::Result<Self> {
        let mut set: SigSet = FORWARDED.into_iter().collect();
        let descriptor = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        // A terminal with tostop stops background jobs that write: our words must not stop us.
        set.add(Signal::SIGTTOU);
        set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        Ok(Self { descriptor, ignored: FORWARDED.into_iter().filter(|signal| is_ignored(*signal)).collect() })
    }

    /// The next one that the game at `game` does not have yet.
    ///
    /// # Errors
    /// What `read(2)` of the descriptor says.
    pub fn next(&self, game: Pid) -> io::Result<Option<Signal>> {
        while let Some(info) = self.descriptor.read_signal()? {
            let Ok(signal) = Signal::try_from(info.ssi_signo.cast_signed()) else { continue };
            let sender = Sender {
                is_kernel: info.ssi_code == libc::SI_KERNEL,
                game_shares_group: nix::unistd::getpgid(Some(game)) == Ok(getpgrp()),
                we_lead_session: getsid(None) == Ok(getpid()),
            };
            if !sender.has_told_the_game(signal) {
                return Ok(Some(signal));
            }
        }
        Ok(None)
    }
}

impl Signals {
    /// Whether whoever sends `signal` wants us to end, and can: under nohup HUP does not, nor INT in a script's background.
    #[must_use]
    pub fn ends_us(&self, signal: Signal) -> bool {
        asks_to_end(signal) && !self.ignored.contains(signal)
    }

    /// The next one that asks us to end, for a holder without a game; all others are taken off the descriptor.
    #[must_use]
    pub fn next_that_asks_to_end(&self) -> Option<Signal> {
        let next = || Signal::try_from(self.descriptor.read_signal().ok()??.ssi_signo.cast_signed()).ok();
        std::iter::from_fn(next).find(|signal| self.ends_us(*signal))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Sends `signal` to the game.
///
/// # Errors
/// EPERM where the game has become another user's. A game that has just ended is none.
pub fn pass_on(signal: Signal, game: Pid) -> io::Result<()> {
    match nix::sys::signal::kill(game, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Sends `signal` to the process behind `pidfd`, which need not be our child.
///
/// # Errors
/// As [`pass_on`].
pub fn pass_on_to(signal: Signal, pidfd: BorrowedFd<'_>) -> io::Result<()> {
    let no_info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: an open descriptor and a null pointer, which stands for what kill(2) would tell.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal as i32, no_info, 0) };
    match Errno::result(sent) {
        Ok(_) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether nothing happens when `signal` comes.
fn is_ignored(signal: Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: sets nothing, and writes what is set to memory of its size, for which zeros are a value, too.
    let action = unsafe {
        libc::sigaction(signal as i32, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

/// Whether whoever sends this wants its receiver to end.
fn asks_to_end(signal: Signal) -> bool {
    matches!(signal, Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT)
}

/// What we know about how a signal came.
struct Sender {
    is_kernel: bool,
    game_shares_group: bool,
    we_lead_session: bool,
}

impl Sender {
    /// The terminal sends to its whole foreground group, but tells of its end (HUP, then CONT) the session's leader only.
    fn has_told_the_game(&self, signal: Signal) -> bool {
        let is_for_leader = self.we_lead_session && matches!(signal, Signal::SIGHUP | Signal::SIGCONT);
        self.is_kernel && self.game_shares_group && !is_for_leader
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rust_ignores_at_start_is_seen_as_ignored() {
        assert!(is_ignored(Signal::SIGPIPE));
        assert!(!is_ignored(Signal::SIGUSR1));
    }

    const TERMINAL: Sender = Sender { is_kernel: true, game_shares_group: true, we_lead_session: false };

    #[test]
    fn what_the_terminal_sent_to_the_group_is_not_sent_twice() {
        assert!(TERMINAL.has_told_the_game(Signal::SIGINT));
        assert!(TERMINAL.has_told_the_game(Signal::SIGHUP));
    }

    #[test]
    fn what_a_process_sent_is_passed_on() {
        assert!(!Sender { is_kernel: false, ..TERMINAL }.has_told_the_game(Signal::SIGINT));
    }

    #[test]
    fn a_game_that_left_the_group_is_told() {
        assert!(!Sender { game_shares_group: false, ..TERMINAL }.has_told_the_game(Signal::SIGINT));
    }

    #[test]
    fn the_end_of_the_terminal_is_passed_on_by_the_sessions_leader() {
        let leader = Sender { we_lead_session: true, ..TERMINAL };
        assert!(!leader.has_told_the_game(Signal::SIGHUP));
        assert!(leader.has_told_the_game(Signal::SIGINT));
    }
}
