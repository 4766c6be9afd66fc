//! How soon the wrapper finds the game, and what looking costs. The machine's clock counts instructions, so that times
//! are the same again on a busy host.

use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::path::Path;
use std::process::ChildStderr;
use std::process::Command;
use std::process::Stdio;
use std::thread::panicking;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::support::Kept;
use crate::support::Stray;
use crate::support::cpu_ns;
use crate::support::observe_from_above;
use crate::support::scx_gamer_run;
use crate::support::state;
use crate::support::wait_for_process;

/// From the exec of the game to its pin.
const PINNED_WITHIN: Duration = Duration::from_millis(100);

/// Until the wrapper, which has found no game, looks every two seconds only.
const UNTIL_LOOKS_ARE_RARE: Duration = Duration::from_secs(10);

/// A wrapper around a shell that does what we tell it, and what the wrapper says. Dropping it kills the wrapper and waits
/// until its scheduler is gone.
struct Wrapped {
    wrapper: Kept,
    said: BufReader<ChildStderr>,
}

impl Drop for Wrapped {
    fn drop(&mut self) {
        self.wrapper.signal(Signal::SIGKILL);
        let _ = self.wrapper.wait();
        // Also for a test that has failed: the next one would fall over a scheduler that is there.
        let until = Instant::now() + Duration::from_secs(60);
        while state() != "disabled" && Instant::now() < until {
            sleep(Duration::from_millis(20));
        }
        assert!(panicking() || state() == "disabled", "the scheduler outlives its wrapper");
    }
}

impl Wrapped {
    fn shell() -> Self {
        observe_from_above();
        // What is read from the host's disk for the first time takes the host's time, not the machine's.
        assert!(Command::new("setsid").args(["sleep", "0"]).status().is_ok_and(|status| status.success()));
        let mut command = scx_gamer_run(&["--require", "-v", "--", "sh"]);
        let mut wrapper = Kept::spawn(command.stdin(Stdio::piped()).stderr(Stdio::piped()));
        let said = BufReader::new(wrapper.stderr.take().expect("stderr is a pipe"));
        let mut wrapped = Self { wrapper, said };
        wrapped.wait_for("started 'sh'");
        wrapped
    }

    fn tell(&mut self, command: &str) {
        let stdin = self.wrapper.stdin.as_mut().expect("stdin is a pipe");
        writeln!(stdin, "{command}").expect("write to the shell");
    }

    /// The next line with these words; the machine's time limit ends a wait in vain.
    fn wait_for(&mut self, words: &str) -> String {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert!(self.said.read_line(&mut line).expect("read stderr") > 0, "it ended without saying {words:?}");
        }
        line
    }
}

/// Time since boot as the kernel shows it, in steps of 10 ms.
fn uptime() -> Duration {
    let uptime = fs::read_to_string("/proc/uptime").expect("read the uptime");
    let seconds = uptime.split_whitespace().next().and_then(|seconds| seconds.parse().ok()).expect("seconds");
    Duration::from_secs_f64(seconds)
}

/// A shell's words that note the time and become the game.
fn become_game(note: &Path, seconds: &str) -> String {
    format!("read now rest < /proc/uptime; echo $now > {}; exec sleep {seconds}", note.display())
}

/// How long after its exec a game that `words` make of a shell was pinned.
fn pinned_after(seconds: &str, words: impl Fn(&str) -> String) -> Duration {
    let directory = tempfile::tempdir().expect("temporary directory");
    let note = directory.path().join("exec");
    let mut wrapped = Wrapped::shell();
    sleep(UNTIL_LOOKS_ARE_RARE);
    wrapped.tell(&words(&become_game(&note, seconds)));
    wrapped.wait_for("foreground: sleep");
    let now = uptime();
    let _cleanup = Stray(wait_for_process(seconds));
    let noted = fs::read_to_string(note).expect("read the note").trim().parse().expect("seconds");
    now - Duration::from_secs_f64(noted)
}

/// The best of a few games counts: what has to come from the host's disk takes the host's time. A look that comes by
/// itself, once in two seconds, is as soon as that in one case of twenty.
fn assert_pinned_in_time(words: impl Fn(&str) -> String) {
    let mut took = Vec::new();
    for seconds in ["97771", "97772", "97773"] {
        took.push(pinned_after(seconds, &words));
        println!("pinned after {took:?}");
        if took.last().is_some_and(|took| *took < PINNED_WITHIN) {
            return;
        }
    }
    panic!("pinned after {took:?}");
}

#[test]
fn a_game_is_pinned_within_100_ms_of_its_exec() {
    assert_pinned_in_time(str::to_owned);
}

#[test]
fn a_game_whose_parent_has_gone_before_anybody_looked_is_pinned_as_soon() {
    assert_pinned_in_time(|game| format!("(setsid sh -c '{game}' &)"));
}

#[test]
fn ten_thousand_short_children_cost_the_wrapper_little_and_the_game_is_found_after_them() {
    let mut wrapped = Wrapped::shell();
    let (began, before_ns) = (Instant::now(), cpu_ns(wrapped.wrapper.pid()));
    wrapped.tell("i=0; while [ $i -lt 10000 ]; do (:); i=$((i+1)); done; exec sleep 99999");
    let game = wait_for_process("99999");
    let spent = Duration::from_nanos(cpu_ns(wrapped.wrapper.pid()) - before_ns);
    let passed = began.elapsed();
    assert!(spent < passed / 10, "the wrapper used {spent:?} of {passed:?}");
    wrapped.wait_for(&format!("(TGID {game})"));
}
