//! Threads that spin: hogs without a pause, bursty ones with short sleeps. Each notices from its
//! own clock how long it was kept from running.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::spin::monotonic_ns;
use crate::spin::spin;
use crate::spin::thread_cpu_ns;

/// About 0.1 ms: the clock is read after each chunk, so shorter waits are not seen.
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

struct Progress {
    chunks: AtomicU64,
    longest_wait_ns: AtomicU64,
    /// When the thread is to have made progress next, or made it last, on the monotonic clock.
    expected_ns: AtomicU64,
}

impl Spinner {
    pub fn start(habit: Habit, stop: &'static AtomicBool) -> std::io::Result<Self> {
        let progress = Arc::new(Progress {
            chunks: AtomicU64::new(0),
            longest_wait_ns: AtomicU64::new(0),
            expected_ns: AtomicU64::new(monotonic_ns()),
        });
        let name = match habit {
            Habit::Hog => "hog",
            Habit::Bursty => "bursty",
        };
        let seen = Arc::clone(&progress);
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || match habit {
            Habit::Hog => seen.hog(stop),
            Habit::Bursty => seen.burst(stop),
        })?;
        Ok(Self { progress, thread })
    }

    pub fn chunks(&self) -> u64 {
        self.progress.chunks.load(Ordering::Relaxed)
    }

    /// The longest wait until now, one that has not ended included.
    pub fn longest_wait_ns(&self) -> u64 {
        let expected_ns = self.progress.expected_ns.load(Ordering::Relaxed);
        let open_wait_ns = monotonic_ns().saturating_sub(expected_ns);
        self.progress.longest_wait_ns.load(Ordering::Relaxed).max(open_wait_ns)
    }

    /// Forgets the waits that ended before now.
    pub fn forget_waits(&self) {
        self.progress.longest_wait_ns.store(0, Ordering::Relaxed);
    }

    pub fn join(self) {
        let _ = self.thread.join();
    }
}

impl Progress {
    fn hog(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            self.one_chunk();
        }
    }

    fn burst(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let end_ns = thread_cpu_ns() + BURST_NS;
            while thread_cpu_ns() < end_ns {
                self.one_chunk();
            }
            self.expect_progress_at(monotonic_ns() + BURST_PAUSE_NS);
            std::thread::sleep(Duration::from_nanos(BURST_PAUSE_NS));
        }
    }

    fn one_chunk(&self) {
        spin(CHUNK_SPINS);
        let now_ns = monotonic_ns();
        let waited_ns = now_ns.saturating_sub(self.expected_ns.load(Ordering::Relaxed));
        self.longest_wait_ns.fetch_max(waited_ns, Ordering::Relaxed);
        self.chunks.fetch_add(1, Ordering::Relaxed);
        self.expect_progress_at(now_ns);
    }

    fn expect_progress_at(&self, when_ns: u64) {
        self.expected_ns.store(when_ns, Ordering::Relaxed);
    }
}
