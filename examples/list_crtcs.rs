//! Prints every CRTC, the refresh rate of its mode, and which sources of vblanks fire: a table for a bug report.
//!
//! Listens for a second. The tracepoint is heard as root only, through a trace instance of its own that is removed again;
//! it tells a CRTC's index and no card.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use scx_gamer_run::events::card;
use scx_gamer_run::events::card::Card;
use scx_gamer_run::events::card::Crtc;
use scx_gamer_run::events::card::Purpose;

const LISTEN: Duration = Duration::from_secs(1);

fn main() -> anyhow::Result<()> {
    let dev_dri = Path::new("/dev/dri");
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["CRTC", "mode, Hz", "events of the card, Hz", "tracepoint, Hz"]);
    for number in card::numbers(dev_dri).context("list /dev/dri")? {
        let card = Card::open(dev_dri, number).with_context(|| format!("open card{number}"))?;
        for crtc in card.crtcs().with_context(|| format!("ask card{number} for its CRTCs"))? {
            table.add_row(row(&card, crtc));
        }
    }
    println!("{table}");
    Ok(())
}

fn row(card: &Card, crtc: Crtc) -> [String; 4] {
    let Some(mode_hz) = crtc.mode_hz else { return [crtc.id.to_string(), "off".into(), "-".into(), "-".into()] };
    let trace = Trace::begin();
    let events = count_events(card, crtc.id.crtc);
    let traced = trace.map_or_else(|why| why.to_string(), |trace| trace.count(crtc.id.crtc).to_string());
    [
        crtc.id.to_string(),
        format!("{mode_hz:.2}"),
        events.map_or_else(|why| why.to_string(), |count| count.to_string()),
        traced,
    ]
}

/// Vblank events of a second, each asked for when the one before has come.
fn count_events(card: &Card, crtc: u32) -> io::Result<usize> {
    let began = Instant::now();
    let mut count = 0;
    card.ask(crtc, Purpose::Next)?;
    while let Some(left) = LISTEN.checked_sub(began.elapsed()) {
        let mut wanted = [PollFd::new(card.as_fd(), PollFlags::POLLIN)];
        poll(&mut wanted, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO))?;
        for _ in card.take()? {
            count += 1;
            card.ask(crtc, Purpose::Next)?;
        }
    }
    Ok(count)
}

/// A trace instance that hears vblanks, removed with this.
struct Trace(PathBuf);

impl Trace {
    fn begin() -> io::Result<Self> {
        let instance = PathBuf::from(format!("/sys/kernel/tracing/instances/list_crtcs-{}", std::process::id()));
        fs::create_dir(&instance)?;
        let trace = Self(instance);
        fs::write(trace.0.join("events/drm/drm_vblank_event/enable"), "1")?;
        Ok(trace)
    }

    fn count(&self, crtc: u32) -> usize {
        let lines = fs::read_to_string(self.0.join("trace")).unwrap_or_default();
        lines.lines().filter(|line| line.contains(&format!("drm_vblank_event: crtc={crtc},"))).count()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("events/drm/drm_vblank_event/enable"), "0");
        let _ = fs::remove_dir(&self.0);
    }
}
