//! `scx.service`, as distributions have it: stopped for games, and back after the last of them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::Player;
use super::service::Game;
use super::service::at_rest;
use super::service::service_pid;
use super::service::unit;
use super::service::wrapped;
use crate::support::example;
use crate::support::sched_ext;
use crate::support::wait_for_state;
use crate::support::wait_until;
use crate::users::told;

const UNIT: &str = "scx.service";
const UNIT_FILE: &str = "/run/systemd/system/scx.service";

/// That unit, and a scheduler in it that decides nothing. Gone when dropped.
struct ScxService {
    program: PathBuf,
}

impl ScxService {
    fn start() -> Self {
        let program = PathBuf::from("/usr/local/bin/scx_empty");
        fs::copy(example("empty_scheduler"), &program).expect("copy the scheduler");
        fs::write(UNIT_FILE, format!("[Service]\nExecStart={}\n", program.display())).expect("write a unit");
        told(&["systemctl", "daemon-reload"]);
        told(&["systemctl", "start", UNIT]);
        wait_until("it is attached", || is_attached("empty"));
        Self { program }
    }
}

impl Drop for ScxService {
    fn drop(&mut self) {
        let systemctl = |words: &[&str]| drop(Command::new("systemctl").args(words).status());
        systemctl(&["stop", UNIT]);
        let _ = fs::remove_file(UNIT_FILE);
        let _ = fs::remove_file(&self.program);
        systemctl(&["daemon-reload"]);
    }
}

fn is_attached(name: &str) -> bool {
    let attached = sched_ext().scheduler();
    sched_ext().state().as_deref() == Some("enabled") && attached.is_some_and(|attached| attached.starts_with(name))
}

fn unit_is(state: &str) -> bool {
    unit(UNIT, "ActiveState") == state
}

#[test]
fn scx_service_is_stopped_once_for_games_that_overlap_and_is_back_after_the_last() {
    let Player { session, .. } = at_rest();
    let _scx = ScxService::start();
    let first = Game::start(session.command(&wrapped("84001")), "84001");
    assert!(is_attached("gamer") && unit_is("inactive"));
    let second = Game::start(session.command(&wrapped("84002")), "84002");
    first.end();
    assert!(is_attached("gamer") && unit_is("inactive"), "the other game goes on");
    let said = second.end();
    assert!(is_attached("empty") && unit_is("active"), "before the wrapper returns: {said}");
    assert!(said.contains("the scheduler from before is back"), "{said}");
}

#[test]
fn scx_service_is_back_at_the_next_start_of_a_service_that_was_killed() {
    let Player { session, .. } = at_rest();
    let _scx = ScxService::start();
    let game = Game::start(session.command(&wrapped("84003")), "84003");
    kill(Pid::from_raw(service_pid().expect("a service")), Signal::SIGKILL).expect("kill the service");
    wait_for_state("disabled");
    game.end();
    assert!(unit_is("inactive"));
    told(&["scx-gamer-run", "--status"]); // any question starts the service
    wait_until("it is back", || is_attached("empty") && unit_is("active"));
}
