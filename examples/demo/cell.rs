//! One row of the demo: the game once through, what runs beside it, and proof of the scheduler it
//! ran under.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::ChildStderr;
use std::process::Command;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::Serialize;

use crate::load_kind::LoadKind;
use crate::process::Killed;
use crate::process::spawn_tied;
use crate::report::COUNTING;
use crate::report::GameReport;
use crate::report::LoadReport;
use crate::sched_ext::SchedExt;

/// Long enough for every thread of a load to be under way.
const LOAD_SETTLES: Duration = Duration::from_millis(500);
/// Detaching waits for the kernel to move every task of the machine.
const DETACH_LIMIT: Duration = Duration::from_secs(10);

/// The programs the demo starts.
pub struct Programs {
    pub wrapper: PathBuf,
    pub game: PathBuf,
    pub load: PathBuf,
}

/// What one row is to show.
#[derive(Clone, Copy)]
pub struct Cell {
    /// 0 = uncapped.
    pub fps: u32,
    pub load: LoadKind,
    /// Started through scx-gamer-run.
    pub with_us: bool,
    /// The same as an earlier cell: the difference is the machine's, not the scheduler's.
    pub again: bool,
}

/// What came out.
#[derive(Serialize)]
pub struct Outcome {
    pub name: String,
    pub with_us: bool,
    pub again: bool,
    pub game: GameReport,
    pub load: LoadReport,
    /// sched_ext before the cell, and after it.
    pub around: [SchedExt; 2],
}

impl Cell {
    pub fn name(&self) -> String {
        let cap = match self.fps {
            0 => "uncapped".to_string(),
            fps => format!("{fps} fps cap"),
        };
        let beside = match self.load {
            LoadKind::None => "alone".to_string(),
            kind => format!("{kind} load"),
        };
        let again = if self.again { " again" } else { "" };
        let by = if self.with_us { ", scx-gamer-run" } else { "" };
        format!("{cap}, {beside}{again}{by}")
    }

    /// Plays `frames` frames beside the load. `spins_per_ms` makes this cell's frames the same
    /// work as those of the cell it comes from.
    pub fn play(
        &self,
        programs: &Programs,
        sched_ext: &Path,
        frames: u32,
        spins_per_ms: Option<u64>,
    ) -> Result<Outcome> {
        let before = SchedExt::read(sched_ext);
        expect_disabled(&before, "before the game started")?;

        let mut load = start_load(&programs.load, self.load)?;
        sleep(LOAD_SETTLES);
        let mut command = self.game_command(programs, frames, spins_per_ms);
        let game = play_to_the_end(&mut command, &mut load)?;
        let load = stop_load(load)?;

        expect_claimed(self.with_us, &game.scheduler)?;
        let after = read_once_detached(sched_ext);
        expect_disabled(&after, "after the game had ended")?;
        Ok(Outcome { name: self.name(), with_us: self.with_us, again: self.again, game, load, around: [before, after] })
    }

    fn game_command(&self, programs: &Programs, frames: u32, spins: Option<u64>) -> Command {
        let mut command = if self.with_us {
            let mut wrapped = Command::new(&programs.wrapper);
            wrapped.args(["--require", "--wait-attach", "--"]);
            wrapped.arg(&programs.game);
            wrapped
        } else {
            Command::new(&programs.game)
        };
        command.arg("--json").args(["--frames", &frames.to_string()]).args(["--fps", &self.fps.to_string()]);
        if let Some(spins) = spins {
            command.args(["--spins-per-ms", &spins.to_string()]);
        }
        command
    }
}

fn start_load(program: &Path, kind: LoadKind) -> Result<Killed> {
    let mut command = Command::new(program);
    command.arg(kind.to_string()).stdout(Stdio::piped());
    let load = spawn_tied(&mut command).with_context(|| format!("start {}", program.display()))?;
    Ok(Killed(load))
}

