//! The service as players meet it: started by the first game, let in or refused, and what is left when it dies.

use std::fs;
use std::io::Read;
use std::io::Seek;
use std::process::Command;
use std::process::Output;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;

use super::Player;
use super::package::ensure_installed;
use super::player;
use super::within_bwrap;
use crate::support::Kept;
use crate::support::Stray;
use crate::support::is_alive;
use crate::support::state;
use crate::support::wait_for_process;
use crate::support::wait_for_state;
use crate::support::wait_until;
use crate::users::User;
use crate::users::told;

pub const SERVICE: &str = "scx-gamer.service";
pub const SOCKET_UNIT: &str = "scx-gamer.socket";
const GROUP: &str = "scx-gamer";
const ASK_STATE: &str = "cat /sys/kernel/sched_ext/state; exit 7";

/// What systemd says of a unit.
pub fn unit(name: &str, property: &str) -> String {
    told(&["systemctl", "show", "--value", "--property", property, name])
}

/// The service's process; none where it does not run.
pub fn service_pid() -> Option<i32> {
    unit(SERVICE, "MainPID").parse().ok().filter(|pid| *pid > 0)
}

/// How often a scheduler has been attached since the machine has started.
pub fn attaches() -> String {
    fs::read_to_string("/sys/kernel/sched_ext/enable_seq").expect("read enable_seq")
}

/// Who holds the scheduler, as root is told.
pub fn leases() -> Vec<Value> {
    let output = Command::new("scx-gamer-run").args(["--status", "--json"]).output().expect("ask");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    answer["leases"].as_array().cloned().unwrap_or_default()
}

/// A wrapper that plays `sleep`, scheduled.
pub struct Game {
    wrapper: Kept,
    stderr: fs::File,
    pub pid: i32,
    _cleanup: Stray,
}

/// The words of a game that must be scheduled; `seconds` tell it from others.
pub fn wrapped(seconds: &str) -> [&str; 6] {
    ["scx-gamer-run", "--require", "-v", "--", "sleep", seconds]
}

impl Game {
    /// Waits until it plays, attached and pinned. `seconds` are those of its `sleep`.
    pub fn start(mut command: Command, seconds: &str) -> Self {
        let stderr = tempfile::tempfile().expect("make a file");
        let wrapper = Kept::spawn(command.stderr(stderr.try_clone().expect("share a file")));
        let pid = wait_for_process(seconds);
        assert_eq!(state(), "enabled");
        let game = Self { wrapper, stderr, pid, _cleanup: Stray(pid) };
        wait_until("the game is pinned", || leases().iter().any(|lease| lease["foreground_tgid"] == pid));
        game
    }

    /// Ends the game, sees its status passed on, and returns what the wrapper has said.
    pub fn end(mut self) -> String {
        kill(Pid::from_raw(self.pid), Signal::SIGTERM).expect("end the game");
        let status = self.wrapper.wait().expect("wait");
        let said = self.said();
        assert_eq!(status.code(), Some(128 + 15), "{said}");
        said
    }

    fn said(&mut self) -> String {
        let mut said = String::new();
        self.stderr.rewind().expect("rewind");
        self.stderr.read_to_string(&mut said).expect("read what was said");
        said
    }

    /// Waits for the one line that says so.
    fn expect_loss_told(&mut self) {
        let told = "; the game goes on under the kernel's scheduler";
        wait_until("the wrapper tells of the loss", || self.said().contains(told));
        assert_eq!(self.said().matches(told).count(), 1, "{}", self.said());
    }

    fn is_played(&mut self) -> bool {
        is_alive(self.pid) && self.wrapper.try_wait().expect("wait").is_none()
    }
}

/// The installed package, whose service nobody has asked for yet.
pub fn at_rest() -> &'static Player {
    ensure_installed();
    told(&["systemctl", "stop", SERVICE]);
    // Starts so close to each other are the tests' own; a unit that systemd has forgotten already needs none of this.
    let _ = Command::new("systemctl").args(["reset-failed", SERVICE, SOCKET_UNIT]).output();
    wait_for_state("disabled");
    assert_eq!((unit(SOCKET_UNIT, "ActiveState"), service_pid()), ("active".to_owned(), None));
    player()
}

fn run(mut command: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("run");
    (status.code(), String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned())
}

