//! The parts of a page: cells that belong in one table.

use clap::ValueEnum;

use crate::page::results::Results;
use crate::plan::Cell;
use crate::plan::Suite;

/// Cells of one suite at one frame rate; always at least one that was measured.
pub struct Section {
    pub suite: Suite,
    /// 0 = uncapped.
    pub fps: u32,
    pub cells: Vec<Cell>,
}

/// Every section that has something to show: uncapped games first.
pub fn all(results: &Results) -> Vec<Section> {
    let mut sections = Vec::new();
    for fps in results.frame_rates() {
        for &suite in Suite::value_variants() {
            let cells: Vec<Cell> =
                results.measured_cells().filter(|&cell| cell.fps == fps && cell.suite() == suite).collect();
            if !cells.is_empty() {
                sections.push(Section { suite, fps, cells });
            }
        }
    }
    sections
}

impl Section {
    pub fn heading(&self) -> String {
        let what = match self.suite {
            Suite::Outside => "Load outside the game",
            Suite::Inside => "Load inside the game",
            Suite::Guards => "Guards",
            Suite::Programs => "Programs of others",
        };
        format!("{what}, {}: parallel rig", mode(self.fps))
    }

    /// What its plots' file names have in common.
    pub fn slug(&self) -> String {
        let rate = if self.fps == 0 { "uncapped".to_owned() } else { format!("{}fps", self.fps) };
        let suite = self.suite.to_possible_value().expect("BUG: no suite is hidden");
        format!("{rate}-{}", suite.get_name())
    }
}

/// How a frame rate is called.
pub fn mode(fps: u32) -> String {
    if fps == 0 { "uncapped".into() } else { format!("capped at {fps} fps") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contestant::Contestant;
    use crate::game::Game;
    use crate::page::sample;
    use crate::workload::Workload;

    #[test]
    fn cells_are_sorted_by_suite_and_rate() {
        let guard = Cell { game: Game::Loading, ..sample::uncapped(Workload::Mixed) };
        let capped = Cell { fps: 60, ..sample::uncapped(Workload::Jobs) };
        let cells = [capped, guard, sample::uncapped(Workload::Compile2x), sample::uncapped(Workload::Hogs)];
        let results =
            sample::results(cells.iter().map(|&cell| sample::frames(Contestant::Ours, cell, 0, 10.0)).collect());
        let slugs: Vec<String> = all(&results).iter().map(Section::slug).collect();
        assert_eq!(slugs, ["uncapped-outside", "uncapped-inside", "uncapped-guards", "60fps-inside"]);
    }
}
