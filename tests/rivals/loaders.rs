//! What scx_loader runs.

use std::time::Duration;
use std::time::Instant;

use scx_gamer_run::kernel::NotReady;
use scx_gamer_run::service::rivals::OnConflict;
use scx_gamer_run::service::rivals::Rivals;

use crate::bus::Bus;
use crate::fake_loader::FakeLoader;
use crate::fake_loader::Manner;
use crate::machine::Machine;

const BPFLAND: &str = "bpfland_1.1.4_x86_64_unknown_linux_gnu";

struct Scene {
    loader: FakeLoader,
    machine: Machine,
    bus: Bus,
}

/// scx_loader runs bpfland with arguments.
fn scene(manner: Manner) -> Scene {
    scene_with(manner, 0, &["-s", "3000"])
}

fn scene_with(manner: Manner, mode: u32, args: &[&str]) -> Scene {
    let (bus, machine) = (Bus::start(), Machine::new());
    let loader = FakeLoader::with_bpfland(&bus, &machine, manner, mode, args);
    Scene { loader, machine, bus }
}

impl Scene {
    fn rivals(&self) -> Rivals {
        self.machine.rivals(&self.bus.address(), OnConflict::Keep)
    }

    fn asked(&self) -> Vec<String> {
        self.loader.state().asked.clone()
    }
}

/// Why a scheduler was left.
pub fn why_left(outcome: Result<(), NotReady>) -> String {
    match outcome {
        Err(NotReady::OtherScheduler { why: Some(why), .. }) => why,
        other => panic!("no scheduler was left with a reason: {other:?}"),
    }
}

