//! Whom the game waits for goes as fast as the game.

use std::fs;
use std::process::Command;
use std::process::Stdio;

use crate::support::Kept;
use crate::support::attach;
use crate::support::count;
use crate::support::one_hog;
use crate::support::wait_until;

/// Time that a process has waited for a CPU, and how often it has got one.
fn waits_of(pid: i32) -> (u64, u64) {
    let schedstat = fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("read schedstat");
    let mut fields = schedstat.split_whitespace().map(|field| field.parse().expect("a number"));
    let (_ran_ns, waited_ns, runs) = (fields.next(), fields.next(), fields.next());
    (waited_ns.expect("run delay"), runs.expect("number of runs"))
}

/// Average wait in µs of a server outside of the family, to which a game that wants a CPU for itself sends requests
/// beside hogs.
fn average_wait_of_server_us(is_pinned: bool) -> u64 {
    let mut scheduler = attach();
    let _hogs = [one_hog(), one_hog(), one_hog()];
    let mut server = Kept::spawn(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()));
    let requests = server.stdin.take().expect("a pipe");
    let work = "while :; do echo ask; i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); done; done";
    let game = Kept::spawn(Command::new("sh").args(["-c", work]).stdout(requests));
    let lease = scheduler.begin_lease(game.pid(), 0).expect("begin a lease");
    scheduler.set_foreground(lease, is_pinned.then(|| game.pid()));
    wait_until("the server has begun", || waits_of(server.pid()).1 > 20);
    let before = waits_of(server.pid());
    wait_until("the server has answered a hundred times", || waits_of(server.pid()).1 - before.1 > 100);
    let after = waits_of(server.pid());
    assert_eq!(count(&scheduler, "wake_boost") > 0, is_pinned);
    (after.0 - before.0) / (after.1 - before.1) / 1000
}

#[test]
fn whom_the_game_wakes_runs_at_its_rank() {
    let (boosted_us, plain_us) = (average_wait_of_server_us(true), average_wait_of_server_us(false));
    assert!(boosted_us * 3 < plain_us, "the server waits for {boosted_us} us on average, {plain_us} us without a game");
}
