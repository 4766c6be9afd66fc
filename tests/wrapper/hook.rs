//! A lease without a command: `--hold`, and `--hook start` and `stop` around a game, as launchers call them.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::SigHandler;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::rig::Lines;
use crate::rig::Rig;
use crate::rig::fake_game;
use crate::rig::wait_until;

/// How long a holder waits for another game after one.
const AFTER_A_GAME: Duration = Duration::from_secs(3);

/// Who is pinned for less was no game.
const A_GAME_LASTS: Duration = Duration::from_secs(10);

/// A game that a launcher starts, not we, with its mark in the environment.
struct Game(Child);

impl Game {
    fn start(mark: (&str, &str)) -> Self {
        let mut game = Command::new(fake_game());
        let mut child = game.arg("SIGTERM").env(mark.0, mark.1).stdout(Stdio::piped()).spawn().expect("start");
        Lines::of(child.stdout.take().expect("stdout")).wait_for("ready ");
        Self(child)
    }

    fn end(mut self) {
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM).expect("end the game");
        self.0.wait().expect("wait");
    }
}

impl Drop for Game {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a holder wrote, and whether it has ended.
struct Log(PathBuf);

impl Log {
    fn of(rig: &Rig) -> Self {
        Self(rig.path("log"))
    }

    fn argument(&self) -> &str {
        self.0.to_str().expect("a path of text")
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap_or_default()
    }

    fn wait_for(&self, words: &str) {
        wait_until(|| format!("no {words:?} in {:?}", self.text()), || self.text().contains(words));
    }
}

#[test]
fn a_lease_is_held_until_told_to_end_and_the_marked_game_is_pinned() {
    let rig = Rig::where_scx_gamer("attaches");
    let log = Log::of(&rig);
    let mut command = rig.command(&["-v", "--hold", "--log", log.argument()]);
    let mut holder = command.env("LUTRIS_GAME_UUID", "hold-1").stderr(Stdio::null()).spawn().expect("start");
    log.wait_for("scheduled by gamer");
    let stranger = Game::start(("LUTRIS_GAME_UUID", "hold-2"));
    let game = Game::start(("LUTRIS_GAME_UUID", "hold-1"));
    log.wait_for(&format!("foreground: fake_game (TGID {})", game.0.id()));
    game.end();
    log.wait_for("foreground: none");
    assert!(!log.text().contains(&format!("(TGID {})", stranger.0.id())), "{}", log.text());
    assert!(holder.try_wait().expect("wait").is_none(), "it ended with the game");
    kill(Pid::from_raw(holder.id().cast_signed()), Signal::SIGTERM).expect("end the holder");
    assert_eq!(holder.wait().expect("wait").code(), Some(0));
    log.wait_for("told to end by SIGTERM");
    log.wait_for("the scheduler from before is back");
}

/// What `/proc` says of a process in hexadecimal, such as its blocked signals.
fn mask_of(pid: i32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a living process");
    let word = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t")).expect("a mask");
    u64::from_str_radix(word, 16).expect("hexadecimal")
}

#[test]
fn an_scx_gamer_that_a_holder_starts_heeds_signals() {
    let rig = Rig::where_scx_gamer("attaches");
    let log = Log::of(&rig);
    let mut command = rig.command(&["--hold", "--log", log.argument()]);
    let mut holder = command.stderr(Stdio::null()).spawn().expect("start");
    log.wait_for("scheduled by gamer");
    let pid = holder.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("list its children");
    let owner: i32 = children.trim().parse().expect("one child");
    let blocked = mask_of(owner, "SigBlk");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        assert_eq!(blocked >> (signal as i32 - 1) & 1, 0, "{signal} is blocked");
    }
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM).expect("end the holder");
    assert_eq!(holder.wait().expect("wait").code(), Some(0));
}

fn ignore_hup_and_int() -> std::io::Result<()> {
    for signal in [Signal::SIGHUP, Signal::SIGINT] {
        // SAFETY: ignoring runs no code of ours.
        unsafe { nix::sys::signal::signal(signal, SigHandler::SigIgn) }?;
    }
    Ok(())
}

