//! The targets: what was promised, what was measured, and whether that is enough.

use std::fmt;

use crate::contestant::Contestant;
use crate::load_kind::LoadKind;
use crate::page::results::Figure;
use crate::page::results::Results;
use crate::page::results::input_p99_us;
use crate::page::results::load_cpu_pct;
use crate::page::results::longest_wait_ms;
use crate::page::results::p99_ms;
use crate::page::results::ratio;
use crate::page::spread::Spread;
use crate::plan::CAPPED_FPS;
use crate::plan::Cell;

/// On which side of a limit it is good to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
    Below(f64),
}

/// One line of the table.
#[derive(Debug)]
pub struct Target {
    pub figure: String,
    pub limit: Limit,
    pub unit: &'static str,
    /// None: not measured in this run.
    pub measured: Option<Measured>,
}

/// The figure at its worst, and where that was.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    pub spread: Spread,
    pub place: String,
    /// The same of a real-time game in our place, where it was measured: as near as anybody gets on this rig.
    pub bound: Option<Spread>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    Met,
    /// By so many percent of the limit.
    MissedBy(f64),
    NotMeasured,
}

impl Limit {
    /// Judges a median.
    pub fn judge(self, value: f64) -> Verdict {
        let (is_met, limit) = match self {
            Self::AtMost(limit) => (value <= limit, limit),
            Self::AtLeast(limit) => (value >= limit, limit),
            Self::Below(limit) => (value < limit, limit),
        };
        if is_met { Verdict::Met } else { Verdict::MissedBy(100.0 * (value - limit).abs() / limit) }
    }

    /// Whichever is further from being met.
    fn worse(self, a: f64, b: f64) -> bool {
        match self {
            Self::AtMost(_) | Self::Below(_) => a > b,
            Self::AtLeast(_) => a < b,
        }
    }
}

impl Target {
    pub fn verdict(&self) -> Verdict {
        self.measured.as_ref().map_or(Verdict::NotMeasured, |measured| self.limit.judge(measured.spread.median))
    }

    /// The worst of what was found in several places.
    fn worst_of(
        figure: impl Into<String>,
        limit: Limit,
        unit: &'static str,
        found: impl Iterator<Item = Measured>,
    ) -> Self {
        let worst = found.reduce(|a, b| if limit.worse(b.spread.median, a.spread.median) { b } else { a });
        Self { figure: figure.into(), limit, unit, measured: worst }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(out, "≤ {limit}"),
            Self::AtLeast(limit) => write!(out, "≥ {limit}"),
            Self::Below(limit) => write!(out, "< {limit}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Met => out.write_str("met"),
            Self::MissedBy(pct) if *pct < 0.1 => out.write_str("missed, just"),
            Self::MissedBy(pct) => write!(out, "missed by {pct:.1} %"),
            Self::NotMeasured => out.write_str("not measured"),
        }
    }
}

/// Every target that a benchmark can judge.
pub fn all(results: &Results) -> Vec<Target> {
    let mut targets = Vec::new();
    for fps in [0, CAPPED_FPS] {
        targets.push(to_alone(results, fps, "p99 frame time", p99_ms, 1.1));
    }
    for load in [LoadKind::Bursty, LoadKind::Mixed] {
        targets.push(rival_to_ours(results, Cell { fps: 0, load }));
    }
    for fps in [0, CAPPED_FPS] {
        targets.push(to_alone(results, fps, "input p99", input_p99_us, 1.5));
    }
    targets.extend([load_progress(results), longest_wait(results), without_a_game(results)]);
    targets.extend(costs(results));
    targets
}

fn mode(fps: u32) -> String {
    if fps == 0 { "uncapped".into() } else { format!("at {fps} fps") }
}

/// Beside each load ÷ the game alone under the kernel's own scheduler.
fn to_alone(results: &Results, fps: u32, name: &str, figure: Figure, limit: f64) -> Target {
    let alone = results.rounds(Contestant::Eevdf, Cell { fps, load: LoadKind::None }, figure);
    let found = results.cells_at(fps).filter(|cell| cell.load != LoadKind::None).filter_map(|cell| {
        let to_alone = |who| ratio(&results.rounds(who, cell, figure), &alone);
        let spread = to_alone(Contestant::Ours)?;
        Some(Measured { spread, place: cell.load.to_string(), bound: to_alone(Contestant::RealTime) })
    });
    let figure = format!("{name} under any load ÷ alone, {}", mode(fps));
    Target::worst_of(figure, Limit::AtMost(limit), "", found)
}

