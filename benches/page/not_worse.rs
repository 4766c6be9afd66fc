//! "Not worse": the one definition by which a build is compared with an older one.
//!
//! A figure of frames is worse if the median of at least five paired repeats in one boot is worse by more than 5 %, *and*
//! the median lies outside the older build's own range. A repeat is paired with the same repeat of the other build. A
//! cost on the deterministic rig is worse if it is higher by more than 2 %.

use crate::contestant::Contestant;
use crate::page::results::Figure;
use crate::page::results::Results;
use crate::page::results::Rounds;
use crate::page::results::bulk_work_pct;
use crate::page::results::fps;
use crate::page::results::input_p99_us;
use crate::page::results::load_cpu_pct;
use crate::page::results::p99_ms;
use crate::page::results::ratio;
use crate::page::results::wake_p99_us;
use crate::page::spread::Spread;
use crate::record::Cost;

/// Fewer paired repeats have no verdict.
pub const REPEATS_MIN: usize = 5;
/// A change of this share is no change.
const SHARE: f64 = 0.05;
/// The same on the deterministic rig, which repeats to 0.1 %.
const COST_SHARE: f64 = 0.02;

/// Which way a figure gets better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Lower,
    Higher,
}

/// What may be said of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    NotWorse,
    Worse,
    /// How many there are.
    TooFewRepeats(usize),
}

/// A figure of both builds in one cell, or a cost.
#[derive(Debug)]
pub struct Comparison {
    pub place: String,
    pub figure: &'static str,
    pub baseline: Spread,
    pub ours: Spread,
    /// Ours ÷ baseline, paired.
    pub ratio: Spread,
    pub verdict: Verdict,
}

/// The figures of frames that are compared.
const FIGURES: [(&str, Better, Figure); 6] = [
    ("p99 frame time, ms", Better::Lower, p99_ms),
    ("input p99, µs", Better::Lower, input_p99_us),
    ("wake-to-run p99, µs", Better::Lower, wake_p99_us),
    ("work of bulk threads, %", Better::Higher, bulk_work_pct),
    ("CPU time of the load, %", Better::Higher, load_cpu_pct),
    ("frames per second", Better::Higher, fps),
];

/// The costs that are compared.
const COSTS: [(&str, ReadCost); 2] = [("sched pipe, ns", |cost| cost.pipe_ns), ("fan-out, ns", |cost| cost.fan_out_ns)];
/// Reads a figure from what a scheduler costs.
type ReadCost = fn(&Cost) -> f64;

/// Everything in which ours can be compared with the baseline.
pub fn all(results: &Results) -> Vec<Comparison> {
    let cells = results.run.plan.cells.iter();
    let of_frames = cells.flat_map(|&cell| {
        FIGURES.iter().filter_map(move |&(figure, better, read)| {
            let [baseline, ours] =
                [Contestant::Baseline, Contestant::Ours].map(|contestant| results.rounds(contestant, cell, read));
            compare(cell.to_string(), figure, better, &baseline, &ours)
        })
    });
    of_frames.chain(of_costs(results)).collect()
}

fn compare(
    place: String,
    figure: &'static str,
    better: Better,
    baseline: &Rounds,
    ours: &Rounds,
) -> Option<Comparison> {
    let ratio = ratio(ours, baseline)?;
    let [baseline, ours] = [baseline, ours].map(|rounds| Spread::of(rounds.values().copied()));
    let (baseline, ours) = (baseline?, ours?);
    let verdict = judge(better, &ratio, &baseline, &ours);
    Some(Comparison { place, figure, baseline, ours, ratio, verdict })
}

fn judge(better: Better, ratio: &Spread, baseline: &Spread, ours: &Spread) -> Verdict {
    let is_worse = match better {
        Better::Lower => ratio.median > 1.0 + SHARE && ours.median > baseline.max,
        Better::Higher => ratio.median < 1.0 - SHARE && ours.median < baseline.min,
    };
    match ratio.count {
        count if count < REPEATS_MIN => Verdict::TooFewRepeats(count),
        _ if is_worse => Verdict::Worse,
        _ => Verdict::NotWorse,
    }
}

