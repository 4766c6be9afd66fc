//! A load that fails: the player reads which BPF program failed and why. A limit on open descriptors makes the load of
//! a sound scheduler fail at one step after the other.

use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::sync::LazyLock;

use scx_gamer_run::sched::Machine;
use scx_gamer_run::sched::Scheduler;
use scx_gamer_run::sched::topology::PrimaryDomain;

use crate::support::scx_gamer;
use crate::support::scx_gamer_run;
use crate::support::state;
use crate::support::tunables;
use crate::support::wait_for_state;

/// Runs `command` with room for `nr_files` open descriptors.
fn with_room_for(nr_files: u32, command: &Command) -> Output {
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--nofile={nr_files}:{nr_files}")).arg(command.get_program()).args(command.get_args());
    limited.output().expect("run prlimit")
}

/// What a player reads with each limit that is too low for a load, lowest first.
static FAILURES: LazyLock<Vec<(u32, String)>> = LazyLock::new(fail_at_each_step);

fn fail_at_each_step() -> Vec<(u32, String)> {
    let mut failures = Vec::new();
    for nr_files in 20..100 {
        let output = with_room_for(nr_files, &scx_gamer_run(&["--require", "--", "true"]));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => return failures,
            Some(125) => failures.push((nr_files, stderr)),
            _ => panic!("room for {nr_files} descriptors: {:?}: {stderr}", output.status),
        }
    }
    panic!("nothing attaches with room for 100 descriptors: {failures:?}");
}

#[test]
fn failed_load_names_what_failed_and_leaves_nothing() {
    let failures = &*FAILURES;
    for (nr_files, stderr) in failures {
        let line = stderr.lines().next().unwrap_or_default().trim_start_matches("scx-gamer-run: ");
        let cause = line.trim_start_matches("the scheduler could not be attached: ");
        let is_bare = cause.contains("(os error") && !cause.contains([':', '\'', '"']);
        assert!(!is_bare, "room for {nr_files} descriptors: {stderr}");
        assert!(!cause.contains("Failed to load BPF program"), "room for {nr_files} descriptors: {stderr}");
    }
    let nr_of_programs = failures.iter().filter(|(_, stderr)| stderr.contains(": prog '")).count();
    assert!(nr_of_programs > 5, "the load failed at {nr_of_programs} programs: {failures:?}");
    assert_eq!(state(), "disabled");
}

/// A scheduler that finds less of a machine than it was promised fails in its own `init`.
#[test]
fn failed_attach_names_what_failed_and_leaves_nothing() {
    let machine = Machine::read(&PrimaryDomain::All, Path::new("/sys")).expect("read the machine");
    assert_eq!(machine.nr_nodes, 1);
    let promised = Machine { nr_nodes: 2, ..machine };
    libbpf_rs::set_print(None);
    let Err(why) = Scheduler::attach_to(&promised, &tunables(&["-n"]), Path::new("/sys")) else {
        panic!("a queue was created on a node that does not exist");
    };
    let why = why.to_string();
    assert!(why.starts_with("the scheduler could not be attached: "), "{why}");
    assert!(why.contains("cannot create queue 0x20001 on node 1: error -22"), "{why}");
    wait_for_state("disabled");
}

/// scx_utils takes `timeout_ms` from the environment. The kernel allows at most 30 s and refuses more with an errno alone.
#[test]
fn refused_attach_is_explained() {
    let output = scx_gamer(&[]).env("SCX_TIMEOUT_MS", "40000").output().expect("run scx_gamer");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("could not be attached: Failed to attach struct_ops BPF programs: "), "{stderr}");
    assert!(stderr.contains(": Argument list too long (os error 7); `dmesg` may say why\n"), "{stderr}");
    assert_eq!(state(), "disabled");
}

#[test]
fn verifier_refusal_names_program_and_reason() {
    let failures = &*FAILURES;
    let refusals: Vec<_> = failures.iter().filter(|(_, stderr)| stderr.contains("refuses the BPF program ")).collect();
    let Some((nr_files, stderr)) = refusals.first() else { panic!("the verifier refused nothing: {failures:?}") };
    assert!(stderr.contains(" is not pointing to valid bpf_map; not started because of --require\n"), "{stderr}");
    assert!(stderr.contains("Hint: report this line"), "{stderr}");
    assert!(!stderr.contains("os error") && !stderr.contains("PROG LOAD LOG"), "{stderr}");
    assert_eq!(stderr.lines().count(), 2, "{stderr}");

    let with_v = (15..=*nr_files).find_map(|nr_files| {
        let output = with_room_for(nr_files, &scx_gamer(&["-v"]));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        stderr.contains("refuses the BPF program ").then_some(stderr)
    });
    let with_v = with_v.expect("scx_gamer needs no more descriptors than with its wrapper");
    assert!(with_v.contains("-- BEGIN PROG LOAD LOG --"), "-v prints the verifier's log: {with_v}");
}
