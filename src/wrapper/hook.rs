//! A lease without a command, for launchers that run scripts around a game.
//!
//! `--hold` holds it until somebody ends us: Lutris ends a pre-launch script that it does not wait for with the game.
//! `--hook start` leaves a holder behind and returns, since Heroic waits for its scripts; that holder ends by itself (see
//! [`Released`](super::follow::Released)), or by `--hook stop`. The game is not below us then: it is known by its environment, or as a descendant
//! of the launcher that was born after us.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::signal::Signal;
use nix::unistd::daemon;

use crate::game::lineage::Root;
use crate::game::lineage::Search;
use crate::game::marks::Marks;
use crate::game::names;
use crate::game::names::Role;
use crate::game::proc::ProcFs;
use crate::game::tree::Process;
use crate::game::watch::Watch;
use crate::game::watch::pidfd_open;
use crate::wrapper::child::STATUS_OURS;
use crate::wrapper::cli::Options;
use crate::wrapper::follow::Follow;
use crate::wrapper::lease::Lease;
use crate::wrapper::nested::OWN_NAME;
use crate::wrapper::report::Message;
use crate::wrapper::report::Report;
use crate::wrapper::signals::Inherited;
use crate::wrapper::signals::Signals;
use crate::wrapper::signals::pass_on_to;

/// How long `--hook stop` waits for a holder to give the machine back.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Holds the lease until a signal ends it; returns our exit status.
#[must_use]
pub fn hold(options: &Options, procfs: ProcFs, service: &Path) -> u8 {
    let report = Report::new(options.verbosity, options.log.as_deref());
    tell_complaints(options, &report);
    let launcher = Launcher::above(&procfs, std::process::id().cast_signed());
    hold_for(options, procfs, service, launcher.as_ref(), Ends::WhenTold, &report)
}

/// Leaves a holder behind that has nothing of the launcher's but its environment; returns our exit status.
#[must_use]
pub fn start(options: &Options, procfs: ProcFs, service: &Path) -> u8 {
    let report = Report::new(options.verbosity, options.log.as_deref());
    tell_complaints(options, &report);
    let Some(launcher) = Launcher::above(&procfs, std::process::id().cast_signed()) else {
        report.say(&Message::NoHolder("no launcher was found that has started us".to_owned()));
        return STATUS_OURS;
    };
    // Its own session and no stdio: a launcher that waits for the end of our output would wait for the game.
    if let Err(error) = daemon(true, false) {
        report.say(&Message::NoHolder(error.to_string()));
        return STATUS_OURS;
    }
    hold_for(options, procfs, service, Some(&launcher), Ends::ByItself, &report)
}

/// Ends what `--hook start` left behind for the same game, whichever launcher called it; returns our exit status.
#[must_use]
pub fn stop(options: &Options, procfs: &ProcFs) -> u8 {
    let report = Report::new(options.verbosity, options.log.as_deref());
    let holders: Vec<OwnedFd> = holders(procfs).into_iter().filter_map(|pid| pidfd_open(pid).ok()).collect();
    if holders.is_empty() {
        report.say(&Message::NothingHeld);
    }
    for holder in &holders {
        if let Err(error) = pass_on_to(Signal::SIGTERM, holder.as_fd()) {
            report.less("a holder was not ended", &error);
        }
    }
    let until = Instant::now() + STOP_PATIENCE;
    for holder in &holders {
        wait_for_end(holder.as_fd(), until.saturating_duration_since(Instant::now()));
    }
    0
}

fn tell_complaints(options: &Options, report: &Report) {
    for complaint in &options.complaints {
        report.say(&Message::BadValue(complaint.clone()));
    }
}

/// When a holder ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ends {
    WhenTold,
    /// See [`Released`](super::follow::Released).
    ByItself,
}

