//! Whatever scx_gamer does, the game runs.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;

use crate::rig::LIMIT;
use crate::rig::Rig;
use crate::rig::Running;
use crate::rig::fake_game;
use crate::rig::text;
use crate::rig::wait_until;

/// Every way not to get a scheduler that is known soon, with a word that must be said about it.
const REFUSALS: [(&str, &str); 4] = [
    ("fails", "exit status: 1"),
    ("prints garbage", "no message"),
    ("refuses", "this kernel has no sched_ext"),
    ("is of another version", "version"),
];

#[test]
fn the_game_runs_and_one_line_with_a_hint_says_why_it_is_not_scheduled() {
    for (behaviour, word) in REFUSALS {
        let rig = Rig::where_scx_gamer(behaviour);
        let mut running = rig.start(&["/bin/sh", "-c", "read x; exit 3"]);
        let line = running.stderr.next();
        assert!(line.contains(word) && line.ends_with("; the game runs under the kernel's scheduler"), "{line}");
        assert!(running.stderr.next().starts_with("Hint: "));
        assert_eq!(running.status(), Some(3), "{behaviour}");
        assert_eq!(running.stderr.rest(), [""; 0]);
    }
}

#[test]
fn the_game_runs_without_any_scx_gamer() {
    let rig = Rig::without_scx_gamer();
    let output = rig.run(&["/bin/sh", "-c", "exit 3"]);
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stderr);
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains("neither beside scx-gamer-run nor in PATH"), "{said}");
}

#[test]
fn require_is_125_and_the_game_does_not_run() {
    let game = ["--require", "/bin/sh", "-c", "echo ran"];
    let mut rigs: Vec<Rig> = REFUSALS.iter().map(|(behaviour, _)| Rig::where_scx_gamer(behaviour)).collect();
    rigs.push(Rig::without_scx_gamer());
    rigs.push(Rig::where_scx_gamer("is mute"));
    for rig in rigs {
        let output = rig.run(&game);
        assert_eq!(output.status.code(), Some(125));
        let said = text(&output.stderr);
        assert!(output.stdout.is_empty(), "the game ran: {said}");
        assert!(said.contains("; not started because of --require\nHint: "), "{said}");
        assert_eq!(said.lines().count(), 2, "{said}");
    }
}

#[test]
fn wait_attach_starts_the_game_after_the_answer_whatever_it_is() {
    let game = ["--wait-attach", "/bin/sh", "-c", "echo a game >&2"];
    for (behaviour, _) in REFUSALS {
        let said = text(&Rig::where_scx_gamer(behaviour).run(&game).stderr);
        assert!(said.ends_with("a game\n") && said.lines().count() == 3, "{said}");
    }
    let said = text(&Rig::where_scx_gamer("attaches").run(&game).stderr);
    assert!(
        said.starts_with(
            "scx-gamer-run: scheduled by gamer after 812 ms (input: seen in the kernel, frames: off)\n\
             a game\nscx-gamer-run: game exited"
        ),
        "{said}"
    );
    assert!(said.ends_with("; the scheduler from before is back\n") && said.lines().count() == 3, "{said}");
}

#[test]
fn a_game_does_not_wait_for_an_scx_gamer_that_never_answers() {
    for behaviour in ["is mute", "hangs"] {
        let rig = Rig::where_scx_gamer(behaviour);
        let mut running = rig.start(&["/bin/sh", "-c", "echo first; read x; exit 8"]);
        assert_eq!(running.stdout.next(), "first");
        assert_eq!(running.status(), Some(8));
        let said = running.stderr.rest();
        assert_eq!(
            said.iter().any(|line| line.contains("did not end and was killed")),
            behaviour == "hangs",
            "{said:?}"
        );
    }
}

#[test]
fn a_mistyped_command_does_not_wait_for_an_scx_gamer_that_still_loads() {
    for behaviour in ["is mute", "hangs", "loads"] {
        let began = Instant::now();
        let rig = Rig::where_scx_gamer(behaviour);
        assert_eq!(rig.start(&["no-such-game"]).status(), Some(127));
        assert!(began.elapsed() < Duration::from_secs(5), "{behaviour}: {:?}", began.elapsed());
    }
}

