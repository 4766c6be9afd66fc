//! The targets: what was promised, what was measured, and whether that is enough.

use crate::contestant::Contestant;
use crate::game::Game;
use crate::page::limit::Limit;
use crate::page::limit::Verdict;
use crate::page::results::Figure;
use crate::page::results::Results;
use crate::page::results::bulk_work_pct;
use crate::page::results::input_p99_us;
use crate::page::results::load_cpu_pct;
use crate::page::results::longest_wait_ms;
use crate::page::results::p99_ms;
use crate::page::results::ratio;
use crate::page::section::mode;
use crate::page::spread::Spread;
use crate::plan::CAPPED_FPS;
use crate::plan::Cell;
use crate::workload::Workload;

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
    /// The same of the bound in our place, where it was measured.
    pub bound: Option<Spread>,
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

/// Every target that a benchmark can judge.
pub fn all(results: &Results) -> Vec<Target> {
    let mut targets = Vec::new();
    for fps in [0, CAPPED_FPS] {
        targets.push(to_alone(results, fps, "p99 frame time", p99_ms, 1.1));
    }
    for load in [Workload::Bursty, Workload::Mixed] {
        targets.push(rival_to_ours(results, Cell { game: Game::Usual, fps: 0, load }));
    }
    for fps in [0, CAPPED_FPS] {
        targets.push(to_alone(results, fps, "input p99", input_p99_us, 1.5));
    }
    for fps in [0, CAPPED_FPS] {
        targets.push(inside_to_bound(results, fps));
    }
    targets.extend([compile_throughput(results), rival_to_ours_at_nice_0(results), rival_to_ours_at_idle(results)]);
    targets.extend([load_progress(results), longest_wait(results), without_a_game(results)]);
    targets.extend(costs(results));
    targets
}

/// Beside each load outside ÷ the game alone under the kernel's own scheduler.
fn to_alone(results: &Results, fps: u32, name: &str, figure: Figure, limit: f64) -> Target {
    let is_outside = |cell: &Cell| cell.load != Workload::None && !cell.load.is_inside();
    let found = results.usual_cells_at(fps).filter(is_outside).filter_map(|cell| {
        let alone = results.rounds_alone(cell, figure);
        let to_alone = |contestant| ratio(&results.rounds(contestant, cell, figure), &alone);
        let spread = to_alone(Contestant::Ours)?;
        Some(Measured { spread, place: cell.load.to_string(), bound: to_alone(Contestant::RealTime) })
    });
    let figure = format!("{name} beside any load outside ÷ alone, {}", mode(fps));
    Target::worst_of(figure, Limit::AtMost(limit), "", found)
}

/// Under each load inside ÷ the bound.
fn inside_to_bound(results: &Results, fps: u32) -> Target {
    let found = inside_cells(results, fps).filter_map(|cell| {
        let [ours, bound] =
            [Contestant::Ours, Contestant::RealTimeFrames].map(|contestant| results.rounds(contestant, cell, p99_ms));
        Some(Measured { spread: ratio(&ours, &bound)?, place: cell.load.to_string(), bound: None })
    });
    let figure = format!("p99 frame time under any load inside ÷ bound, {}", mode(fps));
    Target::worst_of(figure, Limit::AtMost(1.15), "", found)
}

fn compile_throughput(results: &Results) -> Target {
    let found = inside_cells(results, 0).chain(inside_cells(results, CAPPED_FPS)).filter_map(|cell| {
        let work_of = |contestant| results.rounds(contestant, cell, bulk_work_pct);
        let spread = ratio(&work_of(Contestant::Ours), &work_of(Contestant::RealTimeFrames))?;
        Some(Measured { spread, place: cell.to_string(), bound: None })
    });
    Target::worst_of("work of bulk threads ÷ the same under the bound", Limit::AtLeast(0.9), "", found)
}

