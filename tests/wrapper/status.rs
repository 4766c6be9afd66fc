//! The exit status is a contract.

use std::process::Command;
use std::process::Stdio;
use std::thread;

use crate::rig::Rig;
use crate::rig::text;

fn fails() -> Rig {
    Rig::where_scx_gamer("fails")
}

fn shell(rig: &Rig, script: &str) -> Option<i32> {
    rig.command(&["/bin/sh", "-c", script]).stderr(Stdio::null()).status().expect("run the wrapper").code()
}

#[test]
fn every_exit_status_of_the_game_is_passed_on() {
    let rig = fails();
    thread::scope(|scope| {
        for quarter in 0..4 {
            let rig = &rig;
            scope.spawn(move || {
                for status in quarter * 64..(quarter + 1) * 64 {
                    assert_eq!(shell(rig, &format!("exit {status}")), Some(status));
                }
            });
        }
    });
}

#[test]
fn every_signal_that_kills_the_game_is_told_as_128_and_its_number() {
    let rig = fails();
    let stops_or_nothing = [libc::SIGCHLD, libc::SIGCONT, libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
    let ignored = [libc::SIGURG, libc::SIGWINCH];
    let real_time = [34, 50, 64];
    for signal in (1..=31).chain(real_time) {
        if stops_or_nothing.contains(&signal) || ignored.contains(&signal) {
            continue;
        }
        assert_eq!(shell(&rig, &format!("ulimit -c 0; kill -{signal} $$")), Some(128 + signal), "signal {signal}");
    }
}

#[test]
fn a_command_that_is_not_found_is_127_in_one_sentence() {
    let rig = fails();
    for program in ["no-such-game", "/no/such/game", ""] {
        let output = rig.run(&[program]);
        assert_eq!(output.status.code(), Some(127), "'{program}'");
        let said = text(&output.stderr);
        assert_eq!(said.lines().filter(|line| line.contains("can't start")).count(), 1, "{said}");
    }
}

#[test]
fn a_script_whose_interpreter_is_missing_is_127() {
    let rig = fails();
    let script = executable(&rig, "#!/no/such/interpreter\n");
    assert_eq!(rig.run(&[script]).status.code(), Some(127));
}

#[test]
fn what_can_not_be_executed_is_126() {
    let rig = fails();
    let plain = rig.path("plain");
    std::fs::write(&plain, "no program").expect("write a file");
    for program in [plain.as_path(), std::path::Path::new("/"), &plain.join("below")] {
        let output = rig.run(&[program]);
        assert_eq!(output.status.code(), Some(126), "{}", program.display());
        assert!(text(&output.stderr).contains("can't start"));
    }
}

#[test]
fn a_script_without_an_interpreter_line_is_run_by_sh() {
    let rig = fails();
    let script = executable(&rig, "exit 9\n");
    assert_eq!(rig.run(&[script]).status.code(), Some(9));
}

/// Written by another process: one of ours could hold it open for writing in a child that it just forked.
fn executable(rig: &Rig, content: &str) -> std::path::PathBuf {
    let path = rig.path("script");
    let write = Command::new("/bin/sh")
        .args(["-c", "printf '%s' \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh", content])
        .arg(&path)
        .status();
    assert!(write.expect("run sh").success());
    path
}

#[test]
fn a_command_line_without_a_command_is_2_and_one_sentence_with_a_hint() {
    let rig = fails();
    for words in [&[][..], &["-v"], &["--bogus", "true"], &["-x", "true"], &["--exe"]] {
        let output = rig.run(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let said = text(&output.stderr);
        assert_eq!(said.lines().count(), 2, "{said}");
        assert!(said.starts_with("scx-gamer-run: ") && said.contains("\nHint: "), "{said}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_bad_value_is_told_and_the_game_runs() {
    let rig = fails();
    for (flag, value) in [("--foreground-pid", "0"), ("--foreground-pid", "me"), ("--exe", "[x"), ("--log", "/no/dir")]
    {
        let output = rig.run(&[flag, value, "/bin/sh", "-c", "exit 5"]);
        assert_eq!(output.status.code(), Some(5), "{flag} {value}");
        assert!(text(&output.stderr).contains(value));
    }
}

#[test]
fn a_bad_value_under_require_is_125_and_the_game_does_not_run() {
    let rig = Rig::where_scx_gamer("attaches");
    // Above the largest PID that a kernel gives.
    for words in [["--foreground-pid", "5000000"], ["--foreground-pid", "me"], ["--exe", "[x"]] {
        let output = rig.run(&["--require", words[0], words[1], "/bin/sh", "-c", "echo ran"]);
        assert_eq!(output.status.code(), Some(125), "{words:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn help_and_version_of_the_game_are_the_games() {
    let rig = fails();
    let output = rig.run(&["/bin/sh", "-c", "echo \"$@\"", "sh", "--help", "-V", "--", "--require", "-v"]);
    assert_eq!(text(&output.stdout), "--help -V -- --require -v\n");
    let ours = rig.run(&["--version"]);
    assert_eq!(text(&ours.stdout), format!("scx-gamer-run {}\n", env!("CARGO_PKG_VERSION")));
    assert!(rig.run(&["--help"]).status.success());
}