#[test]
fn an_scx_gamer_that_dies_is_reported_and_the_game_goes_on() {
    for (behaviour, word) in [("dies", "signal: 9"), ("is thrown out", "the kernel threw gamer out")] {
        let rig = Rig::where_scx_gamer(behaviour);
        let mut running = rig.start(&["/bin/sh", "-c", "read x; exit 3"]);
        let line = running.stderr.wait_for("goes on under the kernel's scheduler");
        assert!(line.contains(word), "{line}");
        assert!(running.child.try_wait().expect("wait").is_none(), "the game goes on");
        assert_eq!(running.status(), Some(3));
        assert!(running.stderr.rest().last().expect("the exit line").contains("game exited with status 3"));
    }
}

#[test]
fn an_scx_gamer_that_ends_badly_is_told_in_the_exit_line() {
    let output = Rig::where_scx_gamer("ends badly").run(&["--require", "/bin/sh", "-c", "exit 3"]);
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stderr);
    assert!(said.contains("; scx_gamer ended with exit status: 3\nHint: /sys/kernel/"), "{said}");
}

#[test]
fn an_scx_gamer_that_never_ends_is_killed_and_the_games_status_passed_on() {
    let began = Instant::now();
    let output = Rig::where_scx_gamer("never ends").run(&["--require", "/bin/sh", "-c", "exit 3"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("did not end and was killed"));
    assert!(began.elapsed() < LIMIT / 2);
}

#[test]
fn scx_gamer_is_started_apart_from_the_game() {
    let rig = Rig::where_scx_gamer("attaches");
    let notes = rig.path("notes");
    let mut command = rig.command(&["-vv", "--wait-attach", "true"]);
    command.env("FAKE_SCX_GAMER_NOTES", &notes).env("LD_PRELOAD", "").env("LD_LIBRARY_PATH", "/no/such/directory");
    assert!(command.output().expect("run the wrapper").status.success());
    assert_eq!(fs::read_to_string(notes).expect("notes"), "--child -v -v leads_group=true preload=false");
}

#[test]
fn the_foreground_is_the_game_and_not_the_shell_that_starts_it() {
    let rig = Rig::where_scx_gamer("attaches");
    let game = fake_game();
    let mut running = rig.start(&["-v", "/bin/sh", "-c", "\"$0\" SIGUSR2; exit 5", &game]);
    let game_pid = running.game_ready();
    assert!(running.stderr.wait_for("foreground").ends_with(&format!("foreground: fake_game (TGID {game_pid})")));
    kill(game_pid, Signal::SIGUSR2).expect("kill");
    assert_eq!(running.status(), Some(5));
}

#[test]
fn a_game_that_ends_makes_room_for_the_next() {
    let rig = Rig::where_scx_gamer("attaches");
    let game = fake_game();
    let mut running = rig.start(&["-v", "/bin/sh", "-c", "\"$0\" SIGUSR2; \"$0\" SIGUSR2; read x", &game]);
    for _ in 0..2 {
        let game_pid = running.game_ready();
        let line = running.stderr.wait_for(&format!("(TGID {game_pid})"));
        assert!(line.contains("foreground: fake_game"), "{line}");
        kill(game_pid, Signal::SIGUSR2).expect("kill");
    }
    running.stderr.wait_for("foreground: none");
    assert_eq!(running.status(), Some(1));
}

#[test]
fn no_foreground_is_reported_only_after_one() {
    let rig = Rig::where_scx_gamer("attaches");
    let missed = rig.path("missed");
    let mut command = rig.command(&["-v", "/bin/sh", "-c", "\"$0\" SIGUSR2; \"$0\" SIGUSR2; read x", &fake_game()]);
    let mut running = Running::from(command.env("FAKE_SCX_GAMER_MISSED", &missed).stdin(Stdio::piped()));
    let first = running.game_ready();
    wait_until(|| "the first game was never named".to_owned(), || missed.exists());
    kill(first, Signal::SIGUSR2).expect("kill");
    let second = running.game_ready();
    let line = running.stderr.wait_for("foreground: ");
    assert!(line.ends_with(&format!("foreground: fake_game (TGID {second})")), "{line}");
    kill(second, Signal::SIGUSR2).expect("kill");
    running.stderr.wait_for("foreground: none");
    assert_eq!(running.status(), Some(1));
}

#[test]
fn a_child_of_the_script_that_became_the_wrapper_is_not_the_game() {
    let rig = Rig::where_scx_gamer("attaches");
    let wrapper = rig.command(&["-v", &fake_game(), "SIGUSR2"]);
    let mut script = std::process::Command::new("/bin/sh");
    script.args(["-c", "/bin/cat <&3 >/dev/null & exec \"$@\" 3<&-", "sh"]).arg(wrapper.get_program());
    script.args(wrapper.get_args()).env("FAKE_SCX_GAMER", "attaches").stdin(std::process::Stdio::piped());
    // SAFETY: one system call between fork and exec.
    unsafe { script.pre_exec(|| if libc::dup2(0, 3) < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }) };
    let mut running = Running::from(&mut script);
    let game_pid = running.game_ready();
    running.stderr.wait_for(&format!("foreground: fake_game (TGID {game_pid})"));
    kill(game_pid, Signal::SIGUSR2).expect("kill");
    assert_eq!(running.status(), Some(0));
}

