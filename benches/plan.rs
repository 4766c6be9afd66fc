//! What is measured, and in which order.

use std::path::PathBuf;

use clap::ValueEnum;
use serde::Deserialize;
use serde::Serialize;

use crate::contestant::Contestant;
use crate::game::Game;
use crate::game::Purpose;
use crate::workload::Workload;

/// The frame rate of a capped game.
pub const CAPPED_FPS: u32 = 60;

/// A game at a frame rate under a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cell {
    pub game: Game,
    /// 0 = uncapped.
    pub fps: u32,
    pub load: Workload,
}

/// A part of a full run, and of its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// The usual game, alone and under loads outside it
    Outside,
    /// The usual game under loads inside it
    Inside,
    /// Other games, which no change may make worse
    Guards,
    /// Programs that this project did not write
    Programs,
}

/// The cells that are measured in one boot: a game under one load, at every frame rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Scene {
    pub game: Game,
    pub load: Workload,
}

/// The whole measurement, or the part of one boot, which the host hands to the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub contestants: Vec<Contestant>,
    /// Directory of the programs of [`Contestant::Baseline`].
    pub baseline: Option<PathBuf>,
    pub cells: Vec<Cell>,
    pub frames: u32,
    pub repeats: u32,
    /// The first, short answer.
    pub is_quick: bool,
    /// The user chose what to measure, or it is the short answer: no page for the project's own record.
    pub is_partial: bool,
}

/// One scheduler and all it is measured with before the next one's turn.
#[derive(Debug, PartialEq, Eq)]
pub struct Turn {
    pub contestant: Contestant,
    pub cells: Vec<Cell>,
}

impl Cell {
    pub fn scene(self) -> Scene {
        Scene { game: self.game, load: self.load }
    }

    /// The only suite that has it.
    pub fn suite(self) -> Suite {
        match self.game.purpose() {
            Purpose::Compared if self.load.is_inside() => Suite::Inside,
            Purpose::Compared => Suite::Outside,
            Purpose::Guard => Suite::Guards,
            Purpose::Program => Suite::Programs,
        }
    }

    /// The same game at the same rate under no load.
    pub fn alone(self) -> Self {
        Self { load: Workload::None, ..self }
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.game != Game::Usual {
            write!(out, "{}, ", self.game)?;
        }
        match self.fps {
            0 => write!(out, "uncapped, {}", self.load),
            fps => write!(out, "{fps} fps, {}", self.load),
        }
    }
}

impl std::fmt::Display for Scene {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.game {
            Game::Usual => write!(out, "{}", self.load),
            game => write!(out, "{game}, {}", self.load),
        }
    }
}

impl Plan {
    /// Every scene of the plan, in order; each is measured in a boot of its own.
    pub fn scenes(&self) -> Vec<Scene> {
        let mut scenes: Vec<Scene> = Vec::new();
        for scene in self.cells.iter().map(|cell| cell.scene()) {
            if !scenes.contains(&scene) {
                scenes.push(scene);
            }
        }
        scenes
    }

    /// The part of the plan that measures `scene`.
    pub fn of_scene(&self, scene: Scene) -> Self {
        let cells = self.cells.iter().copied().filter(|cell| cell.scene() == scene).collect();
        Self { cells, ..self.clone() }
    }

    /// The frame cells of one repeat of one scene. A scheduler attaches once for all of its cells, since attaching is
    /// slow and the emulator does not survive it every time. In the next repeat another scheduler begins.
    pub fn turns(&self, repeat: u32) -> Vec<Turn> {
        let mut turns: Vec<Turn> = self
            .contestants
            .iter()
            .map(|&contestant| Turn { contestant, cells: cells_of(contestant, &self.cells) })
            .filter(|turn| !turn.cells.is_empty())
            .collect();
        let first = first_in_turn(repeat, self.repeats, turns.len());
        turns.rotate_left(first);
        turns
    }

    /// Runs of a game that the whole plan takes.
    pub fn count_runs(&self) -> usize {
        let runs_of = |scene| -> usize {
            let plan = self.of_scene(scene);
            (0..self.repeats).flat_map(|repeat| plan.turns(repeat)).map(|turn| turn.cells.len()).sum()
        };
        self.scenes().into_iter().map(runs_of).sum()
    }

    /// The schedulers that the deterministic rig measures.
    pub fn cost_contestants(&self) -> impl Iterator<Item = Contestant> {
        // The bounds of frames are no schedulers.
        self.contestants.iter().copied().filter(|contestant| !contestant.is_bound())
    }
}

