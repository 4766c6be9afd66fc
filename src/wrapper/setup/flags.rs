//! The flags of `--setup`, beside those with which one plays.

use std::ffi::OsString;

use clap::Args;
use clap::Parser;
use clap::ValueEnum;

use crate::wrapper::cli::Cli;
use crate::wrapper::cli::OF_A_GAME;
use crate::wrapper::setup::Request;
use crate::wrapper::setup::launch_options::NAME;

/// What `--setup` takes.
#[derive(Debug, Args)]
pub(in crate::wrapper) struct Flags {
    /// Put this command into the launch options of games, and end
    ///
    /// Needs --app, and Steam must not run. The file as it was stays beside the changed one. Starts no game and needs no
    /// scheduler.
    #[arg(
        long,
        value_name = "LAUNCHER",
        requires = "apps",
        conflicts_with_all = OF_A_GAME,
        conflicts_with = "question"
    )]
    setup: Option<Launcher>,

    /// Name a game for --setup; can be repeated
    ///
    /// By the number in the address of its page in the store. Not for games that Steam does not sell.
    #[arg(long = "app", value_name = "ID", requires = "setup", value_parser = clap::value_parser!(u32).range(1..))]
    apps: Vec<u32>,

    /// With --setup: take the command out again
    #[arg(long, requires = "setup")]
    remove: bool,

    /// With --setup: show what would change and write nothing
    ///
    /// Works while Steam runs.
    #[arg(long, requires = "setup")]
    dry_run: bool,
}

/// Whose launch options we know.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Launcher {
    /// Steam.
    Steam,
}

impl Flags {
    /// Some are given that mean nothing: clap does not ask for --setup beside a command, with which it can't stand.
    pub(in crate::wrapper) fn lack_setup(&self) -> bool {
        self.setup.is_none() && (!self.apps.is_empty() || self.remove || self.dry_run)
    }

    /// What is to be set up, if anything is; each game once.
    pub(in crate::wrapper) fn request(&self) -> Option<Request> {
        let Launcher::Steam = self.setup?;
        let mut apps = self.apps.clone();
        apps.sort_unstable();
        apps.dedup();
        Some(Request { apps, remove: self.remove, dry_run: self.dry_run })
    }
}

/// How many of the words that follow our own name are our options, if a command comes after them.
pub(super) fn options_before_command(words: &[OsString]) -> Option<usize> {
    let name = OsString::from(NAME);
    let cli = Cli::try_parse_from(std::iter::once(&name).chain(words)).ok()?;
    Some(words.len() - cli.command.len()).filter(|_| !cli.command.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wrapper::cli;
    use crate::wrapper::cli::Job;
    use crate::wrapper::cli::Refusal;
    use crate::wrapper::cli::Surroundings;

    fn parsed(words: &[&str]) -> Result<Job, Refusal> {
        cli::parse(["scx-gamer-run"].iter().chain(words).map(OsString::from), &Surroundings::default())
    }

    fn mistake(words: &[&str]) -> String {
        match parsed(words) {
            Err(Refusal::Mistake(sentence)) => sentence,
            other => panic!("{words:?}: {other:?}"),
        }
    }

    #[test]
    fn games_are_named_once_each_and_no_command_is_needed() {
        let words = ["--setup", "steam", "--app", "730", "--app", "570", "--app=730", "--remove", "--dry-run"];
        match parsed(&words) {
            Ok(Job::SetUp(request)) => {
                assert_eq!(request, Request { apps: vec![570, 730], remove: true, dry_run: true });
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(mistake(&["--setup", "steam"]), "--setup needs --app");
        assert_eq!(mistake(&["--app", "570"]), "--app, --remove and --dry-run need --setup");
        assert_eq!(mistake(&["--dry-run", "game"]), "--app, --remove and --dry-run need --setup");
        assert_eq!(mistake(&["--remove", "game"]), "--app, --remove and --dry-run need --setup");
        assert_eq!(mistake(&["--remove", "--app=1", "game"]), "--app, --remove and --dry-run need --setup");
        assert_eq!(mistake(&["--app=1", "--hold"]), "--app, --remove and --dry-run need --setup");
        assert_eq!(mistake(&[]), "no command given");
    }

    #[test]
    fn what_has_no_effect_beside_setup_is_a_mistake() {
        for flag in
            ["--require", "--wait-attach", "--wait-family", "--exe=x", "--log=x", "-v", "--hold", "--status", "game"]
        {
            assert!(mistake(&["--setup", "steam", "--app", "570", flag]).contains("cannot be used with"), "{flag}");
        }
    }

    #[test]
    fn what_is_no_game_or_no_launcher_is_a_mistake() {
        for app in ["0", "-1", "4294967296", "dota", ""] {
            assert_eq!(mistake(&["--setup", "steam", "--app", app]).lines().count(), 1, "{app}");
        }
        assert!(mistake(&["--setup", "lutris", "--app", "570"]).contains("lutris"));
    }

    #[test]
    fn our_own_options_are_told_from_the_command() {
        let count = |words: &[&str]| options_before_command(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(count(&["%command%", "-v"]), Some(0));
        assert_eq!(count(&["--exe", "foo", "--", "%command%"]), Some(3));
        assert_eq!(count(&["--require=false", "-vv", "%command%"]), Some(2));
        assert_eq!(count(&["--exe", "%command%"]), None);
        assert_eq!(count(&["--bogus", "%command%"]), None);
        assert_eq!(count(&["--setup", "steam", "--app", "1"]), None);
    }
}
