//! A virtual machine that measures, and the records it sends.

use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::process::ChildStdout;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;

use crate::plan::Plan;
use crate::process::Killed;
use crate::process::spawn_tied;
use crate::record::Record;
use crate::record::Rig;

/// No cell takes so long without a word: the machine hangs.
const SILENCE_LIMIT: Duration = Duration::from_secs(1200);
/// The runner's own limit, which only has to stop a machine that nobody watches any more.
const RUN_LIMIT_S: &str = "43200";

/// Boots `rig`, has it measure `plan`, and hands each record to `keep` as it comes.
pub fn measure(rig: Rig, plan: &Plan, repository: &Path, mut keep: impl FnMut(Record) -> Result<()>) -> Result<()> {
    let mut command = command(rig, plan, repository)?;
    command.stdout(Stdio::piped());
    let mut machine = Killed(spawn_tied(&mut command).context("start tests/vm/run")?);
    let output = machine.0.stdout.take().context("BUG: no pipe from the machine")?;
    let (sender, lines) = mpsc::channel();
    let reader = std::thread::spawn(move || read_lines(output, &sender));
    loop {
        match lines.recv_timeout(SILENCE_LIMIT) {
            Ok(line) => keep(serde_json::from_str(&line).with_context(|| format!("understand the guest: {line:?}"))?)?,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                bail!("the machine has not said a word in {} s", SILENCE_LIMIT.as_secs())
            }
        }
    }
    let _ = reader.join();
    expect_success(machine.0.wait().context("wait for the machine")?)
}

/// The measuring program in the guest. It becomes a real-time one, what it starts does not: it is to notice the end of
/// a cell at once, whatever the scheduler makes of the load.
fn command(rig: Rig, plan: &Plan, repository: &Path) -> Result<Command> {
    let myself = std::env::current_exe().context("find this program")?;
    let (action, setting) = match rig {
        Rig::Parallel => ("guest-frames", ("VM_TCG_THREAD", "multi")),
        Rig::Deterministic => ("guest-cost", ("VM_ICOUNT", "1")),
    };
    let mut command = Command::new(repository.join("tests/vm/run"));
    command.current_dir(repository).env(setting.0, setting.1);
    command.args(["--timeout", RUN_LIMIT_S, "--", "chrt", "--reset-on-fork", "--fifo", "1"]);
    command.arg(myself).args([action, &serde_json::to_string(plan)?]);
    Ok(command)
}

/// Sends each line until the output ends, or the receiver has gone.
pub fn read_lines(output: ChildStdout, lines: &mpsc::Sender<String>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if lines.send(line).is_err() {
            return;
        }
    }
}

fn expect_success(status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("the machine ended with {status} before everything was measured");
    }
    Ok(())
}