#[test]
fn a_scheduler_with_arguments_is_stopped_and_comes_back_with_them() {
    let scene = scene(Manner::Honest);
    let mut rivals = scene.rivals();
    rivals.make_room().expect("make room");
    assert_eq!(scene.machine.attached(), "disabled");
    assert!(scene.machine.has_record());
    rivals.restore().expect("restore");
    assert_eq!(scene.machine.attached(), BPFLAND);
    assert_eq!(scene.asked(), ["stop", r#"start scx_bpfland with ["-s", "3000"]"#]);
    assert!(!scene.machine.has_record());
}

#[test]
fn a_scheduler_with_a_mode_comes_back_in_it() {
    let scene = scene_with(Manner::Honest, 3, &[]);
    let mut rivals = scene.rivals();
    rivals.make_room().expect("make room");
    rivals.restore().expect("restore");
    assert_eq!(scene.asked(), ["stop", "start scx_bpfland in mode 3"]);
}

#[test]
fn it_comes_back_once_however_often_it_is_asked_for() {
    let scene = scene(Manner::Honest);
    let mut rivals = scene.rivals();
    rivals.make_room().expect("make room");
    rivals.make_room().expect("there is room");
    rivals.restore().expect("restore");
    rivals.restore().expect("nothing to restore");
    drop(rivals);
    assert_eq!(scene.asked().len(), 2);
}

#[test]
fn what_is_stopped_for_ours_is_not_recovered_while_ours_is_attached_once_more() {
    let scene = scene(Manner::Honest);
    let mut rivals = scene.rivals();
    rivals.make_room().expect("make room");
    rivals.recover();
    rivals.make_room().expect("there is room");
    assert_eq!(scene.asked(), ["stop"]);
}

#[test]
fn what_did_not_come_back_is_not_tried_again_before_the_next_game_has_ended() {
    let scene = scene(Manner::Honest);
    let mut rivals = scene.rivals();
    rivals.make_room().expect("make room");
    scene.loader.state().manner = Manner::Refusing;
    rivals.restore().expect_err("it does not come back");
    let asked = scene.asked().len();
    rivals.recover();
    assert!(!rivals.has_stopped_one());
    assert_eq!(scene.asked().len(), asked);
    scene.loader.state().manner = Manner::Honest;
    rivals.restore().expect("restore");
    assert_eq!(scene.machine.attached(), BPFLAND);
}

#[test]
fn dropped_it_puts_back_what_was_stopped() {
    let scene = scene(Manner::Honest);
    scene.rivals().make_room().expect("make room");
    assert_eq!(scene.machine.attached(), BPFLAND);
}

#[test]
fn what_a_killed_one_had_stopped_the_next_one_puts_back() {
    let scene = scene(Manner::Honest);
    let mut killed = scene.rivals();
    killed.make_room().expect("make room");
    std::mem::forget(killed);
    scene.machine.be_the_next_one();
    scene.rivals().recover();
    assert_eq!(scene.machine.attached(), BPFLAND);
    assert_eq!(scene.asked(), ["stop", r#"start scx_bpfland with ["-s", "3000"]"#]);
    assert!(!scene.machine.has_record());
}

#[test]
fn what_a_living_one_has_stopped_nobody_else_puts_back_or_runs_over() {
    let scene = scene(Manner::Honest);
    let mut first = scene.rivals();
    first.make_room().expect("make room");
    scene.machine.be(11);
    let mut second = scene.rivals();
    second.recover();
    let why = why_left(second.make_room());
    assert!(why.contains("process 10, another scx_gamer"), "{why}");
    drop(second);
    assert_eq!(scene.asked(), ["stop"]);
    scene.machine.be(10);
    first.restore().expect("restore");
    assert_eq!(scene.machine.attached(), BPFLAND);
}

#[test]
fn while_another_of_ours_is_attached_what_a_dead_one_had_stopped_waits() {
    let scene = scene(Manner::Honest);
    let mut killed = scene.rivals();
    killed.make_room().expect("make room");
    std::mem::forget(killed);
    scene.machine.be_the_next_one();
    scene.machine.attach("gamer_0.1.0");
    scene.rivals().recover();
    assert!(scene.machine.has_record());
    assert_eq!(scene.asked(), ["stop"]);
    scene.machine.detach();
    scene.rivals().restore().expect("restore");
    assert_eq!(scene.machine.attached(), BPFLAND);
}

#[test]
fn what_the_player_has_chosen_meanwhile_stays() {
    let scene = scene(Manner::Honest);
    let mut rivals = scene.rivals();
    rivals.make_room().expect("make room");
    scene.machine.attach("flash_1.1.4");
    rivals.restore().expect("nothing to restore");
    assert_eq!((scene.machine.attached().as_str(), scene.asked().len()), ("flash_1.1.4", 1));
    assert!(!scene.machine.has_record());
}

#[test]
fn what_scx_loader_was_told_to_run_meanwhile_stays_its_task() {
    let scene = scene(Manner::Honest);
    let mut rivals = scene.rivals();
    rivals.make_room().expect("make room");
    scene.loader.state().current = Some("scx_flash".to_owned());
    rivals.restore().expect("nothing to restore");
    assert_eq!(scene.asked(), ["stop"]);
    assert!(!scene.machine.has_record());
}

#[test]
fn a_loader_that_never_answers_costs_seconds_and_its_scheduler_is_left() {
    let scene = scene(Manner::Hung);
    let started = Instant::now();
    let why = why_left(scene.rivals().make_room());
    assert!(why.contains("no answer within 5 s"), "{why}");
    assert!(started.elapsed() < Duration::from_secs(20), "it took {:?}", started.elapsed());
    assert_eq!(scene.machine.attached(), BPFLAND);
    assert!(!scene.machine.has_record());
}

#[test]
fn a_loader_that_falls_silent_before_the_end_is_asked_again_at_the_next_start() {
    let scene = scene(Manner::Honest);
    let mut rivals = scene.rivals();
    rivals.make_room().expect("make room");
    scene.loader.state().manner = Manner::Hung;
    let why = format!("{:#}", rivals.restore().expect_err("it does not come back"));
    assert!(why.contains("scx_bpfland -s 3000") && why.contains("no answer within 5 s"), "{why}");
    drop(rivals);
    assert!(scene.machine.has_record());
    scene.loader.state().manner = Manner::Honest;
    scene.machine.be_the_next_one();
    scene.rivals().recover();
    assert_eq!(scene.machine.attached(), BPFLAND);
}

#[test]
fn a_loader_that_refuses_keeps_its_scheduler() {
    let scene = scene(Manner::Refusing);
    let mut rivals = scene.rivals();
    let why = why_left(rivals.make_room());
    assert!(why.contains("Not allowed!"), "{why}");
    rivals.restore().expect("nothing to restore");
    assert_eq!(scene.asked(), ["stop"]);
    assert_eq!(scene.machine.attached(), BPFLAND);
    assert!(!scene.machine.has_record());
}

#[test]
fn a_loader_that_only_says_yes_is_found_out() {
    let scene = scene(Manner::Idle);
    let mut rivals = scene.rivals();
    let why = why_left(rivals.make_room());
    assert!(why.contains("still attached 5 s after"), "{why}");
    let orders = ["stop", r#"start scx_bpfland with ["-s", "3000"]"#];
    assert_eq!(scene.asked(), orders, "it may stop yet, and is to be started then");
    rivals.restore().expect("nothing to restore");
    assert!(!scene.machine.has_record(), "it did not");
}

#[test]
fn a_loader_that_says_to_run_something_else_is_not_asked_to_stop() {
    let scene = scene(Manner::Honest);
    scene.loader.state().current = Some("scx_lavd".to_owned());
    let why = why_left(scene.rivals().make_room());
    assert!(why.contains("says that it runs scx_lavd"), "{why}");
    assert!(scene.asked().is_empty());
}

#[test]
fn a_scheduler_of_a_terminals_is_left_though_the_loader_believes_that_it_runs_it() {
    let scene = scene(Manner::Honest);
    scene.machine.run(&["scx_bpfland"], 40, "/user.slice/user-1000.slice/session-2.scope");
    let why = why_left(scene.rivals().make_room());
    assert!(why.contains("process 60 (scx_bpfland)"), "{why}");
    assert!(scene.asked().is_empty());
}

#[test]
fn a_loader_that_has_gone_is_started_by_nobody_and_asked_when_it_is_back() {
    let Scene { loader, machine, bus } = scene(Manner::Honest);
    let mut rivals = machine.rivals(&bus.address(), OnConflict::Keep);
    rivals.make_room().expect("make room");
    drop(loader);
    let why = format!("{:#}", rivals.restore().expect_err("nobody to ask"));
    assert!(why.contains("scx_loader has left the system bus"), "{why}");
    machine.attach("flash_1.1.4");
    why_left(rivals.make_room());
    assert!(!bus.trace_of_activation().exists(), "it was activated");
    machine.detach();
    let loader = FakeLoader::start(&bus, &machine, Manner::Honest);
    rivals.restore().expect("restore");
    assert_eq!(machine.attached(), BPFLAND);
    assert_eq!(loader.state().asked.len(), 1);
}