/// At least 1.4 where the best peer leaves that much room above the bound, else most of that room.
fn rival_to_ours_at_nice_0(results: &Results) -> Target {
    /// The best peer is so far from the bound that we can be clearly ahead of it.
    const MUCH_ROOM: f64 = 1.6;
    const CLEARLY_AHEAD: f64 = 1.4;
    const SHARE_OF_ROOM: f64 = 0.87;
    let found = inside_cells(results, 0)
        .filter(|cell| matches!(cell.load, Workload::Compile1x | Workload::Compile2x))
        .filter_map(|cell| {
            let measured = best_rival_to_ours(results, cell, Contestant::RealTimeFrames)?;
            let room = measured.bound?.median;
            let wanted = if room >= MUCH_ROOM { CLEARLY_AHEAD } else { SHARE_OF_ROOM * room };
            let of_wanted = |spread: Spread| spread.scaled(1.0 / wanted);
            Some(Measured { spread: of_wanted(measured.spread), bound: measured.bound.map(of_wanted), ..measured })
        });
    let figure = "best peer's p99 frame time ÷ ours, compile at nice 0, as a share of the target";
    Target::worst_of(figure, Limit::AtLeast(1.0), "", found)
}

fn rival_to_ours_at_idle(results: &Results) -> Target {
    let found = inside_cells(results, 0)
        .filter(|cell| matches!(cell.load, Workload::Compile1xIdle | Workload::Compile2xIdle))
        .filter_map(|cell| best_rival_to_ours(results, cell, Contestant::RealTimeFrames));
    Target::worst_of("best peer's p99 frame time ÷ ours, compile at SCHED_IDLE", Limit::AtLeast(0.95), "", found)
}

fn inside_cells(results: &Results, fps: u32) -> impl Iterator<Item = Cell> {
    results.usual_cells_at(fps).filter(|cell| cell.load.is_inside())
}

fn rival_to_ours(results: &Results, cell: Cell) -> Target {
    let measured = best_rival_to_ours(results, cell, Contestant::RealTime);
    let figure = format!("best peer's p99 frame time ÷ ours, {}, {}", cell.load, mode(cell.fps));
    Target { figure, limit: Limit::AtLeast(4.0), unit: "", measured }
}

fn best_rival_to_ours(results: &Results, cell: Cell, bound: Contestant) -> Option<Measured> {
    let rival = results.best_rival(cell, p99_ms)?;
    let theirs = results.rounds(rival, cell, p99_ms);
    let to = |contestant| ratio(&theirs, &results.rounds(contestant, cell, p99_ms));
    Some(Measured {
        spread: to(Contestant::Ours)?,
        place: format!("{}, {}", rival.label(), cell.load),
        bound: to(bound),
    })
}

