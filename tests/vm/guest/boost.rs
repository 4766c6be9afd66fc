//! Whom the game waits for goes as fast as the game. On the deterministic rig, like `policy`.

use std::fs;
use std::io::Read as _;
use std::process::Command;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::support::Kept;
use crate::support::attach;
use crate::support::count;
use crate::support::cpu_ticks;
use crate::support::example;
use crate::support::one_hog;
use crate::support::pin;
use crate::support::wait_until;
use crate::support::waits_of;

/// A shell that does `step` again and again, some of it being `count` turns of a loop.
fn shell(step: &str, count: u32) -> Command {
    let work = format!("i=0; while [ $i -lt {count} ]; do i=$((i + 1)); done");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("while :; do {}; done", step.replace("WORK", &work))]);
    command
}

/// Average wait in us of a server outside of the family, whose answers cost so much that it counts as background, and
/// which a game asks six times a frame beside hogs.
fn average_wait_of_server_us(is_pinned: bool) -> u64 {
    let mut scheduler = attach();
    let _hogs = [one_hog(), one_hog(), one_hog()];
    let mut server =
        Kept::spawn(shell("read ask; WORK; echo answer", 250).stdin(Stdio::piped()).stdout(Stdio::piped()));
    let (requests, answers) = (server.stdin.take().expect("a pipe"), server.stdout.take().expect("a pipe"));
    let game = Kept::spawn(
        shell("sleep 0.002; for ask in 1 2 3 4 5 6; do echo ask; read answer; done", 0).stdin(answers).stdout(requests),
    );
    let lease = scheduler.begin_lease(game.pid(), 0).expect("begin a lease");
    pin(&mut scheduler, lease, is_pinned.then(|| game.pid()));
    wait_until("both have started up", || cpu_ticks(server.pid()) > 20);
    let before = waits_of(server.pid());
    wait_until("the server has answered a hundred times", || waits_of(server.pid()).1 - before.1 > 100);
    let after = waits_of(server.pid());
    assert_eq!(count(&scheduler, "wake_boost") > 0, is_pinned, "{}", scheduler.counts());
    (after.0 - before.0) / (after.1 - before.1) / 1000
}

#[test]
fn whom_the_game_wakes_runs_at_its_rank() {
    let (boosted_us, plain_us) = (average_wait_of_server_us(true), average_wait_of_server_us(false));
    assert!(boosted_us * 3 < plain_us, "the server waits for {boosted_us} us on average, {plain_us} us without a game");
}

#[test]
fn whom_a_timer_wakes_while_the_game_runs_is_not_woken_by_the_game() {
    let mut scheduler = attach();
    let (game, other) = (one_hog(), Kept::spawn(&mut Command::new(example("pulse"))));
    let lease = scheduler.begin_lease(game.pid(), 0).expect("begin a lease");
    pin(&mut scheduler, lease, Some(game.pid()));
    let (boosts, wakes) = (count(&scheduler, "wake_boost"), waits_of(other.pid()).1);
    wait_until("it has woken a hundred times", || waits_of(other.pid()).1 - wakes > 100);
    let boosts = count(&scheduler, "wake_boost") - boosts;
    assert!(boosts < 10, "{boosts} of them for the game's sake, which wakes nobody");
}

/// Longest wait in ms for a lock that somebody outside of the family holds for 10 ms of work, beside hogs.
fn longest_wait_for_lock_ms(is_pinned: bool) -> u64 {
    let mut scheduler = attach();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("lock");
    let _holder = Kept::spawn(Command::new(example("shared_lock")).arg("hold").arg(&file));
    wait_until("the lock exists", || fs::metadata(&file).is_ok_and(|file| file.len() > 0));
    sleep(Duration::from_millis(500));
    let _hogs = [one_hog(), one_hog(), one_hog()];
    let mut game = Kept::spawn(
        Command::new(example("shared_lock"))
            .args(["wait", "--skip", "20", "--rounds", "40"])
            .arg(&file)
            .stdout(Stdio::piped()),
    );
    let lease = scheduler.begin_lease(game.pid(), 0).expect("begin a lease");
    pin(&mut scheduler, lease, is_pinned.then(|| game.pid()));
    let mut longest_us = String::new();
    game.stdout.take().expect("a pipe").read_to_string(&mut longest_us).expect("read the result");
    assert_eq!(count(&scheduler, "futex_boost") > 0, is_pinned, "{}", scheduler.counts());
    longest_us.trim().parse::<u64>().expect("a number of us") / 1000
}

#[test]
fn who_holds_a_lock_that_the_game_waits_for_runs_at_its_rank_until_it_lets_go() {
    let (boosted_ms, plain_ms) = (longest_wait_for_lock_ms(true), longest_wait_for_lock_ms(false));
    assert!(boosted_ms < 25, "the game waited for {boosted_ms} ms where the work takes 10, {plain_ms} ms unpinned");
    assert!(boosted_ms * 2 < plain_ms, "longest wait {boosted_ms} ms, {plain_ms} ms if nobody is the game");
}
