//! The page's tables.

use comfy_table::CellAlignment;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;

use crate::contestant::Contestant;
use crate::page::not_worse::Comparison;
use crate::page::not_worse::Verdict;
use crate::page::results::Figure;
use crate::page::results::Results;
use crate::page::results::bulk_wait_ms;
use crate::page::results::bulk_work_pct;
use crate::page::results::fps;
use crate::page::results::input_p99_us;
use crate::page::results::load_cpu_pct;
use crate::page::results::longest_wait_ms;
use crate::page::results::p99_ms;
use crate::page::results::ratio;
use crate::page::results::wake_p99_us;
use crate::page::section::Section;
use crate::page::spread::Spread;
use crate::page::targets::Target;
use crate::plan::Cell;
use crate::record::Cost;

const NOT_MEASURED: &str = "-";

/// A figure of a cell: its column's head, its digits, and how to read it.
const COLUMNS: [(&str, usize, Figure); 14] = [
    ("avg fps", 1, fps),
    ("1 % low", 1, |frames| Some(frames.game.as_ref()?.low_1pct_fps)),
    ("p50 ms", 1, |frames| Some(frames.game.as_ref()?.frame_ms.p50)),
    ("p99 ms", 1, p99_ms),
    ("p99.9 ms", 1, |frames| Some(frames.game.as_ref()?.frame_ms.p99_9)),
    ("max ms", 1, |frames| Some(frames.game.as_ref()?.frame_ms.max)),
    ("input p50 µs", 0, |frames| Some(frames.game.as_ref()?.input_us.as_ref()?.p50)),
    ("input p99 µs", 0, input_p99_us),
    ("wake p99 µs", 0, wake_p99_us),
    ("game's CPU %", 0, |frames| Some(frames.game.as_ref()?.cpu_pct)),
    ("load's CPU %", 0, load_cpu_pct),
    ("bulk's work %", 1, bulk_work_pct),
    ("bulk waits ms", 0, bulk_wait_ms),
    ("longest wait ms", 0, longest_wait_ms),
];

/// Target, figure, the same of the bound, verdict: for each target that was measured.
pub fn targets(targets: &[Target]) -> String {
    let rows: Vec<Vec<String>> = targets.iter().filter_map(row_of_target).collect();
    let summary = match targets.len() - rows.len() {
        0 => String::new(),
        missing => format!("{missing} of {} targets were not measured in this run.", targets.len()),
    };
    if rows.is_empty() {
        return summary;
    }
    let table = markdown(&["figure", "target", "measured", "bound", "where", "verdict"], rows.into_iter());
    format!("{table}\n\n{summary}").trim_end().to_owned()
}

fn row_of_target(target: &Target) -> Option<Vec<String>> {
    let measured = target.measured.as_ref()?;
    Some(vec![
        target.figure.clone(),
        format!("{}{}", target.limit, target.unit),
        format!("{}{}", measured.spread, target.unit),
        text(measured.bound, 2),
        measured.place.clone(),
        target.verdict().to_string(),
    ])
}

/// One figure: a row for each cell, a column for each scheduler.
pub fn overview(results: &Results, section: &Section, name: &str, digits: usize, figure: Figure) -> String {
    by_scheduler(results, section, name, |contestant, cell| text(results.spread(contestant, cell, figure), digits))
}

/// One figure ÷ that of the same program alone under the kernel's own scheduler.
pub fn to_alone(results: &Results, section: &Section, name: &str, figure: Figure) -> String {
    by_scheduler(results, section, name, |contestant, cell| {
        text(ratio(&results.rounds(contestant, cell, figure), &results.rounds_alone(cell, figure)), 2)
    })
}

fn by_scheduler(
    results: &Results,
    section: &Section,
    name: &str,
    text_of: impl Fn(Contestant, Cell) -> String,
) -> String {
    let contestants = results.contestants_in(&section.cells);
    let labels = contestants.iter().map(|contestant| contestant.label());
    let header: Vec<&str> = std::iter::once(name).chain(labels).collect();
    let rows = section.cells.iter().map(|&cell| {
        let texts = contestants.iter().map(|&contestant| text_of(contestant, cell));
        std::iter::once(cell.scene().to_string()).chain(texts).collect()
    });
    markdown(&header, rows)
}

