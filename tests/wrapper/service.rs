//! A wrapper that finds a service: the lease is that one's, and nothing of ours is started.

use std::path::PathBuf;
use std::process::Child;
use std::process::Command;

use crate::rig::Rig;
use crate::rig::example;
use crate::rig::text;
use crate::rig::wait_until;

/// A service that ends with the test.
struct Service {
    child: Child,
    socket: PathBuf,
}

impl Service {
    fn that(rig: &Rig, behaviour: &str) -> Self {
        let socket = rig.path("service");
        let mut command = Command::new(example("fake_scx_gamer"));
        command.arg("--listen").arg(&socket).env("FAKE_SCX_GAMER", behaviour);
        let child = command.spawn().expect("start the service");
        let service = Self { child, socket };
        wait_until(|| "the service does not listen".to_owned(), || service.socket.exists());
        service
    }

    fn flag(&self) -> String {
        format!("--socket={}", self.socket.display())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a wrapper around `exit 7` says and returns beside a service that behaves so.
fn played_beside(behaviour: &str, flags: &[&str]) -> (Option<i32>, String) {
    let rig = Rig::without_scx_gamer();
    let service = Service::that(&rig, behaviour);
    let socket = service.flag();
    let words = [&[socket.as_str(), "--wait-attach"], flags, &["--", "sh", "-c", "exit 7"]].concat();
    let output = rig.run(&words);
    (output.status.code(), text(&output.stderr))
}

#[test]
fn the_services_lease_is_given_back_and_that_is_told() {
    let (status, said) = played_beside("", &[]);
    assert_eq!(status, Some(7), "{said}");
    assert!(said.contains("scheduled by gamer after 812 ms"), "{said}");
    assert!(said.contains("exited with status 7 after "), "{said}");
    assert!(said.contains(" s; the scheduler from before is back"), "{said}");
}

#[test]
fn a_scheduler_that_another_game_needs_stays_and_that_is_told() {
    let (status, said) = played_beside("is shared", &["--tune", "slice-us=2000"]);
    assert_eq!(status, Some(7), "{said}");
    assert!(said.contains("the scheduler stays for another game"), "{said}");
    assert!(said.contains("--tune: the scheduler is there for another game already"), "{said}");
    let (_, said) = played_beside("is shared", &[]);
    assert!(!said.contains("--tune"), "{said}");
}

#[test]
fn tuning_that_cannot_be_had_is_told_and_done_without_unless_required() {
    let (status, said) = played_beside("is untunable", &["--tune", "--slice-us=0", "--tune=avoid-smt"]);
    assert_eq!(status, Some(7), "{said}");
    assert!(said.contains("no such tuning: {\"avoid-smt\": \"\", \"slice-us\": \"0\"}; ignored"), "{said}");
    assert!(said.contains("scheduled by gamer"), "{said}");
    let (status, said) = played_beside("is untunable", &["--tune", "slice-us=0", "--require"]);
    assert_eq!(status, Some(125), "{said}");
    assert!(said.contains("no such tuning") && said.contains("not started because of --require"), "{said}");
}

#[test]
fn a_service_that_refuses_leaves_the_game_to_the_kernel() {
    let (status, said) = played_beside("refuses", &[]);
    assert_eq!(status, Some(7), "{said}");
    assert!(said.contains("this kernel has no sched_ext; the game runs under the kernel's scheduler"), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn a_service_that_dies_is_told_with_where_to_look_and_the_game_goes_on() {
    let (status, said) = played_beside("dies", &[]);
    assert_eq!(status, Some(7), "{said}");
    assert!(said.contains("scx_gamer closed the session; the game goes on"), "{said}");
    assert!(said.contains("journalctl -u scx-gamer"), "{said}");
}

#[test]
fn a_service_that_does_not_confirm_costs_ten_seconds_and_says_so() {
    let (status, said) = played_beside("keeps silent", &[]);
    assert_eq!(status, Some(7), "{said}");
    assert!(said.contains("scx_gamer has not answered for 10 s"), "{said}");
}

#[test]
fn a_scheduler_that_is_to_come_back_is_told_to_and_its_return_as_well() {
    let rig = Rig::without_scx_gamer();
    let service = Service::that(&rig, "comes back");
    let mut running = rig.start(&[service.flag().as_str(), "--", "sh", "-c", "read line; exit 0"]);
    running.stderr.wait_for("the kernel threw gamer out; the game goes on under the kernel's scheduler");
    assert_eq!(running.stderr.next(), "Hint: it is tried again in 1 s");
    running.stderr.wait_for("scheduled by gamer");
    assert_eq!(running.status(), Some(0));
    assert!(running.stderr.rest().concat().contains("the scheduler from before is back"));
}

#[test]
fn a_scheduler_that_was_to_come_back_and_does_not_is_told_as_well() {
    let rig = Rig::without_scx_gamer();
    let service = Service::that(&rig, "gives up");
    let mut running = rig.start(&[service.flag().as_str(), "--", "sh", "-c", "read line; exit 0"]);
    running.stderr.wait_for("the kernel threw gamer out");
    assert_eq!(running.stderr.next(), "Hint: it is tried again in 1 s");
    running.stderr.wait_for("scx_gamer closed the session; the game goes on under the kernel's scheduler");
    assert_eq!(running.status(), Some(0));
}

#[test]
fn a_socket_that_was_named_is_the_only_one_that_is_asked() {
    let rig = Rig::where_scx_gamer("");
    let missing = format!("--socket={}", rig.path("nobody").display());
    let output = rig.run(&[missing.as_str(), "--wait-attach", "--", "true"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("can't be asked: No such file") && !said.contains("scheduled by"), "{said}");
}
