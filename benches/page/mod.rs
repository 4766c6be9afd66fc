//! The page a run ends in: Markdown with tables, and plots beside it.

mod limit;
pub mod not_worse;
mod plots;
pub mod results;
#[cfg(test)]
mod sample;
mod section;
mod spread;
mod tables;
mod targets;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;

use crate::game::Purpose;
use crate::page::results::Results;
use crate::page::results::bulk_work_pct;
use crate::page::results::fps;
use crate::page::results::p99_ms;
use crate::page::section::Section;
use crate::page::spread::Spread;
use crate::plan::Cell;
use crate::plan::Suite;
use crate::record::Rig;

/// The game alone repeats better than this on a quiet machine, largest ÷ smallest p99.
const STEADY_RATIO: f64 = 1.2;

const HOW_TO_READ: &str = "\
Medians over the repeats, with the smallest and the largest in brackets. All figures of a row come from one boot. Ratios
are taken inside one repeat, then their median. *Alone* is the game without a load under EEVDF, the kernel's own
scheduler, in the same boot. *Best peer* is the best of EEVDF and the five others, chosen for each load by its median. The
*bound* is the same figure with SCHED_FIFO in our place: for the whole game under a load outside, for the frame threads
under a load inside. No scheduler can do better on this rig. 1 % low is the mean of the slowest 1 % of the frames, as
frames a second. Input: from due to handled. Wake: from the moment one frame thread wakes another until that one runs.
Bulk: the game's own compile and streaming threads. The longest wait is that of any runnable task of the machine, from the
kernel's own accounts (`benches/waits.bpf.c`).";

