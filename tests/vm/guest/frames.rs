//! The frame clock on a virtual display: which source it follows, and what happens when that goes away.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use scx_gamer_run::events::Events;
use scx_gamer_run::events::FrameWish;
use scx_gamer_run::events::Wish;
use scx_gamer_run::events::card;
use scx_gamer_run::events::card::Card;
use scx_gamer_run::events::card::Crtc;
use scx_gamer_run::events::card::Purpose;
use scx_gamer_run::sched::Scheduler;

use crate::running::Client;
use crate::running::Running;
use crate::running::modprobe;
use crate::support::attach_with;
use crate::support::observe_from_above;
use crate::support::scx_gamer;
use crate::support::state;
use crate::support::wait_until;

/// The display of the test machine, on: its card and its one CRTC.
fn display() -> (Card, Crtc) {
    modprobe("bochs");
    let crtc = || {
        let card = Card::open(Path::new("/dev/dri"), *card::numbers(Path::new("/dev/dri")).ok()?.first()?).ok()?;
        let crtc = card.crtcs().ok()?.into_iter().find(|crtc| crtc.mode_hz.is_some())?;
        Some((card, crtc))
    };
    let mut found = None;
    wait_until("a display is on", || {
        found = crtc();
        found.is_some()
    });
    found.expect("a display")
}

/// The virtual display has had vblanks since 7.0; before, a timer stands in.
fn has_vblanks() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("read the kernel's release");
    let major = release.split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.expect("a number") >= 7
}

fn source_of_frames(crtc: &Crtc) -> String {
    match has_vblanks() {
        true => format!("frames: vblanks of {} seen in the kernel", crtc.id),
        false => format!("frames: timer at the mode of {}", crtc.id),
    }
}

#[test]
fn the_tracepoint_and_the_card_tell_of_the_same_vblanks() {
    let (card, crtc) = display();
    let scheduler = attach_with(&["--frame-window-us", "2000"]);
    assert_eq!(card.ask(crtc.id.crtc, Purpose::Next).is_ok(), has_vblanks());
    if !has_vblanks() {
        return;
    }
    let _eyes = scheduler.see_vblanks().expect("watch the tracepoint");
    let traced = |scheduler: &Scheduler| scheduler.vblanks()[crtc.id.crtc as usize];
    let (began, before, mut told) = (Instant::now(), traced(&scheduler), 0);
    while began.elapsed() < Duration::from_secs(3) {
        for _ in card.take().expect("vblanks") {
            told += 1;
            card.ask(crtc.id.crtc, Purpose::Next).expect("ask");
        }
        sleep(Duration::from_millis(1));
    }
    let (traced, elapsed) = ((traced(&scheduler) - before) as f64, began.elapsed().as_secs_f64());
    let (told, mode_hz) = (f64::from(told), crtc.mode_hz.expect("a mode"));
    assert!((traced / told - 1.0).abs() < 0.02, "{traced} seen by the tracepoint, {told} told by the card");
    assert!((told / elapsed / mode_hz - 1.0).abs() < 0.02, "{} Hz, the mode has {mode_hz}", told / elapsed);
}

#[test]
fn frames_are_followed_without_a_wake_up_a_frame_where_the_kernel_sees_them() {
    let (_card, crtc) = display();
    observe_from_above();
    let running = Running::start(&["--frame-window-us", "2000"]);
    running.wait_for(&source_of_frames(&crtc));
    let mut client = Client::connect();
    client.stats();
    let sleeps = running.sleeps();
    sleep(Duration::from_secs(3));
    let slept = running.sleeps() - sleeps;
    let stats = client.stats();
    let (fps, mode_hz) = (stats["fps_hz"].as_f64().expect("a number"), crtc.mode_hz.expect("a mode"));
    assert!((fps / mode_hz - 1.0).abs() < 0.03, "{stats}");
    assert!((stats["frame_source_hz"].as_f64().expect("a number") / mode_hz - 1.0).abs() < 0.03, "{stats}");
    assert_eq!(stats["frame_window"], stats["frame_event"]);
    // A look each second, and what a request costs; a timer in user space ticks with every frame.
    if has_vblanks() {
        assert!(slept < 10, "woken {slept} times in 3 s at {fps} frames a second");
    } else {
        assert!(slept > 150, "woken {slept} times in 3 s at {fps} frames a second");
    }
    running.stop();
}

