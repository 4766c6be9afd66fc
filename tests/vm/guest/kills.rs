//! A wrapper that is killed at any instant: the scheduler goes, the game stays. The machine's clock counts instructions.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use procfs::process::all_processes;

use crate::support::Kept;
use crate::support::Stray;
use crate::support::is_alive;
use crate::support::observe_from_above;
use crate::support::scx_gamer_run;
use crate::support::state;
use crate::support::wait_for_process;
use crate::support::wait_until;

const NR_KILLS: u32 = 50;
/// How long this real-time thread sleeps between two checks.
const CHECK_EVERY: Duration = Duration::from_millis(20);
/// The scheduler is gone after at most this many checks. With the scan of `/proc` a check takes 23 ms, so this is less than a
/// second. The instruction clock jumps in some detaches, so a test cannot count seconds (docs/testing.md).
const CHECKS_MAX: u32 = 40;
/// Kills fall between the spawn and well after the attach.
const LATEST_KILL_MS: u64 = 2500;

/// An instant that looks drawn by lot and is the same in each run: a multiplicative hash of the round (Knuth, TAOCP 6.4).
fn instant_of(round: u32) -> Duration {
    let hash = round.wrapping_add(1).wrapping_mul(2_654_435_761);
    Duration::from_millis(u64::from(hash) * LATEST_KILL_MS >> 32)
}

fn owner_runs() -> bool {
    let stats = all_processes().expect("list processes").flatten().flat_map(|process| process.stat());
    stats.into_iter().any(|stat| stat.comm == "scx_gamer" && stat.state != 'Z')
}

#[test]
fn fifty_wrappers_killed_at_any_instant_leave_no_scheduler_and_every_game() {
    observe_from_above();
    let mut nr_attached = 0;
    for round in 0..NR_KILLS {
        let seconds = (86_000 + round).to_string();
        let mut wrapper = Kept::spawn(scx_gamer_run(&["--", "sleep", &seconds]).stderr(Stdio::null()));
        let game = wait_for_process(&seconds);
        let _cleanup = Stray(game);
        sleep(instant_of(round));
        nr_attached += u32::from(state() == "enabled");
        wrapper.signal(Signal::SIGKILL);
        wrapper.wait().expect("wait");
        let mut nr_checks = 0;
        while owner_runs() {
            nr_checks += 1;
            assert!(
                nr_checks < CHECKS_MAX || state() == "disabled",
                "round {round}: {} after {nr_checks} checks",
                state()
            );
            sleep(CHECK_EVERY);
        }
        wait_until("the machine is as it was", || state() == "disabled");
        assert!(is_alive(game), "round {round}: the game died with the wrapper");
    }
    assert!((5..NR_KILLS - 5).contains(&nr_attached), "{nr_attached} of {NR_KILLS} were attached when killed");
}