/// Writes the page and its plots into `directory`, and returns the page's path.
pub fn write(results: &Results, directory: &Path) -> Result<PathBuf> {
    fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    let stem = stem(results);
    let sections = section::all(results);
    let plots = plots::write_all(results, &sections, directory, &stem)?;
    let path = directory.join(&stem).with_extension("md");
    fs::write(&path, text(results, &sections, &plots)).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// What is printed at the end of a run.
pub fn summary(results: &Results) -> String {
    let mut out = String::new();
    for warning in warnings(results) {
        let _ = writeln!(out, "{warning}\n");
    }
    for section in section::all(results) {
        let _ = writeln!(out, "{}\n{}\n", section.heading(), main_table(results, &section));
    }
    if !results.costs.is_empty() {
        let _ = writeln!(out, "Cost, deterministic rig\n{}\n", tables::costs(results));
    }
    if !results.thrown_out.is_empty() {
        let _ = writeln!(out, "Thrown out\n{}\n", tables::thrown_out(results));
    }
    let comparisons = not_worse::all(results);
    if !comparisons.is_empty() {
        let _ = writeln!(out, "Against the baseline\n{}\n", tables::not_worse(&comparisons));
    }
    let _ = write!(out, "Targets\n{}", tables::targets(&targets::all(results)));
    out
}

/// `2026-11-bench`, or with the day and a word where it is not the whole comparison.
fn stem(results: &Results) -> String {
    let date = &results.run.date;
    match (results.run.plan.is_quick, results.run.plan.is_partial) {
        (true, _) => format!("{date}-bench-quick"),
        (false, true) => format!("{date}-bench-partial"),
        (false, false) => format!("{}-bench", date.get(..7).unwrap_or(date)),
    }
}

fn text(results: &Results, sections: &[Section], plots: &[(String, String)]) -> String {
    let mut out = format!("# Beside the peers, {}\n\n{}\n", results.run.date, provenance(results));
    for warning in warnings(results) {
        let _ = write!(out, "\n**{warning}**\n");
    }
    let _ = write!(out, "\n{HOW_TO_READ}\n");
    let _ = write!(out, "\n## Targets\n\n{}\n", tables::targets(&targets::all(results)));
    let comparisons = not_worse::all(results);
    if !comparisons.is_empty() {
        let _ = write!(out, "\n## Against the baseline\n\n{}\n", tables::not_worse(&comparisons));
    }
    let plots_of = |part: &str| {
        let lines = plots.iter().filter(|(file, _)| file.contains(part));
        lines.map(|(file, title)| format!("![{title}]({file})\n")).collect::<Vec<_>>().join("\n")
    };
    for section in sections {
        let _ = write!(out, "\n## {}\n\n{}\n", section.heading(), main_table(results, section));
        if section.suite == Suite::Inside {
            let _ = write!(out, "\n{}\n", tables::overview(results, section, "bulk's work %", 1, bulk_work_pct));
        }
        let plots = plots_of(&format!("-{}-", section.slug()));
        let _ = write!(out, "\n{plots}\n{}\n", tables::all_figures(results, section));
    }
    if !results.costs.is_empty() {
        let _ = write!(out, "\n## Cost: deterministic rig\n\n{}\n\n{}", tables::costs(results), plots_of("-cost"));
        let _ = write!(out, "\nBPF run time of the callbacks during `perf bench sched pipe`, ");
        let _ = write!(out, "as the kernel counts it:\n\n{}\n", tables::callbacks(results));
    }
    if !results.thrown_out.is_empty() {
        let _ = write!(out, "\n## Thrown out\n\n{}\n", tables::thrown_out(results));
    }
    out
}

/// The table that answers a section's question.
fn main_table(results: &Results, section: &Section) -> String {
    match section.suite {
        Suite::Programs => tables::to_alone(results, section, "fps ÷ alone", fps),
        _ => tables::overview(results, section, "p99 ms", 1, p99_ms),
    }
}

fn provenance(results: &Results) -> String {
    let run = &results.run;
    let rigs = [(Rig::Parallel, "parallel rig"), (Rig::Deterministic, "deterministic rig")];
    let rigs = rigs.into_iter().filter_map(|(rig, name)| {
        let mut boots = results.boots.iter().filter(|boot| boot.rig == rig);
        let (first, others) = (boots.next()?, boots.count());
        Some(format!(
            "{name}: Linux {}, {} virtual CPU(s) ({}), {} boot(s)",
            first.kernel,
            first.cpus,
            first.cpu,
            1 + others
        ))
    });
    let versions = run.plan.contestants.iter().filter_map(|contestant| contestant.peer());
    let versions: Vec<String> = versions.map(|peer| format!("{} {}", peer.name, peer.version)).collect();
    let mut lines = vec![
        format!("- commit {}", run.commit),
        format!("- `{}`: {} frames a cell after a warm-up, {} repeats", run.command, run.plan.frames, run.plan.repeats),
        format!("- host: {}, {}", run.host, run.emulator),
    ];
    lines.extend(results.resumed.iter().map(|resumed| {
        format!("- continued on {} at commit {}, host: {}", resumed.date, resumed.commit, resumed.host)
    }));
    lines.extend(rigs.map(|rig| format!("- {rig}")));
    lines.push(format!("- peers with their own defaults: {}", versions.join(", ")));
    lines.join("\n")
}

/// What a reader must know before believing a figure.
fn warnings(results: &Results) -> Vec<String> {
    let plan = &results.run.plan;
    let mut warnings = Vec::new();
    if plan.is_quick {
        warnings.push(format!(
            "This is the quick answer: {} frames a cell, {} repeats, a part of the cells. \
             It shows the shape, not the last digits.",
            plan.frames, plan.repeats
        ));
    } else if plan.is_partial {
        warnings.push("This is a part of the comparison: its command line chose what to measure.".into());
    }
    let (seen, expected) = (results.frames.len(), plan.count_runs());
    if seen > 0 && seen < expected {
        warnings.push(format!("{seen} of {expected} runs were measured: the rest was cut short or thrown out."));
    }
    let unsteady = plan.cells.iter().filter(|&&cell| !is_steady(results, cell));
    warnings.extend(unsteady.map(|cell| {
        format!("The machine was not steady while \"{cell}\" was measured: the game alone differs from itself.")
    }));
    warnings
}

/// Whether the game alone was much the same in all repeats of the boot of `cell`.
fn is_steady(results: &Results, cell: Cell) -> bool {
    let figure = if cell.game.purpose() == Purpose::Program { fps } else { p99_ms };
    let alone = Spread::of(results.rounds_alone(cell, figure).into_values());
    alone.is_none_or(|Spread { min, max, .. }| max / min <= STEADY_RATIO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contestant::Contestant;
    use crate::workload::Workload;

    const ALONE: Cell = sample::uncapped(Workload::None);

    #[test]
    fn a_page_says_how_to_measure_the_same_again() {
        let mut results = sample::results(vec![sample::frames(Contestant::Eevdf, ALONE, 0, 10.0)]);
        results.costs.push(sample::cost(Contestant::Eevdf, 100.0, None));
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = write(&results, directory.path()).expect("a page");
        assert!(path.ends_with("2026-11-bench.md"), "{}", path.display());
        let text = fs::read_to_string(path).expect("a page");
        for part in
            ["commit 0123456789ab", "`bench`: 1000 frames", "3 repeats", "Linux 7.3.4", "scx_cosmos 1.1.7", "10.0.2"]
        {
            assert!(text.contains(part), "{part} is missing from:\n{text}");
        }
        for line in text.lines().filter(|line| line.starts_with("![")) {
            let file = line.split(['(', ')']).nth(1).expect("a link");
            assert!(directory.path().join(file).exists(), "{file}");
        }
        assert_eq!(text.matches("![").count(), 3, "{text}");
    }

    #[test]
    fn a_quick_answer_says_so_and_has_a_name_of_its_own() {
        let mut results = sample::results(Vec::new());
        results.run.plan.is_quick = true;
        results.run.plan.is_partial = true;
        assert_eq!(stem(&results), "2026-11-22-bench-quick");
        assert!(warnings(&results)[0].starts_with("This is the quick answer: 1000 frames"));
    }

    #[test]
    fn cells_that_are_missing_are_counted() {
        let results = sample::results(vec![sample::frames(Contestant::Eevdf, ALONE, 0, 10.0)]);
        let expected = results.run.plan.count_runs();
        let warning = format!("1 of {expected} runs were measured: the rest was cut short or thrown out.");
        assert!(warnings(&results).contains(&warning));
    }

    #[test]
    fn a_machine_that_changed_its_pace_is_reported() {
        let twice = |second_ms| {
            let results = sample::results(vec![
                sample::frames(Contestant::Eevdf, ALONE, 0, 10.0),
                sample::frames(Contestant::Eevdf, ALONE, 1, second_ms),
            ]);
            warnings(&results).iter().any(|warning| warning.contains("not steady"))
        };
        assert!(!twice(11.0));
        assert!(twice(13.0));
    }
}
