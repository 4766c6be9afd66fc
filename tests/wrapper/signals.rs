//! Signals reach the game, each once.

use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;

use nix::fcntl::OFlag;
use nix::pty::grantpt;
use nix::pty::posix_openpt;
use nix::pty::ptsname_r;
use nix::pty::unlockpt;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::sys::termios::LocalFlags;
use nix::sys::termios::SetArg;
use nix::sys::termios::tcgetattr;
use nix::sys::termios::tcsetattr;

use crate::rig::Lines;
use crate::rig::Rig;
use crate::rig::fake_game;
use crate::rig::wait_until;

#[test]
fn each_signal_that_is_passed_on_arrives_once() {
    let rig = Rig::where_scx_gamer("attaches");
    // The signal that ends the game has a higher number, so it can't overtake a second one of those before.
    let passed_on =
        [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGTERM];
    for signal in passed_on.into_iter().chain([Signal::SIGCONT]) {
        let last = if matches!(signal, Signal::SIGTERM | Signal::SIGCONT) { Signal::SIGUSR1 } else { Signal::SIGTERM };
        let last = if signal == Signal::SIGTERM { Signal::SIGCONT } else { last };
        let mut running = rig.start(&[fake_game().as_str(), last.as_str()]);
        running.game_ready();
        kill(running.pid(), signal).expect("kill");
        if signal != last {
            assert_eq!(running.stdout.next(), signal.as_str());
            kill(running.pid(), last).expect("kill");
        }
        assert_eq!(running.status(), Some(0), "{signal}");
        assert_eq!(running.stdout.rest(), [last.as_str()], "{signal}");
    }
}

#[test]
fn a_game_that_a_signal_ends_is_told_as_such_and_was_not_left_behind() {
    let rig = Rig::where_scx_gamer("fails");
    let mut running = rig.start(&["/bin/sh", "-c", "echo ready $$; exec cat"]);
    let game = running.game_ready();
    // Held open, since the end of its input would end the game as well.
    let _stdin = running.child.stdin.take();
    kill(running.pid(), Signal::SIGTERM).expect("kill");
    assert_eq!(running.child.wait().expect("wait").code(), Some(128 + libc::SIGTERM));
    assert!(kill(game, None).is_err());
}

/// Both ends of a new pty. Close-on-exec, which openpty has not: a game that holds the master keeps the terminal alive.
/// Without echo, because the kernel echoes `^C` only after it has sent the signal, so before or after the game's own line.
fn terminal() -> (File, File) {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).expect("open a pty");
    grantpt(&master).expect("grantpt");
    unlockpt(&master).expect("unlockpt");
    let name = ptsname_r(&master).expect("ptsname");
    let flags = OFlag::O_NOCTTY.bits();
    let slave = OpenOptions::new().read(true).write(true).custom_flags(flags).open(name).expect("open the slave");
    let mut settings = tcgetattr(&slave).expect("tcgetattr");
    settings.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(&slave, SetArg::TCSANOW, &settings).expect("tcsetattr");
    (File::from(OwnedFd::from(master)), slave)
}

/// A wrapper whose controlling terminal is the slave of a pty, and who leads the session there.
fn in_a_terminal(rig: &Rig) -> (File, Lines, std::process::Child) {
    let (master, slave) = terminal();
    let mut command = rig.command(&[fake_game().as_str(), "SIGUSR2"]);
    command.stdin(slave.try_clone().expect("dup")).stdout(slave.try_clone().expect("dup")).stderr(slave);
    let take_terminal = || {
        nix::unistd::setsid()?;
        // SAFETY: makes our stdin, a terminal, the controlling one of the session that we have just begun.
        unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) };
        Ok(())
    };
    // SAFETY: two system calls between fork and exec.
    unsafe { command.pre_exec(take_terminal) };
    let child = command.spawn().expect("start in a terminal");
    drop(command);
    let lines = Lines::of(master.try_clone().expect("dup"));
    (master, lines, child)
}

#[test]
fn ctrl_c_at_the_terminal_reaches_the_game_once() {
    let rig = Rig::where_scx_gamer("attaches");
    let (mut master, lines, mut child) = in_a_terminal(&rig);
    lines.wait_for("ready ");
    master.write_all(b"\x03").expect("press Ctrl+C");
    assert_eq!(lines.wait_for("SIG"), "SIGINT");
    // A second INT from us would have come before this one.
    kill(nix::unistd::Pid::from_raw(child.id() as i32), Signal::SIGUSR2).expect("kill");
    assert_eq!(lines.wait_for("SIG"), "SIGUSR2");
    assert_eq!(child.wait().expect("wait").code(), Some(0));
}

