//! `scx-gamer-run` as a player uses it, on a kernel where everything works.

use std::fs;
use std::process::Command;
use std::process::Stdio;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::support::Kept;
use crate::support::Stray;
use crate::support::example;
use crate::support::is_alive;
use crate::support::scx_gamer;
use crate::support::scx_gamer_run;
use crate::support::state;
use crate::support::wait_for_process;
use crate::support::wait_for_state;
use crate::support::wait_until;

/// Starts the wrapper around a program that sleeps for `seconds`, attached before that starts.
fn wrap_sleep(seconds: &str) -> (Kept, i32) {
    let wrapper = Kept::spawn(scx_gamer_run(&["--require", "--", "sleep", seconds]).stderr(Stdio::null()));
    let game = wait_for_process(seconds);
    assert_eq!(state(), "enabled");
    (wrapper, game)
}

/// The scx_gamer that a wrapper started.
fn scheduler_of(wrapper: &Kept) -> i32 {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", wrapper.pid())).expect("list children");
    children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .find(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == "scx_gamer"))
        .expect("the wrapper has a child called scx_gamer")
}

#[test]
fn the_game_runs_scheduled_and_the_machine_is_back_when_the_wrapper_returns() {
    let script = "cat /sys/kernel/sched_ext/state; exit 7";
    let output = scx_gamer_run(&["--require", "--", "sh", "-c", script]).output().expect("run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "enabled", "{stderr}");
    assert_eq!(state(), "disabled");
}

#[test]
fn without_being_told_to_wait_the_game_starts_before_the_attach() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().display();
    let script =
        format!("cat /sys/kernel/sched_ext/state > {path}/first; while [ ! -e {path}/go ]; do sleep 0.1; done");
    let mut wrapper = Kept::spawn(scx_gamer_run(&["--", "sh", "-c", &script]).stderr(Stdio::null()));
    wait_for_state("enabled");
    assert_eq!(fs::read_to_string(directory.path().join("first")).expect("read").trim(), "disabled");
    fs::write(directory.path().join("go"), "").expect("write");
    assert_eq!(wrapper.wait().expect("wait").code(), Some(0));
    assert_eq!(state(), "disabled");
}

#[test]
fn ctrl_c_ends_the_game_and_gives_the_machine_back() {
    let (mut wrapper, game) = wrap_sleep("81001");
    wrapper.signal(Signal::SIGINT);
    assert_eq!(wrapper.wait().expect("wait").code(), Some(130));
    assert!(!is_alive(game));
    assert_eq!(state(), "disabled");
}

#[test]
fn a_killed_wrapper_leaves_the_game_alive_and_the_machine_as_it_was() {
    let (mut wrapper, game) = wrap_sleep("81002");
    let _cleanup = Stray(game);
    wrapper.signal(Signal::SIGKILL);
    wrapper.wait().expect("wait");
    wait_for_state("disabled");
    assert!(is_alive(game));
}

#[test]
fn a_killed_scx_gamer_leaves_game_and_wrapper_alive_and_the_status_passes() {
    let (mut wrapper, game) = wrap_sleep("81003");
    kill(Pid::from_raw(scheduler_of(&wrapper)), Signal::SIGKILL).expect("kill scx_gamer");
    wait_for_state("disabled");
    assert!(is_alive(game) && is_alive(wrapper.pid()));
    kill(Pid::from_raw(game), Signal::SIGTERM).expect("end the game");
    assert_eq!(wrapper.wait().expect("wait").code(), Some(128 + 15));
}

#[test]
fn the_pinned_foreground_is_the_game_and_not_the_shell_that_started_it() {
    let game = example("synthetic_game").display().to_string();
    let script = format!("{game} --fps 60 --frames 100000 >/dev/null; exit 3");
    let directory = tempfile::tempdir().expect("temporary directory");
    let log = directory.path().join("log");
    let log_text = || fs::read_to_string(&log).unwrap_or_default();
    let log_argument = log.display().to_string();
    let mut wrapper =
        Kept::spawn(scx_gamer_run(&["-v", "--log", &log_argument, "--", "sh", "-c", &script]).stderr(Stdio::null()));
    wait_until("a foreground is pinned", || log_text().contains("TGID "));
    let pinned = pinned_tgid(&log_text());
    let comm = fs::read_to_string(format!("/proc/{pinned}/comm")).expect("the pinned process lives");
    assert_eq!(comm.trim(), "synthetic_game", "{}", log_text());
    assert!(is_oldest_of_its_name(pinned, "synthetic_game"), "a helper of the game was pinned: {}", log_text());
    kill(Pid::from_raw(pinned), Signal::SIGKILL).expect("end the game");
    assert_eq!(wrapper.wait().expect("wait").code(), Some(3));
}

/// The last number after "TGID" in the wrapper's log.
fn pinned_tgid(log: &str) -> i32 {
    let (_, after) = log.rsplit_once("TGID ").expect("a TGID in the log");
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a TGID")
}

fn is_oldest_of_its_name(pid: i32, comm: &str) -> bool {
    let same_name = procfs::process::all_processes().expect("list processes").flatten();
    same_name.filter(|process| process.stat().is_ok_and(|stat| stat.comm == comm)).all(|process| process.pid >= pid)
}

