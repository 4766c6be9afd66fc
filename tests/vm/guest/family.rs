//! Who belongs to the game, as the kernel part sees it.

use std::process::Command;
use std::process::Stdio;

use nix::sys::signal::Signal;
use scx_gamer_run::sched::Class;
use scx_gamer_run::sched::LeaseId;
use scx_gamer_run::sched::Scheduler;

use crate::support::Kept;
use crate::support::Stray;
use crate::support::attach;
use crate::support::example;
use crate::support::threads_of;
use crate::support::wait_for_process;
use crate::support::wait_until;

fn lease_of(scheduler: &Scheduler, pid: i32) -> Option<LeaseId> {
    scheduler.role_of(pid).expect("ask the kernel part").unwrap_or_else(|| panic!("process {pid} is unknown")).lease
}

fn class_of(scheduler: &Scheduler, pid: i32) -> Class {
    scheduler.role_of(pid).expect("ask the kernel part").unwrap_or_else(|| panic!("process {pid} is unknown")).class
}

fn parent_of(pid: i32) -> i32 {
    procfs::process::Process::new(pid).and_then(|process| process.stat()).expect("stat").ppid
}

fn boot_time_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).expect("read the clock");
    std::time::Duration::from(now).as_nanos().try_into().expect("less than 584 years")
}

/// A shell that reads commands from us, to fork and exec on demand.
fn shell() -> Kept {
    Kept::spawn(Command::new("sh").stdin(Stdio::piped()))
}

fn tell(shell: &mut Kept, command: &str) {
    use std::io::Write as _;
    let stdin = shell.stdin.as_mut().expect("stdin is a pipe");
    writeln!(stdin, "{command}").expect("write to the shell");
    stdin.flush().expect("write to the shell");
}

#[test]
fn children_born_before_and_after_the_lease_belong_to_it_and_a_neighbour_does_not() {
    let mut wrapper = shell();
    let neighbour = shell();
    tell(&mut wrapper, "sh -c 'sleep 11111; :' &");
    let born_before = wait_for_process("11111");

    let mut scheduler = attach();
    let lease = scheduler.begin_lease(wrapper.pid(), 0).expect("begin a lease");
    tell(&mut wrapper, "sh -c 'sleep 22222; :' &");
    let born_after = wait_for_process("22222");

    assert_eq!(lease_of(&scheduler, wrapper.pid()), Some(lease));
    assert_eq!(lease_of(&scheduler, born_before), Some(lease));
    assert_eq!(lease_of(&scheduler, parent_of(born_before)), Some(lease));
    assert_eq!(lease_of(&scheduler, born_after), Some(lease));
    assert_eq!(lease_of(&scheduler, neighbour.pid()), None);
    assert_eq!(lease_of(&scheduler, std::process::id().cast_signed()), None);
    for pid in [born_before, born_after] {
        drop(Stray(pid));
    }
}

#[test]
fn a_double_forked_process_below_init_stays_in_the_family_through_exec() {
    let mut scheduler = attach();
    let mut wrapper = shell();
    let lease = scheduler.begin_lease(wrapper.pid(), 0).expect("begin a lease");
    tell(&mut wrapper, "(setsid sh -c 'exec env sleep 33333' &)");
    let orphan = wait_for_process("33333");
    let _cleanup = Stray(orphan);
    wait_until("its parent has gone", || parent_of(orphan) == 1);
    assert_eq!(lease_of(&scheduler, orphan), Some(lease));
    assert_eq!(class_of(&scheduler, orphan), Class::Family);
}

#[test]
fn every_thread_of_the_pinned_process_is_foreground_old_and_new() {
    let mut scheduler = attach();
    let load = Kept::spawn(Command::new(example("synthetic_load")).arg("bursty").stdout(Stdio::null()));
    wait_until("its threads run", || threads_of(load.pid()).len() > 2);
    let lease = scheduler.begin_lease(load.pid(), 0).expect("begin a lease");
    for thread in threads_of(load.pid()) {
        assert_eq!(class_of(&scheduler, thread), Class::Family);
    }
    scheduler.set_foreground(lease, Some(load.pid()));
    for thread in threads_of(load.pid()) {
        assert_eq!(class_of(&scheduler, thread), Class::Foreground);
    }
    scheduler.set_foreground(lease, None);
    assert_eq!(class_of(&scheduler, load.pid()), Class::Family);
}

