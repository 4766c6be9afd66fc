//! What a switch costs under ours, and what the verifier reads of us: never more than is recorded.
//!
//! On the deterministic rig, where a nanosecond is an instruction, so that bounds can be tight.

use std::collections::BTreeMap;
use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::process::Command;
use std::process::Stdio;
use std::sync::LazyLock;

use libbpf_rs::query::ProgInfoIter;
use nix::sys::signal::Signal;
use serde::Deserialize;

use crate::record::Costs;
use crate::record::KernelRecord;
use crate::record::Record;
use crate::support::Kept;
use crate::support::attach;
use crate::support::example;
use crate::support::pin;
use crate::support::wait_for_state;

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vm/cost.toml");

/// Measured once, for all tests; printed as lines of the record, which tests/vm/record collects.
static SEEN: LazyLock<KernelRecord> = LazyLock::new(|| {
    let seen = measure();
    let text = toml::to_string(&Record { kernel: vec![seen] }).expect("write TOML");
    text.lines().for_each(|line| println!("record: {line}"));
    toml::from_str::<Record>(&text).expect("read it back").kernel.remove(0)
});

/// The rules of this file are judged by what the repository says.
fn recorded() -> Record {
    let text = fs::read_to_string(RECORD).unwrap_or_else(|error| panic!("read {RECORD}: {error}"));
    toml::from_str(&text).unwrap_or_else(|error| panic!("read {RECORD}: {error}"))
}

#[derive(Deserialize)]
struct Report {
    ns_per_round: f64,
}

/// Runs a workload of `switch_cost` and calls `started` before it begins.
fn ns_per_round(work: &str, started: impl FnOnce(&Kept)) -> u64 {
    let program = example("switch_cost");
    // It begins when it is told to: it may have to become the game before.
    let mut shell = Kept::spawn(
        Command::new("sh")
            .args(["-c", "read -r _ && exec \"$@\"", "sh"])
            .arg(program)
            .arg(work)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped()),
    );
    started(&shell);
    shell.stdin.take().expect("stdin").write_all(b"go\n").expect("say go");
    let output = std::io::read_to_string(shell.stdout.take().expect("stdout")).expect("read the report");
    let report: Report = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error} in {output:?}"));
    report.ns_per_round.round() as u64
}

fn both(measure: impl FnMut(&'static str) -> u64) -> [u64; 2] {
    ["pipe", "fanout"].map(measure)
}

fn measure() -> KernelRecord {
    let eevdf = both(|work| ns_per_round(work, |_| ()));
    let empty = under_the_empty_scheduler(|| both(|work| ns_per_round(work, |_| ())));
    let programs_before = programs();
    let mut scheduler = attach();
    let mut verified_instructions = programs();
    verified_instructions.retain(|program, _| !programs_before.contains_key(program));
    let gamer = both(|work| ns_per_round(work, |_| ()));
    let game = both(|work| {
        let mut lease = None;
        let ns = ns_per_round(work, |shell| {
            let id = scheduler.begin_lease(shell.pid(), 0).expect("begin a lease");
            pin(&mut scheduler, id, Some(shell.pid()));
            lease = Some(id);
        });
        scheduler.end_lease(lease.expect("BUG: no lease"));
        scheduler.watch_locks();
        ns
    });
    drop(scheduler);
    wait_for_state("disabled");
    let costs = |at: usize| Costs { eevdf: eevdf[at], empty: empty[at], gamer: gamer[at], game: game[at] };
    KernelRecord {
        release: nix::sys::utsname::uname().expect("uname").release().to_string_lossy().into_owned(),
        clang: env!("BPF_CLANG_VERSION").to_owned(),
        ns_per_round: BTreeMap::from([("pipe".to_owned(), costs(0)), ("fanout".to_owned(), costs(1))]),
        verified_instructions,
    }
}

fn under_the_empty_scheduler<T>(measure: impl FnOnce() -> T) -> T {
    let mut empty = Kept::spawn(Command::new(example("empty_scheduler")).stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut told = String::new();
    BufReader::new(empty.stdout.take().expect("stdout")).read_line(&mut told).expect("read");
    assert_eq!(told, "attached\n");
    let figures = measure();
    empty.signal(Signal::SIGTERM);
    let status = empty.wait().expect("wait");
    assert!(status.success(), "the empty scheduler was not there to the end: {status}");
    figures
}

/// Verified instructions of each loaded program; the kernel keeps 15 characters of a name.
fn programs() -> BTreeMap<String, u32> {
    let name_and_size =
        |program: libbpf_rs::query::ProgramInfo| (program.name.to_string_lossy().into_owned(), program.verified_insns);
    ProgInfoIter::default().map(name_and_size).collect()
}

fn assert_none(complaints: Vec<String>) {
    let seen = &*SEEN;
    let (release, clang) = (&seen.release, &seen.clang);
    assert!(complaints.is_empty(), "on {release} with clang {clang}:\n{}", complaints.join("\n"));
}

#[test]
fn a_switch_costs_what_is_recorded() {
    assert_none(recorded().judge_costs(&SEEN));
}

#[test]
fn a_switch_costs_less_than_the_kernels_own_scheduler() {
    let mut compared = 0;
    for (work, costs) in &SEEN.ns_per_round {
        // On 6.18 a ping-pong costs sched_ext alone, without any decision, more than it costs EEVDF.
        if costs.empty < costs.eevdf {
            assert!(costs.gamer < costs.eevdf, "{work}: {costs:?}");
            compared += 1;
        }
    }
    assert!(compared > 0, "nothing could be compared: {:?}", *SEEN);
}

#[test]
fn the_verifier_reads_as_much_of_each_program_as_is_recorded() {
    assert_none(recorded().judge_programs(&SEEN));
}
