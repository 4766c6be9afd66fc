//! A run's records, asked by scheduler and cell.
//!
//! Figures are compared inside one repeat of one boot only; what is reported is the median of such comparisons.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use anyhow::Context;
use anyhow::Result;

use crate::contestant::Contestant;
use crate::game::Game;
use crate::page::spread::Spread;
use crate::plan::Cell;
use crate::plan::Scene;
use crate::record::Boot;
use crate::record::Cost;
use crate::record::Frames;
use crate::record::Record;
use crate::record::Resumed;
use crate::record::Run;
use crate::record::ThrownOut;

/// Repeats of one boot: its figures may be compared with each other.
pub type Rounds = BTreeMap<Round, f64>;
/// Reads a figure from a cell; none where it has none.
pub type Figure = fn(&Frames) -> Option<f64>;
/// Boot and repeat.
type Round = (String, u32);

/// Everything a run has found out.
pub struct Results {
    pub run: Run,
    pub resumed: Vec<Resumed>,
    pub boots: Vec<Boot>,
    pub frames: Vec<Frames>,
    pub costs: Vec<Cost>,
    pub thrown_out: Vec<ThrownOut>,
}

impl Results {
    /// Sorts records by kind. A scene that was cut short and measured again counts once, with its finished boot.
    pub fn new(records: Vec<Record>) -> Result<Self> {
        let (mut run, mut resumed, mut boots, mut finished) = (None, vec![], vec![], BTreeSet::new());
        let (mut frames, mut costs, mut thrown_out) = (vec![], vec![], vec![]);
        for record in records {
            match record {
                Record::Run(seen) => run = Some(*seen),
                Record::Resumed(seen) => resumed.push(seen),
                Record::Boot(seen) => boots.push(seen),
                Record::Frames(seen) => frames.push(*seen),
                Record::Cost(seen) => costs.push(seen),
                Record::ThrownOut(seen) => thrown_out.push(seen),
                Record::SceneDone { boot, .. } | Record::CostDone { boot } => _ = finished.insert(boot),
            }
        }
        let run = run.context("the run does not say what it is: its first record is missing")?;
        let boots = one_for_each_scene(boots, &finished);
        let is_kept = |id: &String| boots.iter().any(|boot: &Boot| boot.id == *id);
        frames.retain(|seen: &Frames| is_kept(&seen.boot));
        costs.retain(|seen: &Cost| is_kept(&seen.boot));
        thrown_out.retain(|seen: &ThrownOut| is_kept(&seen.boot));
        Ok(Self { run, resumed, boots, frames, costs, thrown_out })
    }

    /// The figure of one scheduler in one cell.
    pub fn rounds(&self, contestant: Contestant, cell: Cell, figure: Figure) -> Rounds {
        self.rounds_in(cell.scene(), contestant, cell, figure)
    }

    /// The figure of the game alone under the kernel's own scheduler, in the boot of `cell`.
    pub fn rounds_alone(&self, cell: Cell, figure: Figure) -> Rounds {
        self.rounds_in(cell.scene(), Contestant::Eevdf, cell.alone(), figure)
    }

