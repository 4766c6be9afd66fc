//! A run's records, asked by scheduler and cell.
//!
//! Figures are compared inside one repeat of one boot only; what is reported is the median of such comparisons.

use std::collections::BTreeMap;

use anyhow::Context;
use anyhow::Result;

use crate::contestant::Contestant;
use crate::page::spread::Spread;
use crate::plan::Cell;
use crate::record::Boot;
use crate::record::Cost;
use crate::record::Frames;
use crate::record::Record;
use crate::record::Run;
use crate::record::ThrownOut;

/// Boot and repeat.
type Round = (String, u32);
/// One figure of one cell, in each round that has it.
pub type Rounds = BTreeMap<Round, f64>;
/// Reads a figure from a cell; none where it has none.
pub type Figure = fn(&Frames) -> Option<f64>;

/// Everything a run has found out.
pub struct Results {
    pub run: Run,
    pub boots: Vec<Boot>,
    pub frames: Vec<Frames>,
    pub costs: Vec<Cost>,
    pub thrown_out: Vec<ThrownOut>,
}

impl Results {
    /// Sorts records by kind.
    pub fn new(records: Vec<Record>) -> Result<Self> {
        let (mut run, mut boots, mut frames, mut costs, mut thrown_out) = (None, vec![], vec![], vec![], vec![]);
        for record in records {
            match record {
                Record::Run(seen) => run = Some(*seen),
                Record::Boot(seen) => boots.push(seen),
                Record::Frames(seen) => frames.push(*seen),
                Record::Cost(seen) => costs.push(seen),
                Record::ThrownOut(seen) => thrown_out.push(seen),
                Record::RepeatDone { .. } => {}
            }
        }
        let run = run.context("the run does not say what it is: its first record is missing")?;
        Ok(Self { run, boots, frames, costs, thrown_out })
    }

    /// The figure of one scheduler in one cell.
    pub fn rounds(&self, contestant: Contestant, cell: Cell, figure: Figure) -> Rounds {
        self.frames
            .iter()
            .filter(|frames| frames.contestant == contestant && frames.cell == cell)
            .filter_map(|frames| Some(((frames.boot.clone(), frames.repeat), figure(frames)?)))
            .collect()
    }

    /// Its median and spread over the repeats.
    pub fn spread(&self, contestant: Contestant, cell: Cell, figure: Figure) -> Option<Spread> {
        Spread::of(self.rounds(contestant, cell, figure).into_values())
    }

    pub fn cost(&self, contestant: Contestant) -> Option<&Cost> {
        self.costs.iter().find(|cost| cost.contestant == contestant)
    }

    /// The rival with the lowest median.
    pub fn best_rival(&self, cell: Cell, figure: Figure) -> Option<Contestant> {
        let median = |rival| Some((rival, self.spread(rival, cell, figure)?.median));
        let rivals = self.run.plan.contestants.iter().copied().filter(|contestant| contestant.is_rival());
        rivals.filter_map(median).min_by(|a, b| a.1.total_cmp(&b.1)).map(|(rival, _)| rival)
    }

    /// Cells that were measured at all, in the order of the plan.
    pub fn cells_at(&self, fps: u32) -> impl Iterator<Item = Cell> {
        let was_measured = |cell: &Cell| self.frames.iter().any(|frames| frames.cell == *cell);
        self.run.plan.cells.iter().copied().filter(move |cell| cell.fps == fps && was_measured(cell))
    }

    /// Frame rates that were measured, uncapped first.
    pub fn frame_rates(&self) -> Vec<u32> {
        let mut rates: Vec<u32> = self.frames.iter().map(|frames| frames.cell.fps).collect();
        rates.sort_unstable();
        rates.dedup();
        rates
    }
}

/// Numerator ÷ denominator in each round that has both, then median and spread.
pub fn ratio(numerator: &Rounds, denominator: &Rounds) -> Option<Spread> {
    Spread::of(numerator.iter().filter_map(|(round, value)| Some(value / denominator.get(round)?)))
}

/// The p99 frame time in ms.
pub fn p99_ms(frames: &Frames) -> Option<f64> {
    Some(frames.game.frame_ms.p99)
}

/// The p99 of input from due to handled, in µs.
pub fn input_p99_us(frames: &Frames) -> Option<f64> {
    frames.game.input_us.as_ref().map(|input| input.p99)
}

/// The load's share of all CPUs; none without a load.
pub fn load_cpu_pct(frames: &Frames) -> Option<f64> {
    (frames.load.kind != "none").then_some(frames.load.cpu_pct)
}

/// The longest any task waited for a CPU, in ms.
pub fn longest_wait_ms(frames: &Frames) -> Option<f64> {
    Some(frames.waits.longest_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load_kind::LoadKind;
    use crate::page::sample;

    const CELL: Cell = Cell { fps: 0, load: LoadKind::Hogs };

    #[test]
    fn ratios_are_taken_inside_a_round_not_between_rounds() {
        // The machine was twice as slow in the second repeat; the scheduler was not.
        let results = sample::results(vec![
            sample::frames(Contestant::Eevdf, CELL, 0, 20.0),
            sample::frames(Contestant::Eevdf, CELL, 1, 40.0),
            sample::frames(Contestant::Ours, CELL, 0, 10.0),
            sample::frames(Contestant::Ours, CELL, 1, 20.0),
        ]);
        let [rival, ours] = [Contestant::Eevdf, Contestant::Ours].map(|who| results.rounds(who, CELL, p99_ms));
        assert_eq!(ratio(&rival, &ours), Spread::of([2.0, 2.0]));
    }

    #[test]
    fn a_round_without_a_partner_is_compared_with_nothing() {
        let results = sample::results(vec![
            sample::frames(Contestant::Eevdf, CELL, 0, 20.0),
            sample::frames(Contestant::Ours, CELL, 1, 10.0),
        ]);
        let [rival, ours] = [Contestant::Eevdf, Contestant::Ours].map(|who| results.rounds(who, CELL, p99_ms));
        assert_eq!(ratio(&rival, &ours), None);
    }

    #[test]
    fn the_same_repeat_of_another_boot_is_another_round() {
        let again = Frames { boot: "second".into(), ..sample::frames(Contestant::Ours, CELL, 0, 30.0) };
        let results = sample::results(vec![sample::frames(Contestant::Ours, CELL, 0, 10.0), again]);
        assert_eq!(results.spread(Contestant::Ours, CELL, p99_ms), Spread::of([10.0, 30.0]));
    }

    #[test]
    fn ours_is_never_its_own_best_rival() {
        let results = sample::results(vec![
            sample::frames(Contestant::Ours, CELL, 0, 1.0),
            sample::frames(Contestant::Eevdf, CELL, 0, 30.0),
            sample::frames(Contestant::Lavd, CELL, 0, 20.0),
        ]);
        assert_eq!(results.best_rival(CELL, p99_ms), Some(Contestant::Lavd));
    }
}
