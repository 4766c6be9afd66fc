//! The input reader: a thread woken for each report of a device, here a timer or a virtual mouse.
//!
//! The timer's interrupt stands for the device's: it comes at a known moment whatever the
//! scheduler does, so the delay from that moment to "handled" is the scheduler's alone. A mouse's
//! reports go through the kernel's input core and carry the time at which they came by there.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use anyhow::Context;
use anyhow::Result;
use nix::sys::time::TimeSpec;
use nix::sys::time::TimeValLike;
use nix::sys::timerfd::ClockId;
use nix::sys::timerfd::Expiration;
use nix::sys::timerfd::TimerFd;
use nix::sys::timerfd::TimerFlags;
use nix::sys::timerfd::TimerSetTimeFlags;

use crate::mouse;
use crate::mouse::Hand;
use crate::spin::monotonic_ns;
use crate::spin::spin;

/// A running input thread.
pub struct InputReader {
    switches: Arc<Switches>,
    thread: JoinHandle<Vec<u64>>,
    /// Moves until the reader has gone: it looks for its end when it is woken.
    _hand: Option<Hand>,
}

/// What the game tells its reader.
#[derive(Default)]
pub struct Switches {
    pub counting: AtomicBool,
    pub stopping: AtomicBool,
}

impl InputReader {
    /// Reads `reports_hz` reports a second, of a virtual mouse or a timer, and works `spins_per_report` on each.
    pub fn start(has_device: bool, reports_hz: u32, spins_per_report: u64) -> Result<Self> {
        let switches = Arc::new(Switches::default());
        let seen = Arc::clone(&switches);
        let reader = std::thread::Builder::new().name("input".into());
        if has_device {
            let (mouse, hand) = mouse::plug_in(reports_hz)?;
            let thread = reader
                .spawn(move || mouse::read_reports(mouse, spins_per_report, &seen))
                .context("start the input thread")?;
            return Ok(Self { switches, thread, _hand: Some(hand) });
        }
        let period_ns = 1_000_000_000 / u64::from(reports_hz);
        let first_ns = monotonic_ns() + period_ns;
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC).context("make a timer for input")?;
        let span = |ns: u64| TimeSpec::nanoseconds(ns as i64);
        timer
            .set(Expiration::IntervalDelayed(span(first_ns), span(period_ns)), TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            .context("start the timer for input")?;
        let thread = reader
            .spawn(move || read_reports(&timer, first_ns, period_ns, spins_per_report, &seen))
            .context("start the input thread")?;
        Ok(Self { switches, thread, _hand: None })
    }

    /// Delays count from now on.
    pub fn start_counting(&self) {
        self.switches.counting.store(true, Ordering::Relaxed);
    }

    /// Ends the thread and returns the delay of every counted report, due to handled, in
    /// nanoseconds.
    pub fn stop(self) -> Vec<u64> {
        self.switches.stopping.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn read_reports(
    timer: &TimerFd,
    first_ns: u64,
    period_ns: u64,
    spins_per_report: u64,
    switches: &Switches,
) -> Vec<u64> {
    let mut delays_ns = Vec::with_capacity(1 << 16);
    let mut due_ns = first_ns;
    while !switches.stopping.load(Ordering::Relaxed) && timer.wait().is_ok() {
        // A late wake-up finds several reports; each has waited since its own moment.
        while due_ns <= monotonic_ns() {
            spin(spins_per_report);
            if switches.counting.load(Ordering::Relaxed) {
                delays_ns.push(monotonic_ns() - due_ns);
            }
            due_ns += period_ns;
        }
    }
    delays_ns
}
