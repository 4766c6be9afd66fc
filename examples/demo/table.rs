//! The cells side by side, and what they say about each other.

use comfy_table::CellAlignment;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;

use crate::cell::Outcome;
use crate::workload::Workload;

const HEADER: [&str; 12] = [
    "game",
    "frames",
    "avg fps",
    "1 % low",
    "p50 ms",
    "p99 ms",
    "max ms",
    "input p50",
    "input p99",
    "load CPU",
    "load waits",
    "compiled",
];

/// Two runs alone differ by less on a quiet machine.
const STEADY_RATIO: f64 = 1.3;

/// The table and its key.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(HEADER);
    table.add_rows(outcomes.iter().map(row));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!(
        "{table}\n\
         1 % low: fps in the mean of the slowest 1 % of the frames. p50, p99, max: time of a frame.\n\
         input: from due to handled, in us. load CPU: what the load outside got of all CPUs. load waits:\n\
         the longest one of its busy threads was kept from running, in ms. compiled: work of the game's\n\
         own compile threads as a share of all CPUs."
    )
}

fn row(outcome: &Outcome) -> Vec<String> {
    let game = &outcome.game;
    let input = |percentile: fn(&crate::report::InputTimes) -> f64| {
        let times = game.input_us.as_ref();
        times.map_or("-".into(), |times| format!("{:.0}", percentile(times)))
    };
    vec![
        outcome.name.clone(),
        game.frames.to_string(),
        format!("{:.1}", game.avg_fps),
        format!("{:.1}", game.low_1pct_fps),
        format!("{:.1}", game.frame_ms.p50),
        format!("{:.1}", game.frame_ms.p99),
        format!("{:.1}", game.frame_ms.max),
        input(|times| times.p50),
        input(|times| times.p99),
        format!("{:.0} %", outcome.load.cpu_pct),
        outcome.load.longest_wait_ms.map_or("-".into(), |wait_ms| format!("{wait_ms:.0}")),
        game.bulk.first().map_or("-".into(), |bulk| format!("{:.0} %", bulk.work_pct)),
    ]
}

/// p99 frame time of each cell ÷ that of the game alone, the first time, with the same frame cap.
pub fn p99_ratios(outcomes: &[Outcome]) -> Vec<(&str, f64)> {
    outcomes
        .iter()
        .filter(|outcome| !is_baseline(outcome))
        .filter_map(|outcome| Some((outcome.name.as_str(), p99_ratio(outcome, outcomes)?)))
        .collect()
}

/// Whether the game alone came out much the same both times.
pub fn was_steady(outcomes: &[Outcome]) -> bool {
    outcomes
        .iter()
        .filter(|outcome| outcome.again)
        .filter_map(|outcome| p99_ratio(outcome, outcomes))
        .all(|ratio| (1.0 / STEADY_RATIO..=STEADY_RATIO).contains(&ratio))
}

fn p99_ratio(outcome: &Outcome, outcomes: &[Outcome]) -> Option<f64> {
    let baseline =
        outcomes.iter().find(|other| is_baseline(other) && other.game.config.fps == outcome.game.config.fps)?;
    Some(outcome.game.frame_ms.p99 / baseline.game.frame_ms.p99)
}

fn is_baseline(outcome: &Outcome) -> bool {
    outcome.workload == Workload::None && !outcome.with_us && !outcome.again
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::GameReport;
    use crate::report::LoadReport;
    use crate::sched_ext::SchedExt;

    fn outcome(name: &str, workload: Workload, fps: u32, p99: f64) -> Outcome {
        let off = SchedExt { state: Some("disabled".into()), ops: None, enable_seq: Some(0) };
        Outcome {
            name: name.into(),
            workload,
            with_us: false,
            again: false,
            game: GameReport::sample(fps, p99),
            load: LoadReport {
                kind: workload.outside().to_string(),
                wall_seconds: 6.0,
                spin_chunks: 0,
                build_steps: 0,
                cpu_seconds: 0.0,
                cpu_pct: 0.0,
                longest_wait_ms: None,
                longest_build_step_ms: None,
            },
            around: [off.clone(), off],
        }
    }

    #[test]
    fn a_cell_is_compared_with_the_one_alone_of_its_own_cap() {
        let outcomes = [
            outcome("uncapped alone", Workload::None, 0, 10.0),
            outcome("uncapped mixed", Workload::Mixed, 0, 50.0),
            outcome("capped alone", Workload::None, 60, 16.0),
            outcome("capped mixed", Workload::Mixed, 60, 32.0),
        ];
        assert_eq!(p99_ratios(&outcomes), [("uncapped mixed", 5.0), ("capped mixed", 2.0)]);
    }

    #[test]
    fn a_game_alone_that_differs_from_itself_is_told() {
        let twice = |second_p99| {
            let again = Outcome { again: true, ..outcome("uncapped again", Workload::None, 0, second_p99) };
            [outcome("uncapped", Workload::None, 0, 10.0), again]
        };
        assert!(was_steady(&twice(11.0)));
        assert!(!was_steady(&twice(20.0)));
        assert!(!was_steady(&twice(5.0)));
        assert_eq!(p99_ratios(&twice(20.0)), [("uncapped again", 2.0)]);
    }

    #[test]
    fn what_was_not_measured_is_a_dash_in_the_table() {
        let text = table(&[outcome("uncapped, alone", Workload::None, 0, 10.0)]);
        assert!(text.contains("| uncapped, alone |"), "{text}");
        assert!(text.contains(" - |"), "{text}");
    }
}