#[test]
fn the_end_of_the_terminal_is_passed_on_by_a_wrapper_that_leads_its_session() {
    let rig = Rig::where_scx_gamer("attaches");
    let (master, slave) = terminal();
    let mut command = rig.command(&[
        "/bin/sh",
        "-c",
        "trap 'echo got HUP; exit 4' HUP; echo ready $$; while :; do read x || :; done",
    ]);
    command.stdin(std::process::Stdio::piped());
    let terminal = std::os::fd::AsRawFd::as_raw_fd(&slave);
    let take_terminal = move || {
        nix::unistd::setsid()?;
        // SAFETY: the descriptor is the slave, open until the exec.
        unsafe { libc::ioctl(terminal, libc::TIOCSCTTY, 0) };
        Ok(())
    };
    // SAFETY: two system calls between fork and exec.
    unsafe { command.pre_exec(take_terminal) };
    let mut running = crate::rig::Running::from(&mut command);
    running.game_ready();
    drop(slave);
    drop(master);
    assert_eq!(running.stdout.next(), "got HUP");
    assert_eq!(running.child.wait().expect("wait").code(), Some(4));
    assert_eq!(running.stdout.rest(), [""; 0]);
}

#[test]
fn a_game_that_is_stopped_is_waited_for() {
    let rig = Rig::where_scx_gamer("attaches");
    let mut running = rig.start(&[fake_game().as_str(), "SIGUSR2"]);
    let game = running.game_ready();
    kill(game, Signal::SIGSTOP).expect("stop");
    // Passed on while it is stopped, received when it goes on.
    kill(running.pid(), Signal::SIGUSR1).expect("kill");
    assert!(running.child.try_wait().expect("wait").is_none());
    kill(game, Signal::SIGCONT).expect("continue");
    running.stdout.wait_for("SIGUSR1");
    kill(running.pid(), Signal::SIGUSR2).expect("kill");
    assert_eq!(running.status(), Some(0));
}

#[test]
fn a_wrapper_that_is_killed_leaves_the_game_alive() {
    let rig = Rig::where_scx_gamer("attaches");
    let mut running = rig.start(&[fake_game().as_str(), "SIGUSR2"]);
    let game = running.game_ready();
    running.child.kill().expect("kill");
    running.child.wait().expect("wait");
    kill(game, Signal::SIGUSR1).expect("the game lives");
    assert_eq!(running.stdout.next(), "SIGUSR1");
    kill(game, Signal::SIGUSR2).expect("the game lives");
    assert_eq!(running.stdout.rest(), ["SIGUSR2"]);
    wait_until(|| "the game never ends".to_owned(), || kill(game, None).is_err());
}

#[test]
fn ctrl_c_in_tmux_reaches_the_game_once() {
    let rig = Rig::where_scx_gamer("attaches");
    let (socket, heard) = (rig.path("tmux"), rig.path("heard"));
    let socket = socket.to_str().expect("a path of text");
    let tmux = |words: &[&str]| {
        let status = std::process::Command::new("tmux").args(["-S", socket]).args(words).status();
        assert!(status.expect("start tmux").success(), "tmux {words:?}");
    };
    let text = || std::fs::read_to_string(&heard).unwrap_or_default();
    let wait_for = |last: &str| {
        let has_it = || text().lines().any(|line| line.starts_with(last));
        wait_until(|| format!("no {last} in {:?}", text()), has_it);
    };
    let wrapper = rig.path("scx-gamer-run");
    let command =
        format!("FAKE_SCX_GAMER=attaches {} {} SIGUSR2 > {}", wrapper.display(), fake_game(), heard.display());
    tmux(&["new-session", "-d", &command]);
    wait_for("ready ");
    let game = text().lines().find_map(|line| line.strip_prefix("ready ")?.parse().ok()).expect("a PID");
    tmux(&["send-keys", "C-c"]);
    wait_for("SIGINT");
    kill(nix::unistd::Pid::from_raw(game), Signal::SIGUSR2).expect("end the game");
    wait_for("SIGUSR2");
    assert_eq!(text().lines().filter(|line| *line == "SIGINT").count(), 1, "{}", text());
}

#[test]
fn a_storm_of_signals_beside_a_storm_of_children_ends_nobody_and_the_status_passes() {
    let rig = Rig::where_scx_gamer("attaches");
    // The game counts what it gets; a shell would end at the first of them.
    let script = "trap 'n=$((n+1))' TERM USR1 USR2; trap 'echo $n; exit 6' INT; echo ready $$; \
                  i=0; while :; do (:); i=$((i+1)); [ $i != 2000 ] || echo forked; done";
    let mut running = rig.start(&["/bin/sh", "-c", script]);
    running.game_ready();
    for round in 0..3000 {
        let signal = [Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGCONT][round % 4];
        kill(running.pid(), signal).expect("the wrapper lives");
    }
    assert_eq!(running.stdout.next(), "forked");
    kill(running.pid(), Signal::SIGINT).expect("the wrapper lives");
    let nr_heard: u32 = running.stdout.next().parse().expect("a count");
    assert!(nr_heard >= 3, "each kind arrived at least once: {nr_heard}");
    assert_eq!(running.child.wait().expect("wait").code(), Some(6));
}