/// Starts the game, lets the load count while the game counts, and stops both together.
fn play_to_the_end(command: &mut Command, load: &mut Killed) -> Result<GameReport> {
    let program = command.get_program().display().to_string();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut game = Killed(spawn_tied(command).with_context(|| format!("start {program}"))?);
    let messages = game.0.stderr.take().context("BUG: no pipe from the game")?;
    let mut output = game.0.stdout.take().context("BUG: no pipe from the game")?;

    let load_pid = pid_of(&load.0);
    let listener = std::thread::spawn(move || pass_on(messages, load_pid));
    let mut report = String::new();
    BufReader::new(&mut output).read_line(&mut report).with_context(|| format!("read the report of {program}"))?;
    // At once: from here on the wrapper detaches, and the load would count time of its own.
    let _ = kill(load_pid, Signal::SIGTERM);
    let status = game.0.wait().with_context(|| format!("wait for {program}"))?;
    let _ = listener.join();
    if !status.success() {
        bail!("{program} ended with {status}");
    }
    if report.is_empty() {
        bail!("{program} ended with {status} and printed no report");
    }
    serde_json::from_str(&report).with_context(|| format!("understand the report of {program}"))
}

/// Passes on what the game and its wrapper say; tells the load when the game begins to count.
fn pass_on(messages: ChildStderr, load: Pid) {
    for line in BufReader::new(messages).lines().map_while(Result::ok) {
        if line == COUNTING {
            let _ = kill(load, Signal::SIGUSR1);
        } else {
            eprintln!("          {line}");
        }
    }
}

fn stop_load(mut load: Killed) -> Result<LoadReport> {
    let mut report = String::new();
    let mut output = load.0.stdout.take().context("BUG: no pipe from the load")?;
    output.read_to_string(&mut report).context("read the report of the load")?;
    serde_json::from_str(&report).with_context(|| format!("understand the report of the load: {report:?}"))
}

fn pid_of(process: &Child) -> Pid {
    Pid::from_raw(process.id() as i32)
}

fn read_once_detached(sched_ext: &Path) -> SchedExt {
    let start = Instant::now();
    loop {
        let seen = SchedExt::read(sched_ext);
        if seen.is_disabled() || start.elapsed() > DETACH_LIMIT {
            return seen;
        }
        sleep(Duration::from_millis(50));
    }
}

fn expect_disabled(seen: &SchedExt, when: &str) -> Result<()> {
    if !seen.is_disabled() {
        bail!("sched_ext is to be disabled {when}, but it is {seen}");
    }
    Ok(())
}

/// A scheduler that was thrown out half-way must not be measured.
fn expect_claimed(with_us: bool, seen: &[SchedExt; 2]) -> Result<()> {
    let [first, last] = seen;
    let claimed = match with_us {
        true => first.is_enabled() && last.is_enabled(),
        false => first.is_disabled() && last.is_disabled(),
    };
    if !claimed || first.ops != last.ops || first.enable_seq != last.enable_seq {
        let claim = if with_us { "enabled" } else { "disabled" };
        bail!(
            "sched_ext is to be {claim} for all counted frames, but it was {first} at the first \
             and {last} after the last one"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(state: &str, ops: Option<&str>, enable_seq: u64) -> SchedExt {
        SchedExt { state: Some(state.into()), ops: ops.map(String::from), enable_seq: Some(enable_seq) }
    }

    #[test]
    fn a_scheduler_that_stayed_is_accepted() {
        let gamer = state("enabled", Some("gamer"), 1);
        assert!(expect_claimed(true, &[gamer.clone(), gamer]).is_ok());
    }

    #[test]
    fn a_scheduler_thrown_out_half_way_is_refused() {
        let seen = [state("enabled", Some("gamer"), 1), state("disabled", None, 1)];
        let why = expect_claimed(true, &seen).expect_err("refused").to_string();
        assert!(why.contains("enabled (gamer) at the first and disabled after"), "{why}");
    }

    #[test]
    fn a_scheduler_that_came_back_is_refused() {
        let seen = [1, 2].map(|seq| state("enabled", Some("gamer"), seq));
        assert!(expect_claimed(true, &seen).is_err());
    }

    #[test]
    fn a_cell_without_us_is_refused_under_any_scheduler() {
        let lavd = state("enabled", Some("lavd"), 1);
        assert!(expect_claimed(false, &[lavd.clone(), lavd.clone()]).is_err());
        assert!(expect_disabled(&lavd, "now").is_err());
        let none = state("disabled", None, 0);
        assert!(expect_claimed(false, &[none.clone(), none]).is_ok());
    }
}
