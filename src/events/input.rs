//! What the player's hand does: seen in the kernel, or else by way of the device files.
//!
//! The device files are waited for and never read: that something can be read is all we want to know. What is in there
//! stays there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use evdev::EventType;
use evdev::PropType;
use evdev::raw_stream::RawDevice;
use inotify::Inotify;
use inotify::WatchMask;
use nix::sys::epoll::Epoll;
use nix::sys::epoll::EpollEvent;
use nix::sys::epoll::EpollFlags;

use super::Origin;
use crate::files;

/// What an input device can do, as far as that tells whether a hand is on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Kind {
    /// Keys or buttons.
    pub has_keys: bool,
    /// Moves by so much: a mouse, a wheel.
    pub is_relative: bool,
    /// Is somewhere: a stick, a tablet, a touch screen, but also a sensor.
    pub is_absolute: bool,
    /// Says of itself that it is a sensor.
    pub is_accelerometer: bool,
}

impl Kind {
    /// Of an open device.
    pub fn of(device: &RawDevice) -> Self {
        let has = |kind| device.supported_events().contains(kind);
        Self {
            has_keys: has(EventType::KEY),
            is_relative: has(EventType::RELATIVE),
            is_absolute: has(EventType::ABSOLUTE),
            is_accelerometer: device.properties().contains(PropType::ACCELEROMETER),
        }
    }

    /// As sysfs describes the device to everybody, in the directory of its `capabilities`.
    ///
    /// # Errors
    /// The description can't be read, or is none.
    pub fn in_sysfs(directory: &Path) -> io::Result<Self> {
        let events = lowest_bits(&directory.join("capabilities/ev"))?;
        let properties = lowest_bits(&directory.join("properties"))?;
        let has = |kind: EventType| events & (1 << kind.0) != 0;
        Ok(Self {
            has_keys: has(EventType::KEY),
            is_relative: has(EventType::RELATIVE),
            is_absolute: has(EventType::ABSOLUTE),
            is_accelerometer: properties & (1 << PropType::ACCELEROMETER.0) != 0,
        })
    }

    /// Whether its events open windows; `is_by_hand()` in `bpf/events.bpf.c` says the same.
    pub fn is_by_hand(self) -> bool {
        !self.is_accelerometer && (self.has_keys || self.is_relative)
    }
}

/// The last word of a bitmap in sysfs, which has the highest bits first.
fn lowest_bits(path: &Path) -> io::Result<u64> {
    let text = files::read_text(path)?;
    let last = text.split_ascii_whitespace().last().unwrap_or_default();
    u64::from_str_radix(last, 16).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))
}