#[test]
fn where_the_kernel_part_sees_no_vblanks_the_card_tells_of_each() {
    let (_card, crtc) = display();
    // Without frame windows the program that watches the tracepoint is not loaded.
    let mut scheduler = attach_with(&[]);
    let frames = FrameWish { given_hz: None, crtc: None, sample: Duration::from_millis(100) };
    let wish = Wish { input: false, packets: false, frames: Some(frames) };
    let mut events = Events::begin(&wish, Path::new("/dev"), Path::new("/sys"), &mut scheduler).expect("begin");
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2500) {
        events.handle(&mut scheduler);
        sleep(Duration::from_millis(1));
    }
    let sources = events.sources();
    let expected = if has_vblanks() { "vblank events of" } else { "timer at the mode of" };
    assert!(sources.frame.starts_with(expected), "{sources:?}");
    let mode_hz = crtc.mode_hz.expect("a mode");
    assert!((sources.frame_hz / mode_hz - 1.0).abs() < 0.03, "{sources:?}, the mode has {mode_hz} Hz");
}

#[test]
fn a_display_that_goes_off_and_on_again_is_followed_again() {
    let (_card, crtc) = display();
    let running = Running::start(&["--frame-window-us", "2000", "--vblank-sample-ms", "100"]);
    let source = source_of_frames(&crtc);
    running.wait_for(&source);
    blank("4");
    running.wait_for("frames: none");
    let nr_lines = running.said().lines().count();
    blank("0");
    wait_until("it follows the display again", || {
        running.said().lines().skip(nr_lines).any(|line| line.contains(&source))
    });
    running.stop();
}

/// Switches the console's display off (4) or on (0).
fn blank(level: &str) {
    let consoles = fs::read_dir("/sys/class/graphics").expect("list consoles").flatten();
    let mut files = consoles.map(|entry| entry.path().join("blank")).filter(|file| file.exists());
    fs::write(files.next().expect("a console with a display"), level).expect("switch the display");
}

#[test]
fn a_card_that_is_unplugged_and_plugged_in_again_is_followed_again() {
    let (card, crtc) = display();
    let running = Running::start(&["--frame-window-us", "2000", "--vblank-sample-ms", "100"]);
    running.wait_for(&source_of_frames(&crtc));
    drop(card);
    fs::write(format!("/sys/class/drm/card{}/device/remove", crtc.id.card), "1").expect("unplug");
    running.wait_for("frames: none");
    let nr_lines = running.said().lines().count();
    fs::write("/sys/bus/pci/rescan", "1").expect("plug in");
    let (_card, crtc) = display();
    wait_until("it follows the display again", || {
        running.said().lines().skip(nr_lines).any(|line| line.contains(&source_of_frames(&crtc)))
    });
    running.stop();
}

#[test]
fn nobody_is_kept_from_being_master_of_the_card() {
    let (card, crtc) = display();
    let running = Running::start(&["--frame-window-us", "2000"]);
    running.wait_for(&source_of_frames(&crtc));
    drm::Device::acquire_master_lock(&card).expect("become master");
    drm::Device::release_master_lock(&card).expect("be it no longer");
    running.stop();
}

#[test]
fn a_rate_that_is_given_is_kept_whatever_the_display_does() {
    let running = Running::start(&["--frame-window-us", "2000", "--frame-hz", "50"]);
    let mut client = Client::connect();
    client.stats();
    sleep(Duration::from_secs(2));
    let stats = client.stats();
    assert!((49.0..51.0).contains(&stats["fps_hz"].as_f64().expect("a number")), "{stats}");
    assert_eq!(stats["frame_source"], "timer as told");
    running.stop();
}

#[test]
fn what_does_not_exist_is_refused_by_flag_and_value_and_nothing_is_attached() {
    let (_card, crtc) = display();
    let (no_card, no_crtc) = ("7:0".to_owned(), format!("{}:9", crtc.id.card));
    for (flags, words) in [
        (&["--frame-window-us", "1", "--drm-debugfs", &no_card][..], ["--drm-debugfs 7:0", "card0"]),
        (&["--frame-window-us", "1", "--drm", &no_crtc], [":9", "no such CRTC"]),
        (&["--event-loop-cpu", "99"], ["--event-loop-cpu 99", "give one of 0,1"]),
    ] {
        let output = scx_gamer(flags).output().expect("run");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(words.iter().all(|word| stderr.contains(word)), "{stderr}");
        assert_eq!(state(), "disabled");
    }
}

#[test]
fn the_event_loop_runs_where_it_is_told() {
    let running = Running::start(&["--event-loop-cpu", "1"]);
    let status = fs::read_to_string(format!("/proc/{}/status", running.process.pid())).expect("read its status");
    assert!(status.contains("Cpus_allowed_list:\t1\n"), "{status}");
    running.stop();
}
