//! What systemd runs.

use std::thread;
use std::time::Duration;

use scx_gamer_run::service::rivals::OnConflict;

use crate::bus::Bus;
use crate::fake_systemd::FakeSystemd;
use crate::loaders::why_left;
use crate::machine::Machine;

#[test]
fn scx_service_is_stopped_and_started_again() {
    let (bus, machine) = (Bus::start(), Machine::new());
    let systemd = FakeSystemd::start(&bus, &machine, "scx.service", false);
    let mut rivals = machine.rivals(&bus.address(), OnConflict::Keep);
    rivals.make_room().expect("make room");
    assert_eq!(machine.attached(), "disabled");
    rivals.restore().expect("restore");
    assert_eq!(machine.attached(), "lavd_1.1.4");
    assert_eq!(systemd.asked(), ["stop scx.service, replace", "start scx.service, replace"]);
    assert!(!machine.has_record());
}

#[test]
fn scx_service_comes_back_at_the_next_start_after_a_kill() {
    let (bus, machine) = (Bus::start(), Machine::new());
    let systemd = FakeSystemd::start(&bus, &machine, "scx.service", false);
    let mut killed = machine.rivals(&bus.address(), OnConflict::Keep);
    killed.make_room().expect("make room");
    std::mem::forget(killed);
    machine.be_the_next_one();
    machine.rivals(&bus.address(), OnConflict::Keep).recover();
    assert_eq!(machine.attached(), "lavd_1.1.4");
    assert_eq!(systemd.asked().len(), 2);
}

#[test]
fn a_scheduler_that_is_attached_already_but_whose_service_has_not_the_link_in_hand_yet_is_waited_for() {
    let (bus, machine) = (Bus::start(), Machine::new());
    let systemd = FakeSystemd::start(&bus, &machine, "scx.service", false);
    machine.drop_link();
    let mut rivals = machine.rivals(&bus.address(), OnConflict::Keep);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(50));
            machine.take_link();
        });
        rivals.make_room().expect("make room");
    });
    assert_eq!(systemd.asked(), ["stop scx.service, replace"]);
}

#[test]
fn another_service_is_left_unless_it_is_to_be_replaced() {
    let (bus, machine) = (Bus::start(), Machine::new());
    let systemd = FakeSystemd::start(&bus, &machine, "my-lavd.service", false);
    let why = why_left(machine.rivals(&bus.address(), OnConflict::Keep).make_room());
    assert!(why.contains("my-lavd.service") && why.contains("--on-conflict replace"), "{why}");
    assert!(systemd.asked().is_empty());
    let mut rivals = machine.rivals(&bus.address(), OnConflict::Replace);
    rivals.make_room().expect("make room");
    rivals.restore().expect("restore");
    assert_eq!(systemd.asked(), ["stop my-lavd.service, replace", "start my-lavd.service, replace"]);
}

#[test]
fn a_service_that_could_not_be_started_again_is_not_replaced() {
    let (bus, machine) = (Bus::start(), Machine::new());
    let systemd = FakeSystemd::start(&bus, &machine, "run-r1.service", true);
    let why = why_left(machine.rivals(&bus.address(), OnConflict::Replace).make_room());
    assert!(why.contains("run-r1.service is transient"), "{why}");
    assert!(systemd.asked().is_empty() && !machine.has_record());
}

#[test]
fn what_nobody_manages_is_left_with_either_policy() {
    let (bus, machine) = (Bus::start(), Machine::new());
    machine.attach("lavd_1.1.4");
    machine.run(&["scx_lavd"], 40, "/user.slice/user-1000.slice/session-2.scope");
    for policy in [OnConflict::Keep, OnConflict::Replace] {
        let why = why_left(machine.rivals(&bus.address(), policy).make_room());
        assert!(why.contains("process 60 (scx_lavd)") && why.contains("nobody could start it again"), "{why}");
    }
    assert_eq!(machine.attached(), "lavd_1.1.4");
}
