//! `--wait-family`: launchers whose first process starts the game and leaves.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::SigHandler;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::sys::signal::signal;
use nix::unistd::Pid;

use crate::rig::Rig;
use crate::rig::Running;
use crate::rig::fake_game;

/// How long the wrapper waits for another game after the last.
const PATIENCE: Duration = Duration::from_secs(3);

/// A launcher that starts the fake game and leaves with status 7.
fn launcher() -> String {
    format!("{} SIGTERM & exit 7", fake_game())
}

fn rigs() -> [Rig; 2] {
    [Rig::where_scx_gamer("attaches"), Rig::without_scx_gamer()]
}

#[test]
fn a_game_whose_launcher_has_left_is_waited_for_scheduled_or_not() {
    for rig in rigs() {
        let mut running = rig.start(&["--wait-family", "/bin/sh", "-c", &launcher()]);
        let game = running.game_ready();
        // Longer than a wrapper that has lost it would stay.
        std::thread::sleep(PATIENCE + Duration::from_secs(1));
        assert!(running.child.try_wait().expect("wait").is_none(), "the wrapper left before the game");
        kill(game, Signal::SIGTERM).expect("end the game");
        let ended = Instant::now();
        assert_eq!(running.status(), Some(7), "the launcher's own status");
        assert!(ended.elapsed() >= PATIENCE, "another game could have followed");
        assert!(kill(game, None).is_err(), "the game was not reaped");
    }
}

#[test]
fn a_signal_reaches_the_game_after_its_launcher_has_left() {
    for rig in rigs() {
        let mut running = rig.start(&["-v", "--wait-family", "/bin/sh", "-c", &launcher()]);
        let game = running.game_ready();
        std::thread::sleep(PATIENCE / 3); // the launcher has left, the game is found
        kill(running.pid(), Signal::SIGUSR1).expect("signal the wrapper");
        assert_eq!(running.stdout.next(), "SIGUSR1");
        kill(running.pid(), Signal::SIGTERM).expect("signal the wrapper");
        assert_eq!(running.stdout.next(), "SIGTERM");
        assert_eq!(running.status(), Some(7));
        assert!(kill(game, None).is_err(), "the game was not reaped");
    }
}

#[test]
fn who_waits_for_nobody_ends_when_told_to() {
    let rig = Rig::without_scx_gamer();
    let mut running = rig.start(&["--wait-family", "/bin/sh", "-c", "echo ready $$; exit 3"]);
    running.game_ready();
    let began = Instant::now();
    std::thread::sleep(PATIENCE / 6); // until its first process has ended
    kill(running.pid(), Signal::SIGTERM).expect("signal the wrapper");
    assert_eq!(running.status(), Some(3));
    assert!(began.elapsed() < PATIENCE, "it went on waiting");
}

#[test]
fn who_waits_for_nobody_stays_when_what_comes_was_ignored_at_the_start() {
    let rig = Rig::without_scx_gamer();
    let mut command = rig.command(&["--wait-family", "/bin/sh", "-c", "echo ready $$; exit 3"]);
    // SAFETY: runs between fork and exec, after the rig's own; one system call.
    unsafe { command.pre_exec(|| Ok(signal(Signal::SIGHUP, SigHandler::SigIgn).map(drop)?)) };
    let mut running = Running::from(command.stdin(Stdio::piped()));
    running.game_ready();
    let began = Instant::now();
    std::thread::sleep(PATIENCE / 6); // until its first process has ended
    kill(running.pid(), Signal::SIGHUP).expect("signal the wrapper");
    assert_eq!(running.status(), Some(3));
    assert!(began.elapsed() >= PATIENCE - PATIENCE / 6, "it was ended by what nohup ignores");
}

#[test]
fn who_was_started_before_the_wrapper_took_the_shells_place_is_not_waited_for() {
    let rig = Rig::without_scx_gamer();
    let wrapper = rig.path("scx-gamer-run");
    let script = format!("{} SIGTERM & exec {} --wait-family /bin/sh -c 'exit 7'", fake_game(), wrapper.display());
    let mut running = Running::from(Command::new("/bin/sh").args(["-c", &script]).stdin(Stdio::piped()));
    let stranger = running.game_ready();
    assert_eq!(running.status(), Some(7));
    kill(stranger, Signal::SIGTERM).expect("the stranger lives");
}

#[test]
fn without_being_told_to_the_wrapper_leaves_with_the_launcher_and_the_game_stays() {
    let rig = Rig::where_scx_gamer("attaches");
    let mut running = rig.start(&["/bin/sh", "-c", &launcher()]);
    let game: Pid = running.game_ready();
    assert_eq!(running.status(), Some(7));
    kill(game, Signal::SIGTERM).expect("the game lives");
}
