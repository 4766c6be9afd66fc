//! A graphics card as the kernel's DRM shows it: its CRTCs, their modes, their vblanks.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use drm::ClientCapability;
use drm::Device;
use drm::VblankWaitFlags;
use drm::VblankWaitTarget;
use drm::control::Device as ControlDevice;
use drm::control::Event;
use drm::control::Mode;
use drm::control::ModeFlags;
use drm::control::crtc;

use super::frame::CrtcId;

/// An open card. What was asked of it is void when it is closed.
pub struct Card {
    number: u32,
    file: File,
}

/// A CRTC of a card.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crtc {
    /// Which.
    pub id: CrtcId,
    /// Refresh rate of its mode; `None`: it is off.
    pub mode_hz: Option<f64>,
}

/// What we asked an event for; travels with it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Purpose {
    /// To hear of the next vblank.
    Next,
    /// To keep vblanks going: it comes in hours, and until then the kernel leaves them on.
    KeepGoing,
}

/// So many vblanks ahead is [`Purpose::KeepGoing`]: five hours at 240 Hz. The kernel takes 2^23 and more for the past.
const KEEP_GOING_VBLANKS: u32 = 1 << 22;

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Device for Card {}
impl ControlDevice for Card {}

impl Card {
    /// Opens card `number` in `dev_dri`, `/dev/dri` outside of tests.
    ///
    /// # Errors
    /// What `open(2)` says.
    pub fn open(dev_dri: &Path, number: u32) -> io::Result<Self> {
        let path = dev_dri.join(format!("card{number}"));
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let card = Self { number, file };
        // Who opens a card that has no master is made that, and no compositor could start. If we are not, EINVAL.
        let _ = card.release_master_lock();
        // Else the kernel hides from us whether a CRTC is on. Old drivers have nothing to hide.
        let _ = card.set_client_capability(ClientCapability::Atomic, true);
        Ok(card)
    }

    /// Its number, as in `card0`.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its CRTCs.
    ///
    /// # Errors
    /// It has none, or is gone.
    pub fn crtcs(&self) -> io::Result<Vec<Crtc>> {
        let handles = self.resource_handles()?;
        let crtc = |(index, &handle): (usize, &_)| {
            let mode = self.get_crtc(handle)?.mode().filter(|_| self.is_on(handle).unwrap_or(true));
            Ok::<_, io::Error>(Crtc {
                id: CrtcId { card: self.number, crtc: index as u32 },
                mode_hz: mode.as_ref().map(refresh_hz),
            })
        };
        handles.crtcs().iter().enumerate().map(crtc).collect()
    }

    /// A display that sleeps keeps its mode, and its CRTC says that it is not active. `None` where that is not said.
    fn is_on(&self, handle: crtc::Handle) -> Option<bool> {
        let properties = self.get_properties(handle).ok()?;
        let (names, values) = properties.as_props_and_values();
        let is_active = |&property: &_| self.get_property(property).is_ok_and(|info| info.name() == c"ACTIVE");
        names.iter().position(is_active).map(|index| values[index] != 0)
    }

    /// Asks to be told of a vblank of CRTC `crtc`.
    ///
    /// # Errors
    /// It is off, or has no vblanks.
    pub fn ask(&self, crtc: u32, purpose: Purpose) -> io::Result<()> {
        let (vblanks, mark) = match purpose {
            Purpose::Next => (1, 0),
            Purpose::KeepGoing => (KEEP_GOING_VBLANKS, KEEP_GOING_MARK),
        };
        let target = VblankWaitTarget::Relative(vblanks);
        self.wait_vblank(target, VblankWaitFlags::EVENT, crtc, crtc as usize | mark)?;
        Ok(())
    }