/// The story of a holder: ask, block what would end us, look for the game, give back, tell.
fn hold_for(
    options: &Options,
    procfs: ProcFs,
    service: &Path,
    launcher: Option<&Launcher>,
    ends: Ends,
    report: &Report,
) -> u8 {
    let _inherited = Inherited::take();
    let mut lease = Lease::ask(&options.wish(service));
    // Only now, or an scx_gamer of ours would be deaf to them. Until here a signal simply ends us and so the session.
    let signals = match Signals::block() {
        Ok(signals) => signals,
        Err(error) => {
            report.say(&Message::NoHolder(error.to_string()));
            lease.give_back();
            return STATUS_OURS;
        }
    };
    let started = Instant::now();
    let marks = Marks::of(|name| std::env::var_os(name));
    let own = procfs.identity(std::process::id().cast_signed()).unwrap_or_default();
    // Where the game is marked, whatever else the launcher starts is none of ours.
    let below = launcher.filter(|_| marks.is_empty()).and_then(|launcher| procfs.identity(launcher.pid)).unwrap_or(own);
    let search = Search { root: Root::Launcher(below), marks, since_ticks: own.start_ticks };
    let watch = Watch::new(procfs.clone(), options.finder.clone(), search);
    let mut follow = Follow::new(options, procfs, &mut lease, watch, report, started, None);
    let launcher = launcher.filter(|_| ends == Ends::ByItself).map(|launcher| launcher.pidfd.as_fd());
    let why = follow.until_released(&signals, launcher);
    let given_back = lease.give_back();
    report.say(&Message::Released { why, after: started.elapsed(), given_back });
    0
}

/// The program that wanted us.
struct Launcher {
    pid: i32,
    pidfd: OwnedFd,
}

impl Launcher {
    /// The nearest ancestor of `pid` that is neither a script nor what wraps a command; nobody where that is the session.
    fn above(procfs: &ProcFs, pid: i32) -> Option<Self> {
        let (pid, _) = procfs.ancestors(pid).find(|(pid, comm)| is_launcher(comm, procfs.command_line(*pid)))?;
        Some(Self { pid, pidfd: pidfd_open(pid).ok()? })
    }
}

/// Judges by names. Lutris is a script itself, but is known as a launcher.
fn is_launcher(comm: &str, words: Vec<String>) -> bool {
    let bare = Process { comm: comm.to_owned(), ..Process::default() };
    let full = Process { argv0: words.into_iter().next().unwrap_or_default(), ..bare.clone() };
    names::role(&bare) == Role::Helper || !matches!(names::role(&full), Role::Interpreter | Role::Infrastructure)
}

/// Holders of our user that were started for the same game. Without marks a game is known to nobody: then all that have
/// none either.
fn holders(procfs: &ProcFs) -> Vec<i32> {
    let own_pid = std::process::id().cast_signed();
    let own_uid = nix::unistd::getuid().as_raw();
    let own_marks = Marks::of(|name| std::env::var_os(name));
    let is_for_our_game = |pid: i32| {
        let environ = procfs.environ(pid).unwrap_or_default();
        let marks = Marks::of(|name| environ.get(OsStr::new(name)).cloned());
        marks.share_a_game_with(&own_marks) || (marks.is_empty() && own_marks.is_empty())
    };
    let all = procfs.pids().unwrap_or_default().into_iter();
    all.filter(|pid| *pid != own_pid && procfs.uid(*pid) == Some(own_uid))
        .filter(|pid| procfs.comm(*pid).as_deref() == Some(OWN_NAME) && is_start(&procfs.command_line(*pid)))
        .filter(|pid| is_for_our_game(*pid))
        .collect()
}

/// `--hook start`, however it is written.
fn is_start(words: &[String]) -> bool {
    words.iter().any(|word| word == "--hook=start") || words.windows(2).any(|pair| pair == ["--hook", "start"])
}

/// Waits until the process behind `pidfd` has ended, at most so long.
fn wait_for_end(pidfd: BorrowedFd<'_>, longest: Duration) {
    let timeout = PollTimeout::try_from(longest).unwrap_or(PollTimeout::ZERO);
    let _ = poll(&mut [PollFd::new(pidfd, PollFlags::POLLIN)], timeout);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(comm: &str, words: &[&str]) -> bool {
        is_launcher(comm, words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn a_script_is_no_launcher_and_a_launcher_may_be_a_script() {
        assert!(!judged("before.sh", &["/bin/sh", "/home/me/before.sh"]));
        assert!(!judged("lutris-wrapper:", &["lutris-wrapper: Quake"]));
        assert!(judged("lutris", &["/usr/bin/python3", "/usr/bin/lutris"]));
        assert!(judged("heroic", &["/opt/Heroic/heroic"]));
    }

    #[test]
    fn the_start_of_a_hook_is_known_however_it_is_written() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert!(is_start(&words(&["scx-gamer-run", "--hook", "start"])));
        assert!(is_start(&words(&["scx-gamer-run", "-v", "--hook=start"])));
        assert!(!is_start(&words(&["scx-gamer-run", "--hook", "stop"])));
        assert!(!is_start(&words(&["scx-gamer-run", "start"])));
    }
}
