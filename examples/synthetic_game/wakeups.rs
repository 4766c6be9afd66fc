//! Wake-to-run: from the moment one frame thread wakes another until that one continues.
//!
//! On one CPU the *net* time is known as well: the wait without the time in which other frame threads ran, which no
//! scheduler can avoid. It is what remains of the wall time after the CPU time of all frame threads is subtracted.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use nix::time::ClockId;
use nix::time::clock_gettime;

use crate::spin::monotonic_ns;

/// The moment of a wake-up, noted by the waker.
#[derive(Clone, Copy, Default)]
pub struct Stamp {
    at_ns: u64,
    frame_cpu_ns: u64,
}

/// Every counted wake-up of a frame thread.
pub struct WakeUps {
    is_counting: AtomicBool,
    waits_ns: Log,
    net_waits_ns: Log,
    frame_cpu: Option<FrameCpu>,
}

/// CPU time of all frame threads: that of this process and of its servers, bulk threads excluded.
pub struct FrameCpu {
    pub servers: Vec<ClockId>,
    pub bulk: Vec<ClockId>,
}

/// Values from several threads, without a lock that one of them could be kept waiting for.
struct Log {
    values: Box<[AtomicU64]>,
    next: AtomicUsize,
}

impl WakeUps {
    /// Room for so many; later ones are not kept. `frame_cpu` only where the game has one CPU.
    pub fn new(capacity: usize, frame_cpu: Option<FrameCpu>) -> Self {
        let net_capacity = if frame_cpu.is_some() { capacity } else { 0 };
        Self {
            is_counting: AtomicBool::new(false),
            waits_ns: Log::new(capacity),
            net_waits_ns: Log::new(net_capacity),
            frame_cpu,
        }
    }

    /// Counts from now on.
    pub fn start_counting(&self) {
        self.is_counting.store(true, Ordering::Relaxed);
    }

    /// To be called by a waker, right before it wakes.
    pub fn stamp(&self) -> Stamp {
        match self.is_counting.load(Ordering::Relaxed) {
            true => Stamp { at_ns: monotonic_ns(), frame_cpu_ns: self.frame_cpu_ns() },
            false => Stamp::default(),
        }
    }

    /// To be called by the thread that slept, with the stamp of its waker.
    pub fn woken(&self, waker: Stamp) {
        if waker.at_ns != 0 {
            let waited_ns = monotonic_ns().saturating_sub(waker.at_ns);
            self.waits_ns.push(waited_ns);
            self.push_net(waker, waited_ns);
        }
    }

    /// A request to another process and its answer: two wake-ups, whose net waits count as one.
    pub fn answered(&self, request: Stamp, server_wait_ns: u64, answered_ns: u64) {
        if request.at_ns != 0 {
            let now_ns = monotonic_ns();
            self.waits_ns.push(server_wait_ns);
            self.waits_ns.push(now_ns.saturating_sub(answered_ns));
            self.push_net(request, now_ns.saturating_sub(request.at_ns));
        }
    }

    fn push_net(&self, waker: Stamp, waited_ns: u64) {
        if self.frame_cpu.is_some() {
            let ran_ns = self.frame_cpu_ns().saturating_sub(waker.frame_cpu_ns);
            self.net_waits_ns.push(waited_ns.saturating_sub(ran_ns));
        }
    }

    fn frame_cpu_ns(&self) -> u64 {
        self.frame_cpu.as_ref().map_or(0, FrameCpu::used_ns)
    }

    /// All waits, and all net waits.
    pub fn into_values(self) -> [Vec<u64>; 2] {
        [self.waits_ns, self.net_waits_ns].map(Log::into_values)
    }
}

impl FrameCpu {
    fn used_ns(&self) -> u64 {
        let sum = |clocks: &[ClockId]| clocks.iter().map(|&clock| cpu_ns(clock)).sum::<u64>();
        (cpu_ns(ClockId::CLOCK_PROCESS_CPUTIME_ID) + sum(&self.servers)).saturating_sub(sum(&self.bulk))
    }
}

impl Log {
    fn new(capacity: usize) -> Self {
        Self { values: (0..capacity).map(|_| AtomicU64::new(0)).collect(), next: AtomicUsize::new(0) }
    }

    fn push(&self, value: u64) {
        if let Some(slot) = self.values.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            slot.store(value, Ordering::Relaxed);
        }
    }

    fn into_values(self) -> Vec<u64> {
        let count = self.next.into_inner();
        self.values.into_iter().take(count).map(AtomicU64::into_inner).collect()
    }
}

/// A process that has ended uses no more.
fn cpu_ns(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spin::spin;
    use crate::spin::thread_cpu_ns;

    #[test]
    fn wakeups_before_the_count_are_left_out() {
        let wakeups = WakeUps::new(10, None);
        let early = wakeups.stamp();
        wakeups.start_counting();
        wakeups.woken(early);
        wakeups.woken(wakeups.stamp());
        assert_eq!(wakeups.into_values().map(|values| values.len()), [1, 0]);
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for() {
        let wakeups = WakeUps::new(2, None);
        wakeups.start_counting();
        wakeups.answered(wakeups.stamp(), 7, monotonic_ns());
        wakeups.answered(wakeups.stamp(), 7, monotonic_ns());
        let [waits_ns, _] = wakeups.into_values();
        assert_eq!((waits_ns.len(), waits_ns[0]), (2, 7));
    }

    #[test]
    fn bulk_threads_are_no_frame_threads() {
        while thread_cpu_ns() < 2_000_000 {
            spin(1000);
        }
        // This thread counts as a bulk thread, then as a frame thread.
        let without = FrameCpu { servers: vec![], bulk: vec![ClockId::CLOCK_THREAD_CPUTIME_ID] }.used_ns();
        let with = FrameCpu { servers: vec![], bulk: vec![] }.used_ns();
        assert!(with - without >= 2_000_000, "{with} and {without}");
    }

    #[test]
    fn on_one_cpu_there_are_net_waits() {
        let wakeups = WakeUps::new(10, Some(FrameCpu { servers: vec![], bulk: vec![] }));
        wakeups.start_counting();
        wakeups.woken(wakeups.stamp());
        wakeups.answered(wakeups.stamp(), 7, monotonic_ns());
        assert_eq!(wakeups.into_values().map(|values| values.len()), [3, 2]);
    }
}
