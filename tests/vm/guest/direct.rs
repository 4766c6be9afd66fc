//! `scx_gamer` in a terminal: every way out gives the machine back.

use std::io::BufRead as _;
use std::io::BufReader;
use std::os::unix::fs::symlink;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use nix::sched::CpuSet;
use nix::sched::sched_setaffinity;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use scx_gamer_run::sched::Machine;
use scx_gamer_run::sched::Scheduler;
use scx_gamer_run::sched::topology::PrimaryDomain;

use crate::support::Kept;
use crate::support::attach;
use crate::support::cpu_ticks;
use crate::support::hogs;
use crate::support::one_hog;
use crate::support::sched_ext;
use crate::support::scx_gamer;
use crate::support::state;
use crate::support::threads_of;
use crate::support::tunables;
use crate::support::wait_for_state;
use crate::support::wait_until;

fn start(args: &[&str]) -> Kept {
    let scx_gamer = Kept::spawn(scx_gamer(args).stderr(Stdio::null()));
    wait_for_state("enabled");
    scx_gamer
}

#[test]
fn attaches_under_its_own_name_and_detaches_on_ctrl_c_term_hup_and_quit() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        let mut scx_gamer = start(&[]);
        assert!(sched_ext().scheduler().is_some_and(|name| name.starts_with("gamer")));
        scx_gamer.signal(signal);
        let status = scx_gamer.wait().expect("wait");
        assert_eq!(status.code(), Some(0), "{signal}");
        assert_eq!(state(), "disabled", "{signal}: the state must be back before the program ends");
    }
}

#[test]
fn the_kernel_takes_the_machine_back_when_it_is_killed() {
    let mut scx_gamer = start(&[]);
    scx_gamer.signal(Signal::SIGKILL);
    scx_gamer.wait().expect("wait");
    wait_for_state("disabled");
}

#[test]
fn a_panic_detaches() {
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _scheduler = attach();
        assert_eq!(state(), "enabled");
        panic!("as intended by the test");
    }));
    assert!(panicked.is_err());
    wait_for_state("disabled");
}

#[test]
fn a_second_scheduler_is_refused_by_name() {
    let _first = start(&[]);
    let second = scx_gamer(&[]).output().expect("run");
    let stderr = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("another sched_ext scheduler is active (gamer"), "{stderr}");
    assert!(stderr.contains("Hint:"), "{stderr}");
    assert_eq!(state(), "enabled");
}

#[test]
fn a_foreground_that_does_not_exist_attaches_nothing() {
    let output = scx_gamer(&["--foreground-pid", "4194000"]).output().expect("run");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--foreground-pid 4194000"));
    assert_eq!(state(), "disabled");
}

#[test]
fn a_thread_of_the_game_is_refused_and_its_process_named() {
    let game = hogs();
    wait_until("its threads run", || threads_of(game.pid()).len() > 1);
    let thread = threads_of(game.pid()).into_iter().find(|thread| *thread != game.pid()).expect("a second thread");
    let output = scx_gamer(&["--foreground-pid", &thread.to_string()]).output().expect("run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(&format!("a thread of process {}", game.pid())), "{stderr}");
    assert_eq!(state(), "disabled");
}

#[test]
fn a_game_that_runs_already_is_put_first() {
    let game = hogs();
    let mut scx_gamer =
        Kept::spawn(scx_gamer(&["-v", "--foreground-pid", &game.pid().to_string()]).stderr(Stdio::piped()));
    let mut stderr = BufReader::new(scx_gamer.stderr.take().expect("stderr")).lines();
    let told = format!("scx_gamer: the game is process {}", game.pid());
    assert!(stderr.any(|line| line.is_ok_and(|line| line == told)));
    let other = one_hog();
    wait_until("work outside the game has run too", || cpu_ticks(other.pid()) > 5);
    scx_gamer.signal(Signal::SIGINT);
    let counts: String = stderr.map_while(Result::ok).collect();
    assert!(counts.contains("urgent_enqueue=") && !counts.contains("urgent_enqueue=0 "), "{counts}");
    assert_eq!(scx_gamer.wait().expect("wait").code(), Some(0));
}

#[test]
fn a_deprecated_flag_warns_and_works_on() {
    let mut scx_gamer = Kept::spawn(scx_gamer(&["-p", "100"]).stderr(Stdio::piped()));
    wait_for_state("enabled");
    scx_gamer.signal(Signal::SIGINT);
    scx_gamer.wait().expect("wait");
    let stderr = std::io::read_to_string(scx_gamer.stderr.take().expect("stderr")).expect("read");
    assert!(stderr.contains("--polling-ms has no effect"), "{stderr}");
}

#[test]
fn the_kernel_throwing_it_out_is_told_with_the_reason() {
    let mut scx_gamer = Kept::spawn(scx_gamer(&[]).stderr(Stdio::piped()));
    let mut stderr = BufReader::new(scx_gamer.stderr.take().expect("stderr"));
    let mut attached = String::new();
    stderr.read_line(&mut attached).expect("read");
    assert!(attached.contains("attached gamer"), "{attached}");
    // SysRq-S is the kernel's own way to be rid of a sched_ext scheduler.
    std::fs::write("/proc/sysrq-trigger", "S").expect("SysRq-S");
    let status = scx_gamer.wait().expect("wait");
    let stderr = std::io::read_to_string(stderr).expect("read");
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("the kernel ended the scheduler: "), "{stderr}");
    assert!(stderr.to_lowercase().contains("sysrq"), "{stderr}");
    assert_eq!(state(), "disabled");
}