#[test]
fn a_double_forked_game_is_found_once_it_was_seen() {
    let rig = Rig::where_scx_gamer("attaches");
    let game = fake_game();
    // The middle shell leaves when told to, which makes the game an orphan.
    let script = "sh -c '\"$0\" SIGUSR2 & read x' \"$0\"; echo orphan; read x";
    let mut running = rig.start(&["-v", "/bin/sh", "-c", script, &game]);
    let game_pid = running.game_ready();
    running.stderr.wait_for(&format!("(TGID {game_pid})"));
    let mut stdin = running.child.stdin.take().expect("stdin");
    std::io::Write::write_all(&mut stdin, b"\n").expect("write a line");
    running.stdout.wait_for("orphan");
    kill(game_pid, Signal::SIGUSR2).expect("kill");
    running.stderr.wait_for("foreground: none");
    drop(stdin);
    assert_eq!(running.status(), Some(1));
}

#[test]
fn foreground_pid_and_exe_choose_for_the_finder() {
    let rig = Rig::where_scx_gamer("attaches");
    let own = std::process::id().to_string();
    let cases: [(&[&str], &str); 4] = [
        (&["--foreground-pid", &own], &format!("(TGID {own})")),
        (&["--exe", "CA?"], "foreground: cat "),
        (&["--foreground-pid", "5000000"], "there is no process 5000000"),
        (&["--exe", "other"], "no process of the game matches 'other'"),
    ];
    for (flags, word) in cases {
        let mut running = rig.start(&[&["-v"], flags, &["cat"]].concat());
        if flags[1] == "other" {
            running.stderr.wait_for("scheduled by");
            running.close_stdin();
        }
        running.stderr.wait_for(word);
        assert_eq!(running.status(), Some(0), "{flags:?}");
    }
}

#[test]
fn nobody_is_pinned_when_told_so() {
    let rig = Rig::where_scx_gamer("attaches");
    let mut running: Running = rig.start(&["-v", "--foreground-pid", "none", "--wait-attach", "cat"]);
    running.stderr.wait_for("started");
    assert_eq!(running.status(), Some(0));
    assert!(running.stderr.rest().iter().all(|line| !line.contains("foreground")));
}

/// A wrapper of one rig around a wrapper of the other, around a game; what both say. The fake is no scheduler that the
/// kernel knows, so the inner one goes by the outer one's scx_gamer.
fn said_within(outer: &Rig, inner: &Rig, flags: &[&str]) -> (Option<i32>, String) {
    let program = inner.path("scx-gamer-run");
    let words = [&["--", program.to_str().expect("a path of text")], flags, &["--", "sh", "-c", "exit 7"]].concat();
    let output = outer.command(&words).env("FAKE_SCX_GAMER", "attaches").output().expect("run the wrapper");
    (output.status.code(), text(&output.stderr))
}

#[test]
fn a_wrapper_within_one_that_has_no_scheduler_asks_for_itself() {
    for flags in [&["--wait-attach"][..], &["--require"]] {
        let (status, said) = said_within(&Rig::without_scx_gamer(), &Rig::where_scx_gamer(""), flags);
        assert_eq!(status, Some(7), "{said}");
        assert!(said.contains("scheduled by gamer") && !said.contains("within scx-gamer-run"), "{said}");
    }
}

#[test]
fn a_wrapper_within_one_that_has_an_scx_gamer_starts_none() {
    let (status, said) = said_within(&Rig::where_scx_gamer(""), &Rig::where_scx_gamer(""), &["--tune", "avoid-smt"]);
    assert_eq!(status, Some(7), "{said}");
    assert!(said.contains("within scx-gamer-run (PID "), "{said}");
    assert!(said.contains("give --tune to that one; ignored"), "{said}");
    assert!(said.matches("scheduled by gamer").count() <= 1, "{said}");
}
