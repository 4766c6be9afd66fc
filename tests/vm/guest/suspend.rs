//! What a suspend to memory leaves of a game's scheduler. CPUs other than the first go offline on the way.

use std::fs;
use std::process::Command;
use std::process::Stdio;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::Kept;
use crate::support::Stray;
use crate::support::cpu_ticks;
use crate::support::example;
use crate::support::hogs;
use crate::support::is_alive;
use crate::support::scx_gamer_run;
use crate::support::state;
use crate::support::wait_for_state;
use crate::support::wait_until;

/// Until the clock wakes the machine. It must not ring before a starved host has put the machine to sleep.
const SLEEP_S: &str = "12";

/// Suspends the machine to memory and returns when it is awake again.
fn suspend() {
    let successes = || fs::read_to_string("/sys/power/suspend_stats/success").expect("read suspend_stats");
    let before = successes();
    let output = Command::new("rtcwake").args(["--mode", "mem", "--seconds", SLEEP_S]).output().expect("run rtcwake");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_ne!(successes(), before, "the machine has not slept");
}

/// The one lease that is held, as `--status` tells it.
fn lease() -> Value {
    let output = scx_gamer_run(&["--status", "--json"]).output().expect("ask");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    answer["leases"][0].clone()
}

#[test]
fn a_game_and_its_scheduler_are_there_after_a_suspend_and_go_on() {
    let program = example("pulse").display().to_string();
    let mut command = scx_gamer_run(&["--require", "--", &program]);
    let mut wrapper = Kept::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let pinned = || lease()["foreground_tgid"].as_i64().and_then(|tgid| i32::try_from(tgid).ok());
    wait_until("the game is pinned", || pinned().is_some_and(|tgid| tgid > 0));
    let game = pinned().expect("a game");
    let _cleanup = Stray(game);
    let _load = hogs();

    for _ in 0..2 {
        suspend();
        wait_for_state("enabled");
        assert!(is_alive(game));
        assert_eq!(pinned(), Some(game));
        let ticks = cpu_ticks(game);
        wait_until("the game goes on", || cpu_ticks(game) > ticks + 5);
        let online = fs::read_to_string("/sys/devices/system/cpu/online").expect("read which CPUs are online");
        assert_eq!(online.trim(), "0-1");
        assert_eq!(state(), "enabled");
    }

    kill(Pid::from_raw(game), Signal::SIGTERM).expect("end the game");
    assert_eq!(wrapper.wait().expect("wait").code(), Some(128 + 15));
    assert_eq!(state(), "disabled");
}