fn load_progress(results: &Results) -> Target {
    let found = results.usual_cells_at(0).filter_map(|cell| {
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
    let cell = Cell { game: Game::Usual, fps: CAPPED_FPS, load: Workload::Hogs };
    let measured = results.best_rival(cell, p99_ms).and_then(|rival| {
        let [ours, theirs] = [Contestant::OursIdle, rival].map(|contestant| results.rounds(contestant, cell, p99_ms));
        Some(Measured { spread: ratio(&ours, &theirs)?, place: rival.label().into(), bound: None })
    });
    let figure = format!("no game: p99 of a program {} under hogs ÷ best peer's", mode(CAPPED_FPS));
    Target { figure, limit: Limit::AtMost(1.1), unit: "", measured }
}

fn costs(results: &Results) -> Vec<Target> {
    let cost = |contestant| results.cost(contestant);
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
        Target::worst_of("sched pipe ÷ empty sched_ext scheduler", Limit::AtMost(1.15), "", pipe(Contestant::Empty)),
        Target::worst_of("start to `enabled` ÷ scx_cosmos", Limit::AtMost(1.0), "", start.into_iter()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::sample;
    use crate::report::BulkReport;

    const HOGS: Cell = sample::uncapped(Workload::Hogs);
    const MIXED: Cell = sample::uncapped(Workload::Mixed);
    const COMPILE: Cell = sample::uncapped(Workload::Compile2x);

    fn find<'a>(targets: &'a [Target], start: &str) -> &'a Target {
        targets.iter().find(|target| target.figure.starts_with(start)).expect("a target")
    }

    #[test]
    fn without_figures_nothing_is_met() {
        let targets = all(&sample::results(Vec::new()));
        assert_eq!(targets.len(), 17);
        assert!(targets.iter().all(|target| target.verdict() == Verdict::NotMeasured));
    }

    #[test]
    fn the_worst_load_decides() {
        let targets = all(&sample::results(vec![
            sample::alone_beside(HOGS, 0, 10.0),
            sample::alone_beside(MIXED, 0, 10.0),
            sample::frames(Contestant::Ours, HOGS.alone(), 0, 90.0),
            sample::frames(Contestant::Ours, COMPILE, 0, 90.0),
            sample::frames(Contestant::Ours, HOGS, 0, 10.5),
            sample::frames(Contestant::Ours, MIXED, 0, 12.0),
        ]));
        let target = find(&targets, "p99 frame time beside any load outside ÷ alone, uncapped");
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
    fn the_bound_has_a_column_of_its_own() {
        let targets = all(&sample::results(vec![
            sample::alone_beside(MIXED, 0, 10.0),
            sample::frames(Contestant::Eevdf, MIXED, 0, 40.0),
            sample::frames(Contestant::Ours, MIXED, 0, 16.0),
            sample::frames(Contestant::RealTime, MIXED, 0, 12.5),
        ]));
        let bound = |start| find(&targets, start).measured.as_ref().and_then(|measured| Some(measured.bound?.median));
        assert_eq!(bound("p99 frame time beside any load outside ÷ alone, uncapped"), Some(1.25));
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
        assert_eq!(find(&targets, "sched pipe ÷ empty").verdict(), Verdict::MissedBy(100.0 * (1.375 - 1.15) / 1.15));
        assert_eq!(find(&targets, "start to").verdict(), Verdict::Met);
    }

    #[test]
    fn the_load_must_move_beside_a_game_that_wants_everything() {
        let mut ours = sample::frames(Contestant::Ours, HOGS, 0, 10.0);
        ours.load.cpu_pct = 4.0;
        let targets = all(&sample::results(vec![ours]));
        assert_eq!(find(&targets, "progress of the load").verdict(), Verdict::MissedBy(20.0));
    }

    #[test]
    fn a_load_inside_is_judged_against_its_bound() {
        let mut frames = vec![
            sample::frames(Contestant::RealTimeFrames, COMPILE, 0, 10.0),
            sample::frames(Contestant::Ours, COMPILE, 0, 13.8),
            sample::frames(Contestant::Flash, COMPILE, 0, 20.7),
            sample::frames(Contestant::Eevdf, COMPILE, 0, 30.0),
        ];
        for (frames, work_pct) in frames.iter_mut().zip([20.0, 15.0]) {
            frames.game.as_mut().expect("ours").bulk = vec![BulkReport::sample(work_pct)];
        }
        let targets = all(&sample::results(frames));
        let verdict = |start| find(&targets, start).verdict();
        assert_eq!(verdict("p99 frame time under any load inside ÷ bound, uncapped").to_string(), "missed by 20.0 %");
        assert_eq!(verdict("work of bulk threads").to_string(), "missed by 16.7 %");
        assert_eq!(
            verdict("best peer's p99 frame time ÷ ours, compile at nice 0"),
            Verdict::Met,
            "1.5 times is enough"
        );
    }

    #[test]
    fn where_a_peer_is_near_the_bound_most_of_the_rest_is_wanted() {
        let share = |ours| {
            let targets = all(&sample::results(vec![
                sample::frames(Contestant::RealTimeFrames, COMPILE, 0, 10.0),
                sample::frames(Contestant::Ours, COMPILE, 0, ours),
                sample::frames(Contestant::Flash, COMPILE, 0, 12.0),
            ]));
            find(&targets, "best peer's p99 frame time ÷ ours, compile at nice 0").verdict()
        };
        assert_eq!(share(11.4), Verdict::Met);
        assert_ne!(share(11.6), Verdict::Met);
    }
}
