//! Windows, slices and performance levels.

use std::process::Command;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use scx_gamer_run::sched::Scheduler;
use scx_gamer_run::sched::Window;

use crate::support::Kept;
use crate::support::attach_with;
use crate::support::count;
use crate::support::cpu_ticks;
use crate::support::one_hog;
use crate::support::pin;
use crate::support::wait_until;
use crate::workers::Worker;
use crate::workers::pulse;

const LONG_WINDOWS: [&str; 4] = ["--input-window-us", "100000", "--frame-window-us", "100000"];

fn attach_with_windows(flags: &[&str]) -> Scheduler {
    attach_with(&[&LONG_WINDOWS[..], flags].concat())
}

/// Keeps a window open for a second.
fn hold_open(scheduler: &Scheduler, window: Window) {
    for _ in 0..50 {
        scheduler.open_window(window, None).expect("open a window");
        sleep(Duration::from_millis(20));
    }
}

fn pin_somebody(scheduler: &mut Scheduler) -> Kept {
    let game = pulse();
    let lease = scheduler.begin_lease(game.pid(), 0).expect("begin a lease");
    pin(scheduler, lease, Some(game.pid()));
    game
}

#[test]
fn a_window_opens_where_told_and_closes_by_itself() {
    let scheduler = attach_with_windows(&[]);
    let open_on = |cpu| scheduler.cpu_state(cpu).expect("ask for a CPU's state").open_windows;
    // More than once: a machine that stands still for a window's length sees it closed.
    wait_until("they are open where told", || {
        scheduler.open_window(Window::Input, None).expect("open a window");
        scheduler.open_window(Window::Napi, Some(1)).expect("open a window");
        (open_on(0), open_on(1)) == (vec![Window::Input], vec![Window::Input, Window::Napi])
    });
    wait_until("they are closed", || open_on(1).is_empty());
    assert!(scheduler.open_window(Window::Input, Some(5000)).is_err());
}

#[test]
fn a_window_of_length_0_does_not_open() {
    let scheduler = attach_with(&["--input-window-us", "0"]);
    for window in Window::ALL {
        scheduler.open_window(window, None).expect("open a window");
    }
    assert!(scheduler.cpu_state(0).expect("ask for a CPU's state").open_windows.is_empty());
    assert_eq!(count(&scheduler, "input_window") + count(&scheduler, "frame_window"), 0);
}

/// Five spinners, once they keep two CPUs busy.
fn five_spinners(scheduler: &Scheduler) -> Vec<Worker> {
    let spinners = (0..5).map(|_| Worker::spinner()).collect();
    wait_until("the machine is busy", || count(scheduler, "edf_enqueue") + count(scheduler, "rr_enqueue") > 100);
    spinners
}

/// Migrations of five spinners while a frame window is held open for a second.
fn migrations_in_a_frame(scheduler: &Scheduler) -> u64 {
    let _spinners = five_spinners(scheduler);
    let before = count(scheduler, "migration");
    hold_open(scheduler, Window::Frame);
    count(scheduler, "migration") - before
}

#[test]
fn a_frame_window_blocks_migrations_of_everybody_or_of_the_game_alone() {
    let scheduler = attach_with_windows(&[]);
    let everybody_stays = migrations_in_a_frame(&scheduler);
    assert!(count(&scheduler, "frame_mig_block") > 0);
    drop(scheduler);
    let mut scheduler = attach_with_windows(&[]);
    let _game = pin_somebody(&mut scheduler);
    let game_stays = migrations_in_a_frame(&scheduler);
    assert!(everybody_stays * 3 < game_stays, "{everybody_stays} without a game, {game_stays} beside one");
}

/// Migrations in a second of five spinners, and how many were blocked.
fn migrations_in_a_second(flags: &[&str]) -> (u64, u64) {
    let scheduler = attach_with(flags);
    let _spinners = five_spinners(&scheduler);
    let before = count(&scheduler, "migration");
    sleep(Duration::from_secs(1));
    (count(&scheduler, "migration") - before, count(&scheduler, "mig_block"))
}