/// Every figure of every cell of a section.
pub fn all_figures(results: &Results, section: &Section) -> String {
    let header: Vec<&str> = ["load", "scheduler"].into_iter().chain(COLUMNS.iter().map(|column| column.0)).collect();
    let rows = section.cells.iter().flat_map(|&cell| {
        results.contestants_in(&[cell]).into_iter().map(move |contestant| {
            let figures =
                COLUMNS.iter().map(|&(_, digits, figure)| text(results.spread(contestant, cell, figure), digits));
            [cell.scene().to_string(), contestant.label().to_owned()].into_iter().chain(figures).collect()
        })
    });
    markdown(&header, rows)
}

/// Every figure that is worse than the baseline's, and how many are not.
pub fn not_worse(comparisons: &[Comparison]) -> String {
    let count = |verdict: fn(&Verdict) -> bool| comparisons.iter().filter(|one| verdict(&one.verdict)).count();
    let summary = format!(
        "{} comparisons: {} not worse, {} worse, {} with too few repeats.",
        comparisons.len(),
        count(|verdict| *verdict == Verdict::NotWorse),
        count(|verdict| *verdict == Verdict::Worse),
        count(|verdict| matches!(verdict, Verdict::TooFewRepeats(_)))
    );
    let worse: Vec<&Comparison> = comparisons.iter().filter(|one| one.verdict == Verdict::Worse).collect();
    if worse.is_empty() {
        return summary;
    }
    let rows = worse.into_iter().map(|one| {
        vec![
            one.place.clone(),
            one.figure.to_owned(),
            one.baseline.with_digits(1),
            one.ours.with_digits(1),
            one.ratio.to_string(),
        ]
    });
    format!("{summary}\n\n{}", markdown(&["cell", "figure", "baseline", "ours", "ours ÷ baseline"], rows))
}

/// What each scheduler costs on the deterministic rig.
pub fn costs(results: &Results) -> String {
    let empty = results.cost(Contestant::Empty);
    let rows = results.costs.iter().map(|cost| {
        let times_empty = |figure: fn(&Cost) -> f64| {
            empty.map_or(NOT_MEASURED.into(), |empty| format!("{:.2}", figure(cost) / figure(empty)))
        };
        vec![
            cost.contestant.label().to_owned(),
            format!("{:.0}", cost.pipe_ns),
            times_empty(|cost| cost.pipe_ns),
            format!("{:.0}", cost.fan_out_ns),
            times_empty(|cost| cost.fan_out_ns),
            cost.attach_ms.map_or(NOT_MEASURED.into(), |attach_ms| format!("{:.2}", attach_ms / 1e3)),
        ]
    });
    let header = ["scheduler", "sched pipe, ns/op", "× empty", "fan-out, ns/round", "× empty", "start to enabled, s"];
    markdown(&header, rows)
}

/// BPF run time of each callback.
pub fn callbacks(results: &Results) -> String {
    let rows = results.costs.iter().flat_map(|cost| {
        let total_ns: u64 = cost.callbacks.iter().map(|callback| callback.run_time_ns).sum();
        cost.callbacks.iter().map(move |callback| {
            vec![
                cost.contestant.label().to_owned(),
                format!("`{}`", callback.name),
                callback.runs.to_string(),
                format!("{:.0}", callback.run_time_ns as f64 / callback.runs as f64),
                format!("{:.0}", 100.0 * callback.run_time_ns as f64 / total_ns as f64),
            ]
        })
    });
    markdown(&["scheduler", "callback", "runs", "ns a run", "share %"], rows)
}

/// Cells that say nothing.
pub fn thrown_out(results: &Results) -> String {
    let rows = results.thrown_out.iter().map(|thrown_out| {
        vec![
            thrown_out.contestant.label().to_owned(),
            thrown_out.cell.map_or("cost".into(), |cell| cell.to_string()),
            thrown_out.repeat.map_or(NOT_MEASURED.into(), |repeat| (repeat + 1).to_string()),
            thrown_out.reason.replace('|', "\\|").replace('\n', " "),
        ]
    });
    markdown(&["scheduler", "cell", "repeat", "reason"], rows)
}

fn text(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or(NOT_MEASURED.into(), |spread| spread.with_digits(digits))
}

