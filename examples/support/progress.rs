//! Work in chunks, and how long a thread was kept from its next one.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::spin::monotonic_ns;
use crate::spin::spin;

/// Progress of one thread; other threads may read it at any time.
pub struct Progress {
    chunk_spins: u64,
    chunks: AtomicU64,
    longest_wait_ns: AtomicU64,
    /// When the next chunk should end, or the last one ended, on the monotonic clock.
    expected_ns: AtomicU64,
}

impl Progress {
    /// Chunks of `chunk_spins` spins. The clock is read after each of them, so shorter waits are not seen.
    pub fn new(chunk_spins: u64) -> Self {
        Self {
            chunk_spins,
            chunks: AtomicU64::new(0),
            longest_wait_ns: AtomicU64::new(0),
            expected_ns: AtomicU64::new(monotonic_ns()),
        }
    }

    /// Chunks that are done.
    pub fn chunks(&self) -> u64 {
        self.chunks.load(Ordering::Relaxed)
    }

    /// The longest wait until now, one that has not ended included.
    pub fn longest_wait_ns(&self) -> u64 {
        let expected_ns = self.expected_ns.load(Ordering::Relaxed);
        let open_wait_ns = monotonic_ns().saturating_sub(expected_ns);
        self.longest_wait_ns.load(Ordering::Relaxed).max(open_wait_ns)
    }

    /// Forgets the waits that ended before now.
    pub fn forget_waits(&self) {
        self.longest_wait_ns.store(0, Ordering::Relaxed);
    }

    /// Does one chunk of work.
    pub fn work_one_chunk(&self) {
        spin(self.chunk_spins);
        let now_ns = monotonic_ns();
        let waited_ns = now_ns.saturating_sub(self.expected_ns.load(Ordering::Relaxed));
        self.longest_wait_ns.fetch_max(waited_ns, Ordering::Relaxed);
        self.chunks.fetch_add(1, Ordering::Relaxed);
        self.expect_progress_at(now_ns);
    }

    /// The thread sleeps until `when_ns`; that is no wait.
    pub fn expect_progress_at(&self, when_ns: u64) {
        self.expected_ns.store(when_ns, Ordering::Relaxed);
    }
}
