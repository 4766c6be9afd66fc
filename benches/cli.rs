//! The command line, and its one typed form: a [`Plan`].

use std::path::PathBuf;

use clap::Args as ClapArgs;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;

use crate::contestant::Contestant;
use crate::load_kind::LoadKind;
use crate::plan;
use crate::plan::Plan;

const FRAMES: u32 = 1000;
const REPEATS: u32 = 3;
const QUICK_FRAMES: u32 = 150;
const QUICK_REPEATS: u32 = 2;

/// Compare scx-gamer-run with the kernel's scheduler and its peers, in virtual machines
///
/// Fetches the peers, measures frames on the parallel rig and cost on the deterministic one, and writes a page with
/// tables and plots. What was measured is kept as JSON lines from the first cell on.
#[derive(Debug, Parser)]
#[command(name = "bench", max_term_width = 100, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub action: Option<Action>,

    #[command(flatten)]
    pub measure: Measure,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Write the page of a run that was made before, or cut short
    Render {
        /// The run's JSON lines
        file: PathBuf,

        /// Put page and plots here; by default beside the file
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },

    /// Be the guest's side of the parallel rig
    #[command(hide = true)]
    GuestFrames { plan: String },

    /// Be the guest's side of the deterministic rig
    #[command(hide = true)]
    GuestCost { plan: String },
}

#[derive(Debug, ClapArgs)]
pub struct Measure {
    /// Give a first answer in a few minutes: fewer cells, frames and repeats
    #[arg(long)]
    quick: bool,

    /// Measure these schedulers only
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    schedulers: Vec<Contestant>,

    /// Measure these loads only
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    loads: Vec<LoadKind>,

    /// Measure at these frame rates only; 0 is uncapped
    #[arg(long, value_name = "FPS", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(0..=1000))]
    fps: Vec<u32>,

    /// Measure each cell this often
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    repeats: Option<u32>,

    /// Count this many frames in each cell
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    frames: Option<u32>,

    /// Use this rig only
    #[arg(long, value_name = "RIG")]
    pub rig: Option<RigChoice>,

    /// Put page and plots here
    ///
    /// By default docs/measure for a full run, and target/bench for one that is quick or filtered.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RigChoice {
    /// Frames, on two virtual CPUs
    Frames,
    /// Cost, on one whose clock counts instructions
    Cost,
}

impl Measure {
    pub fn plan(&self) -> Plan {
        let is_filtered = !(self.schedulers.is_empty() && self.loads.is_empty() && self.fps.is_empty())
            || self.repeats.is_some_and(|repeats| repeats < REPEATS)
            || self.frames.is_some_and(|frames| frames < FRAMES)
            || self.rig.is_some();
        let or_else = |given: Option<u32>, quick, full| given.unwrap_or(if self.quick { quick } else { full });
        Plan {
            contestants: self.contestants(),
            cells: self.cells(),
            frames: or_else(self.frames, QUICK_FRAMES, FRAMES),
            repeats: or_else(self.repeats, QUICK_REPEATS, REPEATS),
            finished_repeats: 0,
            is_quick: self.quick,
            is_partial: self.quick || is_filtered,
        }
    }

    fn contestants(&self) -> Vec<Contestant> {
        match (self.schedulers.is_empty(), self.quick) {
            (false, _) => self.schedulers.clone(),
            (true, true) => plan::quick_contestants(),
            (true, false) => plan::all_contestants(),
        }
    }

    fn cells(&self) -> Vec<plan::Cell> {
        if self.quick && self.loads.is_empty() && self.fps.is_empty() {
            return plan::quick_cells();
        }
        let fps = if self.fps.is_empty() { vec![0, plan::CAPPED_FPS] } else { self.fps.clone() };
        let loads = if self.loads.is_empty() { LoadKind::value_variants().to_vec() } else { self.loads.clone() };
        plan::all_cells(&fps, &loads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_of(args: &[&str]) -> Plan {
        let args = ["bench"].iter().chain(args);
        Args::try_parse_from(args).expect("arguments").measure.plan()
    }

    #[test]
    fn the_command_line_is_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_full_run_has_every_cell_three_times_and_a_thousand_frames() {
        let plan = plan_of(&[]);
        assert_eq!((plan.cells.len(), plan.contestants.len()), (10, 10));
        assert_eq!((plan.frames, plan.repeats), (1000, 3));
        assert!(!plan.is_partial);
    }

    #[test]
    fn a_run_that_is_less_than_full_is_called_partial() {
        for args in [&["--quick"][..], &["--fps", "0"], &["--repeats", "2"], &["--frames", "999"], &["--rig", "cost"]] {
            assert!(plan_of(args).is_partial, "{args:?}");
        }
        assert!(!plan_of(&["--repeats", "5", "--frames", "2000"]).is_partial);
    }

    #[test]
    fn filters_narrow_the_quick_run_too() {
        let plan = plan_of(&["--quick", "--schedulers", "ours,lavd", "--loads", "mixed", "--fps", "0"]);
        assert_eq!(plan.contestants, [Contestant::Ours, Contestant::Lavd]);
        assert_eq!(plan.cells, [plan::Cell { fps: 0, load: LoadKind::Mixed }]);
        assert!(plan.is_quick);
    }
}
