//! Where tasks run, on a machine of 8 CPUs: two nodes (0-3, 4-7) with two cores each, of two hardware threads each.

use std::path::Path;
use std::time::Duration;

use nix::unistd::gettid;
use scx_gamer_run::sched::Machine;
use scx_gamer_run::sched::Scheduler;
use scx_gamer_run::sched::Window;
use scx_gamer_run::sched::topology::PrimaryDomain;

use crate::support::attach;
use crate::support::attach_on;
use crate::support::attach_with;
use crate::support::count;
use crate::support::pin;
use crate::support::wait_until;
use crate::workers::Worker;
use crate::workers::allow;
use crate::workers::cpu_of;
use crate::workers::pulse;
use crate::workers::times_on;

const ALL: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];
const PERIOD: Duration = Duration::from_millis(3);
const LOOKS: usize = 50;

/// A sleeper whose last CPU is `cpu` and that may run anywhere.
fn sleeper_from(cpu: usize) -> Worker {
    let sleeper = Worker::sleeper(PERIOD);
    send(sleeper.tid, cpu);
    sleeper
}

/// Lets thread `tid` run on `cpu` only, and waits until it does.
fn bind(tid: i32, cpu: usize) {
    allow(tid, &[cpu]);
    wait_until("it runs where it must", || cpu_of(tid) == cpu);
}

/// Puts thread `tid` on `cpu`, from where it may go anywhere.
fn send(tid: i32, cpu: usize) {
    bind(tid, cpu);
    allow(tid, &ALL);
}

/// How often thread `tid`, which wakes every few ms, is found on one of `cpus` 10 ms after it was put on CPU 2 and
/// `event` has happened, in as many tries as [`LOOKS`].
///
/// CPU 2 because its core has little else to do, and put back each time because a CPU that somebody else uses for a
/// moment drives it anywhere, where it would stay. This thread looks on from CPU 0 for the same reason.
fn times_drawn_to(cpus: &[usize], tid: i32, mut event: impl FnMut()) -> usize {
    let myself = gettid().as_raw();
    allow(myself, &[0]);
    let is_drawn = |_: &usize| {
        send(tid, 2);
        event();
        times_on(tid, cpus, 1) == 1
    };
    let times = (0..LOOKS).filter(is_drawn).count();
    allow(myself, &ALL);
    times
}

fn spinner_on(cpu: usize) -> Worker {
    let spinner = Worker::spinner();
    bind(spinner.tid, cpu);
    spinner
}

fn machine() -> Machine {
    Machine::read(&PrimaryDomain::All, Path::new("/sys")).expect("read the machine")
}

#[test]
fn the_machine_is_read_as_it_is() {
    let machine = machine();
    assert_eq!((machine.places.len(), machine.nr_nodes, machine.has_smt, machine.is_asymmetric), (8, 2, true, false));
    assert_eq!(machine.places[2].sibling, 3);
    assert_eq!((machine.places[3].node, machine.places[4].node), (0, 1));
}

#[test]
fn a_lone_task_stays_where_it_was_most_of_the_time() {
    let _scheduler = attach();
    let sleeper = sleeper_from(2);
    let mut cpu = 2;
    let moves = (0..LOOKS).filter(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let before = std::mem::replace(&mut cpu, cpu_of(sleeper.tid));
        before != cpu
    });
    let moves = moves.count();
    assert!(moves < LOOKS / 4, "{moves} of {LOOKS} looks found it elsewhere than the one before");
}

#[test]
fn the_primary_domain_is_tried_first_and_left_when_it_is_full() {
    let _scheduler = attach_with(&["--primary-domain", "6-7"]);
    let sleeper = sleeper_from(0);
    let inside = times_on(sleeper.tid, &[6, 7], LOOKS);
    assert!(inside > LOOKS * 6 / 10, "{inside} of {LOOKS} looks found it in the domain");

    let _full = [spinner_on(6), spinner_on(7)];
    let outside = times_on(sleeper.tid, &[0, 1, 2, 3, 4, 5], LOOKS);
    assert!(outside > LOOKS * 6 / 10, "{outside} of {LOOKS} looks found it outside of the full domain");
}

