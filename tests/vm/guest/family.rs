//! Who belongs to the game, as the kernel part sees it.

use std::process::Command;
use std::process::Stdio;

use scx_gamer_run::sched::Class;
use scx_gamer_run::sched::LeaseId;
use scx_gamer_run::sched::Member;
use scx_gamer_run::sched::Scheduler;

use crate::support::Kept;
use crate::support::Stray;
use crate::support::attach;
use crate::support::class_of;
use crate::support::example;
use crate::support::shell;
use crate::support::state;
use crate::support::tell;
use crate::support::threads_of;
use crate::support::wait_for_process;
use crate::support::wait_until;

fn lease_of(scheduler: &Scheduler, pid: i32) -> Option<LeaseId> {
    scheduler.role_of(pid).expect("ask the kernel part").unwrap_or_else(|| panic!("process {pid} is unknown")).lease
}

fn parent_of(pid: i32) -> i32 {
    procfs::process::Process::new(pid).and_then(|process| process.stat()).expect("stat").ppid
}

fn boot_time_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).expect("read the clock");
    std::time::Duration::from(now).as_nanos().try_into().expect("less than 584 years")
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
    // Some are born while the lease begins, and each of them is met.
    for _ in 0..5 {
        let load = Kept::spawn(Command::new(example("synthetic_load")).arg("bursty").stdout(Stdio::null()));
        wait_until("its threads are being made", || threads_of(load.pid()).len() > 1);
        let lease = scheduler.begin_lease(load.pid(), 0).expect("begin a lease");
        wait_until("its threads run", || threads_of(load.pid()).len() > 2);
        let are_all = |scheduler: &Scheduler, class| {
            threads_of(load.pid()).into_iter().all(|thread| class_of(scheduler, thread) == class)
        };
        assert!(are_all(&scheduler, Class::Family));
        scheduler.set_foreground(lease, Some(load.pid()));
        assert!(are_all(&scheduler, Class::Foreground));
        scheduler.set_foreground(lease, None);
        assert_eq!(class_of(&scheduler, load.pid()), Class::Family);
        scheduler.end_lease(lease);
    }
}

#[test]
fn who_joins_brings_its_children_but_for_those_of_another_game() {
    let mut scheduler = attach();
    let (wrapper, mut launcher) = (shell(), shell());
    tell(&mut launcher, "sleep 93333 & sleep 94444 &");
    let (other_game, child) = (wait_for_process("93333"), wait_for_process("94444"));
    let _cleanup = [Stray(other_game), Stray(child)];
    let first = scheduler.begin_lease(other_game, 0).expect("begin a lease");
    let second = scheduler.begin_lease(wrapper.pid(), 0).expect("begin a lease");
    scheduler.set_foreground(second, Some(launcher.pid()));
    assert_eq!(lease_of(&scheduler, child), Some(second));
    assert_eq!(lease_of(&scheduler, other_game), Some(first));
}

#[test]
fn a_foreground_outside_of_the_family_joins_with_its_children_and_leaves_with_the_lease() {
    let mut scheduler = attach();
    let (wrapper, mut elsewhere) = (shell(), shell());
    tell(&mut elsewhere, "sleep 91111 &");
    let child = wait_for_process("91111");
    let _cleanup = Stray(child);
    let lease = scheduler.begin_lease(wrapper.pid(), 0).expect("begin a lease");
    assert_eq!(lease_of(&scheduler, elsewhere.pid()), None);

    scheduler.set_foreground(lease, Some(elsewhere.pid()));
    assert_eq!(class_of(&scheduler, elsewhere.pid()), Class::Foreground);
    assert_eq!(class_of(&scheduler, child), Class::Family);
    tell(&mut elsewhere, "sleep 92222 &");
    let younger = wait_for_process("92222");
    let _cleanup = Stray(younger);
    assert_eq!(lease_of(&scheduler, younger), Some(lease));

    scheduler.end_lease(lease);
    for pid in [elsewhere.pid(), child, younger] {
        assert_eq!(lease_of(&scheduler, pid), None);
    }
}

