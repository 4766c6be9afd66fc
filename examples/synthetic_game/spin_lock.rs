//! A lock that burns CPU time while it is waited for, as some games' own locks do.

use std::hint::spin_loop;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// Never sleeps, so the kernel cannot know what a thread waits for.
#[derive(Default)]
pub struct SpinLock {
    is_held: AtomicBool,
    is_closed: AtomicBool,
}

impl SpinLock {
    /// Spins until the lock is free, does `work` and frees it.
    pub fn with(&self, work: impl FnOnce()) {
        while self.is_held.swap(true, Ordering::Acquire) {
            while self.is_held.load(Ordering::Relaxed) {
                spin_loop();
            }
        }
        work();
        self.is_held.store(false, Ordering::Release);
    }

    /// The threads that share it should end.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn one_thread_at_a_time_works_under_the_lock() {
        let (lock, inside) = (SpinLock::default(), AtomicU32::new(0));
        std::thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| {
                    for _ in 0..1000 {
                        lock.with(|| {
                            assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                            inside.fetch_sub(1, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
    }
}
