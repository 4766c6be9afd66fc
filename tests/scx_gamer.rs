//! What `scx_gamer` answers without a scheduler: needs no root and no sched_ext.

use std::process::Command;
use std::process::Output;

use scx_gamer_run::sched::stats::metrics;

fn scx_gamer(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_scx_gamer")).args(args).output().expect("run scx_gamer")
}

#[test]
fn help_stats_explains_every_metric() {
    let output = scx_gamer(&["--help-stats"]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    for metric in metrics() {
        assert!(stdout.lines().any(|line| line.starts_with(metric.name)), "{} is missing in\n{stdout}", metric.name);
    }
}

#[test]
fn an_interval_that_is_none_is_refused_with_flag_value_and_range() {
    for flag in ["--stats", "--monitor"] {
        for value in ["0", "3601", "often"] {
            let output = scx_gamer(&[flag, value]);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{stderr}");
            let reason = stderr.lines().next().unwrap_or_default();
            for part in [flag, value, "0.1..=3600"] {
                assert!(reason.contains(part), "{part} is missing in: {reason}");
            }
        }
    }
}