#[test]
fn who_joins_is_family_with_its_descendants_unless_another_lease_has_it() {
    let mut scheduler = attach();
    let (ours, theirs, mut orphan) = (shell(), shell(), shell());
    let lease = scheduler.begin_lease(ours.pid(), 0).expect("begin a lease");
    let other = scheduler.begin_lease(theirs.pid(), 0).expect("begin another");
    for pid in [orphan.pid(), theirs.pid()] {
        scheduler.join(lease, pid);
    }
    assert_eq!((lease_of(&scheduler, orphan.pid()), class_of(&scheduler, orphan.pid())), (Some(lease), Class::Family));
    assert_eq!(lease_of(&scheduler, theirs.pid()), Some(other));
    tell(&mut orphan, "sleep 97111 &");
    let child = wait_for_process("97111");
    let _cleanup = Stray(child);
    assert_eq!(lease_of(&scheduler, child), Some(lease));
}

#[test]
fn a_foreground_that_belongs_to_another_lease_stays_with_it() {
    let mut scheduler = attach();
    let (ours, theirs) = (shell(), shell());
    let lease = scheduler.begin_lease(ours.pid(), 0).expect("begin a lease");
    let other = scheduler.begin_lease(theirs.pid(), 0).expect("begin another");
    scheduler.set_foreground(lease, Some(theirs.pid()));
    assert_eq!(lease_of(&scheduler, theirs.pid()), Some(other));
    assert_eq!(class_of(&scheduler, theirs.pid()), Class::Family, "its own lease has pinned nobody");
}

fn news_of(scheduler: &Scheduler, pid: i32) -> Vec<Member> {
    scheduler.take_family_news().into_iter().filter(|member| member.tgid == pid).collect()
}

#[test]
fn who_forks_or_execs_in_the_family_is_told_with_its_time_of_birth() {
    let mut scheduler = attach();
    let (mut wrapper, mut neighbour) = (shell(), shell());
    let lease = scheduler.begin_lease(wrapper.pid(), 0).expect("begin a lease");
    assert_eq!(news_of(&scheduler, wrapper.pid()).len(), 1, "who is marked is told");

    tell(&mut neighbour, "sleep 93333 &");
    tell(&mut wrapper, "(setsid sh -c 'exec sleep 94444' &)");
    let (stranger, orphan) = (wait_for_process("93333"), wait_for_process("94444"));
    let _cleanup = (Stray(stranger), Stray(orphan));
    let news = scheduler.take_family_news();
    assert!(news.iter().all(|member| member.lease == lease && member.tgid != stranger), "{news:?}");
    // Its fork, the exec of setsid, that of sh and that of sleep.
    let told: Vec<&Member> = news.iter().filter(|member| member.tgid == orphan).collect();
    assert!(told.len() >= 3, "{news:?}");
    let stat = procfs::process::Process::new(orphan).and_then(|process| process.stat()).expect("stat");
    for member in told {
        let ticks = member.born.as_nanos() / (1_000_000_000 / u128::from(procfs::ticks_per_second()));
        assert_eq!(ticks, stat.starttime.into());
    }
    assert!(scheduler.take_family_news().is_empty(), "told once");
}

#[test]
fn ten_thousand_short_children_are_told_as_far_as_there_is_room_and_nothing_breaks() {
    let mut scheduler = attach();
    let mut wrapper = shell();
    scheduler.begin_lease(wrapper.pid(), 0).expect("begin a lease");
    tell(&mut wrapper, "i=0; while [ $i -lt 10000 ]; do (:); i=$((i+1)); done; sleep 95555 &");
    let last = wait_for_process("95555");
    let _cleanup = Stray(last);
    let nr_told = scheduler.take_family_news().len();
    assert!((5000..10_000).contains(&nr_told), "{nr_told} told: the ring has room for about 5400");
    tell(&mut wrapper, "sleep 96666 &");
    let next = wait_for_process("96666");
    let _cleanup = Stray(next);
    assert!(!news_of(&scheduler, next).is_empty(), "once it was read there is room again");
    assert_eq!(state(), "enabled");
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
