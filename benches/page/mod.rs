//! The page a run ends in: Markdown with tables, and plots beside it.

mod plots;
pub mod results;
#[cfg(test)]
mod sample;
mod spread;
mod tables;
mod targets;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;

use crate::contestant::Contestant;
use crate::load_kind::LoadKind;
use crate::page::results::Results;
use crate::page::results::p99_ms;
use crate::page::spread::Spread;
use crate::plan::Cell;
use crate::record::Rig;

/// The game alone repeats better than this on a quiet machine, largest ÷ smallest p99.
const STEADY_RATIO: f64 = 1.2;

const HOW_TO_READ: &str = "\
Medians over the repeats, with the smallest and the largest beside them. Ratios are taken inside one repeat of one
boot, then their median. *Alone* is the game without a load under EEVDF, the kernel's own scheduler; *best peer* is the
best of EEVDF and the five others, chosen for each load by its median. *real-time* is the same figure with SCHED_FIFO in
our place: as near to alone as anybody gets on this rig. 1 % low is the mean of the slowest 1 % of the
frames, as frames a second. Input: from due to handled. The longest wait is that of any runnable task of the machine,
from the kernel's own accounts (`benches/waits.bpf.c`).";

/// Writes the page and its plots into `directory`, and returns the page's path.
pub fn write(results: &Results, directory: &Path) -> Result<PathBuf> {
    fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    let stem = stem(results);
    let plots = plots::write_all(results, directory, &stem)?;
    let path = directory.join(&stem).with_extension("md");
    fs::write(&path, text(results, &plots)).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// What is printed at the end of a run.
pub fn summary(results: &Results) -> String {
    let mut out = String::new();
    for warning in warnings(results) {
        let _ = writeln!(out, "{warning}\n");
    }
    for fps in results.frame_rates() {
        let _ = writeln!(out, "{}\n{}\n", heading(fps), tables::p99_overview(results, fps));
    }
    if !results.costs.is_empty() {
        let _ = writeln!(out, "Cost, deterministic rig\n{}\n", tables::costs(results));
    }
    if !results.thrown_out.is_empty() {
        let _ = writeln!(out, "Thrown out\n{}\n", tables::thrown_out(results));
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

fn text(results: &Results, plots: &[(String, String)]) -> String {
    let mut out = format!("# Beside the peers, {}\n\n{}\n", results.run.date, provenance(results));
    for warning in warnings(results) {
        let _ = write!(out, "\n**{warning}**\n");
    }
    let _ = write!(out, "\n{HOW_TO_READ}\n");
    let _ = write!(out, "\n## Targets\n\n{}\n", tables::targets(&targets::all(results)));
    let plots_of = |rig: &str| {
        let lines = plots.iter().filter(|(file, _)| file.contains(rig));
        lines.map(|(file, title)| format!("![{title}]({file})\n")).collect::<Vec<_>>().join("\n")
    };
    for fps in results.frame_rates() {
        let of_this = if fps == 0 { "-uncapped-".to_owned() } else { format!("-{fps}fps-") };
        let _ = write!(out, "\n## {}\n\n{}\n", heading(fps), tables::p99_overview(results, fps));
        let _ = write!(out, "\n{}\n{}\n", plots_of(&of_this), tables::all_figures(results, fps));
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

fn heading(fps: u32) -> String {
    match fps {
        0 => "Frames, uncapped: parallel rig".into(),
        fps => format!("Frames, capped at {fps} fps: parallel rig"),
    }
}

fn provenance(results: &Results) -> String {
    let run = &results.run;
    let boots = results.boots.iter().map(|boot| {
        let rig = match boot.rig {
            Rig::Parallel => "parallel rig",
            Rig::Deterministic => "deterministic rig",
        };
        format!("{rig}: Linux {}, {} virtual CPU(s) ({})", boot.kernel, boot.cpus, boot.cpu)
    });
    let versions = run.plan.contestants.iter().filter_map(|contestant| contestant.peer());
    let versions: Vec<String> = versions.map(|peer| format!("{} {}", peer.name, peer.version)).collect();
    let mut lines = vec![
        format!("- commit {}", run.commit),
        format!("- `{}`: {} frames a cell after a warm-up, {} repeats", run.command, run.plan.frames, run.plan.repeats),
        format!("- host: {}, {}", run.host, run.emulator),
    ];
    lines.extend(boots.map(|boot| format!("- {boot}")));
    lines.push(format!("- peers with their own defaults: {}", versions.join(", ")));
    lines.join("\n")
}

/// What a reader must know before he believes a figure.
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
        warnings.push("This is a part of the comparison: somebody chose what to measure.".into());
    }
    let expected: usize = (0..plan.repeats).flat_map(|repeat| plan.turns(repeat)).map(|turn| turn.cells.len()).sum();
    let seen = results.frames.len();
    if seen > 0 && seen < expected {
        warnings.push(format!("{seen} of {expected} cells were measured: the run was cut short, or threw some out."));
    }
    for fps in results.frame_rates() {
        let alone = results.spread(Contestant::Eevdf, Cell { fps, load: LoadKind::None }, p99_ms);
        if let Some(Spread { min, max, .. }) = alone
            && max / min > STEADY_RATIO
        {
            warnings.push(format!(
                "The machine was not steady: alone, the game's own p99 was {min:.1} to {max:.1} ms ({}).",
                heading(fps)
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Cell = Cell { fps: 0, load: LoadKind::None };

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
        // Eight play all ten cells, ours without a game the five capped ones, three times.
        assert!(
            warnings(&results)
                .contains(&"1 of 255 cells were measured: the run was cut short, or threw some out.".to_owned())
        );
    }

    #[test]
    fn a_machine_that_changed_its_pace_is_told() {
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
