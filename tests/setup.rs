//! `scx-gamer-run --setup steam` on a home directory of the test's own, and the lines of `steam/`.
//!
//! Nothing is written while a Steam of this user runs, which is what this program promises: end it before these tests.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

use scx_gamer_run::wrapper::cli;
use scx_gamer_run::wrapper::cli::Job;
use scx_gamer_run::wrapper::cli::Surroundings;
use scx_gamer_run::wrapper::setup::launch_options;
use tempfile::TempDir;

const ACCOUNTS: [&str; 2] = ["11111111", "22222222"];

/// A file of this repository.
fn ours(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn home() -> TempDir {
    let home = tempfile::tempdir().expect("temporary directory");
    for account in ACCOUNTS {
        let file = localconfig(&home, account);
        fs::create_dir_all(file.parent().expect("parent")).expect("directories");
        fs::copy(ours("tests/data/steam").join(account).with_extension("vdf"), file).expect("copy");
    }
    fs::create_dir(home.path().join(".steam")).expect("directory");
    std::os::unix::fs::symlink("../.local/share/Steam", home.path().join(".steam/steam")).expect("link");
    home
}

fn localconfig(home: &TempDir, account: &str) -> PathBuf {
    home.path().join(".local/share/Steam/userdata").join(account).join("config/localconfig.vdf")
}

fn texts(home: &TempDir) -> [String; 2] {
    ACCOUNTS.map(|account| fs::read_to_string(localconfig(home, account)).expect("read"))
}

fn set_up(home: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scx-gamer-run"));
    command.args(["--setup", "steam"]).args(arguments).env("HOME", home.path()).output().expect("run the program")
}

fn told(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn games_are_set_up_and_set_back() {
    let home = home();
    let before = texts(&home);
    let output = set_up(&home, &["--app", "570", "--app", "440"]);
    let (stdout, stderr) = told(&output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    let [first, second] = texts(&home);
    assert_eq!(first.matches("scx-gamer-run").count(), 3, "{stdout}");
    assert_eq!(second.matches("scx-gamer-run").count(), 1, "{stdout}");
    assert_eq!(stdout.matches(": changed\n").count(), 3, "{stdout}");

    let output = set_up(&home, &["--app", "570", "--app", "440", "--remove"]);
    assert_eq!((output.status.code(), told(&output).1.as_str()), (Some(0), ""));
    assert_eq!(texts(&home), before);
    let backups = ACCOUNTS.map(|account| localconfig(&home, account).with_extension("vdf.scx-gamer-backup"));
    assert_eq!(backups.map(|backup| fs::read_to_string(backup).expect("backup")), before);
}

#[test]
fn a_dry_run_tells_what_would_change_and_writes_nothing() {
    let home = home();
    let before = texts(&home);
    let output = set_up(&home, &["--app", "570", "--dry-run"]);
    let (stdout, stderr) = told(&output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    assert!(
        stdout.contains("  570: would change\n    old: MANGOHUD=1 %command% -novid\n    new: MANGOHUD=1 "),
        "{stdout}"
    );
    assert!(stdout.contains("    old:\n"), "{stdout}");
    assert_eq!(texts(&home), before);
    for account in ACCOUNTS {
        let directory = localconfig(&home, account).parent().expect("parent").to_owned();
        assert_eq!(fs::read_dir(directory).expect("list").count(), 1);
    }
}

#[test]
fn what_fails_is_one_sentence_with_a_hint_and_status_one() {
    let home = home();
    let output = set_up(&home, &["--app", "10"]);
    let (stdout, stderr) = told(&output);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(1), ""));
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines[0], "scx-gamer-run: app 10 is listed by none of the accounts 11111111, 22222222");
    assert!(lines.len() == 2 && lines[1].starts_with("Hint: "), "{stderr}");
}

#[test]
fn files_that_are_none_are_named_and_untouched() {
    let home = home();
    let [text, directory] = ACCOUNTS.map(|account| localconfig(&home, account));
    fs::write(&text, b"\"UserLocalConfigStore\"\n{\n\t\"a\" \"\x00\xfe\"\n}\n").expect("write");
    fs::remove_file(&directory).and_then(|()| fs::create_dir(&directory)).expect("a directory instead");
    let output = set_up(&home, &["--app", "570", "--dry-run"]);
    let (stdout, stderr) = told(&output);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains(&format!("{}:3:8: bytes that are no text", text.display())), "{stderr}");
    assert!(stderr.contains(&format!("{} is no regular file", directory.display())), "{stderr}");
    assert!(directory.is_dir());
}

