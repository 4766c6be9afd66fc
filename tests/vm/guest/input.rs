//! What the player does, on virtual devices, and packets: which windows open, and who wakes for them.

use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use evdev::AbsInfo;
use evdev::AbsoluteAxisCode;
use evdev::AttributeSet;
use evdev::EventType;
use evdev::InputEvent;
use evdev::KeyCode;
use evdev::PropType;
use evdev::RelativeAxisCode;
use evdev::SwitchCode;
use evdev::UinputAbsSetup;
use evdev::uinput::VirtualDevice;
use evdev::uinput::VirtualDeviceBuilder;
use scx_gamer_run::events::Events;
use scx_gamer_run::events::Wish;
use scx_gamer_run::sched::Scheduler;

use crate::running::Client;
use crate::running::Running;
use crate::running::modprobe;
use crate::support::attach_with;
use crate::support::count;
use crate::support::observe_from_above;
use crate::support::scx_gamer_run;

fn device<'a>(name: &'a str) -> VirtualDeviceBuilder<'a> {
    modprobe("uinput");
    modprobe("evdev");
    VirtualDevice::builder().expect("open uinput").name(name)
}

fn mouse() -> VirtualDevice {
    let axes = AttributeSet::from_iter([RelativeAxisCode::REL_X, RelativeAxisCode::REL_Y]);
    let buttons = AttributeSet::from_iter([KeyCode::BTN_LEFT]);
    let mouse = device("mouse").with_keys(&buttons).and_then(|mouse| mouse.with_relative_axes(&axes));
    mouse.and_then(VirtualDeviceBuilder::build).expect("make a mouse")
}

fn keyboard() -> VirtualDevice {
    let keys = AttributeSet::from_iter([KeyCode::KEY_A]);
    device("keyboard").with_keys(&keys).and_then(VirtualDeviceBuilder::build).expect("make a keyboard")
}

fn with_stick(device: VirtualDeviceBuilder<'_>) -> std::io::Result<VirtualDeviceBuilder<'_>> {
    device.with_absolute_axis(&UinputAbsSetup::new(AbsoluteAxisCode::ABS_X, AbsInfo::new(0, -128, 127, 0, 0, 0)))
}

fn pad() -> VirtualDevice {
    let buttons = AttributeSet::from_iter([KeyCode::BTN_SOUTH]);
    let pad = device("pad").with_keys(&buttons).and_then(with_stick);
    pad.and_then(VirtualDeviceBuilder::build).expect("make a pad")
}

fn accelerometer() -> VirtualDevice {
    let properties = AttributeSet::from_iter([PropType::ACCELEROMETER]);
    let sensor = device("accelerometer").with_properties(&properties).and_then(with_stick);
    sensor.and_then(VirtualDeviceBuilder::build).expect("make an accelerometer")
}

fn lid() -> VirtualDevice {
    let switches = AttributeSet::from_iter([SwitchCode::SW_LID]);
    device("lid").with_switches(&switches).and_then(VirtualDeviceBuilder::build).expect("make a lid")
}

fn emit(device: &mut VirtualDevice, kind: EventType, code: u16, value: i32) {
    device.emit(&[InputEvent::new(kind.0, code, value)]).expect("emit");
}

/// A second of a mouse that reports so often.
fn move_for_a_second(mouse: &mut VirtualDevice, reports_hz: u32) {
    let began = Instant::now();
    for report in 0..reports_hz {
        let motion = |axis: RelativeAxisCode| InputEvent::new(EventType::RELATIVE.0, axis.0, 1);
        mouse.emit(&[motion(RelativeAxisCode::REL_X), motion(RelativeAxisCode::REL_Y)]).expect("emit");
        sleep((Duration::from_secs(1) * report / reports_hz).saturating_sub(began.elapsed()));
    }
}

#[test]
fn a_mouse_opens_windows_in_the_kernel_and_wakes_no_process_of_ours() {
    observe_from_above();
    for reports_hz in [1000, 8000] {
        let running = Running::start(&[]);
        let mut mouse = mouse();
        sleep(Duration::from_millis(300)); // whoever manages devices
        let mut client = Client::connect();
        client.stats();
        let sleeps = running.sleeps_once_quiet();
        move_for_a_second(&mut mouse, reports_hz);
        assert_eq!(running.sleeps(), sleeps, "woken by {reports_hz} reports");
        let stats = client.stats();
        let [events, windows] = ["input_event", "input_window"].map(|name| stats[name].as_u64().expect("a number"));
        assert!((2 * u64::from(reports_hz)..=2 * u64::from(reports_hz) + 100).contains(&events), "{events} events");
        // One window for each report at 1000 a second; at 8000 no more than one in an eighth of its 2 ms.
        assert!((900..=4100).contains(&windows), "{windows} windows at {reports_hz} reports a second");
        assert!(running.said().contains("input: seen in the kernel"), "{}", running.said());
        running.stop();
    }
}

#[test]
fn what_is_by_hand_opens_windows_and_lids_and_sensors_do_not() {
    let mut scheduler = attach_with(&[]);
    let wish = Wish { input: true, packets: false, frames: None };
    let _events = Events::begin(&wish, Path::new("/dev"), Path::new("/sys"), &mut scheduler).expect("begin");
    let seen = |device: &mut VirtualDevice, kind: EventType, code: u16| {
        let before = count(&scheduler, "input_event");
        for value in [1, 0, 1, 0] {
            emit(device, kind, code, value);
        }
        count(&scheduler, "input_event") - before
    };
    assert_eq!(seen(&mut keyboard(), EventType::KEY, KeyCode::KEY_A.0), 4);
    assert_eq!(seen(&mut pad(), EventType::ABSOLUTE, AbsoluteAxisCode::ABS_X.0), 4);
    assert_eq!(seen(&mut mouse(), EventType::KEY, KeyCode::BTN_LEFT.0), 4);
    assert_eq!(seen(&mut lid(), EventType::SWITCH, SwitchCode::SW_LID.0), 0);
    assert_eq!(seen(&mut accelerometer(), EventType::ABSOLUTE, AbsoluteAxisCode::ABS_X.0), 0);
}

/// Lets `events` deal with what comes until `is_done`; false: that did not come true.
fn handle_until(
    events: &mut Events,
    scheduler: &mut Scheduler,
    mut is_done: impl FnMut(&Events, &Scheduler) -> bool,
) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        events.handle(scheduler);
        if is_done(events, scheduler) {
            return true;
        }
        sleep(Duration::from_millis(5));
    }
    false
}