/// Asserts that a short game of `command` is scheduled.
fn assert_scheduled(command: impl Fn(&[&str]) -> Command) {
    let (status, stdout, stderr) = run(command(&["scx-gamer-run", "--require", "--", "sh", "-c", ASK_STATE]));
    assert_eq!((status, stdout.as_str()), (Some(7), "enabled\n"), "{stderr}");
    wait_for_state("disabled");
}

/// Asserts that a game of `command` is played without a scheduler, that one sentence and a hint say why, and that
/// --require makes that an error.
fn assert_refused(command: impl Fn(&[&str]) -> Command) {
    let before = attaches();
    let (status, stdout, stderr) =
        run(command(&["scx-gamer-run", "--wait-attach", "--", "sh", "-c", "echo played; exit 6"]));
    assert_eq!((status, stdout.as_str()), (Some(6), "played\n"), "{stderr}");
    let lines: Vec<_> = stderr.lines().collect();
    assert!(lines.len() == 2 && lines[1].starts_with("Hint: "), "{stderr}");
    assert!(stderr.contains(GROUP) || stderr.contains("session"), "{stderr}");

    let (status, stdout, stderr) = run(command(&["scx-gamer-run", "--require", "--", "echo", "played"]));
    assert_eq!((status, stdout.as_str()), (Some(125), ""), "{stderr}");
    assert_eq!((state().as_str(), attaches()), ("disabled", before));
}

#[test]
fn the_first_game_starts_the_service_which_ends_when_nobody_has_played_for_a_while() {
    let Player { session, .. } = at_rest();
    assert_scheduled(|words| session.command(words));
    assert!(service_pid().is_some(), "the service has not waited for another game");
    wait_until("the service has ended", || service_pid().is_none());
    let end = ["ActiveState", "Result", "ExecMainStatus"].map(|property| unit(SERVICE, property));
    assert_eq!(end, ["inactive", "success", "0"]);
    assert_eq!(unit(SOCKET_UNIT, "ActiveState"), "active");
    assert_scheduled(|words| session.command(words));
}

#[test]
fn a_player_without_a_session_is_refused_and_let_in_as_a_member_of_the_group() {
    at_rest();
    let stranger = User::add("stranger");
    assert_refused(|words| stranger.command(words));
    stranger.join(GROUP);
    assert_scheduled(|words| stranger.command(words));
}

#[test]
fn a_player_whose_session_has_left_the_screen_is_refused_until_it_is_back() {
    let Player { session, .. } = at_rest();
    let other = User::add("other").log_in(2);
    other.activate();
    assert_refused(|words| session.command(words));
    session.activate();
    assert_scheduled(|words| session.command(words));
}

#[test]
fn a_game_in_a_pid_namespace_of_its_own_is_scheduled() {
    let Player { user, session } = at_rest();
    let game = Game::start(session.command(&within_bwrap(&wrapped("83001"))), "83001");
    let lease = leases().pop().expect("a lease");
    assert_eq!((&lease["uid"], &lease["foreground_comm"]), (&user.uid.into(), &"sleep".into()), "{lease}");
    game.end();
    wait_for_state("disabled");
}

#[test]
fn a_game_that_can_gain_no_privileges_is_scheduled() {
    let Player { session, .. } = at_rest();
    let words = [&["setpriv", "--no-new-privs"], wrapped("83002").as_slice()].concat();
    Game::start(session.command(&words), "83002").end();
    wait_for_state("disabled");
}

#[test]
fn a_killed_service_gives_the_machine_back_and_the_next_game_starts_another() {
    let Player { session, .. } = at_rest();
    let mut game = Game::start(session.command(&wrapped("83003")), "83003");
    let killed = service_pid().expect("a service");
    kill(Pid::from_raw(killed), Signal::SIGKILL).expect("kill the service");
    wait_for_state("disabled");
    game.expect_loss_told();
    assert!(game.is_played());
    let next = Game::start(session.command(&wrapped("83004")), "83004");
    assert_ne!(service_pid(), Some(killed));
    next.end();
    assert!(game.is_played());
    game.end();
    wait_for_state("disabled");
}

#[test]
fn a_service_that_is_stopped_detaches_and_the_game_goes_on() {
    let Player { session, .. } = at_rest();
    let mut game = Game::start(session.command(&wrapped("83005")), "83005");
    told(&["systemctl", "stop", SERVICE]);
    assert_eq!((state().as_str(), unit(SERVICE, "Result").as_str()), ("disabled", "success"));
    game.expect_loss_told();
    assert!(game.is_played());
    game.end();
    assert_eq!(state(), "disabled");
}