#[test]
fn a_flat_scan_takes_the_next_number_where_the_kernel_prefers_an_idle_core() {
    const TRIES: usize = 20;
    // Where a sleeper goes whose CPU 2 is taken; whoever else runs for a moment may drive it on.
    let times_beside = |flags: &[&str]| {
        let _scheduler = attach_with(&[flags, &["--mig-window-ms", "0"]].concat());
        let _taken = spinner_on(2);
        let sleeper = Worker::sleeper(PERIOD);
        let beside = (0..TRIES).filter(|_| {
            send(sleeper.tid, 2);
            times_on(sleeper.tid, &[3], 1) == 1
        });
        beside.count()
    };
    let (kernel, flat) = (times_beside(&[]), times_beside(&["-i", "--disable-smt"]));
    let smt_aware = times_beside(&["-i"]);
    assert!(flat >= TRIES / 4, "on the busy core: {flat} of {TRIES}");
    assert!(kernel * 4 < flat, "on the busy core: {flat} of {TRIES} flat, {kernel} else");
    assert!(smt_aware * 4 < flat, "on the busy core: {flat} of {TRIES}, {smt_aware} where cores are told apart");
}

#[test]
fn a_preferred_scan_takes_the_strongest_cpu() {
    let mut machine = machine();
    machine.scan_order = vec![5, 7, 0, 2, 4, 6, 1, 3];
    let _scheduler = attach_on(&machine, &["-P", "--mig-window-ms", "0"]);
    let sleeper = Worker::sleeper(PERIOD);
    let strongest = times_drawn_to(&[5], sleeper.tid, || ());
    assert!(strongest > LOOKS * 6 / 10, "{strongest} of {LOOKS} looks found it on the strongest CPU");
}

#[test]
fn a_game_belongs_on_the_strong_cpus_and_the_others_leave_them_to_it() {
    let mut machine = machine();
    machine.is_asymmetric = true;
    for (cpu, place) in machine.places.iter_mut().enumerate() {
        place.is_strong = cpu >= 4;
    }
    let mut scheduler = attach_on(&machine, &[]);
    let (game, other) = (pulse(), pulse());
    let lease = scheduler.begin_lease(game.pid(), 0).expect("begin a lease");
    pin(&mut scheduler, lease, Some(game.pid()));
    allow(game.pid(), &[1]);
    allow(other.pid(), &[6]);
    wait_until("they run where they must", || cpu_of(game.pid()) == 1 && cpu_of(other.pid()) == 6);
    allow(game.pid(), &ALL);
    allow(other.pid(), &ALL);
    let game_on_strong = times_on(game.pid(), &[4, 5, 6, 7], LOOKS);
    let other_on_weak = times_on(other.pid(), &[0, 1, 2, 3], LOOKS);
    assert!(game_on_strong > LOOKS * 6 / 10, "the game: {game_on_strong} of {LOOKS} looks on strong CPUs");
    assert!(other_on_weak > LOOKS * 6 / 10, "the other: {other_on_weak} of {LOOKS} looks on weak CPUs");
}

#[test]
fn a_shared_core_is_left_for_an_idle_one_only_if_told() {
    // Whoever else runs for a moment may part the two by himself, so they are put together more than once.
    let share_a_core = |pair: &[Worker; 2]| cpu_of(pair[0].tid) / 2 == cpu_of(pair[1].tid) / 2;
    let moves_after_a_try = |scheduler: &Scheduler, pair: &[Worker; 2]| {
        send(pair[0].tid, 2);
        send(pair[1].tid, 3);
        std::thread::sleep(Duration::from_millis(100));
        count(scheduler, "smt_move")
    };
    let scheduler = attach_with(&[]);
    let pair = [spinner_on(2), spinner_on(3)];
    assert_eq!((0..10).map(|_| moves_after_a_try(&scheduler, &pair)).last(), Some(0));
    drop(scheduler);
    let scheduler = attach_with(&["--avoid-smt"]);
    wait_until("one of them moves", || moves_after_a_try(&scheduler, &pair) > 0);
    wait_until("they do not share a core", || !share_a_core(&pair));
}

#[test]
fn a_light_pair_may_share_a_core_all_the_same() {
    let _scheduler = attach_with(&["--avoid-smt"]);
    let [waker, woken] = Worker::pair(PERIOD);
    waker.allow(&[4]);
    let beside = times_on(woken.tid, &[5], LOOKS);
    assert!(beside > LOOKS * 6 / 10, "{beside} of {LOOKS} looks found it beside its waker");
}