#[test]
fn device_files_serve_as_well_and_devices_may_come_and_go() {
    let mut scheduler = attach_with(&[]);
    let mut first = mouse();
    let mut events = Events::begin_with_devices(Path::new("/dev")).expect("begin");
    let alone = events.sources().input;
    let windows = |scheduler: &Scheduler| count(scheduler, "input_window");
    for round in 0..3 {
        let so_far = windows(&scheduler);
        let mut report = || emit(&mut first, EventType::RELATIVE, RelativeAxisCode::REL_X.0, 1);
        // Nobody reads: more than the device's buffer holds.
        (0..100).for_each(|_| report());
        // The hand moves on: all of those may be too soon after the window of the round before.
        let has_opened = handle_until(&mut events, &mut scheduler, |_, scheduler| {
            report();
            windows(scheduler) > so_far
        });
        assert!(has_opened, "round {round}");
    }
    let (mut second, mut lid) = (pad(), lid());
    let is_watched = handle_until(&mut events, &mut scheduler, |events, _| events.sources().input != alone);
    assert!(is_watched, "a device that comes is watched");
    let so_far = windows(&scheduler);
    emit(&mut second, EventType::KEY, KeyCode::BTN_SOUTH.0, 1);
    assert!(handle_until(&mut events, &mut scheduler, |_, scheduler| windows(scheduler) > so_far), "it is heard");
    drop(second);
    let is_let_go = handle_until(&mut events, &mut scheduler, |events, _| events.sources().input == alone);
    assert!(is_let_go, "a device that goes is let go");
    let so_far = windows(&scheduler);
    emit(&mut lid, EventType::SWITCH, SwitchCode::SW_LID.0, 1);
    sleep(Duration::from_millis(200));
    events.handle(&mut scheduler);
    assert_eq!(windows(&scheduler), so_far, "a lid opens no window");
}

#[test]
fn packets_open_windows_where_they_arrive_if_that_is_wished() {
    for (flags, is_wished) in [(&["--prefer-napi-on-input"][..], true), (&[], false)] {
        let mut scheduler = attach_with(flags);
        let wish = Wish { input: false, packets: is_wished, frames: None };
        let _events = Events::begin(&wish, Path::new("/dev"), Path::new("/sys"), &mut scheduler).expect("begin");
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let mut sender = TcpStream::connect(listener.local_addr().expect("an address")).expect("connect");
        let (mut receiver, _) = listener.accept().expect("accept");
        for _ in 0..20 {
            sender.write_all(&[7; 100]).expect("send");
            receiver.read_exact(&mut [0; 100]).expect("receive");
        }
        assert_eq!(count(&scheduler, "napi_window") >= 20, is_wished);
        let is_open = |cpu| !scheduler.cpu_state(cpu).expect("ask for a CPU's state").open_windows.is_empty();
        assert!(is_wished || !(is_open(0) || is_open(1)));
    }
}

#[test]
fn an_idle_machine_is_left_alone() {
    observe_from_above();
    let running = Running::start(&[]);
    let sleeps = running.sleeps_once_quiet();
    sleep(Duration::from_secs(3));
    assert_eq!(running.sleeps(), sleeps);
    running.stop();
}

#[test]
fn the_wrapper_says_who_sees_events() {
    let output = scx_gamer_run(&["--wait-attach", "true"]).output().expect("run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("ms (input: seen in the kernel, frames: off)"), "{stderr}");
}
