//! The page's tables.

use comfy_table::CellAlignment;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;

use crate::contestant::Contestant;
use crate::page::results::Figure;
use crate::page::results::Results;
use crate::page::results::input_p99_us;
use crate::page::results::load_cpu_pct;
use crate::page::results::longest_wait_ms;
use crate::page::results::p99_ms;
use crate::page::spread::Spread;
use crate::page::targets::Target;
use crate::record::Cost;

const NOT_MEASURED: &str = "-";

/// A figure of a cell: its column's head, its digits, and how to read it.
const COLUMNS: [(&str, usize, Figure); 11] = [
    ("avg fps", 1, |frames| Some(frames.game.avg_fps)),
    ("1 % low", 1, |frames| Some(frames.game.low_1pct_fps)),
    ("p50 ms", 1, |frames| Some(frames.game.frame_ms.p50)),
    ("p99 ms", 1, p99_ms),
    ("p99.9 ms", 1, |frames| Some(frames.game.frame_ms.p99_9)),
    ("max ms", 1, |frames| Some(frames.game.frame_ms.max)),
    ("input p50 µs", 0, |frames| frames.game.input_us.as_ref().map(|input| input.p50)),
    ("input p99 µs", 0, input_p99_us),
    ("game's CPU %", 0, |frames| Some(frames.game.cpu_pct)),
    ("load's CPU %", 0, load_cpu_pct),
    ("longest wait ms", 0, longest_wait_ms),
];

/// Target, figure, the same of a real-time game, verdict.
pub fn targets(targets: &[Target]) -> String {
    let rows = targets.iter().map(|target| {
        let measured = target.measured.as_ref();
        vec![
            target.figure.clone(),
            format!("{}{}", target.limit, target.unit),
            measured.map_or(NOT_MEASURED.into(), |measured| format!("{}{}", measured.spread, target.unit)),
            text(measured.and_then(|measured| measured.bound), 2),
            measured.map_or(String::new(), |measured| measured.place.clone()),
            target.verdict().to_string(),
        ]
    });
    markdown(&["figure", "target", "measured", "real-time", "where", "verdict"], rows)
}

/// p99 frame time: a row for each scheduler, a column for each load.
pub fn p99_overview(results: &Results, fps: u32) -> String {
    let cells: Vec<_> = results.cells_at(fps).collect();
    let loads: Vec<String> = cells.iter().map(|cell| cell.load.to_string()).collect();
    let header: Vec<&str> = std::iter::once("p99 ms").chain(loads.iter().map(String::as_str)).collect();
    let rows = who_played(results, fps).map(|contestant| {
        let figures = cells.iter().map(|&cell| text(results.spread(contestant, cell, p99_ms), 1));
        std::iter::once(contestant.label().to_owned()).chain(figures).collect()
    });
    markdown(&header, rows)
}

/// Every figure of every cell at one frame rate.
pub fn all_figures(results: &Results, fps: u32) -> String {
    let header: Vec<&str> = ["load", "scheduler"].into_iter().chain(COLUMNS.iter().map(|column| column.0)).collect();
    let rows = results.cells_at(fps).flat_map(|cell| {
        who_played(results, fps).filter(move |&contestant| results.spread(contestant, cell, p99_ms).is_some()).map(
            move |contestant| {
                let figures =
                    COLUMNS.iter().map(|&(_, digits, figure)| text(results.spread(contestant, cell, figure), digits));
                [cell.load.to_string(), contestant.label().to_owned()].into_iter().chain(figures).collect()
            },
        )
    });
    markdown(&header, rows)
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

/// Schedulers with at least one cell at this frame rate, in the order of the comparison.
pub fn who_played(results: &Results, fps: u32) -> impl Iterator<Item = Contestant> {
    let played = move |contestant: &Contestant| {
        results.frames.iter().any(|frames| frames.contestant == *contestant && frames.cell.fps == fps)
    };
    let mut contestants: Vec<Contestant> = results.run.plan.contestants.clone();
    contestants.sort();
    contestants.into_iter().filter(played)
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
    use crate::load_kind::LoadKind;
    use crate::page::sample;
    use crate::page::targets::all;
    use crate::plan::Cell;
    use crate::record::ThrownOut;

    const HOGS: Cell = Cell { fps: 0, load: LoadKind::Hogs };

    #[test]
    fn medians_stand_beside_their_spread_and_gaps_are_dashes() {
        let mixed = Cell { load: LoadKind::Mixed, ..HOGS };
        let results = sample::results(vec![
            sample::frames(Contestant::Ours, HOGS, 0, 10.0),
            sample::frames(Contestant::Ours, HOGS, 1, 11.0),
            sample::frames(Contestant::Ours, HOGS, 2, 15.0),
            sample::frames(Contestant::Eevdf, mixed, 0, 90.0),
        ]);
        let table = p99_overview(&results, 0);
        let row = |start: &str| table.lines().find(|line| line.starts_with(start)).expect("a row").to_owned();
        assert!(row("| scx-gamer-run").contains("| 11.0 (10.0–15.0) |"), "{table}");
        assert!(row("| scx-gamer-run").contains(" - |"), "{table}");
        assert!(!table.contains("scx_lavd"), "{table}");
    }

    #[test]
    fn every_target_has_a_row_with_its_verdict() {
        let results = sample::results(vec![sample::frames(Contestant::Ours, HOGS, 0, 10.0)]);
        let table = targets(&all(&results));
        assert_eq!(table.lines().count(), 2 + 12, "{table}");
        assert!(table.contains("≥ 5 % of CPU") && table.contains("10.00 % of CPU"), "{table}");
        assert!(table.contains("not measured"), "{table}");
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
    fn costs_are_told_in_times_of_the_floor() {
        let mut results = sample::results(Vec::new());
        results.costs =
            vec![sample::cost(Contestant::Empty, 80.0, Some(500.0)), sample::cost(Contestant::Ours, 88.0, None)];
        let table = costs(&results);
        assert!(table.lines().last().is_some_and(|row| row.contains(" 1.10 |") && row.ends_with(" - |")), "{table}");
        assert!(callbacks(&results).contains(" 500 |"));
    }
}
