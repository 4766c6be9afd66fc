//! One frame passed from the simulation to the render thread: a mutex and condition variables,
//! which on Linux are futexes, so each hand-over is a real futex wake.

use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::wakeups::Stamp;
use crate::wakeups::WakeUps;

/// A place for one frame. The simulation is never more than one frame ahead.
pub struct Handover<'a> {
    wakeups: &'a WakeUps,
    slot: Mutex<Slot>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Default)]
struct Slot {
    frame: Option<usize>,
    closed: bool,
    filled_at: Stamp,
    emptied_at: Stamp,
}

impl<'a> Handover<'a> {
    pub fn new(wakeups: &'a WakeUps) -> Self {
        Self { wakeups, slot: Mutex::default(), filled: Condvar::new(), emptied: Condvar::new() }
    }

    /// Waits until the slot is empty, then puts `frame` there.
    pub fn put(&self, frame: usize) {
        let slot = self.lock();
        let has_to_wait = slot.frame.is_some();
        let mut slot =
            self.emptied.wait_while(slot, |slot| slot.frame.is_some()).unwrap_or_else(PoisonError::into_inner);
        if has_to_wait {
            self.wakeups.woken(slot.emptied_at);
        }
        slot.filled_at = self.wakeups.stamp();
        slot.frame = Some(frame);
        self.filled.notify_one();
    }

    /// Waits for a frame; none when the simulation has closed and every frame was taken.
    pub fn take(&self) -> Option<usize> {
        let slot = self.lock();
        let has_to_wait = slot.frame.is_none() && !slot.closed;
        let mut slot = self
            .filled
            .wait_while(slot, |slot| slot.frame.is_none() && !slot.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let frame = slot.frame.take();
        if has_to_wait && frame.is_some() {
            self.wakeups.woken(slot.filled_at);
        }
        slot.emptied_at = self.wakeups.stamp();
        self.emptied.notify_one();
        frame
    }

    /// No more frames will be put.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_in_order_and_closing_loses_none() {
        let wakeups = WakeUps::new(0, None);
        let handover = Handover::new(&wakeups);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                (0..100).for_each(|frame| handover.put(frame));
                handover.close();
            });
            let taken: Vec<usize> = std::iter::from_fn(|| handover.take()).collect();
            assert_eq!(taken, (0..100).collect::<Vec<_>>());
        });
    }
}