/// Every device file in `dev_input`, `/dev/input` outside of tests, in the order of names.
///
/// # Errors
/// The directory is not there, or not readable.
pub fn device_files(dev_input: &Path) -> io::Result<Vec<PathBuf>> {
    let is_device = |name: &OsString| name.to_string_lossy().starts_with("event");
    let entries = fs::read_dir(dev_input)?.flatten().filter(|entry| is_device(&entry.file_name()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

/// The device files of whatever a hand is on, open, and news of others.
pub struct Devices {
    dev_input: PathBuf,
    hotplug: Inotify,
    open: BTreeMap<PathBuf, (u32, RawDevice)>,
    nr_ever: u32,
    has_complained: bool,
}

impl Devices {
    /// Opens those that are there and watches for others.
    ///
    /// # Errors
    /// There is no such directory, or it can't be watched.
    pub fn open(dev_input: &Path, epoll: &Epoll) -> anyhow::Result<Self> {
        let hotplug = Inotify::init().context("watch for input devices")?;
        // Attributes, because who manages devices gives a new one its permissions a moment later.
        let mask = WatchMask::CREATE | WatchMask::ATTRIB | WatchMask::DELETE;
        hotplug.watches().add(dev_input, mask).with_context(|| format!("watch {}", dev_input.display()))?;
        epoll.add(hotplug.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, Origin::InputHotplug.token()))?;
        let mut devices =
            Self { dev_input: dev_input.to_owned(), hotplug, open: BTreeMap::new(), nr_ever: 0, has_complained: false };
        devices.look(epoll);
        Ok(devices)
    }

    /// How many are open.
    pub fn nr_open(&self) -> usize {
        self.open.len()
    }

    /// Something came or went.
    pub fn hotplug(&mut self, epoll: &Epoll) {
        // Which one does not matter: several may have.
        let _ = self.hotplug.read_events(&mut [0; 4096]);
        self.look(epoll);
    }

    /// The device with this number is gone.
    pub fn unplug(&mut self, number: u32, epoll: &Epoll) {
        self.open.retain(|_, (open, _)| *open != number);
        self.look(epoll); // another one may have taken its name meanwhile
    }

    fn look(&mut self, epoll: &Epoll) {
        let files = device_files(&self.dev_input).unwrap_or_default();
        self.open.retain(|path, _| files.contains(path));
        let mut refused = Vec::new();
        for path in files {
            if self.open.contains_key(&path) {
                continue;
            }
            match RawDevice::open(&path) {
                Ok(device) if Kind::of(&device).is_by_hand() => self.add(path, device, epoll),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => refused.push(path),
                Err(error) => log::debug!("{} is not watched: {error}", path.display()),
            }
        }
        if let (Some(path), false) = (refused.first(), self.has_complained) {
            self.has_complained = true;
            log::warn!(
                "no permission to open {} and {} more: their events open no windows; start scx_gamer as root",
                path.display(),
                refused.len() - 1
            );
        }
    }

    fn add(&mut self, path: PathBuf, device: RawDevice, epoll: &Epoll) {
        self.nr_ever += 1;
        // Edge-triggered: each report wakes us although nobody ever reads the one before.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        match epoll.add(device.as_fd(), EpollEvent::new(flags, Origin::InputDevice(self.nr_ever).token())) {
            Ok(()) => {
                log::debug!("{} is watched", path.display());
                self.open.insert(path, (self.nr_ever, device));
            }
            Err(error) => log::debug!("{} is not watched: {error}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Kind = Kind { has_keys: false, is_relative: false, is_absolute: false, is_accelerometer: false };

    #[test]
    fn keys_and_motion_are_by_hand_and_sensors_and_switches_are_not() {
        for (what, kind, is_by_hand) in [
            ("a keyboard", Kind { has_keys: true, ..NOTHING }, true),
            ("a mouse", Kind { has_keys: true, is_relative: true, ..NOTHING }, true),
            ("a dial", Kind { is_relative: true, ..NOTHING }, true),
            ("a game pad", Kind { has_keys: true, is_absolute: true, ..NOTHING }, true),
            ("a light sensor", Kind { is_absolute: true, ..NOTHING }, false),
            ("a pad's motion sensor", Kind { is_absolute: true, is_accelerometer: true, ..NOTHING }, false),
            ("a sensor with a button", Kind { has_keys: true, is_accelerometer: true, ..NOTHING }, false),
            ("a lid", NOTHING, false),
        ] {
            assert_eq!(kind.is_by_hand(), is_by_hand, "{what}");
        }
    }

    #[test]
    fn sysfs_tells_the_kind_of_a_device_to_who_may_not_open_it() {
        let dir = tempfile::tempdir().expect("make a directory");
        fs::create_dir(dir.path().join("capabilities")).expect("make a directory");
        let in_sysfs = |events: &str, properties: &str| {
            fs::write(dir.path().join("capabilities/ev"), events).expect("write");
            fs::write(dir.path().join("properties"), properties).expect("write");
            Kind::in_sysfs(dir.path())
        };
        let keyboard = Kind { has_keys: true, ..NOTHING };
        let mouse = Kind { has_keys: true, is_relative: true, ..NOTHING };
        let sensor = Kind { is_absolute: true, is_accelerometer: true, ..NOTHING };
        assert_eq!(in_sysfs("120013\n", "0\n").expect("a keyboard"), keyboard);
        assert_eq!(in_sysfs("17\n", "0\n").expect("a mouse"), mouse);
        assert_eq!(in_sysfs("9\n", "40\n").expect("a motion sensor"), sensor);
        assert_eq!(in_sysfs("1 21\n", "0\n").expect("two words"), NOTHING);
        for nonsense in ["", "keys", "-1"] {
            assert!(in_sysfs(nonsense, "0").is_err(), "{nonsense:?}");
        }
        fs::remove_file(dir.path().join("properties")).expect("remove");
        assert!(Kind::in_sysfs(dir.path()).is_err());
    }

    #[test]
    fn device_files_are_those_with_events() {
        let dir = tempfile::tempdir().expect("make a directory");
        for name in ["event1", "event0", "mouse0", "by-id"] {
            fs::write(dir.path().join(name), "").expect("write");
        }
        let names = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let files = device_files(dir.path()).expect("list");
        assert_eq!(files.iter().filter_map(names).collect::<Vec<_>>(), ["event0", "event1"]);
    }
}
