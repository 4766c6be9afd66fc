//! What `scx_gamer` answers without a scheduler: needs no root and no sched_ext.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Output;

use clap::CommandFactory as _;
use scx_gamer_run::sched::stats::metrics;
use scx_gamer_run::service::cli::Cli;

fn scx_gamer(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_scx_gamer")).args(args).output().expect("run scx_gamer")
}

#[test]
fn help_stats_explains_every_metric() {
    let output = scx_gamer(&["--help-stats"]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    for metric in metrics() {
        assert!(stdout.lines().any(|line| line.starts_with(metric.name)), "{} is missing in\n{stdout}", metric.name);
    }
}

#[test]
fn an_interval_that_is_none_is_refused_with_flag_value_and_range() {
    for flag in ["--stats", "--monitor"] {
        for value in ["0", "3601", "often"] {
            let output = scx_gamer(&[flag, value]);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{stderr}");
            let reason = stderr.lines().next().unwrap_or_default();
            for part in [flag, value, "0.1..=3600"] {
                assert!(reason.contains(part), "{part} is missing in: {reason}");
            }
        }
    }
}

/// What a flag is called, its value included, and its default where clap knows one.
type Flag = (String, Option<String>);

/// The flags that `scx_gamer` has, by their long names.
fn flags_of_the_program() -> BTreeMap<String, Flag> {
    let mut command = Cli::command();
    command.build();
    let shown = command.get_arguments().filter(|flag| !flag.is_hide_set());
    let row = shown.map(|flag| {
        let long = flag.get_long().expect("every flag has a long name");
        let short = flag.get_short().map_or_else(String::new, |short| format!("`-{short}`, "));
        let takes_value = flag.get_action().takes_values();
        let value =
            flag.get_value_names().filter(|_| takes_value).map_or_else(String::new, |name| format!(" {}", name[0]));
        let default = flag.get_default_values().first().filter(|_| takes_value);
        let default = default.map(|default| default.to_string_lossy().into_owned());
        (long.to_owned(), (format!("{short}`--{long}{value}`"), default))
    });
    row.collect()
}

/// The rows of the README's table: what a flag is called, default, meaning.
fn rows_of_the_readme() -> Vec<[String; 3]> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("read the README");
    let (_, section) = readme.split_once("\n## scx_gamer\n").expect("a section on scx_gamer");
    let (_, table) =
        section.split_once("| flag | default | meaning |\n| --- | --- | --- |\n").expect("a table of flags");
    let row = |line: &str| {
        let cells: Vec<String> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
        <[String; 5]>::try_from(cells).map(|[_, name, default, meaning, _]| [name, default, meaning])
    };
    let rows = table.lines().take_while(|line| line.starts_with('|')).map(row);
    rows.collect::<Result<_, _>>().expect("three columns in each row")
}

#[test]
fn the_readme_has_a_row_for_every_flag_and_none_for_others() {
    let mut flags = flags_of_the_program();
    for [name, default, meaning] in rows_of_the_readme() {
        let long = name.split_once("--").and_then(|(_, long)| long.split([' ', '`']).next()).expect("a long name");
        let (real_name, real_default) = flags.remove(long).unwrap_or_else(|| panic!("there is no flag {name}"));
        assert_eq!(name, real_name);
        assert_eq!(real_default.unwrap_or_else(|| default.clone()), default, "default of {name}");
        assert!(!meaning.is_empty(), "{name} has no meaning");
    }
    assert!(flags.is_empty(), "no rows for {flags:?}");
}