/// Spreads the first places of `repeats` repeats evenly over `count` schedulers.
fn first_in_turn(repeat: u32, repeats: u32, count: usize) -> usize {
    if count == 0 {
        return 0;
    }
    repeat as usize * count.div_ceil(repeats.max(1) as usize) % count
}

fn cells_of(contestant: Contestant, cells: &[Cell]) -> Vec<Cell> {
    let mut cells: Vec<Cell> = cells.iter().copied().filter(|&cell| plays(contestant, cell)).collect();
    if contestant == Contestant::Eevdf {
        // What every figure of this boot is compared with.
        let alone: Vec<Cell> = cells.iter().map(|cell| cell.alone()).filter(|alone| !cells.contains(alone)).collect();
        cells.extend(alone);
    }
    cells
}

fn plays(contestant: Contestant, cell: Cell) -> bool {
    let Cell { game, fps, load } = cell;
    match (contestant, game.purpose()) {
        // The floor of cost decides nothing about frames.
        (Contestant::Empty, _) => false,
        // What matters without a game is an application that does not want every cycle.
        (Contestant::OursIdle, Purpose::Compared) => fps != 0 && !load.is_inside(),
        (Contestant::OursIdle, _) => false,
        (Contestant::RealTime, Purpose::Compared) => !load.is_inside(),
        (Contestant::RealTimeFrames, Purpose::Compared) => load.is_inside(),
        (Contestant::RealTime, purpose) => purpose == Purpose::Program,
        (Contestant::RealTimeFrames, purpose) => purpose == Purpose::Guard,
        // Guards compare us with ourselves.
        (_, Purpose::Guard) => contestant.peer().is_none(),
        _ => true,
    }
}

/// Every game under every load at every frame rate.
pub fn all_cells(games: &[Game], fps: &[u32], loads: &[Workload]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &game in games {
        for &load in loads {
            let rates: &[u32] = match game.purpose() {
                // A guard has jobs of its own; bulk threads are the synthetic game's.
                Purpose::Guard if load == Workload::Jobs => &[],
                Purpose::Program if load.is_inside() => &[],
                // Its rate is what is measured.
                Purpose::Program => &[0],
                _ => fps,
            };
            cells.extend(rates.iter().map(|&fps| Cell { game, fps, load }));
        }
    }
    cells
}

/// The cells of a full run: the usual game under every load, the guards, and programs of others.
pub fn full_cells() -> Vec<Cell> {
    let usual = all_cells(&[Game::Usual], &[0, CAPPED_FPS], Workload::value_variants());
    [usual, guard_cells(), program_cells()].concat()
}

/// The guards, alone and beside the heaviest loads outside and inside.
pub fn guard_cells() -> Vec<Cell> {
    all_cells(&Game::all_for(Purpose::Guard), &[0], &[Workload::None, Workload::Mixed, Workload::Compile2x])
}

/// Programs of others, alone and beside the heaviest load.
pub fn program_cells() -> Vec<Cell> {
    all_cells(&Game::all_for(Purpose::Program), &[0], &[Workload::None, Workload::Mixed])
}

/// The cells of the short answer: those that tell most.
pub fn quick_cells() -> Vec<Cell> {
    let loads = [Workload::Mixed, Workload::Compile2x, Workload::Compile2xIdle, Workload::MixedCompile];
    let uncapped = all_cells(&[Game::Usual], &[0], &loads);
    let capped = all_cells(&[Game::Usual], &[CAPPED_FPS], &[Workload::Hogs]);
    [uncapped, capped].concat()
}

/// The schedulers of the short answer: those that attach quickly.
pub fn quick_contestants() -> Vec<Contestant> {
    vec![
        Contestant::Eevdf,
        Contestant::Flash,
        Contestant::Ours,
        Contestant::OursIdle,
        Contestant::RealTime,
        Contestant::RealTimeFrames,
        Contestant::Empty,
    ]
}

