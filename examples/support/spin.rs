//! A unit of work that is the same in every run: spins of pure arithmetic, and the clocks that
//! measure them.
//!
//! Work given in spins costs what it costs; work given in CPU time would shrink when a neighbour
//! slows the CPU down, and the neighbour would look harmless.

use std::hint::black_box;

use nix::time::ClockId;
use nix::time::clock_gettime;

const SAMPLE_SPINS: u64 = 100_000;
const SAMPLES: u32 = 60;

/// Burns CPU for `spins` steps that depend on each other and touch no memory.
pub fn spin(spins: u64) {
    let mut state = black_box(0x9e37_79b9_7f4a_7c15_u64);
    for _ in 0..spins {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state);
}

/// Measures how many spins one millisecond of CPU time holds, when nobody disturbs.
///
/// The fastest of many short samples: interrupts and host neighbours only ever make one slower.
pub fn calibrate_spins_per_ms() -> u64 {
    let fastest_ns = (0..SAMPLES)
        .map(|_| {
            let start_ns = thread_cpu_ns();
            spin(SAMPLE_SPINS);
            thread_cpu_ns() - start_ns
        })
        .min()
        .unwrap_or(1)
        .max(1);
    SAMPLE_SPINS * 1_000_000 / fastest_ns
}

/// CPU time the calling thread has used, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    clock_ns(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// The monotonic clock, in nanoseconds; comparable between threads and processes.
pub fn monotonic_ns() -> u64 {
    clock_ns(ClockId::CLOCK_MONOTONIC)
}

/// What `clock` shows, in nanoseconds.
pub fn clock_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("BUG: a clock that exists");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}