#[test]
fn a_holder_stays_when_what_comes_was_ignored_at_its_start() {
    let rig = Rig::where_scx_gamer("attaches");
    let log = Log::of(&rig);
    let mut command = rig.command(&["--hold", "--log", log.argument()]);
    // SAFETY: runs between fork and exec, after the rig's own; two system calls.
    unsafe { command.pre_exec(ignore_hup_and_int) };
    let mut holder = command.stderr(Stdio::null()).spawn().expect("start");
    log.wait_for("scheduled by gamer");
    let pid = Pid::from_raw(holder.id().cast_signed());
    for signal in [Signal::SIGHUP, Signal::SIGINT] {
        kill(pid, signal).expect("signal the holder");
    }
    sleep(Duration::from_secs(1));
    assert!(holder.try_wait().expect("wait").is_none(), "{}", log.text());
    kill(pid, Signal::SIGTERM).expect("end the holder");
    assert_eq!(holder.wait().expect("wait").code(), Some(0));
    assert!(log.text().contains("told to end by SIGTERM"), "{}", log.text());
}

/// A launcher that waits for its script, as Heroic does: our parent, and one whose pipes it reads to their end.
fn hook(rig: &Rig, log: &Log, when: &str, app: &str) {
    let mut command = rig.command(&["-v", "--log", log.argument(), "--hook", when]);
    let output = command.env("HEROIC_GAME_APP_NAME", app).output().expect("run the hook");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_a_script_left_behind_ends_with_the_script_after_the_game() {
    let rig = Rig::where_scx_gamer("attaches");
    let log = Log::of(&rig);
    hook(&rig, &log, "start", "quail");
    log.wait_for("scheduled by gamer");
    let game = Game::start(("HEROIC_APP_NAME", "quail"));
    log.wait_for(&format!("foreground: fake_game (TGID {})", game.0.id()));
    let other = Log(rig.path("other-log"));
    hook(&rig, &other, "stop", "partridge");
    other.wait_for("no holder for this game was left");
    assert!(!log.text().contains("told to end"), "it ended another game's holder");
    hook(&rig, &log, "stop", "quail");
    assert!(log.text().contains("told to end by SIGTERM"), "the hook returned before its holder had ended");
    drop(game);
}

#[test]
fn what_a_script_left_behind_ends_after_the_game_by_itself() {
    let rig = Rig::where_scx_gamer("attaches");
    let log = Log::of(&rig);
    hook(&rig, &log, "start", "lark");
    let passing = Game::start(("HEROIC_APP_NAME", "lark"));
    log.wait_for(&format!("foreground: fake_game (TGID {})", passing.0.id()));
    passing.end();
    sleep(AFTER_A_GAME + Duration::from_secs(1));
    assert!(!log.text().contains("the game has ended"), "what ran for a moment was taken for the game");
    let game = Game::start(("HEROIC_APP_NAME", "lark"));
    log.wait_for(&format!("foreground: fake_game (TGID {})", game.0.id()));
    sleep(A_GAME_LASTS + Duration::from_secs(1));
    game.end();
    log.wait_for("the game has ended after");
}

#[test]
fn what_a_script_left_behind_ends_with_its_launcher() {
    let rig = Rig::where_scx_gamer("attaches");
    let log = Log::of(&rig);
    let launcher = rig.path("store");
    fs::copy("/bin/cat", &launcher).expect("copy cat");
    // The launcher becomes a program of its own name once its script is done.
    let wrapper = rig.path("scx-gamer-run");
    let script = format!("{} -v --log {} --hook start; exec {}", wrapper.display(), log.argument(), launcher.display());
    let named = rig.path("launcher-shell");
    std::os::unix::fs::symlink("/bin/bash", &named).expect("link to bash");
    let mut launcher = Command::new(named)
        .args(["-c", &script])
        .env("FAKE_SCX_GAMER", "attaches")
        .env("HEROIC_GAME_APP_NAME", "swift")
        .stdin(Stdio::piped())
        .spawn()
        .expect("start");
    log.wait_for("scheduled by gamer");
    drop(launcher.stdin.take()); // ends it
    launcher.wait().expect("wait");
    log.wait_for("the launcher has ended after");
}
