//! `--status` and `--doctor` of `scx-gamer-run`, on a kernel where a game is scheduled.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::process::Stdio;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use nix::sys::signal::Signal;
use serde_json::Value;
use serde_json::json;

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

const SOCKET: &str = "/var/run/scx/root/stats";

fn ask(question: &str) -> (Option<i32>, Value) {
    let output = scx_gamer_run(&[question, "--json"]).output().expect("ask");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let answer = serde_json::from_str(&stdout)
        .unwrap_or_else(|error| panic!("{error} in {stdout:?}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), answer)
}

/// What `--status` tells; it can be asked from the moment in which metrics are served.
fn status() -> Value {
    wait_until("somebody serves metrics", || UnixStream::connect(SOCKET).is_ok());
    let (exit_status, answer) = ask("--status");
    assert_eq!(exit_status, Some(0), "{answer}");
    answer
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after the epoch").as_secs()
}

#[test]
fn status_names_the_wrapper_its_user_and_the_game_that_it_has_pinned() {
    let before_s = now_s();
    let mut wrapper = Kept::spawn(scx_gamer_run(&["--require", "--", "sleep", "82001"]).stderr(Stdio::null()));
    let game = wait_for_process("82001");
    let _cleanup = Stray(game);
    wait_until("the game is pinned", || status()["leases"][0]["foreground_tgid"] == game);
    let answer = status();
    assert!(answer["scheduler"].as_str().is_some_and(|name| name.starts_with("gamer")), "{answer}");
    assert_eq!(answer["state"], "enabled");
    assert_eq!(answer["leases"].as_array().map(Vec::len), Some(1), "{answer}");
    let lease = &answer["leases"][0];
    assert_eq!((&lease["pid"], &lease["uid"]), (&json!(wrapper.pid()), &json!(0)), "{answer}");
    assert_eq!((&lease["foreground_tgid"], &lease["foreground_comm"]), (&json!(game), &json!("sleep")), "{answer}");
    assert!(lease["since"].as_u64().is_some_and(|since| (before_s..=now_s()).contains(&since)), "{answer}");

    let text = String::from_utf8(scx_gamer_run(&["--status"]).output().expect("ask").stdout).expect("UTF-8");
    let (pid, pinned) = (wrapper.pid(), format!("its game is sleep (TGID {game})"));
    assert!(text.contains(&format!("process {pid} of user 0 has held a lease for ")), "{text}");
    assert!(text.contains(&pinned) && text.contains(" is attached\n"), "{text}");

    wrapper.signal(Signal::SIGTERM);
    wrapper.wait().expect("wait");
    assert_eq!(state(), "disabled");
    assert_eq!(ask("--status").1["leases"], json!([]));
}

#[test]
fn status_knows_the_game_that_a_terminal_has_named() {
    let game = Kept::spawn(Command::new("sleep").arg("82002"));
    let mut scx_gamer = Kept::spawn(scx_gamer(&["--foreground-pid", &game.pid().to_string()]).stderr(Stdio::null()));
    wait_for_state("enabled");
    let lease = status()["leases"][0].clone();
    assert_eq!((&lease["pid"], &lease["foreground_tgid"]), (&json!(game.pid()), &json!(game.pid())), "{lease}");
    assert_eq!((&lease["uid"], &lease["foreground_comm"]), (&json!(0), &json!("sleep")), "{lease}");
    drop(game);
    let ended = status()["leases"][0].clone();
    assert_eq!((&ended["pid"], &ended["foreground_comm"]), (&lease["pid"], &Value::Null), "{ended}");
    scx_gamer.signal(Signal::SIGINT);
    assert_eq!(scx_gamer.wait().expect("wait").code(), Some(0));
}

#[test]
fn without_a_game_nobody_holds_a_lease_whether_a_scheduler_is_attached_or_not() {
    let (exit_status, answer) = ask("--status");
    assert_eq!((exit_status, &answer["leases"]), (Some(0), &json!([])), "{answer}");
    assert_eq!((&answer["scheduler"], &answer["state"]), (&Value::Null, &json!("disabled")), "{answer}");
    let text = scx_gamer_run(&["--status"]).output().expect("ask").stdout;
    assert_eq!(String::from_utf8_lossy(&text), "no scheduler of ours is attached\n");

    let mut scx_gamer = Kept::spawn(scx_gamer(&[]).stderr(Stdio::null()));
    wait_for_state("enabled");
    let answer = status();
    assert_eq!((&answer["leases"], &answer["state"]), (&json!([]), &json!("enabled")), "{answer}");
    scx_gamer.signal(Signal::SIGINT);
    assert_eq!(scx_gamer.wait().expect("wait").code(), Some(0));
}

#[test]
fn a_player_is_told_that_who_holds_the_scheduler_is_for_root_to_ask() {
    let _scx_gamer = Kept::spawn(scx_gamer(&[]).stderr(Stdio::null()));
    wait_for_state("enabled");
    wait_until("somebody serves metrics", || UnixStream::connect(SOCKET).is_ok());
    let asked = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_scx-gamer-run"), "--status"])
        .output()
        .expect("run setpriv");
    let stderr = String::from_utf8_lossy(&asked.stderr);
    assert_eq!((asked.status.code(), asked.stdout.as_slice()), (Some(1), b"".as_slice()), "{stderr}");
    assert!(stderr.contains(" is attached, and who holds it is for root to ask\nHint: sudo "), "{stderr}");
}

#[test]
fn a_scheduler_that_is_stopped_costs_status_two_seconds_and_no_more() {
    let scx_gamer = Kept::spawn(scx_gamer(&[]).stderr(Stdio::null()));
    wait_for_state("enabled");
    wait_until("somebody serves metrics", || UnixStream::connect(SOCKET).is_ok());
    scx_gamer.signal(Signal::SIGSTOP);
    let asked = scx_gamer_run(&["--status"]).output().expect("ask");
    scx_gamer.signal(Signal::SIGCONT);
    let stderr = String::from_utf8_lossy(&asked.stderr);
    assert_eq!(asked.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("has not answered within 2 s"), "{stderr}");
}

#[test]
fn doctor_finds_nothing_that_fails_here_and_attaches_nothing() {
    let attaches = || fs::read_to_string("/sys/kernel/sched_ext/enable_seq").expect("read enable_seq");
    let attaches_before = attaches();
    let (exit_status, answer) = ask("--doctor");
    let checks = answer["checks"].as_array().expect("checks");
    assert!(checks.iter().all(|check| check["verdict"] != "fail"), "{answer}");
    assert_eq!(exit_status, Some(0), "{answer}");
    let verdict = |name: &str| {
        let check = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {answer}"));
        check["verdict"].clone()
    };
    for name in ["kernel", "btf", "scheduler", "program", "service", "permission", "preload"] {
        assert_eq!(verdict(name), "ok", "{name}: {answer}");
    }
    assert_eq!(attaches(), attaches_before);
}

#[test]
fn doctor_warns_of_a_scheduler_of_ours_and_leaves_its_game_alone() {
    let game = Kept::spawn(Command::new(example("synthetic_load")).arg("bursty").stdout(Stdio::null()));
    let _scx_gamer = Kept::spawn(scx_gamer(&["--foreground-pid", &game.pid().to_string()]).stderr(Stdio::null()));
    wait_for_state("enabled");
    let (exit_status, answer) = ask("--doctor");
    let scheduler = answer["checks"].as_array().expect("checks").iter().find(|check| check["name"] == "scheduler");
    let scheduler = scheduler.expect("a check of the scheduler");
    assert_eq!((exit_status, &scheduler["verdict"]), (Some(0), &json!("warn")), "{answer}");
    assert!(scheduler["says"].as_str().is_some_and(|says| says.starts_with("gamer")), "{answer}");
    assert!(is_alive(game.pid()));
    assert_eq!(state(), "enabled");
}
