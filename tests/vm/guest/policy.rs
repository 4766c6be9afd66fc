//! The game first, a floor for everybody else.
//!
//! These run on one CPU whose clock counts instructions (the deterministic rig), so that shares and waits are
//! the scheduler's and not those of whoever else uses the host.

use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use scx_gamer_run::sched::Class;
use scx_gamer_run::sched::Scheduler;
use scx_gamer_run::sched::stats::Interval;

use crate::support::Kept;
use crate::support::attach;
use crate::support::attach_with;
use crate::support::count;
use crate::support::cpu_ns;
use crate::support::cpu_ticks;
use crate::support::example;
use crate::support::hogs;
use crate::support::one_hog;
use crate::support::pin;
use crate::support::scx_gamer;
use crate::support::wait_for_state;
use crate::support::wait_until;
use crate::support::waits_of;
use crate::workers::Worker;

/// How much more CPU a process of nice 0 gets than one of nice 19 beside it, times ten.
fn tenths_of_advantage(slice_lag_us: u64) -> u64 {
    let _scheduler = attach_with(&["--slice-lag-us", &slice_lag_us.to_string()]);
    let (plain, nice) =
        (one_hog(), Kept::spawn(Command::new("nice").args(["-n", "19", "sh", "-c", "while :; do :; done"])));
    wait_until("both have run", || cpu_ticks(plain.pid()) > 10 && cpu_ticks(nice.pid()) > 2);
    let (plain_before, nice_before) = (cpu_ns(plain.pid()), cpu_ns(nice.pid()));
    wait_until("the plain one has used a second", || cpu_ns(plain.pid()) - plain_before > 1_000_000_000);
    (cpu_ns(plain.pid()) - plain_before) * 10 / (cpu_ns(nice.pid()) - nice_before).max(1)
}

#[test]
fn a_larger_lag_lets_niceness_count_for_more() {
    let (none, large) = (tenths_of_advantage(0), tenths_of_advantage(100_000));
    assert!(large > 2 * none, "nice 0 : nice 19 is {none}/10 without lag and {large}/10 with 100 ms");
}

#[test]
fn the_wakeup_timer_ticks_as_often_as_told_and_not_at_all_when_nothing_waits() {
    let ticks_in_a_second_of_cpu = |wakeup_timer_us: u64| {
        let scheduler = attach_with(&["--wakeup-timer-us", &wakeup_timer_us.to_string()]);
        let pair = [one_hog(), one_hog()];
        let used = || pair.iter().map(|hog| cpu_ticks(hog.pid())).sum::<u64>();
        wait_until("the pair has warmed up", || used() > 20);
        let (used_before, ticks_before) = (used(), count(&scheduler, "wakeup_tick"));
        wait_until("the pair has used a second of CPU", || used() - used_before > 100);
        let ticks = count(&scheduler, "wakeup_tick") - ticks_before;
        drop(pair);
        sleep(Duration::from_millis(100));
        let quiet_before = count(&scheduler, "wakeup_tick");
        sleep(Duration::from_secs(1));
        let quiet = count(&scheduler, "wakeup_tick") - quiet_before;
        assert!(quiet * 5 < ticks, "{quiet} ticks in a second in which nothing waited, {ticks} under load");
        ticks
    };
    let (often, seldom) = (ticks_in_a_second_of_cpu(1000), ticks_in_a_second_of_cpu(20_000));
    assert!(often > 5 * seldom, "{often} ticks at 1 ms, {seldom} at 20 ms");
}

/// How often a process was put off its CPU.
fn switches(pid: i32) -> u64 {
    let status = procfs::process::Process::new(pid).and_then(|process| process.status()).expect("read status");
    status.nonvoluntary_ctxt_switches.expect("counted by this kernel")
}

/// A game that wants all CPUs all the time.
fn saturating_game(scheduler: &mut Scheduler) -> Kept {
    let game = hogs();
    let lease = scheduler.begin_lease(game.pid(), 0).expect("begin a lease");
    pin(scheduler, lease, Some(game.pid()));
    game
}

