//! CPUs that come and go: the scheduler stays, and nobody is left behind on one that is gone.
//!
//! On clocks that count instructions, so that a wait is the scheduler's.

use std::fs;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use scx_gamer_run::sched::Scheduler;

use crate::load::LOOK_EVERY;
use crate::load::Load;
use crate::load::Waits;
use crate::support::Kept;
use crate::support::count;
use crate::support::cpu_ns;
use crate::support::hogs;
use crate::support::one_hog;
use crate::support::pin;
use crate::support::scx_gamer_run;
use crate::support::state;
use crate::support::wait_for_process;
use crate::support::wait_until;

/// Attaches once the kernel has forgotten the scheduler of the test before.
///
/// Linux 6.18 comes to a standstill if a CPU goes offline while it frees a task storage map: the worker that frees it
/// stays on its CPU (migration is disabled) and waits for a grace period of RCU-tasks-trace, which waits for the CPU to
/// be off (cpus_read_lock), which waits for the worker to leave (sched_cpu_wait_empty).
fn attach() -> Scheduler {
    wait_for_maps_to_be_freed();
    crate::support::attach()
}

fn wait_for_maps_to_be_freed() {
    sleep(Duration::from_millis(100)); // for the worker to begin
    wait_until("no map is being freed", || !is_a_map_being_freed());
}

fn is_a_map_being_freed() -> bool {
    let is_freeing_one = |process: procfs::process::Process| {
        let stack = fs::read_to_string(format!("/proc/{}/stack", process.pid)).unwrap_or_default();
        stack.contains("bpf_map_free_deferred")
    };
    procfs::process::all_processes().expect("list processes").filter_map(Result::ok).any(is_freeing_one)
}

/// A CPU that is offline for as long as this lives.
struct Gone(usize);

impl Gone {
    fn take(cpu: usize) -> Self {
        set_online(cpu, false);
        Self(cpu)
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        set_online(self.0, true);
    }
}

/// Returns once the CPU is there, or gone.
fn set_online(cpu: usize, online: bool) {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/online");
    fs::write(&path, if online { "1" } else { "0" }).unwrap_or_else(|error| panic!("write {path}: {error}"));
}

/// `taskset`, and later what it has become.
fn comm(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).expect("read comm").trim().to_owned()
}

fn hog_bound_to(cpu: usize) -> Kept {
    Kept::spawn(Command::new("taskset").args(["-c", &cpu.to_string(), "sh", "-c", "while :; do :; done"]))
}

/// Lines of the kernel's log that tell of a stall, a broken assumption, or a scheduler thrown out.
fn kernel_complaints() -> Vec<String> {
    let log = Command::new("dmesg").output().expect("read the kernel's log").stdout;
    let is_complaint = |line: &&str| {
        [" stall", "lockup", "WARNING:", "BUG:", "hung task", "runtime error"].iter().any(|word| line.contains(word))
    };
    String::from_utf8_lossy(&log).lines().filter(is_complaint).map(str::to_owned).collect()
}

