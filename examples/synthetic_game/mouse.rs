//! A virtual mouse, the hand that moves it, and a reader of its reports.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use anyhow::Context;
use anyhow::Result;
use evdev::AttributeSet;
use evdev::EventType;
use evdev::InputEvent;
use evdev::KeyCode;
use evdev::RelativeAxisCode;
use evdev::raw_stream::RawDevice;
use evdev::uinput::VirtualDevice;

use crate::input::Switches;
use crate::policy::become_real_time;
use crate::spin::spin;

/// As the kernel gives its own interrupt threads.
const INTERRUPT_PRIORITY: i32 = 50;

/// Moves the mouse until it is dropped.
pub struct Hand {
    is_tired: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.is_tired.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Makes the mouse and a hand that moves it so often.
pub fn plug_in(reports_hz: u32) -> Result<(RawDevice, Hand)> {
    let axes = AttributeSet::from_iter([RelativeAxisCode::REL_X]);
    let buttons = AttributeSet::from_iter([KeyCode::BTN_LEFT]); // without one it is no mouse to anybody
    let mut mouse = VirtualDevice::builder()
        .and_then(|mouse| mouse.name("synthetic game").with_keys(&buttons)?.with_relative_axes(&axes)?.build())
        .context("make a virtual mouse: needs root and the modules uinput and evdev")?;
    let node = mouse.enumerate_dev_nodes_blocking()?.flatten().next().context("the mouse has no device file")?;
    let reader = RawDevice::open(&node).with_context(|| format!("open {}", node.display()))?;
    let is_tired = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_tired);
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name("hand".into()).spawn(move || {
        // Reports come when they are due, as interrupts do, whatever the scheduler does.
        let is_real_time = become_real_time(INTERRUPT_PRIORITY);
        let is_ready = is_real_time.is_ok();
        let _ = tell.send(is_real_time);
        if is_ready {
            move_about(&mut mouse, reports_hz, &seen);
        }
    })?;
    let hand = Hand { is_tired, thread: Some(thread) };
    told.recv()?.context("move the mouse as punctually as an interrupt: needs root")?;
    Ok((reader, hand))
}

fn move_about(mouse: &mut VirtualDevice, reports_hz: u32, is_tired: &AtomicBool) {
    let (began, mut report) = (Instant::now(), 0);
    while !is_tired.load(Ordering::Relaxed) {
        report += 1;
        sleep((Duration::from_secs(1) * report / reports_hz).saturating_sub(began.elapsed()));
        if mouse.emit(&[InputEvent::new(EventType::RELATIVE.0, RelativeAxisCode::REL_X.0, 1)]).is_err() {
            return;
        }
    }
}

/// Handles reports until told to stop; the delay of each counted one, from the input core to handled, in nanoseconds.
pub fn read_reports(mut mouse: RawDevice, spins_per_report: u64, switches: &Switches) -> Vec<u64> {
    let mut delays_ns = Vec::with_capacity(1 << 16);
    while !switches.stopping.load(Ordering::Relaxed) {
        let Ok(events) = mouse.fetch_events() else { break };
        for event in events.filter(|event| event.event_type() == EventType::RELATIVE) {
            spin(spins_per_report);
            let delay = SystemTime::now().duration_since(event.timestamp()).unwrap_or_default();
            if switches.counting.load(Ordering::Relaxed) {
                delays_ns.push(delay.as_nanos() as u64);
            }
        }
    }
    delays_ns
}
