//! The wrapper in the launch options of many games at once: find the accounts, refuse while Steam runs, read, judge, write,
//! tell.
//!
//! A game that can't be changed safely is told and left alone, and so is a file; the others are changed all the same. A file
//! is changed as a whole or not at all.

pub(super) mod file;
pub(super) mod flags;
pub mod launch_options;
pub(super) mod localconfig;
pub(super) mod steam;

use std::fmt::Write;
use std::path::Path;
use std::path::PathBuf;

use crate::game::proc::ProcFs;
use crate::wrapper::report::Failure;
use crate::wrapper::report::Message;
use crate::wrapper::report::Report;
use crate::wrapper::setup::file::ConfigFile;
use crate::wrapper::setup::launch_options::NAME;
use crate::wrapper::setup::localconfig::Found;
use crate::wrapper::setup::localconfig::LocalConfig;
use crate::wrapper::setup::steam::Account;

/// Something was not set up.
const STATUS_FAILED: u8 = 1;

/// What is to be set up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// Steam's numbers of the games, each once.
    pub apps: Vec<u32>,
    /// Take the wrapper out instead of putting it in.
    pub remove: bool,
    /// Tell what would change and change nothing.
    pub dry_run: bool,
}

/// Where things are.
#[derive(Clone, Debug)]
pub struct Roots {
    /// The player's home directory, below which Steam is; `None`: not known.
    pub home: Option<PathBuf>,
    /// The running processes.
    pub procfs: ProcFs,
    /// Directories in which Steam looks for programs.
    pub searched_by_steam: Vec<PathBuf>,
    /// This program; `None`: not known.
    pub program: Option<PathBuf>,
}

/// Carries `request` out and tells what became of it; returns our exit status.
#[must_use]
pub fn run(request: &Request, roots: &Roots) -> u8 {
    let report = Report::new(0, None);
    let outcome = set_up(request, roots).unwrap_or_else(Outcome::from);
    Report::answer(&outcome.told);
    for failure in &outcome.failures {
        report.say(&Message::SetUp(failure.clone()));
    }
    if outcome.failures.is_empty() { 0 } else { STATUS_FAILED }
}

/// What became of a request.
#[derive(Debug, Default)]
struct Outcome {
    /// For stdout.
    told: String,
    /// What was not done.
    failures: Vec<Failure>,
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self { failures: vec![failure], ..Self::default() }
    }
}

fn set_up(request: &Request, roots: &Roots) -> Result<Outcome, Failure> {
    let home = roots.home.as_deref();
    let home = home.ok_or_else(|| Failure::new("the home directory is not known", "set HOME"))?;
    let wrapper = if request.remove { String::new() } else { wrapper_for_steam(roots)? };
    let accounts = steam::accounts(home)?;
    let accounts = if request.remove { accounts } else { steam::that_see_our_programs(accounts)? };
    let may_write = || if request.dry_run { Ok(()) } else { steam::must_not_run(home, &roots.procfs) };
    may_write()?;

    let mut outcome = Outcome::default();
    let files = read_files(&accounts, &mut outcome);
    let mut books = open_books(&files, request, &mut outcome);
    for app in &request.apps {
        match concerned(*app, &books, &accounts, request.remove) {
            Ok(concerned) => {
                for book in concerned {
                    books[book].judge(*app, request.remove, &wrapper, &mut outcome);
                }
            }
            Err(failure) => outcome.failures.push(failure),
        }
    }
    for book in &books {
        match may_write().and_then(|()| book.write(request.dry_run)) {
            Ok(()) => book.tell(request, &mut outcome.told),
            Err(failure) => outcome.failures.push(failure),
        }
    }
    Ok(outcome)
}

/// What stands for us in launch options: Steam's newer clients find programs in few directories only.
fn wrapper_for_steam(roots: &Roots) -> Result<String, Failure> {
    if roots.searched_by_steam.iter().any(|directory| directory.join(NAME).is_file()) {
        return Ok(NAME.to_owned());
    }
    let path = roots.program.as_deref().filter(|path| path.is_file() && path.ends_with(NAME)).and_then(Path::to_str);
    let quoted = path.and_then(|path| shlex::try_quote(path).ok());
    quoted.map(|path| path.into_owned()).ok_or_else(|| {
        let message = format!("no path leads to {NAME} that could be written into launch options");
        Failure::new(message, format!("install it, or start it from its own file, called {NAME}"))
    })
}

fn read_files<'a>(accounts: &'a [Account], outcome: &mut Outcome) -> Vec<(&'a Account, ConfigFile)> {
    let mut files = Vec::new();
    for account in accounts {
        match ConfigFile::read(&account.localconfig) {
            Ok(file) => files.push((account, file)),
            Err(message) => outcome.failures.push(Failure { message, hint: None }),
        }
    }
    files
}

