//! The deterministic rig: fixed work under each scheduler, on a CPU whose clock is its count of instructions.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use serde::Deserialize;

use crate::claim::Claim;
use crate::contestant::Contestant;
use crate::guest::Machine;
use crate::guest::Programs;
use crate::guest::attached::Attached;
use crate::guest::callbacks;
use crate::guest::emit;
use crate::plan::Plan;
use crate::record::Cost;
use crate::record::Record;
use crate::record::Rig;
use crate::record::ThrownOut;
use crate::sched_ext::SchedExt;

/// Two processes pass a byte to and fro: two switches an operation.
const PIPE: [&str; 4] = ["bench", "sched", "pipe", "-l"];
/// Operations of a short run and of a long one. What the long one takes more is without what a game's start costs: to
/// find it and to follow its locks takes 0.2 s of CPU time, which is a quarter of the short one.
const SHORT: u32 = 50_000;
const LONG: u32 = 150_000;
/// Rounds of the fan-out, 1.2 s, after which that is over as well.
const WARMUP_ROUNDS: &str = "20000";
/// The fastest of so many counts: a file that the host has yet to fetch only ever makes one slower.
const ATTACHES: u32 = 3;
/// What ends perf's line with the figure.
const PIPE_UNIT: &str = "usecs/op";

/// Measures every scheduler of `plan` once: the rig repeats exactly.
pub fn run(plan: &Plan) -> Result<()> {
    let machine = Machine::here(Rig::Deterministic, plan)?;
    emit(&Record::Boot(machine.boot.clone()))?;
    bring_into_memory(&machine, plan);
    for contestant in plan.cost_contestants() {
        eprintln!("cost of {}", contestant.label());
        match measure(contestant, &machine) {
            Ok(cost) => emit(&Record::Cost(cost))?,
            Err(why) => {
                let reason = format!("{why:#}");
                eprintln!("thrown out: {reason}");
                let boot = machine.boot.id.clone();
                emit(&Record::ThrownOut(ThrownOut { boot, repeat: None, contestant, cell: None, reason }))?;
            }
        }
    }
    Ok(())
}

/// The clock of this rig jumps to the next timer whenever the CPU has nothing to do, and that is also while the host
/// fetches a file: ten seconds of the wrapper's patience were over before its scheduler's program had been read.
fn bring_into_memory(machine: &Machine, plan: &Plan) {
    let Programs { scx_gamer, switch_cost, .. } = &machine.programs;
    let wrappers = plan.contestants.iter().filter_map(|&contestant| machine.programs.wrapper_of(contestant));
    let beside = |wrapper: &Path| [wrapper.to_owned(), wrapper.with_file_name("scx_gamer")];
    for program in wrappers.flat_map(beside).chain([scx_gamer.clone(), switch_cost.clone()]) {
        // One that is missing is reported when it is started.
        let _ = File::open(program).and_then(|mut file| std::io::copy(&mut file, &mut std::io::sink()));
    }
}

fn measure(contestant: Contestant, machine: &Machine) -> Result<Cost> {
    if !contestant.is_attached_beforehand() {
        return measure_all(contestant, machine, None);
    }
    let mut attach_ms = f64::INFINITY;
    for _ in 1..ATTACHES {
        let attached = Attached::start(contestant, machine)?;
        attach_ms = attach_ms.min(attached.attach_ms);
        attached.stop(&machine.sched_ext)?;
    }
    let mut attached = Attached::start(contestant, machine)?;
    attached.attach_ms = attached.attach_ms.min(attach_ms);
    let cost = measure_all(contestant, machine, Some(&attached));
    attached.stop(&machine.sched_ext)?;
    cost
}

fn measure_all(contestant: Contestant, machine: &Machine, attached: Option<&Attached>) -> Result<Cost> {
    let expect = |when: &str| match attached {
        Some(attached) => attached.expect(&machine.sched_ext, when),
        None => Claim::Disabled.expect(&SchedExt::read(&machine.sched_ext), when),
    };
    expect("before its cost is measured")?;
    let pipe_ns = pipe_ns(contestant, machine)?;
    let fan_out_ns = second_of_two(|| fan_out_ns(contestant, machine))?;
    let callbacks = match attached {
        Some(_) => callbacks::counted(|| pipe_ns_of(&mut perf(SHORT)).map(drop))?,
        None => Vec::new(),
    };
    expect("after its cost was measured")?;
    let attach_ms = attached.map(|attached| attached.attach_ms);
    Ok(Cost { boot: machine.boot.id.clone(), contestant, attach_ms, pipe_ns, fan_out_ns, callbacks })
}

fn second_of_two(mut measure: impl FnMut() -> Result<f64>) -> Result<f64> {
    measure()?;
    measure()
}

fn pipe_ns(contestant: Contestant, machine: &Machine) -> Result<f64> {
    let run_ns = |operations| {
        let each_ns = pipe_ns_of(&mut as_game(perf(operations), contestant, machine))?;
        Ok(each_ns * f64::from(operations))
    };
    let short_ns = second_of_two(|| run_ns(SHORT))?;
    Ok((run_ns(LONG)? - short_ns) / f64::from(LONG - SHORT))
}

fn pipe_ns_of(command: &mut Command) -> Result<f64> {
    let text = output_of(command)?;
    parse_pipe_us(&text).map(|us| us * 1e3).with_context(|| format!("find \"{PIPE_UNIT}\" in {text:?}"))
}

fn fan_out_ns(contestant: Contestant, machine: &Machine) -> Result<f64> {
    /// What `switch_cost` prints, as far as it matters here.
    #[derive(Deserialize)]
    struct Report {
        ns_per_round: f64,
    }
    let mut command = Command::new(&machine.programs.switch_cost);
    command.args(["fanout", "--warmup-rounds", WARMUP_ROUNDS]);
    let text = output_of(&mut as_game(command, contestant, machine))?;
    let report: Report = serde_json::from_str(&text).with_context(|| format!("understand {text:?}"))?;
    Ok(report.ns_per_round)
}

fn perf(operations: u32) -> Command {
    let mut command = Command::new("perf");
    command.args(PIPE).arg(operations.to_string());
    command
}

/// The same through the wrapper, as a game, where the scheduler comes with one.
fn as_game(command: Command, contestant: Contestant, machine: &Machine) -> Command {
    let Some(wrapper) = machine.programs.wrapper_of(contestant) else { return command };
    let mut wrapped = Command::new(wrapper);
    wrapped.args(["--require", "--wait-attach", "--"]).arg(command.get_program()).args(command.get_args());
    wrapped
}

fn output_of(command: &mut Command) -> Result<String> {
    let program = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} ended with {}: {}", output.status, said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn parse_pipe_us(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.trim_end().ends_with(PIPE_UNIT))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfs_figure_is_found_between_its_other_lines() {
        let text = "# Running 'sched/pipe' benchmark:\n# Executed 5000 pipe operations between two processes\n\n     \
                    Total time: 0.074 [sec]\n\n      14.943200 usecs/op\n          66920 ops/sec\n";
        assert_eq!(parse_pipe_us(text), Some(14.9432));
        assert_eq!(parse_pipe_us("Total time: 0.074 [sec]\n"), None);
    }
}
