//! Values of flags, made typed.
//!
//! What can't be understood is a sentence, and its flag counts as not given.

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::game::names::ExePattern;
use crate::game::watch::Finder;
use crate::wrapper::config::Settings;

/// What was read; or nothing, and one complaint more.
pub(super) fn or_complain<T>(read: Result<Option<T>, String>, complaints: &mut Vec<String>) -> Option<T> {
    read.unwrap_or_else(|complaint| {
        complaints.push(complaint);
        None
    })
}

/// Yes or no.
pub(super) fn switch(flag: &str, word: Option<&OsStr>) -> Result<Option<bool>, String> {
    let Some(word) = word else { return Ok(None) };
    match word.to_str() {
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        _ => Err(format!("{flag} takes 'true' or 'false', not '{}'", word.to_string_lossy())),
    }
}

/// A path, which an unset variable in a script leaves empty.
pub(super) fn path(flag: &str, word: Option<&OsStr>) -> Result<Option<PathBuf>, String> {
    match word {
        Some(word) if word.is_empty() => Err(format!("{flag} takes a path, not ''")),
        word => Ok(word.map(PathBuf::from)),
    }
}

/// `slice-us=2000`, or `avoid-smt` alone.
pub(super) fn tuning_option(word: &str) -> (String, String) {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    (name.trim_start_matches("--").to_owned(), value.to_owned())
}

/// Who the flags say is the game, if they do. What can't be understood leaves it to the search, whatever a file says.
pub(super) fn finder(pid: Option<&OsStr>, exe: Option<&OsStr>, complaints: &mut Vec<String>) -> Option<Finder> {
    let by_name = |exe| ExePattern::parse(exe).map(Finder::Matching).map_err(|why| format!("--exe {why}"));
    let found = match (pid, exe) {
        (None, None) => return None,
        (None, Some(exe)) => by_name(exe),
        (Some(word), None) => by_pid(word),
        (Some(word), Some(_)) => {
            complaints.push("--exe names a game beside --foreground-pid, which decides".to_owned());
            by_pid(word)
        }
    };
    Some(found.unwrap_or_else(|complaint| {
        complaints.push(complaint);
        Finder::Family
    }))
}

fn by_pid(word: &OsStr) -> Result<Finder, String> {
    match word.to_str() {
        Some("none") => return Ok(Finder::Nobody),
        Some(word) => word.parse().ok().filter(|pid| *pid > 0).map(Finder::Process),
        None => None,
    }
    .ok_or_else(|| format!("--foreground-pid takes a process ID or 'none', not '{}'", word.to_string_lossy()))
}

impl Settings {
    pub(super) fn finder(&self) -> Finder {
        let by_name = || ExePattern::parse(OsStr::new(self.exe.as_deref()?)).ok();
        match self.pins_nobody {
            Some(true) => Finder::Nobody,
            _ => by_name().map_or(Finder::Family, Finder::Matching),
        }
    }
}
