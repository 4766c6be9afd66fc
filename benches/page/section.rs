//! The parts of a page: cells that belong in one table.

use crate::game::Purpose;
use crate::page::results::Results;
use crate::plan::Cell;

/// Cells of one kind at one frame rate; always at least one that was measured.
pub struct Section {
    pub kind: Kind,
    /// 0 = uncapped.
    pub fps: u32,
    pub cells: Vec<Cell>,
}

/// What a section's cells have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The usual game, alone and under loads outside it.
    Outside,
    /// The usual game under loads inside it.
    Inside,
    /// Games that no change may make worse.
    Guards,
    /// Programs that this project did not write.
    Programs,
}

const KINDS: [Kind; 4] = [Kind::Outside, Kind::Inside, Kind::Guards, Kind::Programs];

/// Every section that has something to show: uncapped games first.
pub fn all(results: &Results) -> Vec<Section> {
    let mut sections = Vec::new();
    for fps in results.frame_rates() {
        for kind in KINDS {
            let cells: Vec<Cell> =
                results.measured_cells().filter(|&cell| cell.fps == fps && Kind::of(cell) == kind).collect();
            if !cells.is_empty() {
                sections.push(Section { kind, fps, cells });
            }
        }
    }
    sections
}

impl Kind {
    fn of(cell: Cell) -> Self {
        match cell.game.purpose() {
            Purpose::Compared if cell.load.is_inside() => Self::Inside,
            Purpose::Compared => Self::Outside,
            Purpose::Guard => Self::Guards,
            Purpose::Program => Self::Programs,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Outside => "outside",
            Self::Inside => "inside",
            Self::Guards => "guards",
            Self::Programs => "programs",
        }
    }
}

impl Section {
    pub fn heading(&self) -> String {
        let what = match self.kind {
            Kind::Outside => "Load outside the game",
            Kind::Inside => "Load inside the game",
            Kind::Guards => "Guards",
            Kind::Programs => "Programs of others",
        };
        format!("{what}, {}: parallel rig", mode(self.fps))
    }

    /// What its plots' file names have in common.
    pub fn slug(&self) -> String {
        let rate = if self.fps == 0 { "uncapped".to_owned() } else { format!("{}fps", self.fps) };
        format!("{rate}-{}", self.kind.name())
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
    fn cells_are_sorted_by_kind_and_rate() {
        let guard = Cell { game: Game::Loading, ..sample::uncapped(Workload::Mixed) };
        let capped = Cell { fps: 60, ..sample::uncapped(Workload::Jobs) };
        let cells = [capped, guard, sample::uncapped(Workload::Compile2x), sample::uncapped(Workload::Hogs)];
        let results =
            sample::results(cells.iter().map(|&cell| sample::frames(Contestant::Ours, cell, 0, 10.0)).collect());
        let slugs: Vec<String> = all(&results).iter().map(Section::slug).collect();
        assert_eq!(slugs, ["uncapped-outside", "uncapped-inside", "uncapped-guards", "60fps-inside"]);
    }
}