#[test]
fn work_outside_keeps_its_floor_beside_a_game_that_wants_every_cpu() {
    let mut scheduler = attach();
    let game = saturating_game(&mut scheduler);
    let others = [one_hog(), one_hog()];
    let ticks_of_others = || others.iter().map(|hog| cpu_ticks(hog.pid())).sum::<u64>();
    let (game_before, others_before) = (cpu_ticks(game.pid()), ticks_of_others());
    wait_until("the game has used 2 s of CPU", || cpu_ticks(game.pid()) - game_before > 200);
    let (game_used, others_used) = (cpu_ticks(game.pid()) - game_before, ticks_of_others() - others_before);
    let share_pct = others_used * 100 / (game_used + others_used);
    assert!(count(&scheduler, "floor_turn") > 0);
    assert!(
        (4..=7).contains(&share_pct),
        "the others got {share_pct} % where the floor is 5 %: {}",
        scheduler.counts()
    );
    for hog in &others {
        assert!(cpu_ticks(hog.pid()) > 0, "one of the others did not run at all");
    }
}

#[test]
fn shares_are_told_as_the_kernel_itself_accounts_them() {
    let mut scheduler = attach();
    let game = saturating_game(&mut scheduler);
    let others = [one_hog(), one_hog()];
    let ticks_of_others = || others.iter().map(|hog| cpu_ticks(hog.pid())).sum::<u64>();
    wait_until("the others have run", || ticks_of_others() > 5);
    let before = scheduler.totals();
    let (game_before, others_before) = (cpu_ticks(game.pid()), ticks_of_others());
    wait_until("the game has used 5 s of CPU", || cpu_ticks(game.pid()) - game_before > 500);
    let interval =
        Interval::between(&before, &scheduler.sample(Path::new("/proc"), Default::default()).expect("sample"));
    let (game_used, others_used) = (cpu_ticks(game.pid()) - game_before, ticks_of_others() - others_before);
    let game_pct = 100.0 * game_used as f64 / (game_used + others_used) as f64;
    let told_pct = interval.class_pct(Class::Foreground);
    assert!(
        (92.0..97.0).contains(&told_pct) && (told_pct - game_pct).abs() < 1.5,
        "{told_pct} % told, {game_pct} % used"
    );
    assert!(interval.idle_pct() < 3.0, "{interval:?}");
    let [tgid, comm] = [interval.gauges.foreground[0].tgid.to_string(), interval.gauges.foreground[0].comm.clone()];
    assert_eq!([tgid, comm], [game.pid().to_string(), "synthetic_load".to_owned()]);
}

#[test]
fn a_crowd_that_the_floor_does_not_serve_in_time_is_rescued_within_half_a_second() {
    let mut scheduler = attach();
    let _game = saturating_game(&mut scheduler);
    // 50 of them need 50 turns, of which the floor gives one each 10 ms.
    let crowd: Vec<Kept> = (0..50).map(|_| one_hog()).collect();
    wait_until("all of them have run", || crowd.iter().all(|task| cpu_ns(task.pid()) > 0));
    let mut longest = Duration::ZERO;
    for _ in 0..100 {
        longest = longest.max(scheduler.longest_wait().expect("ask for the longest wait"));
        sleep(Duration::from_millis(20));
    }
    assert!(count(&scheduler, "rescue") > 0, "longest wait seen: {longest:?}");
    assert!(longest < Duration::from_millis(500), "a task waited for {longest:?}");
}

