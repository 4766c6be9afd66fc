//! Threads that spin: hogs without a pause, bursty ones with short sleeps. Each notices from its
//! own clock how long it was kept from running.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::progress::Progress;
use crate::spin::monotonic_ns;
use crate::spin::thread_cpu_ns;

/// About 0.1 ms.
const CHUNK_SPINS: u64 = 50_000;
const BURST_NS: u64 = 2_000_000;
const BURST_PAUSE_NS: u64 = 1_000_000;

/// How a spinning thread spends its time.
#[derive(Clone, Copy)]
pub enum Habit {
    Hog,
    Bursty,
}

/// One running thread.
pub struct Spinner {
    progress: Arc<Progress>,
    thread: JoinHandle<()>,
}

impl Spinner {
    pub fn start(habit: Habit, stop: &'static AtomicBool) -> std::io::Result<Self> {
        let progress = Arc::new(Progress::new(CHUNK_SPINS));
        let name = match habit {
            Habit::Hog => "hog",
            Habit::Bursty => "bursty",
        };
        let seen = Arc::clone(&progress);
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || match habit {
            Habit::Hog => hog(&seen, stop),
            Habit::Bursty => burst(&seen, stop),
        })?;
        Ok(Self { progress, thread })
    }

    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    pub fn join(self) {
        let _ = self.thread.join();
    }
}

fn hog(progress: &Progress, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        progress.work_one_chunk();
    }
}

fn burst(progress: &Progress, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let end_ns = thread_cpu_ns() + BURST_NS;
        while thread_cpu_ns() < end_ns {
            progress.work_one_chunk();
        }
        progress.expect_progress_at(monotonic_ns() + BURST_PAUSE_NS);
        std::thread::sleep(Duration::from_nanos(BURST_PAUSE_NS));
    }
}
