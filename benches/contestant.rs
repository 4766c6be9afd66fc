//! What is compared: the kernel's own scheduler, the peers at pinned versions, ours, and bounds.

use clap::ValueEnum;
use serde::Deserialize;
use serde::Serialize;

use crate::claim::Claim;

/// One scheduler of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contestant {
    /// The kernel's own
    Eevdf,
    /// scx_cosmos
    Cosmos,
    /// scx_bpfland
    Bpfland,
    /// scx_flash
    Flash,
    /// scx_cake
    Cake,
    /// scx_lavd
    Lavd,
    /// scx-gamer-run, which knows the game
    Ours,
    /// An older build of scx-gamer-run (--baseline DIRECTORY)
    Baseline,
    /// scx_gamer attached without a game
    OursIdle,
    /// The bound under loads outside: the kernel's own, with the whole game real-time (SCHED_FIFO)
    RealTime,
    /// The bound under loads inside: the kernel's own, with only the frame threads real-time
    RealTimeFrames,
    /// A sched_ext scheduler that only has a name: the floor of cost
    Empty,
}

/// A scheduler that the benchmark fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Of its crate, and of its program.
    pub name: &'static str,
    pub version: &'static str,
}

impl Contestant {
    /// Its name in tables and plots.
    pub fn label(self) -> &'static str {
        match (self, self.peer()) {
            (_, Some(peer)) => peer.name,
            (Self::Ours, _) => "scx-gamer-run",
            (Self::Baseline, _) => "baseline",
            (Self::OursIdle, _) => "scx_gamer, no game",
            (Self::RealTime, _) => "SCHED_FIFO",
            (Self::RealTimeFrames, _) => "SCHED_FIFO frames",
            (Self::Empty, _) => "empty sched_ext",
            _ => "EEVDF",
        }
    }

    /// What to fetch; none where nothing is to be fetched.
    pub fn peer(self) -> Option<Peer> {
        let (name, version) = match self {
            Self::Cosmos => ("scx_cosmos", "1.1.7"),
            Self::Bpfland => ("scx_bpfland", "1.1.4"),
            Self::Flash => ("scx_flash", "1.1.4"),
            Self::Cake => ("scx_cake", "1.2.2"),
            Self::Lavd => ("scx_lavd", "1.1.4"),
            _ => return None,
        };
        Some(Peer { name, version })
    }

    /// What the kernel says while it schedules.
    pub fn claim(self) -> Claim {
        match self {
            Self::Eevdf | Self::RealTime | Self::RealTimeFrames => Claim::Disabled,
            Self::Cosmos => Claim::Enabled("cosmos"),
            Self::Bpfland => Claim::Enabled("bpfland"),
            Self::Flash => Claim::Enabled("flash"),
            Self::Cake => Claim::Enabled("cake"),
            Self::Lavd => Claim::Enabled("lavd"),
            Self::Ours | Self::OursIdle | Self::Baseline => Claim::Enabled("gamer"),
            Self::Empty => Claim::Enabled("empty"),
        }
    }

    /// Whether ours has to beat it.
    pub fn is_rival(self) -> bool {
        self == Self::Eevdf || self.peer().is_some()
    }

    /// Whether it is no scheduler, but what none can surpass.
    pub fn is_bound(self) -> bool {
        matches!(self, Self::RealTime | Self::RealTimeFrames)
    }

    /// Whether our wrapper starts it together with the game.
    pub fn is_wrapped(self) -> bool {
        matches!(self, Self::Ours | Self::Baseline)
    }

    /// Whether a program of its own is started and stopped around the measurements.
    pub fn is_attached_beforehand(self) -> bool {
        !(self.is_wrapped() || self.is_bound() || self == Self::Eevdf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_named_by_its_program_and_claimed_by_its_name() {
        for contestant in Contestant::value_variants() {
            if let Some(peer) = contestant.peer() {
                assert_eq!(contestant.label(), peer.name);
                assert_eq!(contestant.claim(), Claim::Enabled(&peer.name["scx_".len()..]));
            }
        }
    }

    #[test]
    fn the_kernels_own_scheduler_is_a_rival_and_neither_ours_nor_a_bound_is() {
        assert!(Contestant::Eevdf.is_rival() && Contestant::Lavd.is_rival());
        let others = [Contestant::Ours, Contestant::Baseline, Contestant::RealTimeFrames, Contestant::Empty];
        assert!(!others.iter().any(|other| other.is_rival()));
    }
}
