//! One frame passed from the simulation to the render thread: a mutex and condition variables,
//! which on Linux are futexes, so each hand-over is a real futex wake.

use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// A place for one frame. The simulation is never more than one frame ahead.
#[derive(Default)]
pub struct Handover {
    slot: Mutex<Slot>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Default)]
struct Slot {
    frame: Option<usize>,
    closed: bool,
}

impl Handover {
    /// Waits until the slot is empty, then puts `frame` there.
    pub fn put(&self, frame: usize) {
        let mut slot =
            self.emptied.wait_while(self.lock(), |slot| slot.frame.is_some()).unwrap_or_else(PoisonError::into_inner);
        slot.frame = Some(frame);
        self.filled.notify_one();
    }

    /// Waits for a frame; none when the simulation has closed and every frame was taken.
    pub fn take(&self) -> Option<usize> {
        let mut slot = self
            .filled
            .wait_while(self.lock(), |slot| slot.frame.is_none() && !slot.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let frame = slot.frame.take();
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
        let handover = Handover::default();
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
