//! The recorded figures of `tests/vm/cost.toml`, and how new ones are judged by them: data in, sentences out.
//!
//! Nanoseconds change with the kernel's build, so they are judged as a ratio to the empty scheduler in the same
//! boot, which changes along. What is left comes from us, from the compiler, and from the kernel between us.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

/// All that is recorded.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Record {
    pub kernel: Vec<KernelRecord>,
}

/// What was seen on one kernel with one compiler.
#[derive(Debug, Deserialize, Serialize)]
pub struct KernelRecord {
    pub release: String,
    pub clang: String,
    /// By workload of `examples/switch_cost`.
    pub ns_per_round: BTreeMap<String, Costs>,
    /// By BPF program.
    pub verified_instructions: BTreeMap<String, u32>,
}

/// What a round costs, in ns.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Costs {
    /// Without sched_ext.
    pub eevdf: u64,
    /// Under `examples/empty_scheduler`.
    pub empty: u64,
    /// Under ours, no game running.
    pub gamer: u64,
    /// Under ours, being the game.
    pub game: u64,
}

/// How far figures may be from the recorded ones.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bounds {
    cost_pct: f64,
    instructions_pct: f64,
    /// Figures that became better must be recorded too, lest the next change eats the gain unseen.
    also_down: bool,
}

/// Kernel and compiler are the recorded ones: only a change of ours moves a figure.
const SAME_BUILD: Bounds = Bounds { cost_pct: 2.0, instructions_pct: 10.0, also_down: true };

/// Another kernel of the series or another compiler: they move figures too, but not by this much.
const SAME_SERIES: Bounds = Bounds { cost_pct: 5.0, instructions_pct: 25.0, also_down: false };

const WHAT_TO_DO: &str = "undo that, or record the new figures in the same commit: `make record`";

/// One figure beside its record.
struct Pair<'a> {
    what: &'a str,
    recorded: f64,
    seen: f64,
}

impl Record {
    /// What speaks against the costs in `seen`; nothing if it is empty.
    pub fn judge_costs(&self, seen: &KernelRecord) -> Vec<String> {
        let (recorded, bounds) = match self.closest_to(seen) {
            Ok(found) => found,
            Err(none) => return vec![none],
        };
        let ratios = |(work, costs): (&String, &Costs)| {
            let ratio = |ns: u64| ns as f64 / costs.empty as f64;
            [(format!("{work}, no game"), ratio(costs.gamer)), (format!("{work}, as the game"), ratio(costs.game))]
        };
        let figures = |record: &KernelRecord| record.ns_per_round.iter().flat_map(ratios).collect();
        compare(&figures(recorded), &figures(seen), |pair| {
            pair.complaint("times the empty scheduler", bounds.cost_pct, bounds)
        })
    }

    /// What speaks against the sizes of the programs in `seen`; nothing if it is empty.
    pub fn judge_programs(&self, seen: &KernelRecord) -> Vec<String> {
        let (recorded, bounds) = match self.closest_to(seen) {
            Ok(found) => found,
            Err(none) => return vec![none],
        };
        let figures = |record: &KernelRecord| {
            let sizes = record.verified_instructions.iter();
            sizes.map(|(program, size)| (program.clone(), f64::from(*size))).collect()
        };
        compare(&figures(recorded), &figures(seen), |pair| {
            pair.complaint("verified instructions", bounds.instructions_pct, bounds)
        })
    }

    fn closest_to(&self, seen: &KernelRecord) -> Result<(&KernelRecord, Bounds), String> {
        let same_series = |record: &&KernelRecord| series(&record.release) == series(&seen.release);
        let recorded = self.kernel.iter().find(same_series).ok_or_else(|| {
            format!(
                "nothing is recorded for kernels like {}: `make record` with it as main, lts or oldest",
                seen.release
            )
        })?;
        let is_same_build = recorded.release == seen.release && recorded.clang == seen.clang;
        Ok((recorded, if is_same_build { SAME_BUILD } else { SAME_SERIES }))
    }
}

/// `7.3` of `7.3.4+deb13-amd64`.
fn series(release: &str) -> &str {
    let end = release.match_indices('.').nth(1).map_or(release.len(), |(at, _)| at);
    &release[..end]
}