fn open_books<'a>(files: &'a [(&Account, ConfigFile)], request: &Request, outcome: &mut Outcome) -> Vec<Book<'a>> {
    let mut books = Vec::new();
    for (account, file) in files {
        match LocalConfig::read(file.text(), &request.apps) {
            Ok(config) => books.push(Book { account, file, config, changes: Vec::new(), unchanged: Vec::new() }),
            Err(broken) => {
                let message = file::broken(file.path(), &broken);
                outcome.failures.push(Failure::new(message, "start Steam and end it, which writes the file anew"));
            }
        }
    }
    books
}

/// In which books `app` is to be judged: where it is listed, else in the only one there is. Of several accounts we don't
/// know whose game it is.
fn concerned(app: u32, books: &[Book], accounts: &[Account], remove: bool) -> Result<Vec<usize>, Failure> {
    let is_listed = |book: &usize| books[*book].config.find(app) != Ok(Found::Unlisted);
    let listed: Vec<usize> = (0..books.len()).filter(is_listed).collect();
    if !listed.is_empty() {
        return Ok(listed);
    }
    if remove || books.is_empty() || accounts.len() == 1 {
        return Ok((0..books.len()).collect());
    }
    let numbers: Vec<String> = accounts.iter().map(|account| account.number.to_string()).collect();
    let message = format!("app {app} is listed by none of the accounts {}", numbers.join(", "));
    Err(Failure::new(message, "start the game once with the account that plays it, and end Steam"))
}

/// One account's file with what is to be done in it.
struct Book<'a> {
    account: &'a Account,
    file: &'a ConfigFile,
    config: LocalConfig<'a>,
    changes: Vec<Change>,
    unchanged: Vec<u32>,
}

struct Change {
    app: u32,
    old: Option<String>,
    new: String,
}

impl Book<'_> {
    fn judge(&mut self, app: u32, remove: bool, wrapper: &str, outcome: &mut Outcome) {
        let whose = format!("app {app} of account {}", self.account.number);
        let old = match self.config.find(app) {
            Ok(Found::Unlisted) => None,
            Ok(Found::Listed(options)) => options,
            Err(why) => {
                let message = format!("{whose} {why} ({})", self.file.path().display());
                outcome.failures.push(Failure::new(message, "start Steam and end it, which writes the file anew"));
                return;
            }
        };
        let options = old.as_deref().unwrap_or("");
        let new = if remove { launch_options::remove(options) } else { launch_options::add(options, wrapper) };
        match new {
            Ok(new) if new == options => self.unchanged.push(app),
            Ok(new) => self.changes.push(Change { app, old, new }),
            Err(why) => {
                let message = format!("{whose} is left alone: its launch options {why} ({})", shortened(options));
                let hint = if remove { "take it out" } else { "put scx-gamer-run before the command" };
                let hint = format!("{hint} by hand: Steam, Properties of the game, Launch Options");
                outcome.failures.push(Failure::new(message, hint));
            }
        }
    }

    fn write(&self, dry_run: bool) -> Result<(), Failure> {
        if self.changes.is_empty() {
            return Ok(());
        }
        let changes: Vec<(u32, String)> = self.changes.iter().map(|change| (change.app, change.new.clone())).collect();
        let new = self.config.with(&changes).map_err(|why| {
            let message = format!("{}: {why}", self.file.path().display());
            Failure::new(message, "start Steam, play a game of this account, and end Steam")
        })?;
        if dry_run {
            return Ok(());
        }
        self.file.replace(&new).map_err(|message| Failure { message, hint: None })
    }

    fn tell(&self, request: &Request, told: &mut String) {
        let done = if request.dry_run { "would change" } else { "changed" };
        let why_not = if request.remove { "is not there" } else { "is there" };
        if !self.changes.is_empty() || !self.unchanged.is_empty() {
            tell_line(told, &self.file.path().to_string_lossy());
        }
        for change in &self.changes {
            tell_line(told, &format!("  {}: {done}", change.app));
            tell_line(told, &format!("    old: {}", change.old.as_deref().unwrap_or("")));
            tell_line(told, &format!("    new: {}", change.new));
        }
        for app in &self.unchanged {
            tell_line(told, &format!("  {app}: unchanged, {NAME} {why_not}"));
        }
        if !self.changes.is_empty() && !request.dry_run {
            tell_line(told, &format!("  as before our first change: {}", self.file.backup_path().display()));
        }
    }
}

fn shortened(options: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 200;
    match options.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &options[..end]),
        None => options.to_owned(),
    }
}

/// One line, with nothing in it that a terminal would obey.
fn tell_line(told: &mut String, line: &str) {
    let clean: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    writeln!(told, "{}", clean.trim_end()).expect("BUG: a String takes all that is written to it");
}

#[cfg(test)]
mod tests;