#[test]
fn a_home_without_steam_is_said() {
    let home = tempfile::tempdir().expect("temporary directory");
    let output = set_up(&home, &["--app", "570"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).1.contains("no account of Steam's was found below"), "{output:?}");
}

#[test]
fn bad_flags_are_status_two() {
    let home = home();
    for arguments in [&[][..], &["--app", "x"], &["--app", "570", "--bogus"], &["--app", "570", "game"]] {
        let output = set_up(&home, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
}

/// Nothing more is to be added to `line`, and what is in it are flags that the program has.
fn assert_is_set_up(line: &str) {
    assert_eq!(launch_options::add(line, launch_options::NAME).as_deref(), Ok(line));
    let without = launch_options::remove(line).unwrap_or_else(|why| panic!("'{line}': they {why}"));
    assert!(!without.contains(launch_options::NAME), "{without}");
}

#[test]
fn every_launch_option_that_we_print_is_one_that_we_know() {
    let readme = fs::read_to_string(ours("steam/README.md")).expect("read");
    let lines: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let lines: Vec<&str> = lines.into_iter().filter(|line| line.contains("%command%")).collect();
    assert!(lines.len() >= 6, "{lines:?}");
    lines.into_iter().for_each(assert_is_set_up);
}

#[test]
fn what_bottles_takes_is_a_line_that_we_know() {
    let page = fs::read_to_string(ours("steam/bottles.md")).expect("read");
    let line = page.lines().find_map(|line| line.strip_prefix("    ")).expect("a line to paste");
    assert_is_set_up(line);
}

#[test]
fn lutris_and_heroic_get_a_prefix_that_is_a_command_of_ours() {
    let lutris = fs::read_to_string(ours("steam/lutris.yml")).expect("read");
    let prefix = lutris.lines().find_map(|line| line.strip_prefix("  prefix_command: ")).expect("a prefix");
    assert_is_set_up(&format!("{prefix} %command%"));

    let heroic = fs::read_to_string(ours("steam/heroic.json")).expect("read");
    let heroic: serde_json::Value = serde_json::from_str(&heroic).expect("JSON");
    let wrappers = heroic["wrapperOptions"].as_array().expect("a list of wrappers");
    let word = |name: &str| wrappers[0][name].as_str().expect("text").to_owned();
    assert_eq!(wrappers.len(), 1);
    assert_is_set_up(&format!("{} {} %command%", word("exe"), word("args")));
}

/// Heroic spawns the path that it is given: no shell, no arguments.
#[test]
fn heroic_gets_its_two_scripts_as_files_that_can_be_executed() {
    let readme = fs::read_to_string(ours("steam/README.md")).expect("read");
    let (_, section) = readme.split_once("### Scripts for Heroic\n").expect("a section on scripts");
    assert_eq!(section.matches("the path of this file").count(), 1);
    let lines: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let jobs: Vec<Job> = lines
        .chunks(2)
        .map(|script| {
            assert_eq!(script[0], "#!/bin/sh");
            let command = script[1].strip_prefix("exec /usr/bin/").expect("our program");
            cli::parse(command.split(' ').map(OsString::from), &Surroundings::default()).expect("a command of ours")
        })
        .collect();
    assert!(matches!(jobs[..], [Job::StartHook(_), Job::StopHook(_)]), "{jobs:?}");
}