#[test]
fn a_waking_foreground_thread_puts_other_work_off_a_cpu() {
    let mut scheduler = attach();
    let _others = hogs();
    let game = Kept::spawn(
        Command::new(example("synthetic_game"))
            .args(["--fps", "60", "--frames", "100000"])
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    let lease = scheduler.begin_lease(game.pid(), 0).expect("begin a lease");
    pin(&mut scheduler, lease, Some(game.pid()));
    wait_until("the game has preempted others a hundred times", || count(&scheduler, "preempt") > 100);
}

#[test]
fn without_a_game_who_sleeps_and_wakes_does_not_wait_for_the_end_of_a_hogs_slice() {
    let scheduler = attach();
    let _hogs = [one_hog(), one_hog(), one_hog()];
    let pulse = Kept::spawn(Command::new(example("pulse")).args(["--work-us", "1000"]));
    wait_until("it has run a while", || waits_of(pulse.pid()).1 > 20 && count(&scheduler, "edf_enqueue") > 50);
    let before = waits_of(pulse.pid());
    wait_until("it has woken a hundred times more", || waits_of(pulse.pid()).1 > before.1 + 100);
    let after = waits_of(pulse.pid());
    let wait_us = (after.0 - before.0) / (after.1 - before.1) / 1000;
    assert!(wait_us < 500, "it waited for {wait_us} us each time");
}

#[test]
fn without_a_game_who_works_in_short_pieces_goes_before_who_works_in_long_ones() {
    let _scheduler = attach();
    let ms = Duration::from_millis;
    // They sleep for half of the time that they work, and together want more than the CPU has.
    let load: Vec<Worker> = (0..4).map(|_| Worker::toiler(ms(2), ms(1))).collect();
    let pieces = Worker::toiler(ms(1), Duration::from_micros(100));
    sleep(ms(500));
    let used_ns = || [cpu_ns(pieces.tid), load.iter().map(|worker| cpu_ns(worker.tid)).sum()];
    let before = used_ns();
    sleep(Duration::from_secs(1));
    let after = used_ns();
    let [pieces_pct, load_pct] = [0, 1].map(|index| (after[index] - before[index]) / 10_000_000);
    assert!(pieces_pct > 30, "it had {pieces_pct} % of the CPU beside four that had {load_pct} %");
}

#[test]
fn without_a_game_a_build_of_short_processes_leaves_hogs_their_share() {
    let _scheduler = attach();
    // Shorter than the 20 ms that a task may run before it counts as heavy.
    let _build = Kept::spawn(
        Command::new("sh").args(["-c", "while :; do (i=0; while [ $i -lt 1000 ]; do i=$((i+1)); done); done"]),
    );
    let hogs = [one_hog(), one_hog(), one_hog()];
    let used_ns = || hogs.iter().map(|hog| cpu_ns(hog.pid())).sum::<u64>();
    wait_until("each hog has run", || hogs.iter().all(|hog| cpu_ns(hog.pid()) > 0));
    let before = used_ns();
    sleep(Duration::from_secs(2));
    let share = (used_ns() - before) / 20_000_000;
    assert!(share > 25, "the hogs had {share} % of the CPU");
}

#[test]
fn heavy_load_queues_by_deadline_and_a_threshold_of_100_percent_never_does() {
    let scheduler = attach();
    {
        let _hogs = hogs();
        wait_until("tasks are queued by deadline", || count(&scheduler, "edf_enqueue") > 50);
    }
    drop(scheduler);

    let scheduler = attach_with(&["--cpu-busy-thresh", "100"]);
    let _hogs = hogs();
    wait_until("tasks take turns on their own CPU", || count(&scheduler, "rr_enqueue") > 200);
    assert_eq!(count(&scheduler, "edf_enqueue"), 0);
}

#[test]
fn a_longer_slice_means_fewer_switches_for_the_same_work() {
    let switches_in_a_second = |slice_us: u64| {
        let _scheduler = attach_with(&["--slice-us", &slice_us.to_string()]);
        let pair = [one_hog(), one_hog()];
        // One sleep each, because every look of ours would put them off as well.
        sleep(Duration::from_millis(500));
        let switches_before = switches(pair[0].pid());
        sleep(Duration::from_secs(1));
        switches(pair[0].pid()) - switches_before
    };
    let (short, long) = (switches_in_a_second(1000), switches_in_a_second(50_000));
    assert!(short > 3 * long, "{short} switches with slices of one tick, {long} with slices of 50 ms");
}

#[test]
fn a_watchdog_finds_nothing_on_a_machine_that_is_merely_busy() {
    let mut scx_gamer = Kept::spawn(scx_gamer(&["--watchdog-secs", "1"]).stderr(Stdio::null()));
    wait_for_state("enabled");
    let hogs: Vec<Kept> = (0..6).map(|_| one_hog()).collect();
    wait_until("every hog has run for half a second", || hogs.iter().all(|hog| cpu_ticks(hog.pid()) >= 50));
    assert!(scx_gamer.try_wait().expect("wait").is_none(), "the watchdog fired without a reason");
    scx_gamer.signal(Signal::SIGINT);
    assert_eq!(scx_gamer.wait().expect("wait").code(), Some(0));
}
