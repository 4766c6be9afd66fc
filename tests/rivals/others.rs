//! Nothing to stop, or nobody to ask.

use std::os::unix::net::UnixListener;
use std::time::Duration;
use std::time::Instant;

use scx_gamer_run::kernel::NotReady;
use scx_gamer_run::service::rivals::OnConflict;

use crate::loaders::why_left;
use crate::machine::Machine;

const NO_BUS: &str = "unix:path=/nonexistent/bus";

#[test]
fn without_another_scheduler_nobody_is_asked() {
    let machine = Machine::new();
    let mut rivals = machine.rivals(NO_BUS, OnConflict::Keep);
    rivals.recover();
    rivals.make_room().expect("there is room");
    rivals.restore().expect("nothing to restore");
    assert!(!machine.path("state").exists());
}

#[test]
fn one_of_ours_is_no_rival() {
    let machine = Machine::new();
    machine.attach("gamer_0.1.0");
    let outcome = machine.rivals(NO_BUS, OnConflict::Replace).make_room();
    assert!(matches!(outcome, Err(NotReady::OtherScheduler { name, why: None }) if name == "gamer_0.1.0"));
}

#[test]
fn without_a_bus_the_scheduler_is_left() {
    let machine = Machine::new();
    machine.attach("lavd_1.1.4");
    let why = why_left(machine.rivals(NO_BUS, OnConflict::Replace).make_room());
    assert!(why.contains("it can't be told who runs it"), "{why}");
    machine.run(&["scx_lavd"], 1, "/system.slice/scx.service");
    let why = why_left(machine.rivals(NO_BUS, OnConflict::Replace).make_room());
    assert!(why.contains("connect to the system bus"), "{why}");
    assert!(!machine.has_record());
}

#[test]
fn a_bus_that_greets_nobody_costs_seconds() {
    let machine = Machine::new();
    machine.attach("lavd_1.1.4");
    let path = machine.path("bus");
    let _listener = UnixListener::bind(&path).expect("listen");
    let started = Instant::now();
    let address = format!("unix:path={}", path.display());
    let why = why_left(machine.rivals(&address, OnConflict::Replace).make_room());
    assert!(why.contains("no answer within 5 s"), "{why}");
    assert!(started.elapsed() < Duration::from_secs(20), "it took {:?}", started.elapsed());
}

#[test]
fn a_scheduler_that_is_just_leaving_is_waited_for() {
    let machine = Machine::new();
    machine.attach("lavd_1.1.4");
    std::fs::write(machine.path("sys/kernel/sched_ext/state"), "disabling\n").expect("write");
    let leaving = machine.clone();
    let leaver = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        leaving.detach();
    });
    machine.rivals(NO_BUS, OnConflict::Keep).make_room().expect("there is room");
    leaver.join().expect("join");
}