/// Complaints about each figure, and about those that only one side has.
fn compare(
    recorded: &BTreeMap<String, f64>,
    seen: &BTreeMap<String, f64>,
    complain: impl Fn(Pair<'_>) -> Option<String>,
) -> Vec<String> {
    let missing = recorded.keys().filter(|what| !seen.contains_key(*what));
    let missing = missing.map(|what| format!("{what} is recorded but was not seen: `make record`"));
    let judged = seen.iter().filter_map(|(what, seen)| match recorded.get(what) {
        Some(recorded) => complain(Pair { what, recorded: *recorded, seen: *seen }),
        None => Some(format!("{what} ({seen}) is not recorded: `make record`")),
    });
    missing.chain(judged).collect()
}

impl Pair<'_> {
    fn complaint(&self, unit: &str, bound_pct: f64, bounds: Bounds) -> Option<String> {
        let Self { what, recorded, seen } = self;
        let change_pct = (seen / recorded - 1.0) * 100.0;
        let story = format!(
            "{what}: {} {unit} where {} are recorded: {change_pct:+.1} %, and {bound_pct} % are allowed",
            short(*seen),
            short(*recorded)
        );
        if seen * 100.0 > recorded * (100.0 + bound_pct) {
            Some(format!("{story}; {WHAT_TO_DO}"))
        } else if seen * 100.0 < recorded * (100.0 - bound_pct) && bounds.also_down {
            Some(format!("{story}; record the better figure, else it may be lost unseen: `make record`"))
        } else {
            None
        }
    }
}

/// A ratio with its digits, a count without.
fn short(figure: f64) -> String {
    if figure.fract() == 0.0 { format!("{figure}") } else { format!("{figure:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(release: &str, gamer_ns: u64, instructions: u32) -> KernelRecord {
        let costs = Costs { eevdf: 16_000, empty: 10_000, gamer: gamer_ns, game: 11_000 };
        KernelRecord {
            release: release.to_owned(),
            clang: "19.1.7".to_owned(),
            ns_per_round: BTreeMap::from([("pipe".to_owned(), costs)]),
            verified_instructions: BTreeMap::from([("gamer_enqueue".to_owned(), instructions)]),
        }
    }

    fn record() -> Record {
        Record { kernel: vec![kernel("6.18.15+deb13", 11_500, 900), kernel("7.3.4+deb13", 11_000, 1000)] }
    }

    #[test]
    fn a_cost_may_move_by_two_percent_either_way() {
        assert_eq!(record().judge_costs(&kernel("7.3.4+deb13", 11_200, 0)), [""; 0]);
        assert_eq!(record().judge_costs(&kernel("7.3.4+deb13", 10_800, 0)), [""; 0]);
        let more = record().judge_costs(&kernel("7.3.4+deb13", 11_300, 0));
        assert_eq!(more.len(), 1);
        assert!(more[0].starts_with("pipe, no game: 1.130 times the empty scheduler where 1.100 are recorded: +2.7 %"));
        assert!(record().judge_costs(&kernel("7.3.4+deb13", 10_700, 0))[0].contains("record the better figure"));
    }

    #[test]
    fn a_kernel_that_is_slower_as_a_whole_is_no_complaint() {
        let mut slower = kernel("7.3.4+deb13", 22_000, 1000);
        slower
            .ns_per_round
            .insert("pipe".to_owned(), Costs { eevdf: 32_000, empty: 20_000, gamer: 22_000, game: 22_000 });
        assert_eq!(record().judge_costs(&slower), [""; 0]);
    }

    #[test]
    fn another_kernel_of_the_series_has_more_room_and_may_be_better() {
        assert_eq!(record().judge_costs(&kernel("7.3.9", 11_500, 0)), [""; 0]);
        assert_eq!(record().judge_costs(&kernel("7.3.9", 9_000, 0)), [""; 0]);
        assert_eq!(record().judge_costs(&kernel("7.3.9", 11_600, 0)).len(), 1);
        assert!(record().judge_costs(&kernel("7.30.1", 11_000, 0))[0].starts_with("nothing is recorded"));
    }

    #[test]
    fn a_program_may_grow_by_ten_percent_and_a_new_one_must_be_recorded() {
        assert_eq!(record().judge_programs(&kernel("7.3.4+deb13", 0, 1100)), [""; 0]);
        let grown = record().judge_programs(&kernel("7.3.4+deb13", 0, 1101));
        assert!(grown[0].starts_with("gamer_enqueue: 1101 verified instructions where 1000 are recorded: +10.1 %"));
        let mut other = kernel("7.3.4+deb13", 0, 1000);
        other.verified_instructions = BTreeMap::from([("gamer_tick".to_owned(), 7)]);
        let complaints = record().judge_programs(&other);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].contains("gamer_enqueue is recorded but was not seen"));
        assert!(complaints[1].contains("gamer_tick (7) is not recorded"));
    }
}