    /// What has arrived of what was asked for: which CRTC, and why it was asked.
    ///
    /// # Errors
    /// The card is gone.
    pub fn take(&self) -> io::Result<Vec<(u32, Purpose)>> {
        let events = match self.receive_events() {
            Ok(events) => events,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let ours = events.filter_map(|event| match event {
            Event::Vblank(vblank) => Some(vblank.user_data),
            _ => None,
        });
        let marked = ours.map(|user_data| {
            let purpose = if user_data & KEEP_GOING_MARK == 0 { Purpose::Next } else { Purpose::KeepGoing };
            ((user_data & !KEEP_GOING_MARK) as u32, purpose)
        });
        Ok(marked.collect())
    }
}

/// Set in the data that travels with an event; a card has at most 32 CRTCs.
const KEEP_GOING_MARK: usize = 1 << 8;

/// Numbers of the cards in `dev_dri`, in order.
///
/// # Errors
/// The directory is not there, or not readable.
pub fn numbers(dev_dri: &Path) -> io::Result<Vec<u32>> {
    let number = |name: &str| name.strip_prefix("card")?.parse().ok();
    let mut numbers: Vec<u32> =
        fs::read_dir(dev_dri)?.flatten().filter_map(|entry| number(entry.file_name().to_str()?)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn refresh_hz(mode: &Mode) -> f64 {
    let ((_, _, htotal), (_, _, vtotal)) = (mode.hsync(), mode.vsync());
    let per_field = |flag| if mode.flags().contains(flag) { 2.0 } else { 1.0 };
    let scans = f64::from(mode.vscan().max(1)) * per_field(ModeFlags::DBLSCAN) / per_field(ModeFlags::INTERLACE);
    rate_hz(mode.clock(), htotal, vtotal, scans)
}

/// As the kernel reckons it (`drm_mode_vrefresh()`), but not rounded: the pixel clock over all pixels of a frame, each of
/// which is sent `scans` times; half a frame at a time if that is 0.5.
fn rate_hz(clock_khz: u32, htotal: u16, vtotal: u16, scans: f64) -> f64 {
    let pixels = f64::from(htotal) * f64::from(vtotal) * scans;
    if pixels > 0.0 { f64::from(clock_khz) * 1000.0 / pixels } else { 0.0 }
}

/// What `--drm-debugfs` names must be there.
///
/// # Errors
/// One sentence on what is there instead.
pub fn check(dev_dri: &Path, wanted: CrtcId) -> Result<(), String> {
    let there = numbers(dev_dri).map_err(|error| format!("{} can't be read: {error}", dev_dri.display()))?;
    if !there.contains(&wanted.card) {
        let list = there.iter().map(|number| format!("card{number}")).collect::<Vec<_>>().join(", ");
        let list = if list.is_empty() { "no card".to_owned() } else { list };
        return Err(format!("there is no card{} in {}, which has {list}", wanted.card, dev_dri.display()));
    }
    let crtcs = Card::open(dev_dri, wanted.card).and_then(|card| card.crtcs());
    match crtcs {
        Ok(crtcs) if crtcs.iter().any(|crtc| crtc.id == wanted) => Ok(()),
        Ok(crtcs) if crtcs.is_empty() => Err(format!("card{} has no CRTC", wanted.card)),
        Ok(crtcs) => Err(format!("card{} has no such CRTC, but 0 to {}", wanted.card, crtcs.len() - 1)),
        Err(error) => Err(format!("card{} can't be asked: {error}", wanted.card)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refresh_rate_is_the_pixel_clock_over_the_pixels() {
        // 1920x1080: 60 Hz, and interlaced with half the clock; a mode that is not filled in.
        assert_eq!(rate_hz(148_500, 2200, 1125, 1.0), 60.0);
        assert_eq!(rate_hz(74_250, 2200, 1125, 0.5), 60.0);
        assert_eq!(rate_hz(148_500, 0, 0, 1.0), 0.0);
    }

    #[test]
    fn cards_are_listed_by_number_and_what_is_no_card_is_not() {
        let dir = tempfile::tempdir().expect("make a directory");
        for name in ["card10", "card2", "renderD128", "by-path", "cardX"] {
            fs::write(dir.path().join(name), "").expect("write");
        }
        assert_eq!(numbers(dir.path()).expect("list"), [2, 10]);
    }

    #[test]
    fn a_card_that_is_not_there_is_refused_with_what_is() {
        let dir = tempfile::tempdir().expect("make a directory");
        let wanted = CrtcId { card: 3, crtc: 0 };
        assert!(check(dir.path(), wanted).expect_err("none").contains("no card3"));
        fs::write(dir.path().join("card1"), "").expect("write");
        assert!(check(dir.path(), wanted).expect_err("none").ends_with("which has card1"));
        let gone = dir.path().join("gone");
        assert!(check(&gone, wanted).expect_err("none").contains("can't be read"));
    }
}
