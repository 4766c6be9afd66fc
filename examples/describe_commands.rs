//! Writes the manual pages of both programs and their completions for bash, zsh and fish into a directory, from the
//! command lines as clap knows them. `make build` runs it. What only people know about the programs, such as which
//! files they read, stands in `packaging/man/` and follows the flags in the page.

use std::env;
use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use clap::Arg;
use clap::Command;
use clap::CommandFactory as _;
use clap::Id;
use clap::builder::Resettable;
use clap_complete::Shell;
use clap_mangen::Man;
use scx_gamer_run::service;
use scx_gamer_run::wrapper;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// A program's manual page.
struct Page {
    name: &'static str,
    command: Command,
    /// 1: for everybody; 8: for who administers the machine.
    section: &'static str,
    /// What follows the program's name, as roff; clap would list every flag there.
    synopsis: &'static str,
    /// What follows the flags, as roff.
    rest: &'static str,
    /// What follows clap's completions, which know nothing of commands that come after a program's own flags. zsh's do.
    completions: &'static [(Shell, &'static str)],
}

fn main() -> anyhow::Result<()> {
    let directory = env::args_os().nth(1).context("usage: describe_commands DIRECTORY")?;
    let directory = Path::new(&directory);
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    for page in pages() {
        describe(&page, directory).with_context(|| format!("write into {}", directory.display()))?;
    }
    Ok(())
}

fn pages() -> [Page; 2] {
    [
        Page {
            name: "scx-gamer-run",
            command: wrapper::cli::command(),
            section: "1",
            synopsis: r"[\fIOPTION\fR]... [\fB\-\-\fR] \fICOMMAND\fR [\fIARGUMENT\fR]...",
            rest: include_str!("../packaging/man/scx-gamer-run.1.roff"),
            completions: &[
                (Shell::Bash, include_str!("../packaging/completions/scx-gamer-run.bash.in")),
                (Shell::Fish, include_str!("../packaging/completions/scx-gamer-run.fish.in")),
            ],
        },
        Page {
            name: "scx_gamer",
            command: service::cli::Cli::command(),
            section: "8",
            synopsis: r"[\fIOPTION\fR]...",
            rest: include_str!("../packaging/man/scx_gamer.8.roff"),
            completions: &[],
        },
    ]
}

fn describe(page: &Page, directory: &Path) -> io::Result<()> {
    let name = page.name;
    // No date: the same sources make the same page.
    let mut text = format!(".TH {name} {} \"\" \"scx-gamer-run {VERSION}\"\n", page.section).into_bytes();
    let man = Man::new(page.command.clone());
    man.render_name_section(&mut text)?;
    text.extend_from_slice(format!(".SH SYNOPSIS\n.B {name}\n{}\n", page.synopsis).as_bytes());
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    text.extend_from_slice(page.rest.as_bytes());
    fs::write(directory.join(format!("{name}.{}", page.section)), text)?;
    let mut shown = without_hidden_flags(page);
    for shell in SHELLS {
        let script = clap_complete::generate_to(shell, &mut shown, name, directory)?;
        for (_, more) in page.completions.iter().filter(|(of, _)| *of == shell) {
            let separator = if shell == Shell::Bash { " | " } else { " " };
            let more = more.replace("@flags@", &flags_with_a_word(&shown).join(separator));
            OpenOptions::new().append(true).open(&script)?.write_all(more.as_bytes())?;
        }
    }
    Ok(())
}

/// Flags whose value is the next word, which is no command.
fn flags_with_a_word(command: &Command) -> Vec<String> {
    let flags = command.get_opts().filter(|flag| !flag.is_require_equals_set());
    flags.filter_map(Arg::get_long).map(|long| format!("--{long}")).collect()
}

/// The completions would offer them; the manual leaves them out by itself.
fn without_hidden_flags(page: &Page) -> Command {
    let is_shown = |flag: &&Arg| !flag.is_hide_set();
    let flags = page.command.get_arguments().filter(is_shown).map(|flag| {
        let conflicts = page.command.get_arg_conflicts_with(flag).into_iter().filter(is_shown).map(Arg::get_id);
        flag.clone().conflicts_with(Resettable::<Id>::Reset).conflicts_with_all(conflicts)
    });
    Command::new(page.name).version(VERSION).args(flags).groups(page.command.get_groups().cloned())
}
