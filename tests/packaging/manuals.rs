//! Manual pages and completions, compared with what clap knows.

use std::process::Command;

use clap::Arg;
use clap::CommandFactory as _;
use scx_gamer_run::service;
use scx_gamer_run::wrapper;

use crate::rig::has;
use crate::rig::manuals;
use crate::rig::ours;
use crate::rig::read;
use crate::rig::run;

/// Name, section of the manual, and what clap knows.
fn programs() -> [(&'static str, &'static str, clap::Command); 2] {
    let mut programs =
        [("scx-gamer-run", "1", wrapper::cli::command()), ("scx_gamer", "8", service::cli::Cli::command())];
    for (_, _, command) in &mut programs {
        command.build();
    }
    programs
}

fn flags(command: &clap::Command, are_hidden: bool) -> impl Iterator<Item = &Arg> {
    let flags = command.get_arguments().filter(|flag| !flag.is_positional());
    flags.filter(move |flag| flag.is_hide_set() == are_hidden)
}

fn long(flag: &Arg) -> &str {
    flag.get_long().expect("every flag has a long name")
}

/// Whether `text` holds `word` and not merely a longer one that begins so.
fn holds(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        !text[at + word.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '-' || next == '\\')
    })
}

#[test]
fn the_manual_page_explains_every_flag_and_no_hidden_one() {
    let manuals = manuals();
    for (name, section, command) in programs() {
        let page = read(manuals.path().join(format!("{name}.{section}")));
        let roff = |word: &str| word.replace('-', "\\-");
        for flag in flags(&command, false) {
            // Bold and at the head of a paragraph.
            let heading = format!("\\fB{}\\fR", roff(&format!("--{}", long(flag))));
            assert!(page.lines().any(|line| line.starts_with("\\fB") && line.contains(&heading)), "{name}: {heading}");
            if let Some(short) = flag.get_short() {
                assert!(page.contains(&format!("\\fB\\-{short}\\fR, {heading}")), "{name}: -{short}");
            }
        }
        for flag in flags(&command, true) {
            assert!(!page.contains(&roff(&format!("--{}", long(flag)))), "{name}: --{}", long(flag));
        }
    }
}

#[test]
fn the_manual_page_has_the_usual_sections() {
    let manuals = manuals();
    for (name, section, _) in programs() {
        let page = read(manuals.path().join(format!("{name}.{section}")));
        let headings: Vec<_> = page.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
        let usual = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "FILES", "EXAMPLES", "SEE ALSO"];
        assert_eq!(headings, usual, "{name}");
    }
}

#[test]
fn completions_offer_every_flag_and_no_hidden_one() {
    let manuals = manuals();
    for (name, _, command) in programs() {
        for (file, dashes) in
            [(format!("{name}.bash"), "--"), (format!("_{name}"), "--"), (format!("{name}.fish"), "-l ")]
        {
            let script = read(manuals.path().join(&file));
            for flag in flags(&command, false) {
                assert!(holds(&script, &format!("{dashes}{}", long(flag))), "{file}: --{}", long(flag));
            }
            for flag in flags(&command, true) {
                assert!(!holds(&script, &format!("{dashes}{}", long(flag))), "{file}: --{}", long(flag));
            }
        }
    }
}

/// What bash offers for the last of these words, of which the first is a program.
fn completed_by_bash(words: &[&str]) -> Vec<String> {
    let manuals = manuals();
    let script = r#"
        . "$1"
        shift
        function=$(complete -p "$1" | sed 's/.* -F \([^ ]*\) .*/\1/')
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        "$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let file = manuals.path().join(format!("{}.bash", words[0]));
    let offered = run(Command::new("bash").args(["--norc", "-c", script, "bash"]).arg(file).args(words));
    offered.lines().filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_a_flag_that_was_begun() {
    if !has("bash") {
        return;
    }
    assert_eq!(completed_by_bash(&["scx_gamer", "--frame-h"]), ["--frame-hz"]);
    assert_eq!(completed_by_bash(&["scx-gamer-run", "--wait-f"]), ["--wait-family"]);
    assert_eq!(completed_by_bash(&["scx-gamer-run", "--exe", "x", "--wait-f"]), ["--wait-family"]);
    assert_eq!(completed_by_bash(&["scx-gamer-run", "--hook", "sta"]), ["start"]);
}

#[test]
fn bash_completes_the_command_and_leaves_its_flags_to_itself() {
    if !has("bash") {
        return;
    }
    for before in [&[][..], &["-v"], &["--"], &["--exe", "x"], &["--exe", "=", "x", "--"], &["--require", "=", "true"]]
    {
        let words = [&["scx-gamer-run"], before, &["md5su"]].concat();
        assert!(completed_by_bash(&words).iter().any(|word| word == "md5sum"), "{before:?}");
    }
    assert!(completed_by_bash(&["scx-gamer-run", "md5sum", "--wait-f"]).is_empty());
    assert!(completed_by_bash(&["scx-gamer-run", "--", "--wait-f"]).is_empty());
}

#[test]
fn fish_completes_flags_and_the_command() {
    if !has("fish") {
        return;
    }
    let manuals = manuals();
    for (line, whole) in [
        ("scx-gamer-run --wait-f", "--wait-family"),
        ("scx-gamer-run --exe x md5su", "md5sum"),
        ("scx_gamer --frame-h", "--frame-hz"),
    ] {
        let name = line.split(' ').next().expect("a program");
        let script = "source $argv[1]; complete -C $argv[2]";
        let file = manuals.path().join(format!("{name}.fish"));
        let offered = run(Command::new("fish").args(["--no-config", "-c", script]).arg(file).arg(line));
        assert!(offered.lines().any(|word| word.split('\t').next() == Some(whole)), "{line}: {offered}");
    }
}

#[test]
fn zsh_and_fish_can_read_their_completions() {
    let manuals = manuals();
    for (name, _, _) in programs() {
        if has("zsh") {
            run(Command::new("zsh").arg("-n").arg(manuals.path().join(format!("_{name}"))));
        }
        if has("fish") {
            run(Command::new("fish").arg("--no-execute").arg(manuals.path().join(format!("{name}.fish"))));
        }
    }
}

#[test]
fn man_can_read_its_pages() {
    if !has("mandoc") {
        return;
    }
    let manuals = manuals();
    for (name, section, _) in programs() {
        // Style and warnings are the generator's: long lines, empty ones.
        run(Command::new("mandoc").args(["-Tlint", "-Werror"]).arg(manuals.path().join(format!("{name}.{section}"))));
    }
}

#[test]
fn the_examples_for_packagers_have_the_crates_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(read(ours("packaging/arch/PKGBUILD")).contains(&format!("\npkgver={version}\n")));
    let spec = read(ours("packaging/fedora/scx-gamer-run.spec"));
    let of_the_spec = spec.lines().find_map(|line| line.strip_prefix("Version:")).expect("a version");
    assert_eq!(of_the_spec.trim(), version);
}
