//! One row of the demo: the game once through, what runs beside it, and proof of the scheduler it
//! ran under.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::claim::Claim;
use crate::claim::read_once_detached;
use crate::play::play_beside;
use crate::play::start_load;
use crate::process::available_cpus;
use crate::report::GameReport;
use crate::report::LoadReport;
use crate::sched_ext::SchedExt;
use crate::workload::Workload;

/// No row of a sane length takes so long.
const LIMIT: Duration = Duration::from_secs(3600);

/// The programs the demo starts.
pub struct Programs {
    pub wrapper: PathBuf,
    pub game: PathBuf,
    pub load: PathBuf,
}

/// What one row is to show.
#[derive(Clone, Copy)]
pub struct Cell {
    /// 0 = uncapped.
    pub fps: u32,
    pub load: Workload,
    /// Started through scx-gamer-run.
    pub with_us: bool,
    /// The same as an earlier cell: the difference is the machine's, not the scheduler's.
    pub again: bool,
}

/// What came out.
#[derive(Serialize)]
pub struct Outcome {
    pub name: String,
    pub workload: Workload,
    pub with_us: bool,
    pub again: bool,
    pub game: GameReport,
    pub load: LoadReport,
    /// sched_ext before the cell, and after it.
    pub around: [SchedExt; 2],
}

impl Cell {
    pub fn name(&self) -> String {
        let cap = match self.fps {
            0 => "uncapped".to_string(),
            fps => format!("{fps} fps cap"),
        };
        let beside = match self.load {
            Workload::None => "alone".to_string(),
            kind => format!("{kind} load"),
        };
        let again = if self.again { " again" } else { "" };
        let by = if self.with_us { ", scx-gamer-run" } else { "" };
        format!("{cap}, {beside}{again}{by}")
    }

    /// Plays `frames` frames beside the load. `spins_per_ms` makes this cell's frames the same
    /// work as those of the cell it comes from.
    pub fn play(
        &self,
        programs: &Programs,
        sched_ext: &Path,
        frames: u32,
        spins_per_ms: Option<u64>,
    ) -> Result<Outcome> {
        let before = SchedExt::read(sched_ext);
        Claim::Disabled.expect(&before, "before the game started")?;

        let load = start_load(&programs.load, self.load.outside())?;
        let mut command = self.game_command(programs, frames, spins_per_ms);
        let (game, load) = play_beside(&mut command, load, LIMIT, || ())?;

        let claim = if self.with_us { Claim::Enabled("gamer") } else { Claim::Disabled };
        claim.expect_throughout(&game.scheduler)?;
        let after = read_once_detached(sched_ext);
        Claim::Disabled.expect(&after, "after the game had ended")?;
        Ok(Outcome {
            name: self.name(),
            workload: self.load,
            with_us: self.with_us,
            again: self.again,
            game,
            load,
            around: [before, after],
        })
    }

    fn game_command(&self, programs: &Programs, frames: u32, spins: Option<u64>) -> Command {
        let mut command = if self.with_us {
            let mut wrapped = Command::new(&programs.wrapper);
            wrapped.args(["--require", "--wait-attach", "--"]);
            wrapped.arg(&programs.game);
            wrapped
        } else {
            Command::new(&programs.game)
        };
        command.arg("--json").args(["--frames", &frames.to_string()]).args(["--fps", &self.fps.to_string()]);
        command.args(self.load.game_args(available_cpus()));
        if let Some(spins) = spins {
            command.args(["--spins-per-ms", &spins.to_string()]);
        }
        command
    }
}