#[test]
fn beside_another_scheduler_the_game_runs_and_is_told_so() {
    let _other = Kept::spawn(scx_gamer(&[]).stderr(Stdio::null()));
    wait_for_state("enabled");
    let output = scx_gamer_run(&["--wait-attach", "--", "sh", "-c", "echo played; exit 5"]).output().expect("run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(5), b"played\n".as_slice()));
    assert!(stderr.contains("another sched_ext scheduler is active"), "{stderr}");
    assert_eq!(state(), "enabled", "the other scheduler must be left alone");

    let refused = scx_gamer_run(&["--require", "--", "sh", "-c", "echo played"]).output().expect("run");
    assert_eq!((refused.status.code(), refused.stdout.as_slice()), (Some(125), b"".as_slice()));
}

#[test]
fn the_kernel_throwing_the_scheduler_out_is_told_and_the_game_goes_on() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let log = directory.path().join("log").display().to_string();
    let mut wrapper =
        Kept::spawn(scx_gamer_run(&["--require", "--log", &log, "--", "sleep", "81004"]).stderr(Stdio::null()));
    let game = wait_for_process("81004");
    fs::write("/proc/sysrq-trigger", "S").expect("SysRq-S");
    wait_until("the wrapper tells", || fs::read_to_string(&log).is_ok_and(|log| log.to_lowercase().contains("sysrq")));
    assert!(is_alive(game));
    kill(Pid::from_raw(game), Signal::SIGTERM).expect("end the game");
    assert_eq!(wrapper.wait().expect("wait").code(), Some(128 + 15));
    assert_eq!(state(), "disabled");
}

#[test]
fn a_player_without_privilege_plays_unscheduled_and_is_told_what_to_do() {
    let wrapper = env!("CARGO_BIN_EXE_scx-gamer-run");
    let output = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            wrapper,
            "--wait-attach",
            "--",
            "sh",
            "-c",
            "exit 4",
        ])
        .output()
        .expect("run setpriv");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains("no permission to load a scheduler"), "{stderr}");
    assert_eq!(state(), "disabled");
}

/// How many scx_gamer run.
fn nr_owners() -> usize {
    let stats = procfs::process::all_processes().expect("list processes").flatten().flat_map(|process| process.stat());
    stats.filter(|stat| stat.comm == "scx_gamer" && stat.state != 'Z').count()
}

#[test]
fn a_wrapper_within_a_wrapper_shares_its_lease_and_both_pass_the_status_on() {
    let inner = env!("CARGO_BIN_EXE_scx-gamer-run");
    let directory = tempfile::tempdir().expect("temporary directory");
    let said = directory.path().join("said");
    let file = fs::File::create(&said).expect("make a file");
    let words = ["--require", "-v", "--", inner, "--require", "--", "sh", "-c", "sleep 81005; exit 9"];
    let mut outer = Kept::spawn(scx_gamer_run(&words).stderr(Stdio::from(file)));
    let game = wait_for_process("81005");
    let text = || fs::read_to_string(&said).unwrap_or_default();
    wait_until("the game is pinned by the outer one", || text().contains(&format!("foreground: sleep (TGID {game})")));
    assert!(text().contains(&format!("within scx-gamer-run (PID {})", outer.pid())), "{}", text());
    assert_eq!((nr_owners(), state().as_str()), (1, "enabled"));
    kill(Pid::from_raw(game), Signal::SIGTERM).expect("end the game");
    assert_eq!(outer.wait().expect("wait").code(), Some(9));
    assert_eq!(state(), "disabled");
}

#[test]
fn a_game_in_a_pid_namespace_of_its_own_is_pinned_and_keeps_its_preloads() {
    let preload = "/lib/x86_64-linux-gnu/libm.so.6";
    let script = "echo preload=$LD_PRELOAD; exec sleep 81006";
    let mut command = scx_gamer_run(&["--require", "-v", "--", "bwrap", "--dev-bind", "/", "/", "--unshare-pid"]);
    command.args(["--proc", "/proc", "--", "sh", "-c", script]).env("LD_PRELOAD", preload);
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = |name: &str| directory.path().join(name);
    let file = |name: &str| Stdio::from(fs::File::create(path(name)).expect("make a file"));
    let mut wrapper = Kept::spawn(command.stdout(file("stdout")).stderr(file("stderr")));
    let game = wait_for_process("81006");
    let text = |name: &str| fs::read_to_string(path(name)).unwrap_or_default();
    wait_until("the game is pinned", || text("stderr").contains(&format!("foreground: sleep (TGID {game})")));
    assert_eq!(text("stdout"), format!("preload={preload}\n"));
    kill(Pid::from_raw(game), Signal::SIGTERM).expect("end the game");
    assert_eq!(wrapper.wait().expect("wait").code(), Some(128 + 15));
    assert_eq!(state(), "disabled");
}

#[test]
fn a_game_that_was_started_elsewhere_for_the_same_steam_app_is_pinned() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let log = directory.path().join("log");
    let text = || fs::read_to_string(&log).unwrap_or_default();
    let log_argument = log.display().to_string();
    let mut command = scx_gamer_run(&["--require", "-v", "--log", &log_argument, "--", "sh", "-c", "read end; exit 8"]);
    let mut wrapper = Kept::spawn(command.env("SteamAppId", "620").stdin(Stdio::piped()).stderr(Stdio::null()));
    wait_until("the wrapper plays", || text().contains("started 'sh'"));
    let elsewhere =
        |app_id: &str, seconds: &str| Kept::spawn(Command::new("sleep").arg(seconds).env("SteamAppId", app_id));
    let other = elsewhere("440", "81007");
    let game = elsewhere("620", "81008");
    wait_until("the game is pinned", || text().contains(&format!("foreground: sleep (TGID {})", game.pid())));
    assert!(!text().contains(&format!("TGID {}", other.pid())), "{}", text());
    drop(wrapper.stdin.take());
    assert_eq!(wrapper.wait().expect("wait").code(), Some(8));
    assert_eq!(state(), "disabled");
}
