//! The command line, and its one typed form: a [`Plan`].

use std::path::Path;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;
use serde::Deserialize;
use serde::Serialize;

use crate::contestant::Contestant;
use crate::game::Game;
use crate::page::not_worse;
use crate::plan;
use crate::plan::Cell;
use crate::plan::Plan;
use crate::plan::Suite;
use crate::workload::Workload;

const FRAMES: u32 = 1000;
const REPEATS: u32 = 3;
/// With a baseline there is a verdict, which needs more.
const BASELINE_REPEATS: u32 = not_worse::REPEATS_MIN as u32;
const QUICK_FRAMES: u32 = 150;
const QUICK_REPEATS: u32 = 2;

/// Compare scx-gamer-run with the kernel's scheduler and its peers, in virtual machines
///
/// Fetches the peers, measures frames on the parallel rig and cost on the deterministic one, and writes a page with
/// tables and plots. What was measured is kept as JSON lines from the first cell on. Each load has a boot of its own; a
/// run that was cut short continues at the next load with --resume.
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

    /// Compare with an older build of ours too, whose scx-gamer-run and scx_gamer are in this directory
    ///
    /// Every cell is then measured five times, and a table says in which ours is worse.
    #[arg(long, value_name = "DIRECTORY", value_parser = directory_of_programs)]
    baseline: Option<PathBuf>,

    /// Continue the run that is kept in this file, with what it was to measure
    #[arg(long, value_name = "FILE", value_parser = existing_file, conflicts_with_all =
          ["quick", "baseline", "suites", "schedulers", "games", "loads", "fps", "repeats", "frames", "rig"])]
    pub resume: Option<PathBuf>,

    /// Measure these parts only
    #[arg(long = "suite", value_name = "SUITE", value_delimiter = ',', conflicts_with_all = ["games", "loads", "quick"])]
    suites: Vec<Suite>,

    /// Measure these schedulers only
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    schedulers: Vec<Contestant>,

    /// Measure these games only
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    games: Vec<Game>,

    /// Measure under these loads only
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    loads: Vec<Workload>,

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

/// One of the two rigs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RigChoice {
    /// Frames, on two virtual CPUs
    Frames,
    /// Cost, on one whose clock counts instructions
    Cost,
}

impl Measure {
    /// What to measure.
    ///
    /// # Errors
    /// One sentence on what does not fit together.
    pub fn plan(&self) -> Result<Plan, String> {
        if self.schedulers.contains(&Contestant::Baseline) && self.baseline.is_none() {
            return Err("the scheduler \"baseline\" needs --baseline DIRECTORY".into());
        }
        let cells = self.cells();
        if cells.is_empty() {
            return Err("these games are not played under these loads; give others to --games or --loads".into());
        }
        let full_repeats = if self.baseline.is_some() { BASELINE_REPEATS } else { REPEATS };
        let or_else = |given: Option<u32>, quick, full| given.unwrap_or(if self.quick { quick } else { full });
        let is_filtered = !(self.schedulers.is_empty() && self.has_all_cells())
            || self.repeats.is_some_and(|repeats| repeats < full_repeats)
            || self.frames.is_some_and(|frames| frames < FRAMES)
            || self.rig.is_some();
        Ok(Plan {
            contestants: self.contestants(),
            baseline: self.baseline.clone(),
            cells,
            frames: or_else(self.frames, QUICK_FRAMES, FRAMES),
            repeats: or_else(self.repeats, QUICK_REPEATS, full_repeats),
            is_quick: self.quick,
            is_partial: self.quick || is_filtered,
        })
    }

    fn contestants(&self) -> Vec<Contestant> {
        let mut contestants = match (self.schedulers.is_empty(), self.quick) {
            (false, _) => return self.schedulers.clone(),
            (true, true) => plan::quick_contestants(),
            (true, false) => plan::all_contestants(),
        };
        if self.baseline.is_some() {
            contestants.push(Contestant::Baseline);
            contestants.sort();
        }
        contestants
    }

    fn has_all_cells(&self) -> bool {
        self.suites.is_empty() && self.games.is_empty() && self.loads.is_empty() && self.fps.is_empty()
    }

    fn cells(&self) -> Vec<Cell> {
        if !self.suites.is_empty() {
            let is_asked_for = |cell: &Cell| self.suites.contains(&cell.suite()) && self.has_rate(*cell);
            return plan::full_cells().into_iter().filter(is_asked_for).collect();
        }
        match (self.has_all_cells(), self.quick) {
            (true, true) => return plan::quick_cells(),
            (true, false) => return plan::full_cells(),
            _ => {}
        }
        let games = given_or(&self.games, &[Game::Usual]);
        let fps = given_or(&self.fps, &[0, plan::CAPPED_FPS]);
        let loads = given_or(&self.loads, Workload::value_variants());
        plan::all_cells(games, fps, loads)
    }

    fn has_rate(&self, cell: Cell) -> bool {
        self.fps.is_empty() || self.fps.contains(&cell.fps)
    }
}