fn rival_to_ours(results: &Results, cell: Cell) -> Target {
    let measured = results.best_rival(cell, p99_ms).and_then(|rival| {
        let theirs = results.rounds(rival, cell, p99_ms);
        let to = |who| ratio(&theirs, &results.rounds(who, cell, p99_ms));
        let spread = to(Contestant::Ours)?;
        Some(Measured { spread, place: rival.label().into(), bound: to(Contestant::RealTime) })
    });
    let figure = format!("best peer's p99 frame time ÷ ours, {}, {}", cell.load, mode(cell.fps));
    Target { figure, limit: Limit::AtLeast(4.0), unit: "", measured }
}

fn load_progress(results: &Results) -> Target {
    let found = results.cells_at(0).filter_map(|cell| {
        let spread = results.spread(Contestant::Ours, cell, load_cpu_pct)?;
        Some(Measured { spread, place: cell.load.to_string(), bound: None })
    });
    Target::worst_of("progress of the load beside an uncapped game", Limit::AtLeast(5.0), " % of CPU", found)
}

/// A bound and no average: the longest of all repeats stands for its cell.
fn longest_wait(results: &Results) -> Target {
    let found = results
        .frames
        .iter()
        .filter(|frames| matches!(frames.contestant, Contestant::Ours | Contestant::OursIdle))
        .filter_map(|frames| {
            let spread = Spread::of([longest_wait_ms(frames)?])?;
            let place = format!("{}, {}, \"{}\"", frames.contestant.label(), frames.cell, frames.waits.comm);
            Some(Measured { spread, place, bound: None })
        });
    Target::worst_of("longest wait of any task, any cell", Limit::AtMost(500.0), " ms", found)
}

fn without_a_game(results: &Results) -> Target {
    let cell = Cell { fps: CAPPED_FPS, load: LoadKind::Hogs };
    let measured = results.best_rival(cell, p99_ms).and_then(|rival| {
        let [ours, theirs] = [Contestant::OursIdle, rival].map(|who| results.rounds(who, cell, p99_ms));
        Some(Measured { spread: ratio(&ours, &theirs)?, place: rival.label().into(), bound: None })
    });
    let figure = format!("no game: p99 of a program {} under hogs ÷ best peer's", mode(CAPPED_FPS));
    Target { figure, limit: Limit::AtMost(1.1), unit: "", measured }
}