/// Lets a real-time task keep a CPU for itself.
pub fn lift_real_time_limits() {
    std::fs::write("/proc/sys/kernel/sched_rt_runtime_us", "-1").expect("lift the real-time limit");
    // Newer kernels reserve a share for sched_ext tasks against real-time ones.
    let _ = std::fs::write("/sys/kernel/debug/sched/ext_server/cpu0/runtime", "0");
}

/// A task that may run on CPU 0 alone, and a real-time one that keeps it from there, but not `watching`, which moves to
/// CPU 1. It ends by itself after `longest_s`: the kernel, as it takes a scheduler out, waits for RCU, whose thread may be
/// queued behind it (seen on 7.3.4), and then nothing else would end it. Dropped in this order for the same reason.
pub fn starve_a_task_on_cpu_0(watching: i32, longest_s: u32) -> [Kept; 2] {
    let mut elsewhere = CpuSet::new();
    elsewhere.set(1).expect("CPU 1");
    for tid in threads_of(watching) {
        sched_setaffinity(Pid::from_raw(tid), &elsewhere).expect("move a thread to CPU 1");
    }
    let on_cpu_0 = |scheduling: &[&str], limit: &str| {
        let spin = format!("ulimit -t {limit}; while :; do :; done");
        Kept::spawn(Command::new("taskset").args(["-c", "0"]).args(scheduling).args(["sh", "-c", &spin]))
    };
    let starved = on_cpu_0(&[], "unlimited");
    wait_until("the pinned task runs", || cpu_ticks(starved.pid()) > 0);
    [on_cpu_0(&["chrt", "-f", "50"], &longest_s.to_string()), starved]
}

#[test]
fn the_kernels_dump_is_printed_with_v_and_as_long_as_asked() {
    lift_real_time_limits();
    let mut scx_gamer = Kept::spawn(scx_gamer(&["-v", "--exit-dump-len", "2048"]).stderr(Stdio::piped()));
    wait_for_state("enabled");
    let _starving = starve_a_task_on_cpu_0(scx_gamer.pid(), 30); // the kernel's own watchdog takes 5 s and more
    let stderr = std::io::read_to_string(scx_gamer.stderr.take().expect("stderr")).expect("read");
    assert_eq!(scx_gamer.wait().expect("wait").code(), Some(1), "{stderr}");
    let (_, dump) = stderr.split_once("DEBUG DUMP").unwrap_or_else(|| panic!("no dump in: {stderr}"));
    assert!((500..4096).contains(&dump.len()), "the dump has {} bytes: {dump}", dump.len());
    assert!(stderr.contains("the kernel ended the scheduler: runnable task stall"), "{stderr}");
}

#[test]
fn the_watchdog_gives_the_machine_back_when_a_queued_task_makes_no_progress() {
    lift_real_time_limits();
    let mut scx_gamer = Kept::spawn(scx_gamer(&["--watchdog-secs", "1"]).stderr(Stdio::piped()));
    wait_for_state("enabled");
    let _starving = starve_a_task_on_cpu_0(scx_gamer.pid(), 10);
    let status = scx_gamer.wait().expect("wait");
    let stderr = std::io::read_to_string(scx_gamer.stderr.take().expect("stderr")).expect("read");
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("longer than --watchdog-secs 1 allows"), "{stderr}");
    wait_for_state("disabled");
    // The kernel's own watchdog, which takes longer, did not have to.
    let log = Command::new("dmesg").output().expect("read the kernel's log").stdout;
    let log = String::from_utf8_lossy(&log);
    let why = log.lines().rfind(|line| line.contains("\" disabled (")).expect("the kernel tells");
    assert!(why.ends_with("(unregistered from user space)"), "{why}");
}

#[test]
fn a_scheduler_without_its_windows_stands_where_the_kernel_refuses_what_sees_events() {
    // A tracepoint by its name alone: the module that it belongs to is not loaded here, so its type is unknown.
    assert!(!Path::new("/sys/module/drm").exists(), "this machine has a graphics driver, so nothing would be refused");
    let sysfs = tempfile::tempdir().expect("temporary directory");
    let kernel = sysfs.path().join("kernel");
    std::fs::create_dir_all(kernel.join("tracing/events/drm/drm_vblank_event")).expect("invent a tracepoint");
    symlink("/sys/kernel/sched_ext", kernel.join("sched_ext")).expect("link to the kernel's own");
    let machine = Machine::read(&PrimaryDomain::All, Path::new("/sys")).expect("read the machine");
    libbpf_rs::set_print(None);

    let scheduler = Scheduler::attach_to(&machine, &tunables(&["--frame-window-us=1000"]), sysfs.path());
    let scheduler = scheduler.unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(state(), "enabled");
    assert!(scheduler.see_vblanks().is_err(), "what was refused cannot be attached");
    assert!(scheduler.see_input().is_err(), "one refusal leaves all of them out");
}