/// Takes each CPU but the first away for a while, in some rounds two at a time.
fn come_and_go() {
    let nr_cpus = nr_cpus_possible();
    for round in 0..8 {
        let cpu = 1 + round % (nr_cpus - 1);
        let gone = Gone::take(cpu);
        let neighbour = (cpu + 1 < nr_cpus && round % 2 == 1).then(|| Gone::take(cpu + 1));
        sleep(Duration::from_millis(100));
        drop((gone, neighbour));
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn cpus_that_come_and_go_under_load_leave_nobody_waiting_for_half_a_second() {
    let mut scheduler = attach();
    let (others, game) = (Load::start("mixed"), Load::start("bursty"));
    let lease = scheduler.begin_lease(game.pid(), 0).expect("begin a lease");
    pin(&mut scheduler, lease, Some(game.pid()));
    let enqueued_before = count(&scheduler, "urgent_enqueue");
    let mut waits = Waits::of(&others);
    thread::scope(|scope| {
        let switch = scope.spawn(come_and_go);
        while !switch.is_finished() {
            waits.look_for(LOOK_EVERY);
        }
    });
    assert_eq!(state(), "enabled", "{:?}", scheduler.end());
    let counted = count(&scheduler, "urgent_enqueue") - enqueued_before;
    drop(scheduler);
    assert!(waits.longest() < Duration::from_millis(500), "a task waited for {:?}", waits.longest());
    let (others, game) = (others.stop(), game.stop());
    assert!(counted > 0 && game.spin_chunks > 0 && others.spin_chunks > 0, "{game:?}, {others:?}, {counted} counted");
    assert_eq!(kernel_complaints(), [""; 0]);
}

#[test]
fn tasks_bound_to_a_cpu_that_goes_run_on_elsewhere_at_once() {
    let _scheduler = attach();
    let _others = hogs();
    // One of them runs and the others wait for that CPU alone.
    let bound = [hog_bound_to(1), hog_bound_to(1), hog_bound_to(1)];
    let used = || bound.each_ref().map(|hog| cpu_ns(hog.pid()));
    let are_bound = || bound.iter().all(|hog| comm(hog.pid()) == "sh");
    wait_until("all of them are bound and have run", || are_bound() && used().iter().all(|ns| *ns > 50_000_000));
    // Several times: the CPU's last deed may be to wake somebody, which happens once in eight.
    for _ in 0..5 {
        let gone = Gone::take(1);
        let before = used();
        sleep(Duration::from_millis(500));
        let ran = used().iter().zip(before).filter(|(after, before)| *after > before).count();
        assert_eq!(ran, bound.len(), "{before:?} before and {:?} half a second after", used());
        drop(gone);
        let _wakers = wakes_from(1);
        let before = irq_works(1);
        wait_until("the CPU that is back does what it has put off", || irq_works(1) > before);
    }
}

/// A task bound to this CPU that wakes one of the first CPU, which somebody else occupies, again and again.
fn wakes_from(cpu: usize) -> [Kept; 2] {
    let mut waker = Command::new("taskset");
    waker.args(["-c", &cpu.to_string(), "sh", "-c", "while sleep 0.01; do echo; done"]).stdout(Stdio::piped());
    let mut waker = Kept::spawn(&mut waker);
    let woken = waker.stdout.take().expect("a pipe");
    [waker, Kept::spawn(Command::new("taskset").args(["-c", "0", "cat"]).stdin(woken).stdout(Stdio::null()))]
}

/// How often this CPU has interrupted itself for what it had put off (irq_work), such as to kick another one.
fn irq_works(cpu: usize) -> u64 {
    let interrupts = fs::read_to_string("/proc/interrupts").expect("read the interrupts");
    let line = interrupts.lines().find_map(|line| line.trim_start().strip_prefix("IWI:")).expect("a line for irq_work");
    line.split_whitespace().nth(cpu).and_then(|count| count.parse().ok()).expect("a count of each CPU")
}

#[test]
fn a_machine_whose_other_cpus_are_gone_counts_as_busy_when_its_last_one_is() {
    let scheduler = attach();
    let _gone: Vec<Gone> = (1..nr_cpus_possible()).map(Gone::take).collect();
    let _hogs = [one_hog(), one_hog(), one_hog()];
    wait_until("tasks are queued by deadline", || count(&scheduler, "edf_enqueue") > 50);
    assert_eq!(state(), "enabled");
}

#[test]
fn for_a_cpu_that_was_not_there_it_is_attached_anew_and_the_game_stays_the_game() {
    wait_for_maps_to_be_freed();
    let gone = Gone::take(1);
    let log = tempfile::NamedTempFile::new().expect("temporary file");
    let said_by = || Stdio::from(log.reopen().expect("open it once more"));
    let mut wrapper = Kept::spawn(scx_gamer_run(&["--require", "-v", "--", "sleep", "84001"]).stderr(said_by()));
    let game = wait_for_process("84001");
    let times_said = |words: &str| fs::read_to_string(log.path()).expect("read the log").matches(words).count();
    let is_pinned = format!("foreground: sleep (TGID {game})");
    wait_until("the game is pinned", || times_said(&is_pinned) == 1);

    drop(gone);
    wait_until("it is attached anew", || times_said("scheduled by gamer") == 2);
    wait_until("the game is pinned again", || times_said(&is_pinned) == 2);
    assert_eq!(state(), "enabled");

    // By now it is known, as are all that come back from a suspend.
    wait_for_maps_to_be_freed();
    drop(Gone::take(1));
    sleep(Duration::from_secs(2)); // longer than it waits for more of them
    assert_eq!(times_said("scheduled by gamer"), 2);

    kill(Pid::from_raw(game), Signal::SIGTERM).expect("end the game");
    assert_eq!(wrapper.wait().expect("wait").code(), Some(128 + 15));
    assert_eq!(state(), "disabled");
}

/// CPUs of this machine, whether online or not.
fn nr_cpus_possible() -> usize {
    (0..).take_while(|cpu| fs::exists(format!("/sys/devices/system/cpu/cpu{cpu}")).unwrap_or(false)).count()
}
