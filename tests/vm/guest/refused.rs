//! Kernels on which no scheduler can attach: the game runs and the player reads why.

use crate::support::scx_gamer;
use crate::support::scx_gamer_run;
use crate::support::state;

/// What each of the two kernels must be called.
fn is_reason(stderr: &str) -> bool {
    if state() == "no sched_ext" {
        stderr.contains("has no sched_ext")
    } else {
        stderr.contains("refuses every sched_ext scheduler because its BTF is broken")
    }
}

#[test]
fn the_game_runs_with_its_own_status_and_says_in_a_line_why_it_is_unscheduled() {
    let output = scx_gamer_run(&["--wait-attach", "--", "sh", "-c", "echo played; exit 6"]).output().expect("run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(6), b"played\n".as_slice()), "{stderr}");
    assert!(is_reason(&stderr), "{stderr}");
    assert!(stderr.lines().count() <= 2, "one line and a hint, not more:\n{stderr}");
}

#[test]
fn require_turns_the_reason_into_status_125_and_the_game_does_not_start() {
    let output = scx_gamer_run(&["--require", "--", "sh", "-c", "echo played"]).output().expect("run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(125), b"".as_slice()), "{stderr}");
    assert!(is_reason(&stderr), "{stderr}");
}

#[test]
fn scx_gamer_says_why_and_fails() {
    let output = scx_gamer(&[]).output().expect("run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(is_reason(&stderr), "{stderr}");
    assert_ne!(state(), "enabled");
}
