//! A scheduler that runs as a program of its own beside the measurements: started, watched, ended.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use anstream::adapter::strip_str;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::claim::Claim;
use crate::claim::read_once_detached;
use crate::contestant::Contestant;
use crate::guest::Machine;
use crate::process::Killed;
use crate::process::spawn_tied;
use crate::sched_ext::SchedExt;

/// Verifying the largest of them takes half a minute under emulation, far longer where the clock counts instructions.
const ATTACH_LIMIT: Duration = Duration::from_secs(300);
const END_LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at the kernel's state: what `attach_ms` is rounded up to.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// The kernel's or the scheduler's reason is in the last lines it wrote.
const LAST_WORDS: usize = 4;
const LAST_WORDS_LENGTH: usize = 600;

/// Ends its scheduler when dropped.
pub struct Attached {
    process: Killed,
    log: File,
    label: &'static str,
    claim: Claim,
    /// From the start of its program to `enabled`.
    pub attach_ms: f64,
}

impl Attached {
    /// Starts the scheduler with its own defaults and waits until the kernel says that it is in place.
    pub fn start(contestant: Contestant, machine: &Machine) -> Result<Self> {
        let label = contestant.label();
        let before = SchedExt::read(&machine.sched_ext);
        Claim::Disabled.expect(&before, &format!("before {label} is attached"))?;
        let program = machine.programs.of(contestant).with_context(|| format!("BUG: {label} has no program"))?;
        let log = tempfile::tempfile().context("make a log for a scheduler")?;
        let mut command = Command::new(&program);
        command.stdout(log.try_clone()?).stderr(log.try_clone()?);

        let start = Instant::now();
        let process = Killed(spawn_tied(&mut command).with_context(|| format!("start {}", program.display()))?);
        let mut attached = Self { process, log, label, claim: contestant.claim(), attach_ms: 0.0 };
        while !attached.is_in_place(&SchedExt::read(&machine.sched_ext), &before) {
            if let Some(status) = attached.process.0.try_wait()? {
                bail!("{label} ended with {status} before it was attached: {}", attached.last_words());
            }
            if start.elapsed() > ATTACH_LIMIT {
                bail!("{label} has not attached in {} s: {}", ATTACH_LIMIT.as_secs(), attached.last_words());
            }
            sleep(LOOK_EVERY);
        }
        attached.attach_ms = start.elapsed().as_secs_f64() * 1e3;
        Ok(attached)
    }

    /// The kernel counts an attach last, shortly after it has said `enabled`.
    fn is_in_place(&self, now: &SchedExt, before: &SchedExt) -> bool {
        self.claim.holds(now) && now.enable_seq > before.enable_seq
    }

    /// Fails, with the scheduler's last words, if it is no longer in place.
    pub fn expect(&self, sched_ext: &Path, when: &str) -> Result<()> {
        self.claim.expect(&SchedExt::read(sched_ext), when).with_context(|| self.last_words())
    }

    /// Ends it as Ctrl+C does and waits until the kernel's own scheduler is back.
    pub fn stop(mut self, sched_ext: &Path) -> Result<()> {
        let pid = Pid::from_raw(self.process.0.id() as i32);
        kill(pid, Signal::SIGINT).with_context(|| format!("end {}", self.label))?;
        let start = Instant::now();
        while self.process.0.try_wait()?.is_none() && start.elapsed() < END_LIMIT {
            sleep(Duration::from_millis(20));
        }
        let label = self.label;
        drop(self); // kills it where asking was not enough
        let after = read_once_detached(sched_ext);
        ensure!(after.is_disabled(), "sched_ext is to be disabled after {label} has ended, but it is {after}");
        Ok(())
    }

    /// The end of what it wrote.
    pub fn last_words(&self) -> String {
        match self.read_log() {
            Ok(text) => last_words_of(&strip_str(&String::from_utf8_lossy(&text)).to_string(), LAST_WORDS),
            Err(why) => format!("its log cannot be read: {why}"),
        }
    }

    /// By position: the scheduler still writes through the same open file.
    fn read_log(&self) -> std::io::Result<Vec<u8>> {
        let length = self.log.metadata()?.len();
        let mut text = vec![0; length as usize];
        self.log.read_exact_at(&mut text, 0)?;
        Ok(text)
    }
}

/// The last `count` lines that say something, as one.
fn last_words_of(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let words = lines[lines.len().saturating_sub(count)..].join("; ");
    match words.char_indices().nth(LAST_WORDS_LENGTH) {
        Some((end, _)) => format!("{} ...", &words[..end]),
        None if words.is_empty() => "it has said nothing".into(),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_the_last_lines_that_say_something() {
        assert_eq!(last_words_of("one\n\n two\nthree\n\n", 2), "two; three");
        assert_eq!(last_words_of("one\n", 3), "one");
        assert_eq!(last_words_of("\n", 3), "it has said nothing");
    }

    #[test]
    fn a_dump_is_cut_short() {
        let words = last_words_of(&"é".repeat(5000), 1);
        assert_eq!(words.chars().count(), LAST_WORDS_LENGTH + " ...".len());
    }
}