#[test]
fn threads_of_one_program_run_near_to_each_other_if_told() {
    let share_near = |flags: &[&str]| {
        let _scheduler = attach_with(&[flags, &["--mig-window-ms", "0"]].concat());
        let [waker, woken] = Worker::pair(PERIOD);
        waker.allow(&[6]);
        times_drawn_to(&[4, 5, 6, 7], woken.tid, || ())
    };
    let (by_default, near) = (share_near(&[]), share_near(&["--mm-affinity"]));
    assert!(near > LOOKS * 6 / 10 && by_default < LOOKS / 5, "near its waker: {near} of {LOOKS}, {by_default} else");
}

#[test]
fn a_thread_whose_cpu_is_taken_goes_where_its_program_last_went() {
    let hints = |flags: &[&str]| {
        let scheduler = attach_with(&[flags, &["--mig-window-ms", "0"]].concat());
        let _taken = spinner_on(1);
        let (sleeper, other) = (Worker::sleeper(PERIOD), Worker::sleeper(PERIOD));
        for other_cpu in [6, 7, 6, 7, 6, 7] {
            bind(sleeper.tid, 1);
            bind(other.tid, other_cpu);
            sleeper.allow(&ALL);
            wait_until("it has gone elsewhere", || cpu_of(sleeper.tid) != 1);
        }
        count(&scheduler, "mm_hint")
    };
    assert_eq!(hints(&[]), 0);
    assert!(hints(&["--enable-mm-hint", "--mm-hint-size", "128"]) > 0);
}

/// Times that one of 16 spinners was found on another node than before.
fn node_changes(scheduler: &Scheduler) -> usize {
    let spinners: Vec<Worker> = (0..16).map(|_| Worker::spinner()).collect();
    wait_until("the machine is busy", || count(scheduler, "edf_enqueue") > 50);
    let nodes = || spinners.iter().map(|spinner| cpu_of(spinner.tid) / 4).collect::<Vec<_>>();
    let mut before = nodes();
    let mut changes = 0;
    for _ in 0..LOOKS {
        std::thread::sleep(Duration::from_millis(20));
        let now = nodes();
        changes += before.iter().zip(&now).filter(|(before, now)| before != now).count();
        before = now;
    }
    changes
}

#[test]
fn a_busy_machine_keeps_tasks_on_their_node_if_told() {
    let anywhere = node_changes(&attach());
    let at_home = node_changes(&attach_with(&["--enable-numa"]));
    assert!(at_home * 3 < anywhere, "{at_home} changes of node with --enable-numa, {anywhere} without");
}

#[test]
fn a_node_with_more_work_than_it_can_do_is_helped_by_the_other() {
    let scheduler = attach_with(&["--enable-numa"]);
    let spinners: Vec<Worker> = (0..12).map(|_| Worker::spinner()).collect();
    for spinner in &spinners {
        spinner.allow(&[0, 1, 2, 3]);
    }
    std::thread::sleep(Duration::from_millis(300));
    for spinner in &spinners {
        spinner.allow(&ALL);
    }
    wait_until("the other node helps", || count(&scheduler, "spill") > 0);
    let on_both = || spinners.iter().any(|spinner| cpu_of(spinner.tid) >= 4);
    wait_until("some of them run there", on_both);
}

#[test]
fn network_work_goes_to_the_cpu_that_has_the_packets_if_told() {
    let share_there = |flags: &[&str]| {
        let mut scheduler = attach_with(flags);
        let game = pulse();
        let lease = scheduler.begin_lease(game.pid(), 0).expect("begin a lease");
        pin(&mut scheduler, lease, Some(game.pid()));
        times_drawn_to(&[6], game.pid(), || {
            scheduler.open_window(Window::Input, None).expect("open a window");
            scheduler.open_window(Window::Napi, Some(6)).expect("open a window");
        })
    };
    let window = ["--input-window-us", "50000", "--mig-window-ms", "0"];
    let (by_default, preferred) =
        (share_there(&window), share_there(&[&window[..], &["--prefer-napi-on-input"]].concat()));
    assert!(preferred > LOOKS / 2 && by_default < LOOKS / 5, "on that CPU: {preferred} of {LOOKS}, {by_default} else");
}