/// All schedulers that need nothing from the user.
pub fn all_contestants() -> Vec<Contestant> {
    Contestant::value_variants().iter().copied().filter(|&contestant| contestant != Contestant::Baseline).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOGS: Workload = Workload::Hogs;

    fn plan(contestants: &[Contestant], load: Workload, repeats: u32) -> Plan {
        Plan {
            contestants: contestants.to_vec(),
            baseline: None,
            cells: all_cells(&[Game::Usual], &[0, 60], &[load]),
            frames: 10,
            repeats,
            is_quick: false,
            is_partial: false,
        }
    }

    fn order(plan: &Plan, repeat: u32) -> Vec<Contestant> {
        plan.turns(repeat).iter().map(|turn| turn.contestant).collect()
    }

    #[test]
    fn another_scheduler_begins_in_each_repeat_and_all_take_part() {
        let plan = plan(&Contestant::value_variants()[..8], HOGS, 3);
        let mut firsts = Vec::new();
        for repeat in 0..3 {
            let mut order = order(&plan, repeat);
            firsts.push(order[0]);
            order.sort();
            assert_eq!(order, plan.contestants);
        }
        assert_eq!(firsts, [Contestant::Eevdf, Contestant::Flash, Contestant::Ours]);
    }

    #[test]
    fn with_as_many_repeats_as_schedulers_each_is_first_once() {
        let plan = plan(&[Contestant::Eevdf, Contestant::Flash, Contestant::Ours], HOGS, 3);
        let firsts: Vec<_> = (0..3).map(|repeat| order(&plan, repeat)[0]).collect();
        assert_eq!(firsts, plan.contestants);
    }

    #[test]
    fn every_boot_has_the_game_alone_to_compare_with() {
        let alone_of = |load| {
            let turns = plan(&[Contestant::Eevdf, Contestant::Ours], load, 1).turns(0);
            let is_alone = |cell: &&Cell| cell.load == Workload::None;
            turns.iter().map(|turn| turn.cells.iter().filter(is_alone).count()).collect::<Vec<_>>()
        };
        assert_eq!(alone_of(Workload::Compile2x), [2, 0], "at both rates, under the kernel's scheduler");
        assert_eq!(alone_of(Workload::None), [2, 2], "once, where that is the load");
    }

    #[test]
    fn without_a_game_only_capped_cells_are_played() {
        let turns = plan(&[Contestant::OursIdle, Contestant::Ours], HOGS, 1).turns(0);
        let rates = turns.iter().map(|turn| turn.cells.iter().map(|cell| cell.fps).collect::<Vec<_>>());
        assert_eq!(rates.collect::<Vec<_>>(), [vec![60], vec![0, 60]]);
    }

    #[test]
    fn each_load_has_the_bound_that_fits_it() {
        let bounds = [Contestant::RealTime, Contestant::RealTimeFrames];
        assert_eq!(order(&plan(&bounds, Workload::Mixed, 1), 0), [Contestant::RealTime]);
        for load in [Workload::Compile2xIdle, Workload::Jobs, Workload::MixedCompile] {
            assert_eq!(order(&plan(&bounds, load, 1), 0), [Contestant::RealTimeFrames], "{load}");
        }
        assert_eq!(plan(&bounds, HOGS, 1).cost_contestants().count(), 0);
    }

    #[test]
    fn the_floor_of_cost_plays_no_frames() {
        assert!(plan(&[Contestant::Empty], HOGS, 1).turns(0).is_empty());
    }

    #[test]
    fn a_full_run_has_a_boot_for_each_load_and_each_guard() {
        let plan = Plan { cells: full_cells(), ..plan(&all_contestants(), HOGS, 3) };
        let scenes = plan.scenes();
        let count = |purpose| scenes.iter().filter(|scene| scene.game.purpose() == purpose).count();
        assert_eq!(count(Purpose::Compared), Workload::value_variants().len());
        assert_eq!([count(Purpose::Guard), count(Purpose::Program)], [8 * 3, 3 * 2]);
        let cells: usize = scenes.iter().map(|&scene| plan.of_scene(scene).cells.len()).sum();
        assert_eq!(cells, plan.cells.len());
    }

    #[test]
    fn peers_do_not_play_guards() {
        let guard =
            Plan { cells: all_cells(&[Game::Loading], &[0], &[Workload::None]), ..plan(&all_contestants(), HOGS, 1) };
        assert_eq!(order(&guard, 0), [Contestant::Eevdf, Contestant::Ours, Contestant::RealTimeFrames]);
    }

    #[test]
    fn programs_of_others_are_played_uncapped_without_load_inside() {
        let cells = all_cells(&[Game::Doom], &[0, 60], &[Workload::Mixed, Workload::Compile2x, Workload::MixedCompile]);
        assert_eq!(cells, [Cell { game: Game::Doom, fps: 0, load: Workload::Mixed }]);
        assert_eq!(cells_of(Contestant::RealTime, &cells).len() + cells_of(Contestant::Lavd, &cells).len(), 2);
        assert!(cells_of(Contestant::RealTimeFrames, &cells).is_empty());
    }

    #[test]
    fn the_short_answer_has_both_kinds_of_load_and_a_program_without_a_game() {
        let cells = quick_cells();
        assert!(cells.iter().any(|cell| cell.load.is_inside()) && cells.iter().any(|cell| !cell.load.is_inside()));
        assert!(cells.iter().any(|&cell| plays(Contestant::OursIdle, cell)));
        assert!(quick_contestants().contains(&Contestant::OursIdle));
    }
}