#[test]
fn a_task_that_has_migrated_too_often_stays_for_a_while() {
    let (free, none) = migrations_in_a_second(&["--mig-window-ms", "0"]);
    let (limited, blocks) = migrations_in_a_second(&["--mig-window-ms", "1000", "--mig-max", "1"]);
    assert!(limited * 3 < free, "{limited} migrations with a limit of 1 a second, {free} without");
    assert!(none == 0 && blocks > 0, "{none} blocks without a limit, {blocks} with one");
    let (lenient, _) = migrations_in_a_second(&["--mig-window-ms", "1000", "--mig-max", "1000"]);
    assert!(lenient > 2 * limited, "{lenient} migrations with a limit of 1000 a second, {limited} with one of 1");
}

#[test]
fn a_cpu_that_runs_the_game_is_asked_to_be_fast_unless_told_otherwise() {
    let fastest =
        |scheduler: &Scheduler| (0..2).map(|cpu| scheduler.cpu_state(cpu).expect("ask for a CPU's state").perf).max();
    let mut scheduler = attach_with(&[]);
    let game = pin_somebody(&mut scheduler);
    wait_until("its CPU is fast", || fastest(&scheduler) == Some(1024));
    drop((scheduler, game));
    let mut scheduler = attach_with(&["--disable-cpufreq"]);
    let game = pin_somebody(&mut scheduler);
    wait_until("the game has run", || cpu_ticks(game.pid()) > 5);
    assert_eq!(fastest(&scheduler), Some(0));
}

#[test]
fn without_a_game_speed_follows_the_load() {
    let scheduler = attach_with(&[]);
    let hog = one_hog();
    let fastest = || (0..2).map(|cpu| scheduler.cpu_state(cpu).expect("ask for a CPU's state").perf).max();
    wait_until("a hog has its CPU at full speed", || fastest() == Some(1024));
    drop(hog);
    let light = Worker::spinner_for(Duration::from_millis(5), Duration::from_millis(20));
    light.allow(&[0]);
    wait_until("a CPU with a fifth of work is asked for less", || {
        let perf = scheduler.cpu_state(0).expect("ask for a CPU's state").perf;
        perf > 0 && perf < 700
    });
}

/// How often the two have gone to sleep.
fn switches_of_perf() -> u64 {
    let processes = procfs::process::all_processes().expect("list processes").flatten();
    let is_perf = |comm: &str| comm.starts_with("perf") || comm.starts_with("sched-pipe");
    let tasks = processes.filter(|process| process.stat().is_ok_and(|stat| is_perf(&stat.comm)));
    let threads = tasks.flat_map(|process| process.tasks().into_iter().flatten().flatten());
    threads.filter_map(|thread| thread.status().ok()?.voluntary_ctxt_switches).sum()
}

#[test]
fn a_waker_about_to_sleep_hands_its_cpu_over_unless_told_not_to() {
    let hand_overs = |flags: &[&str]| {
        let scheduler = attach_with(flags);
        let taken = Worker::spinner();
        taken.allow(&[1]);
        // A pipe's wake-ups are synchronous.
        let _pair =
            Kept::spawn(Command::new("perf").args(["bench", "sched", "pipe", "-l", "100000"]).stdout(Stdio::null()));
        wait_until("the pair has taken turns", || switches_of_perf() > 2000);
        count(&scheduler, "sync_dispatch")
    };
    assert_eq!(hand_overs(&["--no-wake-sync"]), 0);
    assert!(hand_overs(&[]) > 0);
}

#[test]
fn an_idle_cpu_is_left_to_the_timer_unless_told_to_wake_it_at_once() {
    let _spinners: Vec<Worker> = (0..5).map(|_| Worker::spinner()).collect();
    let scheduler = attach_with(&[]);
    wait_until("a wake-up is left to the timer", || count(&scheduler, "deferred_wakeup") > 0);
    drop(scheduler);
    let scheduler = attach_with(&["--no-deferred-wakeup"]);
    sleep(Duration::from_millis(500));
    assert_eq!(count(&scheduler, "deferred_wakeup"), 0);
}