fn markdown(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    table.add_rows(rows);
    let is_number = |text: &str| text.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    let numbers: Vec<bool> = (0..header.len())
        .map(|column| {
            table.row_iter().all(|row| row.cell_iter().nth(column).is_some_and(|cell| is_number(&cell.content())))
        })
        .collect();
    for (column, is_number) in table.column_iter_mut().zip(numbers) {
        if is_number {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::game::Game;
    use crate::page::not_worse;
    use crate::page::sample;
    use crate::page::sample::uncapped;
    use crate::page::section;
    use crate::page::targets::all;
    use crate::record::ThrownOut;
    use crate::workload::Workload;

    const HOGS: Cell = uncapped(Workload::Hogs);

    #[test]
    fn medians_have_their_spread_and_gaps_are_dashes() {
        let results = sample::results(vec![
            sample::frames(Contestant::Ours, HOGS, 0, 10.0),
            sample::frames(Contestant::Ours, HOGS, 1, 11.0),
            sample::frames(Contestant::Ours, HOGS, 2, 15.0),
            sample::frames(Contestant::Eevdf, uncapped(Workload::Mixed), 0, 90.0),
        ]);
        let sections = section::all(&results);
        let table = overview(&results, &sections[0], "p99 ms", 1, p99_ms);
        let row = |start: &str| table.lines().find(|line| line.starts_with(start)).expect("a row").to_owned();
        assert!(row("| hogs").contains("| 11.0 (10.0–15.0) |"), "{table}");
        assert!(row("| hogs").contains(" - |"), "{table}");
        assert!(!table.contains("scx_lavd"), "{table}");
        assert_eq!(all_figures(&results, &sections[0]).lines().count(), 2 + 2);
    }

    #[test]
    fn a_program_is_compared_with_itself_alone() {
        let mixed = Cell { game: Game::Doom, ..uncapped(Workload::Mixed) };
        let mut alone = sample::program(Contestant::Eevdf, mixed.alone(), 0, 80.0);
        alone.boot = sample::boot_of(mixed.scene());
        let results = sample::results(vec![
            alone,
            sample::program(Contestant::Eevdf, mixed, 0, 20.0),
            sample::program(Contestant::Ours, mixed, 0, 76.0),
        ]);
        let table = to_alone(&results, &section::all(&results)[0], "fps ÷ alone", fps);
        assert!(table.contains("EEVDF | scx-gamer-run |"), "{table}");
        assert!(table.contains("| doom, mixed |  0.25 |          0.95 |"), "{table}");
    }

    #[test]
    fn only_what_is_worse_than_the_baseline_has_a_row() {
        let played =
            |contestant, load, p99| (0..5).map(move |repeat| sample::frames(contestant, uncapped(load), repeat, p99));
        let results = sample::results(
            played(Contestant::Baseline, Workload::Hogs, 10.0)
                .chain(played(Contestant::Ours, Workload::Hogs, 9.0))
                .chain(played(Contestant::Baseline, Workload::Mixed, 10.0))
                .chain(played(Contestant::Ours, Workload::Mixed, 20.0))
                .collect(),
        );
        let table = super::not_worse(&not_worse::all(&results));
        assert!(table.starts_with("8 comparisons: 7 not worse, 1 worse, 0 with"), "{table}");
        assert!(
            table.lines().last().is_some_and(|row| row.contains("uncapped, mixed") && row.contains("2.00")),
            "{table}"
        );
    }

    #[test]
    fn every_measured_target_has_a_row_with_its_verdict() {
        let targets_of = |frames| targets(&all(&sample::results(frames)));
        let table = targets_of(vec![sample::frames(Contestant::Ours, HOGS, 0, 10.0)]);
        assert!(table.contains("≥ 5 % of CPU") && table.contains("10.00 % of CPU"), "{table}");
        assert!(table.ends_with("15 of 17 targets were not measured in this run."), "{table}");
        assert_eq!(targets_of(Vec::new()), "17 of 17 targets were not measured in this run.");
    }

    #[test]
    fn a_reason_cannot_break_its_table() {
        let mut results = sample::results(Vec::new());
        results.thrown_out.push(ThrownOut {
            boot: "first".into(),
            repeat: Some(0),
            contestant: Contestant::Cake,
            cell: Some(HOGS),
            reason: "stall | 5 s\nwatchdog".into(),
        });
        let table = thrown_out(&results);
        assert_eq!(table.lines().count(), 3, "{table}");
        assert!(table.contains("stall \\| 5 s watchdog") && table.contains("uncapped, hogs"), "{table}");
    }

    #[test]
    fn costs_are_given_in_times_of_the_floor() {
        let mut results = sample::results(Vec::new());
        results.costs =
            vec![sample::cost(Contestant::Empty, 80.0, Some(500.0)), sample::cost(Contestant::Ours, 88.0, None)];
        let table = costs(&results);
        assert!(table.lines().last().is_some_and(|row| row.contains(" 1.10 |") && row.ends_with(" - |")), "{table}");
        assert!(callbacks(&results).contains(" 500 |"));
    }
}
