//! What the player, the display and the network do, as it reaches the scheduler: through the kernel part itself where
//! that can see it, else through us.

pub mod card;
mod cards;
mod clock;
mod counter;
pub mod frame;
pub mod input;

use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::path::Path;

use nix::sys::epoll::Epoll;
use nix::sys::epoll::EpollCreateFlags;
use nix::sys::epoll::EpollEvent;
use nix::sys::epoll::EpollFlags;
use nix::sys::epoll::EpollTimeout;

use self::clock::Clock;
pub use self::clock::FrameWish;
use self::input::Devices;
use crate::sched::KernelEyes;
use crate::sched::Scheduler;
use crate::sched::Window;
use crate::sched::stats::Sources;

/// Which events open windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// What the player does.
    pub input: bool,
    /// Packets that arrive.
    pub packets: bool,
    /// Beginnings of frames.
    pub frames: Option<FrameWish>,
}

/// All sources of events of an attached scheduler. Dropping it closes them.
pub struct Events {
    epoll: Epoll,
    input: Input,
    _packets: Option<KernelEyes>,
    clock: Option<Clock>,
}

/// Who sees what the player does.
enum Input {
    Nobody,
    Kernel { _eyes: KernelEyes },
    Devices(Devices),
}

/// Where an event comes from, as it stands in our epoll.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Origin {
    /// Input devices come or go.
    InputHotplug,
    /// The device with this number, counted since the attach.
    InputDevice(u32),
    /// Cards come or go.
    CardHotplug,
    /// `/dev/dri/card` and this number.
    Card(u32),
    /// A file in debugfs.
    Counter,
    /// The timer that stands in for vblanks.
    Tick,
    /// Time to look at the frame clock's source.
    Look,
}

impl Origin {
    fn token(self) -> u64 {
        let (kind, number) = match self {
            Self::InputHotplug => (0, 0),
            Self::InputDevice(number) => (1, number),
            Self::CardHotplug => (2, 0),
            Self::Card(number) => (3, number),
            Self::Counter => (4, 0),
            Self::Tick => (5, 0),
            Self::Look => (6, 0),
        };
        kind << 32 | u64::from(number)
    }

    fn of(token: u64) -> Self {
        let number = token as u32;
        match token >> 32 {
            0 => Self::InputHotplug,
            1 => Self::InputDevice(number),
            2 => Self::CardHotplug,
            3 => Self::Card(number),
            4 => Self::Counter,
            5 => Self::Tick,
            _ => Self::Look,
        }
    }
}

impl AsFd for Events {
    /// Readable when there is something to [`Events::handle`].
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

impl Events {
    /// Opens every source that is wished for. One that can't be had is replaced, or done without, in words.
    ///
    /// `dev` and `sysfs` are `/dev` and `/sys` outside of tests.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn begin(wish: &Wish, dev: &Path, sysfs: &Path, scheduler: &mut Scheduler) -> anyhow::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let input = if wish.input { see_input(scheduler, &dev.join("input"), &epoll) } else { Input::Nobody };
        let packets = wish.packets.then(|| scheduler.see_packets());
        let packets = packets.and_then(|eyes| eyes.map_err(|why| log::warn!("no NAPI windows open: {why:#}")).ok());
        let debugfs = sysfs.join("kernel/debug");
        let clock = wish.frames.map(|wish| Clock::begin(wish, &dev.join("dri"), &debugfs, scheduler, &epoll));
        Ok(Self { epoll, input, _packets: packets, clock: clock.transpose()? })
    }

    /// As [`Events::begin`], for a kernel part that does not see input.
    ///
    /// # Errors
    /// There is no directory of input devices.
    pub fn begin_with_devices(dev: &Path) -> anyhow::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let input = Input::Devices(Devices::open(&dev.join("input"), &epoll)?);
        Ok(Self { epoll, input, _packets: None, clock: None })
    }

    /// Deals with everything that has happened. True if another source of frames is followed from now on.
    pub fn handle(&mut self, scheduler: &mut Scheduler) -> bool {
        let mut ready = [EpollEvent::empty(); 16];
        let nr_ready = self.epoll.wait(&mut ready, EpollTimeout::ZERO).unwrap_or(0);
        let mut has_changed = false;
        for event in &ready[..nr_ready] {
            let origin = Origin::of(event.data());
            match (&mut self.input, &mut self.clock) {
                (Input::Devices(devices), _) if origin == Origin::InputHotplug => devices.hotplug(&self.epoll),
                (Input::Devices(devices), _) if matches!(origin, Origin::InputDevice(_)) => {
                    see_device(devices, origin, event.events(), scheduler, &self.epoll);
                }
                (_, Some(clock)) => has_changed |= clock.handle(origin, scheduler, &self.epoll),
                _ => {}
            }
        }
        has_changed
    }

    /// Who sees what, in words, and how often frames begin.
    pub fn sources(&self) -> Sources {
        let input = match &self.input {
            Input::Nobody => "off".to_owned(),
            Input::Kernel { .. } => "seen in the kernel".to_owned(),
            Input::Devices(devices) => format!("{} device files", devices.nr_open()),
        };
        match &self.clock {
            None => Sources { input, frame: "off".to_owned(), frame_hz: 0.0 },
            Some(clock) if clock.is_new() => Sources { input, frame: "looking for vblanks".to_owned(), frame_hz: 0.0 },
            Some(clock) => {
                let (source, frame_hz) = clock.source();
                Sources { input, frame: source.to_string(), frame_hz }
            }
        }
    }
}

fn see_input(scheduler: &Scheduler, dev_input: &Path, epoll: &Epoll) -> Input {
    match scheduler.see_input() {
        Ok(eyes) => Input::Kernel { _eyes: eyes },
        Err(why) => {
            log::debug!("input devices are watched in user space: {why:#}");
            let devices = Devices::open(dev_input, epoll).map_err(|why| log::warn!("no input windows open: {why:#}"));
            devices.map_or(Input::Nobody, Input::Devices)
        }
    }
}

fn see_device(devices: &mut Devices, origin: Origin, flags: EpollFlags, scheduler: &Scheduler, epoll: &Epoll) {
    let Origin::InputDevice(number) = origin else { return };
    if flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
        devices.unplug(number, epoll);
    } else if let Err(why) = scheduler.open_window(Window::Input, None) {
        log::debug!("no input window: {why:#}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_survives_the_way_through_epoll() {
        for origin in [
            Origin::InputHotplug,
            Origin::InputDevice(u32::MAX),
            Origin::CardHotplug,
            Origin::Card(3),
            Origin::Counter,
            Origin::Tick,
            Origin::Look,
        ] {
            assert_eq!(Origin::of(origin.token()), origin);
        }
    }
}
