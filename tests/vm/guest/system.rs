//! A machine with systemd and players who log in: who is let in by the service, and what the package brings and takes.

mod make;
mod package;
mod rivals;
mod service;

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use crate::users::Session;
use crate::users::User;

/// A player who sits at the screen for as long as the machine runs.
struct Player {
    user: User,
    session: Session,
}

fn player() -> &'static Player {
    static PLAYER: OnceLock<Player> = OnceLock::new();
    PLAYER.get_or_init(|| {
        let user = User::add("player");
        let session = user.log_in(1);
        Player { user, session }
    })
}

/// What a program printed, which must have succeeded.
fn output_of(mut command: Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_player_at_the_screen_has_a_session_that_logind_calls_active_and_local() {
    let Player { user, session } = player();
    let properties = ["Active", "Remote", "State", "Seat", "VTNr", "Class"].map(|name| session.property(name));
    assert_eq!(properties, ["yes", "no", "active", "seat0", "1", "user"]);
    let record = session.record();
    for line in ["ACTIVE=1", "REMOTE=0", "STATE=active", "SEAT=seat0", &format!("UID={}", user.uid)] {
        assert!(record.lines().any(|found| found == line), "no {line} in\n{record}");
    }
    let user = fs::read_to_string(format!("/run/systemd/users/{}", user.uid)).expect("read logind's record of a user");
    assert!(user.contains("\nSTATE=active\n"), "{user}");
    assert!(user.contains(&format!("\nACTIVE_SESSIONS={}\n", session.id)), "{user}");
}

#[test]
fn of_two_players_who_are_logged_in_one_is_at_the_screen() {
    let first = &player().session;
    let second = User::add("second").log_in(2);
    let active = || [first.property("Active"), second.property("Active")];
    second.activate();
    assert_eq!(active(), ["no", "yes"]);
    assert!(first.record().contains("\nSTATE=online\n"), "{}", first.record());
    first.activate();
    assert_eq!(active(), ["yes", "no"]);
}

#[test]
fn programs_run_as_a_player_within_the_session_and_beside_it() {
    let Player { user, session } = player();
    user.join("video");
    let within = |words: &[&str]| output_of(session.command(words));
    let beside = |words: &[&str]| output_of(user.command(words));
    for run in [&within as &dyn Fn(&[&str]) -> String, &beside] {
        let said = run(&["sh", "-c", "id --user --name; id --groups --name; echo $HOME; cat /proc/self/status"]);
        assert!(said.starts_with("player\nplayer video\n/home/player\n"), "{said}");
        assert!(said.contains("\nCapEff:\t0000000000000000\n") && said.contains("\nNoNewPrivs:\t0\n"), "{said}");
    }
    let scope = format!("0::/user.slice/user-{}.slice/session-{}.scope", user.uid, session.id);
    assert_eq!(
        within(&["sh", "-c", "cat /proc/self/cgroup; echo $XDG_SESSION_ID"]),
        format!("{scope}\n{}", session.id)
    );
    assert_eq!(beside(&["cat", "/proc/self/cgroup"]), "0::/system.slice/vm-job.service");
}

#[test]
fn a_player_may_have_a_pid_namespace_and_give_up_privileges() {
    let Player { user, .. } = player();
    let script = "echo $$; grep NoNewPrivs /proc/self/status";
    assert_eq!(output_of(user.command(&within_bwrap(&["sh", "-c", script]))), "2\nNoNewPrivs:\t1");
    let said = output_of(user.command(&["setpriv", "--no-new-privs", "grep", "NoNewPrivs", "/proc/self/status"]));
    assert_eq!(said, "NoNewPrivs:\t1");
}

/// Words that run others in a PID namespace of their own.
fn within_bwrap<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let sandbox = ["bwrap", "--unshare-pid", "--dev-bind", "/", "/", "--proc", "/proc", "--"];
    [&sandbox, words].concat()
}
