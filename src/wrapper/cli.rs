//! The wrapper's command line, made typed once.
//!
//! Only what hides the command is an error here: no command, an unknown flag. A bad value leaves the command
//! known, so it becomes a complaint in [`Options`] and the game starts all the same.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgAction;
use clap::Parser;
use clap::error::ErrorKind;

use crate::game::names::ExePattern;
use crate::game::watch::Finder;
use crate::wrapper::child::STATUS_USAGE;
use crate::wrapper::report::Report;

/// Start a game and give it its own CPU scheduler while it runs
///
/// The game always starts: where no scheduler can be had, one line on stderr says why and what to do. The exit status
/// is the game's own; 128+n when signal n ended it, 127 when it was not found, 126 when it can't be executed, 125 when
/// --require was given and the scheduler could not be had.
#[derive(Debug, Parser)]
#[command(name = "scx-gamer-run", version, args_override_self = true)]
struct Cli {
    /// Fail instead of playing without the scheduler
    ///
    /// Waits for the scheduler first; if it can't be had, exits with status 125 and the game is not started.
    #[arg(long)]
    require: bool,

    /// Start the game only once the scheduler stands
    ///
    /// Without it both start side by side, which costs the game no time. If the scheduler can't be had the game starts.
    #[arg(long)]
    wait_attach: bool,

    /// Name the game's process, or pin none
    ///
    /// Without it the game is found among the processes that COMMAND starts.
    #[arg(long, value_name = "PID|none")]
    foreground_pid: Option<OsString>,

    /// Look for the game under this name
    ///
    /// A program's name such as eldenring.exe, without regard to case; * and ? stand for anything.
    #[arg(long, value_name = "PATTERN")]
    exe: Option<OsString>,

    /// Append our messages to this file as well
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,

    /// Say more; twice: everything
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,

    /// The game and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What the player asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// No scheduler, no game.
    pub require: bool,
    /// The scheduler before the game.
    pub wait_attach: bool,
    /// Who the game is.
    pub finder: Finder,
    /// Where our words go besides stderr.
    pub log: Option<PathBuf>,
    /// How much we say; 0 is attach, exit and what fails.
    pub verbosity: u8,
    /// The game's program; looked up in PATH unless it holds a slash.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Values that we could not use, one sentence each.
    pub complaints: Vec<String>,
}

/// Why nothing is started, or what was asked for instead.
#[derive(Debug)]
pub enum Refusal {
    /// `--help` and `--version`: for stdout.
    Answer(String),
    /// A mistake, in one sentence.
    Mistake(String),
}

impl Refusal {
    /// Says it; returns the exit status.
    #[must_use]
    pub fn print(&self) -> u8 {
        match self {
            Self::Answer(text) => {
                Report::answer(text);
                0
            }
            Self::Mistake(sentence) => {
                Report::usage(sentence);
                STATUS_USAGE
            }
        }
    }
}

/// Reads a command line whose first word is our own name.
///
/// # Errors
/// When there is no command to start.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Options, Refusal> {
    let cli = Cli::try_parse_from(words).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Refusal::Answer(error.render().to_string()),
        ErrorKind::MissingRequiredArgument => Refusal::Mistake("no command given".to_owned()),
        _ => Refusal::Mistake(first_sentence(&error.render().to_string())),
    })?;
    let mut complaints = Vec::new();
    let finder = finder(cli.foreground_pid.as_deref(), cli.exe.as_deref()).unwrap_or_else(|complaint| {
        complaints.push(complaint);
        Finder::Family
    });
    let mut command = cli.command.into_iter();
    let program = command.next().ok_or_else(|| Refusal::Mistake("no command given".to_owned()))?;
    Ok(Options {
        require: cli.require,
        wait_attach: cli.wait_attach,
        finder,
        log: cli.log,
        verbosity: cli.verbose,
        program,
        arguments: command.collect(),
        complaints,
    })
}

fn finder(pid: Option<&OsStr>, exe: Option<&OsStr>) -> Result<Finder, String> {
    let by_name = || exe.map_or(Ok(Finder::Family), |exe| ExePattern::parse(exe).map(Finder::Matching));
    match pid {
        None => by_name().map_err(|why| format!("--exe {why}")),
        Some(word) if word == "none" => Ok(Finder::Nobody),
        Some(word) => match word.to_str().and_then(|word| word.parse().ok()) {
            Some(pid) if pid > 0 => Ok(Finder::Process(pid)),
            _ => Err(format!("--foreground-pid takes a process ID or 'none', not '{}'", word.to_string_lossy())),
        },
    }
}

/// What clap says first, without its label and the usage below.
fn first_sentence(rendered: &str) -> String {
    let first = rendered.lines().next().unwrap_or("this command line can't be read");
    first.strip_prefix("error: ").unwrap_or(first).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::os::unix::ffi::OsStringExt;

    fn parsed(words: &[&str]) -> Result<Options, Refusal> {
        parse(["scx-gamer-run"].iter().chain(words).map(OsString::from))
    }

    fn command(words: &[&str]) -> Vec<String> {
        let options = parsed(words).expect("a command line with a command");
        [options.program].iter().chain(&options.arguments).map(|word| word.to_string_lossy().into_owned()).collect()
    }

    fn mistake(words: &[&str]) -> String {
        match parsed(words) {
            Err(Refusal::Mistake(sentence)) => sentence,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn everything_after_the_command_belongs_to_it() {
        assert_eq!(command(&["game", "--help", "-v", "--require"]), ["game", "--help", "-v", "--require"]);
        assert_eq!(command(&["-v", "game", "-v"]), ["game", "-v"]);
        assert_eq!(command(&["game", "--", "-x", "--"]), ["game", "--", "-x", "--"]);
        assert_eq!(command(&["--", "game", "--", "--require"]), ["game", "--", "--require"]);
        assert_eq!(command(&["--", "--game"]), ["--game"]);
        assert_eq!(command(&["game", "", "a b"]), ["game", "", "a b"]);
    }

    #[test]
    fn words_that_are_no_text_reach_the_game() {
        let word = OsString::from_vec(b"\xff\xfe".to_vec());
        let words = ["scx-gamer-run".into(), "game".into(), word.clone()];
        assert_eq!(parse(words).expect("command line").arguments, [word]);
    }

    #[test]
    fn what_hides_the_command_is_a_mistake_in_one_sentence() {
        assert_eq!(mistake(&[]), "no command given");
        assert_eq!(mistake(&["-v", "--"]), "no command given");
        assert_eq!(mistake(&["--bogus", "game"]), "unexpected argument '--bogus' found");
        for words in [&["-x", "game"][..], &["--exe"], &["--require=yes", "game"]] {
            assert_eq!(mistake(words).lines().count(), 1, "{words:?}");
        }
    }

    #[test]
    fn a_bad_value_is_a_complaint_and_the_game_is_still_known() {
        for words in [["--foreground-pid", "0", "game"], ["--foreground-pid", "me", "game"], ["--exe", "[a", "game"]] {
            let options = parsed(&words).expect("the command is known");
            assert_eq!(options.complaints.len(), 1, "{words:?}");
            assert!(options.complaints[0].starts_with(words[0]), "{:?}", options.complaints);
            assert!(matches!(options.finder, Finder::Family));
        }
    }

    #[test]
    fn the_last_of_a_repeated_flag_counts() {
        let options = parsed(&["--foreground-pid", "7", "--foreground-pid", "none", "--require", "--require", "game"]);
        assert!(matches!(options.expect("command line").finder, Finder::Nobody));
        assert_eq!(parsed(&["-vv", "-v", "game"]).expect("command line").verbosity, 3);
    }
}
