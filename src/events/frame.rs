//! Which source tells when a frame begins: a choice among what was heard.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Rates that a display could have, in hertz: a timer is set to no other, whoever names it.
pub const RATES_HZ: RangeInclusive<f64> = 1.0..=1000.0;

/// A CRTC: what scans frames out to a display.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct CrtcId {
    /// Number of its card, as in `/dev/dri/card0`.
    pub card: u32,
    /// Its place among the card's CRTCs, from 0.
    pub crtc: u32,
}

impl fmt::Display for CrtcId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.card, self.crtc)
    }
}

impl FromStr for CrtcId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once(':').and_then(|(card, crtc)| Some((card.parse().ok()?, crtc.parse().ok()?)));
        let (card, crtc) = parsed.ok_or_else(|| format!("{text:?} is not CARD:CRTC, two numbers such as 0:0"))?;
        Ok(Self { card, crtc })
    }
}

/// Where the beginnings of frames come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    /// A timer at the rate that was asked for.
    Given {
        /// In frames a second.
        hz: f64,
    },
    /// The kernel part sees each vblank itself.
    Tracepoint(CrtcId),
    /// The card tells us of each vblank.
    CardEvents(CrtcId),
    /// A file of the driver's in debugfs changes at each vblank.
    Counter(CrtcId),
    /// A timer at the rate of the display's mode.
    ModeTimer {
        /// Whose mode.
        crtc: CrtcId,
        /// In frames a second.
        hz: f64,
    },
    /// No display is on.
    Nothing,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given { .. } => write!(f, "timer as told"),
            Self::Tracepoint(crtc) => write!(f, "vblanks of {crtc} seen in the kernel"),
            Self::CardEvents(crtc) => write!(f, "vblank events of {crtc}"),
            Self::Counter(crtc) => write!(f, "debugfs counter of {crtc}"),
            Self::ModeTimer { crtc, .. } => write!(f, "timer at the mode of {crtc}, which has no vblanks"),
            Self::Nothing => write!(f, "none, as no display is on"),
        }
    }
}

/// What one CRTC that is on has been heard to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heard {
    /// Which.
    pub crtc: CrtcId,
    /// Refresh rate of its mode.
    pub mode_hz: f64,
    /// Vblanks that the kernel part saw of CRTCs with this index.
    pub tracepoint: u64,
    /// Vblank events from its card.
    pub card_events: u64,
    /// Changes of its counter in debugfs.
    pub counter: u64,
}

/// The most active source; of those that are as active, the one that costs least. Where nothing fires, the fastest
/// mode is timed.
///
/// The tracepoint does not tell the card, so where two cards have a CRTC of that index on it tells nothing.
pub fn choose(heard: &[Heard]) -> Source {
    let is_alone = |one: &Heard| heard.iter().filter(|other| other.crtc.crtc == one.crtc.crtc).count() == 1;
    let tracepoints =
        heard.iter().filter(|one| is_alone(one)).map(|one| (Source::Tracepoint(one.crtc), one.tracepoint));
    let card_events = heard.iter().map(|one| (Source::CardEvents(one.crtc), one.card_events));
    let counters = heard.iter().map(|one| (Source::Counter(one.crtc), one.counter));
    // In the order of cost: no wake-up of user space; one and a request; one, a read and whatever the driver does.
    let candidates: Vec<(Source, u64)> = tracepoints.chain(card_events).chain(counters).collect();
    let most = candidates.iter().map(|(_, events)| *events).max().unwrap_or(0);
    // Two sources of one display begin and end to listen at different times: one event more or less means nothing.
    let firing = candidates.into_iter().find(|(_, events)| *events > 0 && events + 1 >= most);
    let fastest = heard.iter().max_by(|a, b| a.mode_hz.total_cmp(&b.mode_hz));
    match (firing, fastest) {
        (Some((source, _)), _) => source,
        (None, Some(one)) if RATES_HZ.contains(&one.mode_hz) => Source::ModeTimer { crtc: one.crtc, hz: one.mode_hz },
        _ => Source::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crtc(card: u32, crtc: u32) -> CrtcId {
        CrtcId { card, crtc }
    }

    fn heard(crtc: CrtcId, tracepoint: u64, card_events: u64) -> Heard {
        Heard { crtc, mode_hz: 60.0, tracepoint, card_events, counter: 0 }
    }

    #[test]
    fn of_sources_that_are_as_active_the_cheapest_wins() {
        let main = crtc(0, 0);
        assert_eq!(choose(&[heard(main, 15, 15)]), Source::Tracepoint(main));
        assert_eq!(choose(&[heard(main, 14, 15)]), Source::Tracepoint(main));
        assert_eq!(choose(&[Heard { counter: 15, ..heard(main, 0, 15) }]), Source::CardEvents(main));
        assert_eq!(choose(&[Heard { counter: 15, ..heard(main, 0, 0) }]), Source::Counter(main));
    }

    #[test]
    fn the_most_active_display_wins() {
        let (slow, fast) = (crtc(0, 0), crtc(0, 1));
        assert_eq!(choose(&[heard(slow, 12, 12), heard(fast, 29, 29)]), Source::Tracepoint(fast));
        assert_eq!(choose(&[heard(slow, 12, 12), heard(fast, 0, 29)]), Source::CardEvents(fast));
    }

    #[test]
    fn where_two_cards_have_the_same_index_on_the_tracepoint_tells_nothing() {
        let (first, second) = (crtc(0, 0), crtc(1, 0));
        assert_eq!(choose(&[heard(first, 40, 12), heard(second, 40, 29)]), Source::CardEvents(second));
        let other = crtc(1, 1);
        assert_eq!(choose(&[heard(first, 12, 12), heard(other, 29, 29)]), Source::Tracepoint(other));
    }

    #[test]
    fn without_any_vblank_the_fastest_mode_is_timed() {
        let fast = Heard { mode_hz: 143.9, ..heard(crtc(0, 1), 0, 0) };
        assert_eq!(choose(&[heard(crtc(0, 0), 0, 0), fast]), Source::ModeTimer { crtc: crtc(0, 1), hz: 143.9 });
    }

    #[test]
    fn one_event_in_a_short_sample_is_enough_and_none_is_none() {
        assert_eq!(choose(&[heard(crtc(0, 0), 0, 1)]), Source::CardEvents(crtc(0, 0)));
        assert_eq!(choose(&[]), Source::Nothing);
        for mode_hz in [0.0, 0.5, 1e6, f64::INFINITY] {
            assert_eq!(choose(&[Heard { mode_hz, ..heard(crtc(0, 0), 0, 0) }]), Source::Nothing, "{mode_hz}");
        }
    }

    #[test]
    fn a_crtc_is_two_numbers() {
        assert_eq!("1:2".parse(), Ok(crtc(1, 2)));
        assert_eq!(crtc(1, 2).to_string(), "1:2");
        for text in ["", "1", "1:", ":1", "a:b", "1:2:3", "-1:0", "1:4294967296"] {
            let why = text.parse::<CrtcId>().expect_err(text);
            assert!(why.contains("CARD:CRTC"), "{why}");
        }
    }
}
