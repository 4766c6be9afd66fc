//! A `scx_gamer` as it runs: what it says, how often it wakes, what it counts.

use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::Kept;
use crate::support::scx_gamer;
use crate::support::state;
use crate::support::threads_of;
use crate::support::wait_for_state;
use crate::support::wait_until;

const SOCKET: &str = "/var/run/scx/root/stats";

/// Inserts a module of the guest's kernel.
pub fn modprobe(module: &str) {
    let outcome = Command::new("modprobe").arg(module).status();
    assert!(outcome.is_ok_and(|status| status.success()), "insert the module {module}");
}

/// A `scx_gamer` that runs, and what it says.
pub struct Running {
    pub process: Kept,
    said: PathBuf,
}

impl Running {
    pub fn start(flags: &[&str]) -> Self {
        let said = PathBuf::from(format!("/tmp/said-{}", std::process::id()));
        let file = fs::File::create(&said).expect("make a file");
        let process = Kept::spawn(scx_gamer(flags).stderr(Stdio::from(file)));
        wait_for_state("enabled");
        wait_until("it serves metrics", || UnixStream::connect(SOCKET).is_ok());
        Self { process, said }
    }

    pub fn said(&self) -> String {
        fs::read_to_string(&self.said).expect("read what it said")
    }

    pub fn wait_for(&self, words: &str) {
        wait_until(&format!("it says {words:?}"), || self.said().contains(words));
    }

    /// How often it has gone to sleep: each time something woke it.
    pub fn sleeps(&self) -> u64 {
        let status = |tid: i32| fs::read_to_string(format!("/proc/{}/task/{tid}/status", self.process.pid()));
        let sleeps = |status: String| {
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:").map(str::to_owned));
            line.and_then(|count| count.trim().parse::<u64>().ok())
        };
        threads_of(self.process.pid()).into_iter().filter_map(|tid| status(tid).ok().and_then(sleeps)).sum()
    }

    /// The same once that no longer grows: who was answered may go on before we have gone back to sleep.
    pub fn sleeps_once_quiet(&self) -> u64 {
        let mut sleeps = self.sleeps();
        wait_until("it sleeps", || {
            sleep(Duration::from_millis(500));
            let before = std::mem::replace(&mut sleeps, self.sleeps());
            before == sleeps
        });
        sleeps
    }

    pub fn stop(mut self) {
        self.process.signal(Signal::SIGINT);
        assert_eq!(self.process.wait().expect("wait").code(), Some(0));
        assert_eq!(state(), "disabled");
    }
}

/// Somebody who asks for metrics; each answer tells what has happened since the one before.
pub struct Client(BufReader<UnixStream>);

impl Client {
    pub fn connect() -> Self {
        Self(BufReader::new(UnixStream::connect(SOCKET).expect("connect")))
    }

    pub fn stats(&mut self) -> Value {
        writeln!(self.0.get_mut(), r#"{{"req":"stats"}}"#).expect("ask");
        let mut answer = String::new();
        self.0.read_line(&mut answer).expect("an answer");
        serde_json::from_str::<Value>(&answer).expect("JSON")["args"]["resp"].clone()
    }
}
