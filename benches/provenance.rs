//! What somebody needs to know to measure the same again.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use anyhow::Result;
use chrono::Utc;
use procfs::Current;

use crate::cli::RigChoice;
use crate::plan::Plan;
use crate::process::available_cpus;
use crate::record::Resumed;
use crate::record::Run;

/// This run: today, this commit, this machine, this command line.
pub fn of(plan: &Plan, rig: Option<RigChoice>, repository: &Path) -> Result<Run> {
    let emulator = first_line(Command::new("qemu-system-x86_64").arg("--version"));
    Ok(Run {
        date: today(),
        commit: commit(repository),
        command: command_line(std::env::args()),
        host: host()?,
        emulator: emulator.unwrap_or_else(|| "unknown emulator".into()),
        plan: plan.clone(),
        rig,
    })
}

/// A later sitting of a run.
pub fn of_resumed(repository: &Path) -> Result<Resumed> {
    Ok(Resumed { date: today(), commit: commit(repository), host: host()? })
}

fn today() -> String {
    Utc::now().format("%Y-%m-%d").to_string()
}

fn host() -> Result<String> {
    let cpus = procfs::CpuInfo::current().context("read /proc/cpuinfo")?;
    Ok(format!("{} CPUs ({})", available_cpus(), cpus.model_name(0).unwrap_or("unknown")))
}

/// One for every second.
pub fn name_of_run() -> String {
    Utc::now().format("%Y-%m-%dT%H-%M-%SZ").to_string()
}

fn commit(repository: &Path) -> String {
    let git = |args: &[&str]| first_line(Command::new("git").arg("-C").arg(repository).args(args));
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".into();
    };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(_) => format!("{commit} with changes that are not committed"),
        None => commit,
    }
}

/// The first line of what a command prints; none if it fails or prints nothing.
fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().map(str::to_owned)
}

/// The program by its name alone: where it was built is nobody's business.
fn command_line(mut args: impl Iterator<Item = String>) -> String {
    let program = args.next().unwrap_or_default();
    let name = Path::new(&program).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    std::iter::once(name).chain(args).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_told_without_the_place_of_its_program() {
        let args = ["target/release/examples/bench", "--quick", "--loads", "none,hogs"].map(String::from);
        assert_eq!(command_line(args.into_iter()), "bench --quick --loads none,hogs");
    }
}
