//! Metrics as text for people: a block for each interval, and the table of what they mean.

use comfy_table::CellAlignment;
use comfy_table::ContentArrangement;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::Value;

use super::wire::Report;
use crate::sched::stats::metrics;

/// Pairs of name and value side by side.
const PAIRS: usize = 3;

/// Room for a value, so that blocks stay aligned with each other.
const VALUE_WIDTH: usize = 8;

/// Width of the table of meanings.
const HELP_WIDTH: u16 = 110;

/// In the block's first line, not among the others.
const IN_TITLE: [&str; 5] = ["interval_s", "foreground_tgids", "foreground_comms", "input_source", "frame_source"];

/// One interval. A metric that the report lacks has the value `-`.
pub fn block(report: &Report) -> String {
    let names: Vec<&str> = metrics().map(|metric| metric.name).filter(|name| !IN_TITLE.contains(name)).collect();
    let nr_rows = names.len().div_ceil(PAIRS);
    let mut table = Table::new();
    table.load_style(NOTHING);
    for row in 0..nr_rows {
        // Downwards first, as a table of contents is read.
        let in_row = names.iter().skip(row).step_by(nr_rows);
        table.add_row(in_row.flat_map(|name| [(*name).to_owned(), format!("{:>VALUE_WIDTH$}", value(report, name))]));
    }
    for column in table.column_iter_mut().skip(1).step_by(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    begin_at_the_margin(&mut table);
    format!("{}\n{}\n", title(report), table.trim_fmt())
}

/// Every metric with its unit and its sentence.
pub fn help() -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(HELP_WIDTH);
    table.set_header(["metric", "unit", "meaning, in or at the end of the interval"]);
    table.add_rows(metrics().map(|metric| [metric.name, metric.unit.symbol(), metric.meaning]));
    begin_at_the_margin(&mut table);
    format!("{}\n", table.trim_fmt())
}

fn begin_at_the_margin(table: &mut Table) {
    table.column_iter_mut().take(1).for_each(|first| {
        first.set_padding((0, 1));
    });
}

fn title(report: &Report) -> String {
    let list = |name: &str| report.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let comm = |index: usize| list("foreground_comms").get(index).and_then(Value::as_str).unwrap_or_default();
    let games: Vec<String> =
        list("foreground_tgids").iter().enumerate().map(|(index, tgid)| format!("{tgid} {}", comm(index))).collect();
    let games = if games.is_empty() { "none".to_owned() } else { games.join(", ") };
    let words = |name: &str| report.get(name).and_then(Value::as_str).unwrap_or("-");
    format!(
        "scx_gamer: {} s, foreground: {games}; input: {}; frames: {}",
        value(report, "interval_s"),
        words("input_source"),
        words("frame_source")
    )
}

fn value(report: &Report, name: &str) -> String {
    match report.get(name) {
        Some(Value::Number(number)) if number.is_f64() => format!("{:.1}", number.as_f64().unwrap_or_default()),
        Some(Value::Number(number)) => number.to_string(),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(value: Value) -> Report {
        value.as_object().cloned().expect("an object")
    }

    #[test]
    fn a_block_opens_with_the_interval_and_the_games() {
        let one = report(json!({"interval_s": 1.0042, "foreground_tgids": [812], "foreground_comms": ["game.exe"]}));
        assert_eq!(block(&one).lines().next(), Some("scx_gamer: 1.0 s, foreground: 812 game.exe; input: -; frames: -"));
        let two = report(json!({"interval_s": 2.0, "foreground_tgids": [1, 2], "foreground_comms": ["a", "b"]}));
        assert_eq!(block(&two).lines().next(), Some("scx_gamer: 2.0 s, foreground: 1 a, 2 b; input: -; frames: -"));
        assert_eq!(
            block(&report(json!({}))).lines().next(),
            Some("scx_gamer: - s, foreground: none; input: -; frames: -")
        );
    }

    #[test]
    fn every_other_metric_has_its_name_before_its_value() {
        let full: Report =
            metrics().zip(1000..).map(|(metric, value)| (metric.name.to_owned(), json!(value))).collect();
        let text = block(&full);
        let words: Vec<&str> = text.lines().skip(1).flat_map(str::split_whitespace).collect();
        for (metric, expected) in metrics().zip(1000..).filter(|(metric, _)| !IN_TITLE.contains(&metric.name)) {
            let place = words.iter().position(|word| *word == metric.name).expect(metric.name);
            assert_eq!(words[place + 1], expected.to_string(), "{}", metric.name);
        }
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    }

    #[test]
    fn values_of_different_length_do_not_shift_the_columns() {
        let filled =
            |value: u64| -> Report { metrics().map(|metric| (metric.name.to_owned(), json!(value))).collect() };
        let place = |text: &str| text.lines().nth(2).and_then(|line| line.find("wait"));
        assert_eq!(place(&block(&filled(1))), place(&block(&filled(12_345_678))));
        assert!(place(&block(&filled(1))).is_some());
    }

    #[test]
    fn fractions_have_one_digit_and_what_is_missing_a_dash() {
        let some = report(json!({"idle_pct": 33.333, "preempt": 12}));
        assert_eq!([value(&some, "idle_pct"), value(&some, "preempt"), value(&some, "rescue")], ["33.3", "12", "-"]);
    }

    #[test]
    fn help_has_a_line_that_begins_with_each_metric() {
        let help = help();
        for metric in metrics() {
            let line = help.lines().find(|line| line.split_whitespace().next() == Some(metric.name));
            assert!(line.is_some_and(|line| line.contains(metric.unit.symbol())), "{} in:\n{help}", metric.name);
        }
        assert!(help.lines().all(|line| line.len() <= usize::from(HELP_WIDTH)), "{help}");
    }
}
