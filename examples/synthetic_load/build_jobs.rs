//! A build without end: each job starts one short-lived process after another, as make does.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::process::spawn_tied;
use crate::spin::spin;
use crate::spin::thread_cpu_ns;

/// CPU time of one step, the start of its process not counted.
const STEP_NS: u64 = 5_000_000;

/// One running job.
pub struct BuildJob {
    progress: Arc<Progress>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Progress {
    steps: AtomicU64,
    longest_step_ns: AtomicU64,
}

impl BuildJob {
    /// Runs `program --build-step` again and again.
    pub fn start(program: PathBuf, stop: &'static AtomicBool) -> std::io::Result<Self> {
        let progress = Arc::new(Progress::default());
        let seen = Arc::clone(&progress);
        let thread = std::thread::Builder::new().name("build".into()).spawn(move || seen.run_steps(&program, stop))?;
        Ok(Self { progress, thread })
    }

    pub fn steps(&self) -> u64 {
        self.progress.steps.load(Ordering::Relaxed)
    }

    pub fn longest_step_ns(&self) -> u64 {
        self.progress.longest_step_ns.load(Ordering::Relaxed)
    }

    /// Forgets how long the steps took that ended before now.
    pub fn forget_longest_step(&self) {
        self.progress.longest_step_ns.store(0, Ordering::Relaxed);
    }

    pub fn join(self) {
        let _ = self.thread.join();
    }
}

impl Progress {
    fn run_steps(&self, program: &Path, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let start = Instant::now();
            let mut step = Command::new(program);
            step.arg("--build-step").stdin(Stdio::null());
            if let Err(why) = spawn_tied(&mut step).and_then(|mut process| process.wait()) {
                eprintln!("synthetic_load: a build job ends: start {}: {why}", program.display());
                return;
            }
            let took_ns = start.elapsed().as_nanos() as u64;
            self.steps.fetch_add(1, Ordering::Relaxed);
            self.longest_step_ns.fetch_max(took_ns, Ordering::Relaxed);
        }
    }
}

/// What one step's process does.
pub fn build_step() {
    while thread_cpu_ns() < STEP_NS {
        spin(10_000);
    }
}