fn given_or<'a, T>(given: &'a [T], default: &'a [T]) -> &'a [T] {
    if given.is_empty() { default } else { given }
}

fn existing_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_file() { Ok(path) } else { Err("there is no such file; target/bench/ has those of earlier runs".into()) }
}

/// A directory that holds both of our programs, as a path that stays right wherever the machine runs them.
fn directory_of_programs(text: &str) -> Result<PathBuf, String> {
    let directory = Path::new(text).canonicalize().map_err(|why| why.to_string())?;
    match ["scx-gamer-run", "scx_gamer"].iter().find(|name| !directory.join(name).is_file()) {
        None => Ok(directory),
        Some(missing) => Err(format!("it holds no {missing}; build the older version and give its target/release")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure_of(args: &[&str]) -> Measure {
        let args = ["bench"].iter().chain(args);
        Args::try_parse_from(args).expect("arguments").measure
    }

    fn plan_of(args: &[&str]) -> Plan {
        measure_of(args).plan().expect("a plan")
    }

    /// A directory with programs of these names.
    fn built(names: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("temporary directory");
        for name in names {
            std::fs::write(directory.path().join(name), "").expect("write");
        }
        directory
    }

    #[test]
    fn the_command_line_is_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_full_run_has_every_cell_three_times_and_a_thousand_frames() {
        let plan = plan_of(&[]);
        assert_eq!((plan.cells.len(), plan.contestants.len()), (2 * 14 + 8 * 3 + 3 * 2, 11));
        assert_eq!((plan.frames, plan.repeats), (1000, 3));
        assert!(!plan.is_partial);
    }

    #[test]
    fn suites_together_are_a_full_run() {
        let count = |suite| plan_of(&["--suite", suite]).cells.len();
        assert_eq!(["outside", "inside", "guards", "programs"].map(count), [10, 18, 24, 6]);
        assert_eq!(plan_of(&["--suite", "inside", "--fps", "60"]).cells.len(), 9);
    }

    #[test]
    fn a_run_that_is_less_than_full_is_called_partial() {
        for args in [
            &["--quick"][..],
            &["--fps", "0"],
            &["--repeats", "2"],
            &["--frames", "999"],
            &["--rig", "cost"],
            &["--suite", "inside"],
            &["--games", "loading"],
        ] {
            assert!(plan_of(args).is_partial, "{args:?}");
        }
        assert!(!plan_of(&["--repeats", "5", "--frames", "2000"]).is_partial);
    }

    #[test]
    fn filters_narrow_the_quick_run_too() {
        let plan = plan_of(&["--quick", "--schedulers", "ours,lavd", "--loads", "mixed", "--fps", "0"]);
        assert_eq!(plan.contestants, [Contestant::Ours, Contestant::Lavd]);
        assert_eq!(plan.cells, [Cell { game: Game::Usual, fps: 0, load: Workload::Mixed }]);
        assert!(plan.is_quick);
    }

    #[test]
    fn a_baseline_takes_part_and_every_cell_is_measured_five_times() {
        let directory = built(&["scx-gamer-run", "scx_gamer"]);
        let path = directory.path().to_str().expect("UTF-8");
        let plan = plan_of(&["--baseline", path]);
        assert_eq!((plan.repeats, plan.is_partial), (5, false));
        assert!(plan.contestants.contains(&Contestant::Baseline));
        assert!(plan.baseline.expect("a directory").is_absolute());
    }

    #[test]
    fn a_baseline_without_programs_is_refused() {
        let directory = built(&["scx-gamer-run"]);
        let path = directory.path().to_str().expect("UTF-8");
        let why = Args::try_parse_from(["bench", "--baseline", path]).expect_err("refused").to_string();
        assert!(why.contains("it holds no scx_gamer; build the older version"), "{why}");
        let why = measure_of(&["--schedulers", "ours,baseline"]).plan().expect_err("refused");
        assert!(why.contains("needs --baseline DIRECTORY"), "{why}");
    }

    #[test]
    fn a_guard_is_not_played_under_long_jobs() {
        assert!(measure_of(&["--games", "many-jobs", "--loads", "jobs"]).plan().is_err());
    }

    #[test]
    fn a_resumed_run_has_its_plan_already() {
        let directory = built(&["run.jsonl"]);
        let path = directory.path().join("run.jsonl");
        let parse = |args: &[&str]| {
            let path = path.to_str().expect("UTF-8");
            Args::try_parse_from(["bench", "--resume", path].iter().chain(args)).map_err(|why| why.kind())
        };
        assert!(parse(&[]).is_ok());
        assert_eq!(parse(&["--loads", "mixed"]).expect_err("refused"), clap::error::ErrorKind::ArgumentConflict);
    }

    #[test]
    fn a_run_that_is_not_there_cannot_be_resumed() {
        let why = Args::try_parse_from(["bench", "--resume", "nowhere.jsonl"]).expect_err("refused").to_string();
        assert!(why.contains("there is no such file"), "{why}");
    }
}