#[test]
fn a_foreground_outside_the_family_gains_nothing() {
    let mut scheduler = attach();
    let (wrapper, neighbour) = (shell(), shell());
    let lease = scheduler.begin_lease(wrapper.pid(), 0).expect("begin a lease");
    scheduler.set_foreground(lease, Some(neighbour.pid()));
    // Starting up may have been work enough for the background.
    assert!(matches!(class_of(&scheduler, neighbour.pid()), Class::Normal | Class::Background));
}

#[test]
fn two_leases_keep_apart_and_each_ends_alone() {
    let mut scheduler = attach();
    let (mut first, mut second) = (shell(), shell());
    let first_lease = scheduler.begin_lease(first.pid(), 0).expect("begin a lease");
    let second_lease = scheduler.begin_lease(second.pid(), 0).expect("begin a lease");
    tell(&mut first, "sleep 44444 &");
    tell(&mut second, "sleep 55555 &");
    let (first_child, second_child) = (wait_for_process("44444"), wait_for_process("55555"));
    let _cleanup = (Stray(first_child), Stray(second_child));
    assert_eq!(lease_of(&scheduler, first_child), Some(first_lease));
    assert_eq!(lease_of(&scheduler, second_child), Some(second_lease));

    scheduler.end_lease(first_lease);
    assert_eq!(lease_of(&scheduler, first_child), None);
    assert_eq!(class_of(&scheduler, first_child), Class::Normal);
    assert_eq!(lease_of(&scheduler, second_child), Some(second_lease));

    // A new lease in the old slot does not inherit the old family.
    let third = shell();
    let third_lease = scheduler.begin_lease(third.pid(), 0).expect("begin a lease");
    assert_ne!(third_lease, first_lease);
    assert_eq!(lease_of(&scheduler, first_child), None);
}

#[test]
fn a_seventeenth_lease_is_refused_and_the_others_hold() {
    let mut scheduler = attach();
    let shells: Vec<Kept> = (0..scx_gamer_run::sched::LEASES_MAX).map(|_| shell()).collect();
    let leases: Vec<LeaseId> =
        shells.iter().map(|shell| scheduler.begin_lease(shell.pid(), 0).expect("lease")).collect();
    let one_more = shell();
    assert!(scheduler.begin_lease(one_more.pid(), 0).is_err());
    for (shell, lease) in shells.iter().zip(leases) {
        assert_eq!(lease_of(&scheduler, shell.pid()), Some(lease));
    }
}

/// Its arguments can be read before its exec is over; in nanosleep it has run code of its own.
fn wait_until_it_sleeps(pid: i32) {
    let sleeps =
        || std::fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|place| place.contains("nanosleep"));
    wait_until("the program sleeps of its own accord", sleeps);
}

#[test]
fn a_sound_server_is_critical_by_name_from_its_exec_on() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let server = directory.path().join("pipewire");
    std::fs::copy("/bin/sleep", &server).expect("copy sleep");
    let scheduler = attach();
    let mut running = Kept::spawn(Command::new(&server).arg("66666"));
    wait_until_it_sleeps(wait_for_process("66666"));
    assert_eq!(class_of(&scheduler, running.pid()), Class::Critical);
    running.signal(Signal::SIGKILL);
    running.wait().expect("wait");
    // Started anew it is known again, without a list of processes that somebody would have to refresh.
    let restarted = Kept::spawn(Command::new(&server).arg("77777"));
    wait_until_it_sleeps(wait_for_process("77777"));
    assert_eq!(class_of(&scheduler, restarted.pid()), Class::Critical);
}

#[test]
fn children_of_the_script_that_became_the_wrapper_are_none_of_the_games() {
    let mut script = shell();
    tell(&mut script, "sh -c 'sleep 12121; :' &");
    let older = wait_for_process("12121");
    let since = boot_time_ns();
    tell(&mut script, "sleep 13131 &");
    let younger = wait_for_process("13131");

    let mut scheduler = attach();
    let lease = scheduler.begin_lease(script.pid(), since).expect("begin a lease");
    let _cleanup = (Stray(older), Stray(younger));
    assert_eq!(lease_of(&scheduler, younger), Some(lease));
    assert_eq!(lease_of(&scheduler, script.pid()), Some(lease));
    assert_eq!(lease_of(&scheduler, older), None);
    assert_eq!(lease_of(&scheduler, parent_of(older)), None);
}
