//! The synthetic game once through beside a load: both count over the same time.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::path::Path;
use std::process::Child;
use std::process::ChildStderr;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::load_kind::LoadKind;
use crate::process::Killed;
use crate::process::spawn_tied;
use crate::report::COUNTING;
use crate::report::GameReport;
use crate::report::LoadReport;

/// Long enough for every thread of a load to be under way.
const LOAD_SETTLES: Duration = Duration::from_millis(500);
/// A game that was told to end has had its chance.
const END_LIMIT: Duration = Duration::from_secs(10);
/// So much of what game and wrapper said goes into an error.
const LAST_WORDS: usize = 3;

/// Plays the game that `command` starts, which prints a [`GameReport`], beside `load`.
///
/// `on_counting` is called when the warm-up is over. A game that takes longer than `limit` is ended.
pub fn play_beside(
    command: &mut Command,
    mut load: Killed,
    limit: Duration,
    on_counting: impl FnMut() + Send,
) -> Result<(GameReport, LoadReport)> {
    let program = command.get_program().display().to_string();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut game = Killed(spawn_tied(command).with_context(|| format!("start {program}"))?);
    let messages = game.0.stderr.take().context("BUG: no pipe from the game")?;
    let mut output = game.0.stdout.take().context("BUG: no pipe from the game")?;
    let (game_pid, load_pid) = (pid_of(&game.0), pid_of(&load.0));

    let (ended, on_end) = mpsc::channel::<()>();
    let mut report = String::new();
    let (status, said) = std::thread::scope(|threads| -> Result<_> {
        let listener = threads.spawn(move || pass_on(messages, load_pid, on_counting));
        threads.spawn(move || end_after(limit, &on_end, game_pid));
        let read = BufReader::new(&mut output).read_line(&mut report);
        // At once: from here on the wrapper detaches, and the load would count time of its own.
        let _ = kill(load_pid, Signal::SIGTERM);
        let status = game.0.wait().with_context(|| format!("wait for {program}"));
        drop(ended);
        let said = listener.join().expect("BUG: the listener panicked");
        read.with_context(|| format!("read the report of {program}"))?;
        Ok((status?, said))
    })?;
    if !status.success() || report.is_empty() {
        let last_words = said[said.len().saturating_sub(LAST_WORDS)..].join("; ");
        bail!("{program} ended with {status} and {} bytes of report: {last_words}", report.len());
    }
    let game = serde_json::from_str(&report).with_context(|| format!("understand the report of {program}"))?;
    Ok((game, read_report(&mut load)?))
}

/// Starts the load and waits until all of it runs.
pub fn start_load(program: &Path, kind: LoadKind) -> Result<Killed> {
    let mut command = Command::new(program);
    command.arg(kind.to_string()).stdout(Stdio::piped());
    let load = spawn_tied(&mut command).with_context(|| format!("start {}", program.display()))?;
    sleep(LOAD_SETTLES);
    Ok(Killed(load))
}

/// Begins the load's count anew.
pub fn count_load_from_now(load: &Killed) {
    let _ = kill(pid_of(&load.0), Signal::SIGUSR1);
}

/// Ends the load and returns what it got done.
pub fn end_load(mut load: Killed) -> Result<LoadReport> {
    let _ = kill(pid_of(&load.0), Signal::SIGTERM);
    read_report(&mut load)
}

/// Passes on what the game and its wrapper say, and returns it; tells the load when the game begins to count.
fn pass_on(messages: ChildStderr, load: Pid, mut on_counting: impl FnMut()) -> Vec<String> {
    let mut said = Vec::new();
    for line in BufReader::new(messages).lines().map_while(Result::ok) {
        if line == COUNTING {
            let _ = kill(load, Signal::SIGUSR1);
            on_counting();
        } else {
            eprintln!("          {line}");
            said.push(line);
        }
    }
    said
}

/// Ends `game` after `limit`, unless `on_end` tells first that it has ended.
fn end_after(limit: Duration, on_end: &mpsc::Receiver<()>, game: Pid) {
    for (limit, signal) in [(limit, Signal::SIGTERM), (END_LIMIT, Signal::SIGKILL)] {
        if on_end.recv_timeout(limit) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        eprintln!("          it takes longer than {} s: {signal}", limit.as_secs());
        let _ = kill(game, signal);
    }
}

fn read_report(load: &mut Killed) -> Result<LoadReport> {
    let mut report = String::new();
    let mut output = load.0.stdout.take().context("BUG: no pipe from the load")?;
    output.read_to_string(&mut report).context("read the report of the load")?;
    serde_json::from_str(&report).with_context(|| format!("understand the report of the load: {report:?}"))
}

/// The process's number, to send signals to.
pub fn pid_of(process: &Child) -> Pid {
    Pid::from_raw(process.id() as i32)
}