fn costs(results: &Results) -> Vec<Target> {
    let cost = |who| results.cost(who);
    let compared = |ours: Contestant, other: Contestant, figure: fn(&crate::record::Cost) -> Option<f64>| {
        let spread = Spread::of([figure(cost(ours)?)? / figure(cost(other)?)?])?;
        Some(Measured { spread, place: ours.label().into(), bound: None })
    };
    let pipe = |other| {
        [Contestant::OursIdle, Contestant::Ours]
            .into_iter()
            .filter_map(move |ours| compared(ours, other, |cost| Some(cost.pipe_ns)))
    };
    let start = compared(Contestant::OursIdle, Contestant::Cosmos, |cost| cost.attach_ms);
    vec![
        Target::worst_of("sched pipe ÷ EEVDF", Limit::Below(1.0), "", pipe(Contestant::Eevdf)),
        Target::worst_of("sched pipe ÷ empty sched_ext scheduler", Limit::AtMost(1.1), "", pipe(Contestant::Empty)),
        Target::worst_of("start to `enabled` ÷ scx_cosmos", Limit::AtMost(1.0), "", start.into_iter()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::sample;

    const ALONE: Cell = Cell { fps: 0, load: LoadKind::None };
    const HOGS: Cell = Cell { fps: 0, load: LoadKind::Hogs };
    const MIXED: Cell = Cell { fps: 0, load: LoadKind::Mixed };

    fn find<'a>(targets: &'a [Target], start: &str) -> &'a Target {
        targets.iter().find(|target| target.figure.starts_with(start)).expect("a target")
    }

    #[test]
    fn a_limit_is_met_on_its_good_side_and_missed_by_the_share_it_lacks() {
        assert_eq!(Limit::AtMost(1.0).judge(1.0), Verdict::Met);
        assert_eq!(Limit::Below(1.0).judge(1.0), Verdict::MissedBy(0.0));
        assert_eq!(Limit::AtMost(2.0).judge(3.0), Verdict::MissedBy(50.0));
        assert_eq!(Limit::AtLeast(4.0).judge(3.0), Verdict::MissedBy(25.0));
        assert_eq!(Limit::AtLeast(4.0).judge(4.5), Verdict::Met);
    }

    #[test]
    fn without_figures_nothing_is_met() {
        let targets = all(&sample::results(Vec::new()));
        assert_eq!(targets.len(), 12);
        assert!(targets.iter().all(|target| target.verdict() == Verdict::NotMeasured));
    }

    #[test]
    fn the_worst_load_decides() {
        let targets = all(&sample::results(vec![
            sample::frames(Contestant::Eevdf, ALONE, 0, 10.0),
            sample::frames(Contestant::Ours, ALONE, 0, 90.0),
            sample::frames(Contestant::Ours, HOGS, 0, 10.5),
            sample::frames(Contestant::Ours, MIXED, 0, 12.0),
        ]));
        let target = find(&targets, "p99 frame time under any load ÷ alone, uncapped");
        let measured = target.measured.as_ref().expect("measured");
        assert_eq!((measured.spread.median, measured.place.as_str()), (1.2, "mixed"));
        assert_eq!(target.verdict().to_string(), "missed by 9.1 %");
    }

    #[test]
    fn the_best_peer_is_compared_not_the_worst() {
        let targets = all(&sample::results(vec![
            sample::frames(Contestant::Eevdf, MIXED, 0, 90.0),
            sample::frames(Contestant::Lavd, MIXED, 0, 43.0),
            sample::frames(Contestant::Ours, MIXED, 0, 10.0),
        ]));
        let target = find(&targets, "best peer's p99 frame time ÷ ours, mixed");
        assert_eq!(target.measured.as_ref().map(|measured| measured.spread.median), Some(4.3));
        assert_eq!(target.verdict(), Verdict::Met);
    }

    #[test]
    fn what_a_real_time_game_has_stands_beside_ours() {
        let targets = all(&sample::results(vec![
            sample::frames(Contestant::Eevdf, ALONE, 0, 10.0),
            sample::frames(Contestant::Eevdf, MIXED, 0, 40.0),
            sample::frames(Contestant::Ours, MIXED, 0, 16.0),
            sample::frames(Contestant::RealTime, MIXED, 0, 12.5),
        ]));
        let bound = |start| find(&targets, start).measured.as_ref().and_then(|measured| Some(measured.bound?.median));
        assert_eq!(bound("p99 frame time under any load ÷ alone, uncapped"), Some(1.25));
        assert_eq!(bound("best peer's p99 frame time ÷ ours, mixed"), Some(3.2));
        assert_eq!(bound("progress of the load"), None);
    }

    #[test]
    fn one_long_wait_in_one_repeat_misses_the_bound() {
        let mut frames = vec![sample::frames(Contestant::Ours, HOGS, 0, 10.0)];
        frames.push(sample::frames(Contestant::OursIdle, Cell { fps: 60, ..HOGS }, 1, 10.0));
        frames[1].waits.longest_ms = 750.0;
        // A rival's are its own affair.
        frames.push(sample::frames(Contestant::Lavd, HOGS, 0, 10.0));
        frames[2].waits.longest_ms = 5000.0;
        let targets = all(&sample::results(frames));
        assert_eq!(find(&targets, "longest wait").verdict(), Verdict::MissedBy(50.0));
    }

    #[test]
    fn the_dearer_of_our_two_modes_is_judged() {
        let mut results = sample::results(Vec::new());
        results.costs = vec![
            sample::cost(Contestant::Eevdf, 100.0, None),
            sample::cost(Contestant::Empty, 80.0, Some(500.0)),
            sample::cost(Contestant::OursIdle, 85.0, Some(600.0)),
            sample::cost(Contestant::Ours, 110.0, None),
            sample::cost(Contestant::Cosmos, 130.0, Some(1300.0)),
        ];
        let targets = all(&results);
        assert_eq!(
            find(&targets, "sched pipe ÷ EEVDF").measured.as_ref().map(|m| m.place.as_str()),
            Some("scx-gamer-run")
        );
        assert_eq!(find(&targets, "sched pipe ÷ empty").verdict(), Verdict::MissedBy(100.0 * (1.375 - 1.1) / 1.1));
        assert_eq!(find(&targets, "start to").verdict(), Verdict::Met);
    }

    #[test]
    fn the_load_must_move_beside_a_game_that_wants_everything() {
        let mut ours = sample::frames(Contestant::Ours, HOGS, 0, 10.0);
        ours.load.cpu_pct = 4.0;
        let targets = all(&sample::results(vec![ours]));
        assert_eq!(find(&targets, "progress of the load").verdict(), Verdict::MissedBy(20.0));
    }
}