    fn rounds_in(&self, scene: Scene, contestant: Contestant, cell: Cell, figure: Figure) -> Rounds {
        let Some(boot) = self.boots.iter().find(|boot| boot.scene == Some(scene)) else { return Rounds::new() };
        self.frames
            .iter()
            .filter(|frames| frames.boot == boot.id && frames.contestant == contestant && frames.cell == cell)
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

    /// Cells of the plan that were measured at all, in its order.
    pub fn measured_cells(&self) -> impl Iterator<Item = Cell> {
        let was_measured = |cell: &Cell| self.frames.iter().any(|frames| frames.cell == *cell);
        self.run.plan.cells.iter().copied().filter(was_measured)
    }

    /// Measured cells of the usual game at one frame rate.
    pub fn usual_cells_at(&self, fps: u32) -> impl Iterator<Item = Cell> {
        self.measured_cells().filter(move |cell| cell.fps == fps && cell.game == Game::Usual)
    }

    /// Schedulers that played at least one of `cells`, in the order of the comparison.
    pub fn contestants_in(&self, cells: &[Cell]) -> Vec<Contestant> {
        let played = |contestant: &Contestant| {
            self.frames.iter().any(|frames| frames.contestant == *contestant && cells.contains(&frames.cell))
        };
        let mut contestants: Vec<Contestant> = self.run.plan.contestants.iter().copied().filter(played).collect();
        contestants.sort();
        contestants
    }

    /// Frame rates that were measured, uncapped first.
    pub fn frame_rates(&self) -> Vec<u32> {
        let mut rates: Vec<u32> = self.measured_cells().map(|cell| cell.fps).collect();
        rates.sort_unstable();
        rates.dedup();
        rates
    }
}

/// Of several boots for the same scene the finished one, else the last one.
fn one_for_each_scene(boots: Vec<Boot>, finished: &BTreeSet<String>) -> Vec<Boot> {
    let is_replaced = |index: usize| {
        let boot: &Boot = &boots[index];
        let others = boots.iter().enumerate().filter(|(other, _)| *other != index);
        let mut same = others.filter(|(_, other)| (other.rig, other.scene) == (boot.rig, boot.scene));
        !finished.contains(&boot.id) && same.any(|(other, it)| other > index || finished.contains(&it.id))
    };
    let kept: Vec<bool> = (0..boots.len()).map(|index| !is_replaced(index)).collect();
    boots.into_iter().zip(kept).filter_map(|(boot, is_kept)| is_kept.then_some(boot)).collect()
}

/// Numerator ÷ denominator in each round that has both, then median and spread.
pub fn ratio(numerator: &Rounds, denominator: &Rounds) -> Option<Spread> {
    Spread::of(numerator.iter().filter_map(|(round, value)| Some(value / denominator.get(round)?)))
}

/// Frames per second, on average.
pub fn fps(frames: &Frames) -> Option<f64> {
    Some(frames.fps)
}

/// The p99 frame time in ms; none for a program of others.
pub fn p99_ms(frames: &Frames) -> Option<f64> {
    Some(frames.game.as_ref()?.frame_ms.p99)
}

/// The p99 of input from due to handled, in µs.
pub fn input_p99_us(frames: &Frames) -> Option<f64> {
    Some(frames.game.as_ref()?.input_us.as_ref()?.p99)
}

/// The load's share of all CPUs; none without a load.
pub fn load_cpu_pct(frames: &Frames) -> Option<f64> {
    (frames.load.kind != "none").then_some(frames.load.cpu_pct)
}

/// The p99 from a wake-up of a frame thread until it ran, in µs.
pub fn wake_p99_us(frames: &Frames) -> Option<f64> {
    Some(frames.game.as_ref()?.wake_us.as_ref()?.p99)
}

/// Work of the game's bulk threads as a share of all CPUs; none without such threads.
pub fn bulk_work_pct(frames: &Frames) -> Option<f64> {
    let bulk = &frames.game.as_ref()?.bulk;
    (!bulk.is_empty()).then(|| bulk.iter().map(|bulk| bulk.work_pct).sum())
}

/// The longest one of the game's bulk threads made no progress, in ms.
pub fn bulk_wait_ms(frames: &Frames) -> Option<f64> {
    frames.game.as_ref()?.bulk.iter().map(|bulk| bulk.longest_wait_ms).max_by(f64::total_cmp)
}

/// The longest any task waited for a CPU, in ms.
pub fn longest_wait_ms(frames: &Frames) -> Option<f64> {
    Some(frames.waits.longest_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::sample;
    use crate::record::Rig;
    use crate::workload::Workload;

    const CELL: Cell = sample::uncapped(Workload::Hogs);

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
    fn alone_is_measured_in_the_boot_of_the_load() {
        let results = sample::results(vec![
            sample::alone_beside(CELL, 0, 10.0),
            sample::frames(Contestant::Eevdf, CELL.alone(), 0, 30.0),
            sample::frames(Contestant::Ours, CELL, 0, 11.0),
        ]);
        assert_eq!(results.rounds_alone(CELL, p99_ms).into_values().collect::<Vec<_>>(), [10.0]);
        let of_its_own = results.spread(Contestant::Eevdf, CELL.alone(), p99_ms);
        assert_eq!(of_its_own, Spread::of([30.0]), "the other boot's is not mixed in");
    }

    #[test]
    fn a_scene_that_was_measured_again_counts_with_its_finished_boot() {
        let kept = |finished: &[&str]| {
            let boot = |id: &str, load| Boot {
                id: id.into(),
                scene: Some(sample::uncapped(load).scene()),
                ..sample::results(Vec::new()).boots.remove(0)
            };
            let boots = vec![
                boot("cut short", Workload::Hogs),
                boot("again", Workload::Hogs),
                boot("other", Workload::Mixed),
                boot("third", Workload::Hogs),
            ];
            let finished = finished.iter().map(ToString::to_string).collect();
            let kept = one_for_each_scene(boots, &finished);
            assert!(kept.iter().all(|boot| boot.rig == Rig::Parallel));
            kept.into_iter().map(|boot| boot.id).collect::<Vec<_>>()
        };
        assert_eq!(kept(&["again"]), ["again", "other"]);
        assert_eq!(kept(&[]), ["other", "third"]);
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
