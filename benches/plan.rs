//! What is measured, and in which order.

use clap::ValueEnum;
use serde::Deserialize;
use serde::Serialize;

use crate::contestant::Contestant;
use crate::load_kind::LoadKind;

/// The frame rate of a capped game.
pub const CAPPED_FPS: u32 = 60;

/// A game at a frame rate beside a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cell {
    /// 0 = uncapped.
    pub fps: u32,
    pub load: LoadKind,
}

impl std::fmt::Display for Cell {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.fps {
            0 => write!(out, "uncapped, {}", self.load),
            fps => write!(out, "{fps} fps, {}", self.load),
        }
    }
}

/// The whole measurement; the host hands it to the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub contestants: Vec<Contestant>,
    pub cells: Vec<Cell>,
    pub frames: u32,
    pub repeats: u32,
    /// Repeats that an earlier boot has finished.
    pub finished_repeats: u32,
    /// The first, short answer.
    pub is_quick: bool,
    /// Somebody chose what to measure, or it is the short answer: no page for the project's own record.
    pub is_partial: bool,
}

/// One scheduler and all it is measured with before the next one's turn.
#[derive(Debug, PartialEq, Eq)]
pub struct Turn {
    pub contestant: Contestant,
    pub cells: Vec<Cell>,
}

impl Plan {
    /// The frame cells of one repeat. A scheduler attaches once for all of its cells, since attaching is slow and the
    /// emulator does not survive it every time; in the next repeat another one begins.
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

    /// Who the deterministic rig measures.
    pub fn cost_contestants(&self) -> impl Iterator<Item = Contestant> {
        // A bound for frames; nobody's scheduler.
        self.contestants.iter().copied().filter(|&contestant| contestant != Contestant::RealTime)
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
    let is_for = |cell: &&Cell| match contestant {
        // The floor of cost decides nothing about frames.
        Contestant::Empty => false,
        // What matters without a game is an application that does not want every cycle.
        Contestant::OursIdle => cell.fps != 0,
        _ => true,
    };
    cells.iter().filter(is_for).copied().collect()
}

/// Every load at every frame rate.
pub fn all_cells(fps: &[u32], loads: &[LoadKind]) -> Vec<Cell> {
    fps.iter().flat_map(|&fps| loads.iter().map(move |&load| Cell { fps, load })).collect()
}

/// The cells of the short answer: those that tell most.
pub fn quick_cells() -> Vec<Cell> {
    let uncapped = all_cells(&[0], &[LoadKind::None, LoadKind::Hogs, LoadKind::Bursty, LoadKind::Mixed]);
    let capped = all_cells(&[CAPPED_FPS], &[LoadKind::None, LoadKind::Hogs]);
    [uncapped, capped].concat()
}

/// The schedulers of the short answer: those that attach quickly.
pub fn quick_contestants() -> Vec<Contestant> {
    vec![
        Contestant::Eevdf,
        Contestant::Bpfland,
        Contestant::Flash,
        Contestant::Ours,
        Contestant::OursIdle,
        Contestant::Empty,
    ]
}

/// All schedulers.
pub fn all_contestants() -> Vec<Contestant> {
    Contestant::value_variants().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(contestants: &[Contestant], repeats: u32) -> Plan {
        Plan {
            contestants: contestants.to_vec(),
            cells: all_cells(&[0, 60], &[LoadKind::None, LoadKind::Hogs]),
            frames: 10,
            repeats,
            finished_repeats: 0,
            is_quick: false,
            is_partial: false,
        }
    }

    fn order(plan: &Plan, repeat: u32) -> Vec<Contestant> {
        plan.turns(repeat).iter().map(|turn| turn.contestant).collect()
    }

    #[test]
    fn another_scheduler_begins_in_each_repeat_and_nobody_is_left_out() {
        let plan = plan(&Contestant::value_variants()[..8], 3);
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
        let plan = plan(&[Contestant::Eevdf, Contestant::Flash, Contestant::Ours], 3);
        let firsts: Vec<_> = (0..3).map(|repeat| order(&plan, repeat)[0]).collect();
        assert_eq!(firsts, plan.contestants);
    }

    #[test]
    fn without_a_game_only_capped_cells_are_played() {
        let plan = plan(&[Contestant::OursIdle, Contestant::Ours], 1);
        let turns = plan.turns(0);
        assert!(turns[0].cells.iter().all(|cell| cell.fps == 60) && turns[0].cells.len() == 2);
        assert_eq!(turns[1].cells, plan.cells);
    }

    #[test]
    fn the_floor_of_cost_plays_no_frames() {
        assert!(plan(&[Contestant::Empty], 1).turns(0).is_empty());
    }

    #[test]
    fn a_bound_for_frames_has_no_cost() {
        let plan = plan(&[Contestant::RealTime, Contestant::Ours], 1);
        assert_eq!(plan.turns(0).len(), 2);
        assert!(plan.cost_contestants().eq([Contestant::Ours]));
    }

    #[test]
    fn the_short_answer_compares_without_a_game_too() {
        assert!(quick_cells().contains(&Cell { fps: CAPPED_FPS, load: LoadKind::Hogs }));
        assert!(quick_contestants().contains(&Contestant::OursIdle));
    }
}