fn of_costs(results: &Results) -> impl Iterator<Item = Comparison> {
    let costs = [Contestant::Baseline, Contestant::Ours].map(|contestant| results.cost(contestant));
    COSTS.iter().filter_map(move |&(figure, read)| {
        let [baseline, ours] = costs.map(|cost| cost.map(read));
        let [baseline, ours, ratio] = [baseline?, ours?, ours? / baseline?].map(|value| Spread {
            median: value,
            min: value,
            max: value,
            count: 1,
        });
        let verdict = if ratio.median > 1.0 + COST_SHARE { Verdict::Worse } else { Verdict::NotWorse };
        Some(Comparison { place: "deterministic rig".into(), figure, baseline, ours, ratio, verdict })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::sample;
    use crate::plan::Cell;
    use crate::workload::Workload;

    const CELL: Cell = sample::uncapped(Workload::Compile2x);

    /// The verdict on p99 frame times, repeat by repeat.
    fn verdict_of(baseline: &[f64], ours: &[f64]) -> Verdict {
        let frames = |contestant, values: &[f64]| {
            let numbered = values.iter().zip(0..);
            numbered.map(|(&p99, repeat)| sample::frames(contestant, CELL, repeat, p99)).collect::<Vec<_>>()
        };
        let played = frames(Contestant::Baseline, baseline).into_iter().chain(frames(Contestant::Ours, ours));
        let comparisons = all(&sample::results(played.collect()));
        comparisons.iter().find(|comparison| comparison.figure.starts_with("p99 frame")).expect("compared").verdict
    }

    #[test]
    fn six_percent_outside_the_range_is_worse() {
        assert_eq!(verdict_of(&[10.0; 5], &[10.6; 5]), Verdict::Worse);
        assert_eq!(verdict_of(&[10.0; 5], &[10.4; 5]), Verdict::NotWorse);
    }

    #[test]
    fn inside_the_baselines_own_range_is_not_worse() {
        assert_eq!(verdict_of(&[9.0, 10.0, 10.0, 10.0, 12.0], &[11.0; 5]), Verdict::NotWorse);
        assert_eq!(verdict_of(&[9.0, 10.0, 10.0, 10.0, 12.0], &[12.5; 5]), Verdict::Worse);
    }

    #[test]
    fn one_bad_repeat_is_not_worse() {
        assert_eq!(verdict_of(&[10.0; 5], &[10.0, 10.0, 10.0, 10.0, 90.0]), Verdict::NotWorse);
    }

    #[test]
    fn four_repeats_have_no_verdict() {
        assert_eq!(verdict_of(&[10.0; 4], &[90.0; 4]), Verdict::TooFewRepeats(4));
        assert_eq!(verdict_of(&[10.0; 4], &[90.0; 5]), Verdict::TooFewRepeats(4));
    }

    #[test]
    fn throughput_is_worse_when_it_falls() {
        let spread = |median, min, max| Spread { median, min, max, count: 5 };
        let judge_of = |ratio, ours| {
            let baseline = spread(50.0, 48.0, 52.0);
            judge(Better::Higher, &spread(ratio, ratio, ratio), &baseline, &spread(ours, ours, ours))
        };
        assert_eq!(judge_of(0.9, 45.0), Verdict::Worse);
        assert_eq!(judge_of(0.96, 48.0), Verdict::NotWorse);
        assert_eq!(judge_of(1.5, 75.0), Verdict::NotWorse);
    }

    #[test]
    fn a_switch_may_cost_two_percent_more() {
        let verdict_at = |ours_ns| {
            let mut results = sample::results(Vec::new());
            results.costs =
                vec![sample::cost(Contestant::Baseline, 100.0, None), sample::cost(Contestant::Ours, ours_ns, None)];
            all(&results)[0].verdict
        };
        assert_eq!(verdict_at(101.9), Verdict::NotWorse);
        assert_eq!(verdict_at(102.1), Verdict::Worse);
    }
}
