//! A load beside the game, and how long those of it that always want to run are kept waiting.
//!
//! Seen from outside, by the CPU time that the kernel has counted for a thread: what the load tells of itself would
//! grow with the time that it takes to get something done, and with the slowness of the emulated CPU.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use serde::Deserialize;

use crate::support::Kept;
use crate::support::example;
use crate::support::threads_of;
use crate::support::wait_until;

/// Often against the 500 ms that nobody may wait, seldom enough to leave the CPUs to the others.
pub const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Name of the threads that never sleep.
const HOG: &str = "hog";

/// `examples/synthetic_load`.
pub struct Load(Kept);

/// What a load says of itself at its end.
#[derive(Debug, Deserialize)]
pub struct Told {
    pub spin_chunks: u64,
}

impl Load {
    /// Returns once all threads of it that burn CPU have begun to.
    pub fn start(kind: &str) -> Self {
        let load = Kept::spawn(Command::new(example("synthetic_load")).arg(kind).stdout(Stdio::piped()));
        let (name, per_cpu) = match kind {
            "hogs" => (HOG, 2),
            "mixed" => (HOG, 1),
            _ => ("bursty", 2),
        };
        wait_until(&format!("{kind} have begun"), || tasks_called(name, load.pid()).len() == per_cpu * nr_cpus());
        Self(load)
    }

    pub fn pid(&self) -> i32 {
        self.0.pid()
    }

    pub fn stop(mut self) -> Told {
        self.0.signal(Signal::SIGTERM);
        let told = std::io::read_to_string(self.0.stdout.take().expect("stdout")).expect("read what it tells");
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error} in {told:?}"))
    }
}

/// The hogs of a load, and since when none of them has got any further.
pub struct Waits {
    hogs: Vec<Hog>,
    longest: Duration,
}

struct Hog {
    schedstat: PathBuf,
    ran_ns: u64,
    ran_at: Instant,
}

impl Waits {
    pub fn of(load: &Load) -> Self {
        let hogs = tasks_called(HOG, load.pid()).iter().map(|task| Hog::at(task.join("schedstat"))).collect();
        Self { hogs, longest: Duration::ZERO }
    }

    /// To be called every few ms by a thread that nobody keeps waiting.
    pub fn look(&mut self) {
        for hog in &mut self.hogs {
            self.longest = self.longest.max(hog.wait_until_now());
        }
    }

    pub fn look_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.look();
            sleep(LOOK_EVERY);
        }
    }

    pub fn longest(&self) -> Duration {
        self.longest
    }
}

impl Hog {
    fn at(schedstat: PathBuf) -> Self {
        Self { ran_ns: ran_ns(&schedstat), schedstat, ran_at: Instant::now() }
    }

    /// For how long it has made no progress; zero if it has since the last look.
    fn wait_until_now(&mut self) -> Duration {
        let ran_ns = ran_ns(&self.schedstat);
        if ran_ns > self.ran_ns {
            self.ran_ns = ran_ns;
            self.ran_at = Instant::now();
        }
        self.ran_at.elapsed()
    }
}

/// Directories of a process's threads with that name, which a thread gives itself as it begins.
fn tasks_called(name: &str, pid: i32) -> Vec<PathBuf> {
    let tasks = threads_of(pid).into_iter().map(|tid| PathBuf::from(format!("/proc/{pid}/task/{tid}")));
    tasks.filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name)).collect()
}

fn ran_ns(schedstat: &Path) -> u64 {
    let text = fs::read_to_string(schedstat).expect("read schedstat");
    text.split_whitespace().next().and_then(|ns| ns.parse().ok()).expect("a number of ns")
}

pub fn nr_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
