//! The wrapper's command line, made typed once.
//!
//! Only what hides the command is an error here: no command, an unknown flag. A bad value leaves the command
//! known, so it becomes a complaint in [`Options`] and the game starts all the same.

mod values;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;

use clap::ArgAction;
use clap::ArgGroup;
use clap::CommandFactory as _;
use clap::Parser;
use clap::ValueEnum;
use clap::ValueHint;
use clap::error::ContextKind;
use clap::error::ContextValue;
use clap::error::ErrorKind;

use crate::game::watch::Finder;
use crate::wrapper::child::STATUS_USAGE;
use crate::wrapper::config;
use crate::wrapper::config::Names;
use crate::wrapper::lease::Wish;
use crate::wrapper::report::Report;
use crate::wrapper::setup;
use crate::wrapper::setup::flags;

/// What says how to play, and so has no place beside a question or a change of settings.
#[rustfmt::skip]
pub(super) const OF_A_GAME: [&str; 12] = [
    "require", "wait_attach", "wait_family", "hold", "hook", "foreground_pid", "exe", "tune", "socket", "log", "verbose",
    "command",
];

/// Start a game and give it its own CPU scheduler while it runs
///
/// The game always starts: where no scheduler can be had, one line on stderr says why and what to do. The exit status
/// is the game's own; 128+n when signal n ended it, 127 when it was not found, 126 when it can't be executed, 125 when
/// --require was given and the scheduler could not be had.
#[derive(Debug, Parser)]
#[command(name = "scx-gamer-run", version, args_override_self = true)]
#[command(group = ArgGroup::new("question").args(["doctor", "status"]).conflicts_with_all(OF_A_GAME))]
pub(super) struct Cli {
    /// Fail instead of playing without the scheduler
    ///
    /// Waits for the scheduler first; if it can't be had, exits with status 125 and the game is not started.
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    require: Option<OsString>,

    /// Start the game only once the scheduler stands
    ///
    /// Without it both start side by side, which costs the game no time. If the scheduler can't be had the game starts.
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    wait_attach: Option<OsString>,

    /// Stay until the game that was found has ended
    ///
    /// For launchers whose first process starts the game and leaves. Ends when the game has ended and no other has
    /// appeared for 3 seconds; the exit status is that of the first process. Without it the first process decides.
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    wait_family: Option<OsString>,

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

    /// Tune the scheduler (can be repeated)
    ///
    /// A flag of scx_gamer without its dashes, such as slice-us=2000 or avoid-smt. Holds while this game is the first
    /// one that runs; what can't be had is told and ignored.
    #[arg(long, value_name = "NAME[=VALUE]", action = ArgAction::Append, allow_hyphen_values = true)]
    tune: Vec<OsString>,

    /// Ask the service that listens at this path
    ///
    /// Without it the system's, and if there is none an scx_gamer that we start ourselves, which takes root's rights.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    socket: Option<OsString>,

    /// Append our messages to this file as well
    #[arg(long, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    log: Option<OsString>,

    /// Say more; twice: everything
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,

    /// Hold the lease without starting anything, until told to end
    ///
    /// For a launcher that ends a script with the game, such as Lutris with a pre-launch script that it does not wait for.
    /// The game is known by its environment, or as a descendant of the launcher.
    #[arg(long, conflicts_with_all = ["command", "hook", "require", "wait_attach", "wait_family"])]
    hold: bool,

    /// Hold the lease from a script before the game to one after it
    ///
    /// For a launcher that waits for its scripts, such as Heroic. What `start` leaves behind ends with `stop`, 3 seconds
    /// after the game, with the launcher, or if no game appears in 120 seconds.
    #[arg(long, value_name = "WHEN", conflicts_with_all = ["command", "require", "wait_attach", "wait_family"])]
    hook: Option<Hook>,

    /// Check whether games can be scheduled here
    ///
    /// Looks at the kernel, our permissions, the display and the input devices, says of each whether it is ok and what
    /// to do where it is not, and starts nothing. The exit status is 1 if anything keeps games from being scheduled.
    #[arg(long)]
    doctor: bool,

    /// Tell who holds the scheduler
    ///
    /// Names each process that holds it, its game and since when, and starts nothing. The exit status is 1 if that
    /// could not be found out. A scheduler that was attached without the service can be asked by root only.
    #[arg(long)]
    status: bool,

    /// Answer --doctor or --status as one JSON object
    #[arg(long, requires = "question")]
    json: bool,

    #[command(flatten)]
    setup: flags::Flags,

    /// The game and its arguments
    #[arg(
        required_unless_present_any = ["question", "hold", "hook", "setup"],
        trailing_var_arg = true,
        value_name = "COMMAND",
        value_hint = ValueHint::CommandWithArguments
    )]
    pub(super) command: Vec<OsString>,
}

impl Cli {
    /// What is given and of no use to `--hook stop`, which asks for nothing and looks for no game.
    fn unused_by_stop(&self) -> Vec<String> {
        let given = [
            ("--exe", self.exe.is_some()),
            ("--foreground-pid", self.foreground_pid.is_some()),
            ("--tune", !self.tune.is_empty()),
            ("--socket", self.socket.is_some()),
        ];
        let given = given.into_iter().filter(|(_, is_given)| *is_given);
        given.map(|(flag, _)| format!("--hook stop has no use for {flag}")).collect()
    }
}

/// The command line as clap knows it, for the manual page and the shells' completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Job {
    /// Start the game and hold a lease while it runs.
    Play(Play),
    /// Hold a lease until told to end.
    Hold(Options),
    /// Leave a holder behind that ends by itself.
    StartHook(Options),
    /// End such a holder.
    StopHook(Options),
    /// Check whether games can be scheduled here.
    Doctor {
        /// The answer is for a program.
        is_json: bool,
    },
    /// Tell who holds the scheduler.
    Status {
        /// The answer is for a program.
        is_json: bool,
    },
    /// Put the wrapper into launch options, or take it out.
    SetUp(setup::Request),
}

/// A game to be started.
#[derive(Clone, Debug)]
pub struct Play {
    /// How.
    pub options: Options,
    /// Its program; looked up in PATH unless it holds a slash.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// When a script of a launcher's calls us.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Hook {
    /// Before the game.
    Start,
    /// After it.
    Stop,
}

/// How the player wants to play.
#[derive(Clone, Debug)]
pub struct Options {
    /// No scheduler, no game.
    pub require: bool,
    /// The scheduler before the game.
    pub wait_attach: bool,
    /// Not over with the first process, if a game was found or may yet be.
    pub wait_family: bool,
    /// Who the game is.
    pub finder: Finder,
    /// How the scheduler is to be: flags of scx_gamer without dashes, and their values.
    pub tuning: BTreeMap<String, String>,
    /// Some of it was said on the command line.
    pub is_tuned_by_flag: bool,
    /// Where a service of somebody's own listens.
    pub socket: Option<PathBuf>,
    /// Where our words go besides stderr.
    pub log: Option<PathBuf>,
    /// How much we say; 0 is attach, exit and what fails.
    pub verbosity: u8,
    /// Values that we could not use, one sentence each.
    pub complaints: Vec<String>,
}

impl Options {
    /// What to ask for, by default of the service at `service`.
    #[must_use]
    pub fn wish<'a>(&'a self, service: &'a Path) -> Wish<'a> {
        Wish {
            service: self.socket.as_deref().unwrap_or(service),
            is_service_required: self.socket.is_some(),
            verbosity: self.verbosity,
            tuning: &self.tuning,
            is_tuning_required: self.require,
        }
    }
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

/// Where settings come from besides the command line.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Configuration files, the strongest first.
    pub files: Vec<PathBuf>,
    /// The environment that tells which game it is.
    pub environment: Vec<(OsString, OsString)>,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn here() -> Self {
        let environment: Vec<_> = std::env::vars_os().collect();
        let files = config::places(|name| look_up(&environment, name));
        Self { files, environment }
    }
}

fn look_up(environment: &[(OsString, OsString)], name: &str) -> Option<OsString> {
    environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}

/// Reads a command line whose first word is our own name, and the configuration files.
///
/// # Errors
/// When there is no command to start.
pub fn parse(words: impl IntoIterator<Item = OsString>, surroundings: &Surroundings) -> Result<Job, Refusal> {
    let cli = Cli::try_parse_from(words).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Refusal::Answer(error.render().to_string()),
        ErrorKind::MissingRequiredArgument => Refusal::Mistake(what_is_missing(&error).to_owned()),
        _ => Refusal::Mistake(first_sentence(&error.render().to_string())),
    })?;
    if cli.setup.lack_setup() {
        return Err(Refusal::Mistake(NEED_SETUP.to_owned()));
    }
    if let Some(request) = cli.setup.request() {
        return Ok(Job::SetUp(request));
    }
    let options = options(&cli, surroundings);
    let unused = cli.unused_by_stop();
    match (cli.hold, cli.hook) {
        _ if cli.doctor => Ok(Job::Doctor { is_json: cli.json }),
        _ if cli.status => Ok(Job::Status { is_json: cli.json }),
        (true, _) => Ok(Job::Hold(options)),
        // Ends with the game, not with a first process.
        (_, Some(Hook::Start)) => Ok(Job::StartHook(Options { wait_family: true, ..options })),
        (_, Some(Hook::Stop)) => {
            Ok(Job::StopHook(Options { complaints: options.complaints.into_iter().chain(unused).collect(), ..options }))
        }
        (false, None) => {
            let mut command = cli.command.into_iter();
            let program = command.next().ok_or_else(|| Refusal::Mistake("no command given".to_owned()))?;
            Ok(Job::Play(Play { options, program, arguments: command.collect() }))
        }
    }
}

const NEED_SETUP: &str = "--app, --remove and --dry-run need --setup";

fn what_is_missing(error: &clap::Error) -> &'static str {
    let missing = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(missing)) => missing.concat(),
        _ => String::new(),
    };
    let sentences =
        [("--doctor", "--json needs --doctor or --status"), ("--setup", NEED_SETUP), ("--app", "--setup needs --app")];
    let sentence = sentences.iter().find(|(flag, _)| missing.contains(flag));
    sentence.map_or("no command given", |(_, sentence)| sentence)
}

fn options(cli: &Cli, surroundings: &Surroundings) -> Options {
    let names = Names::of(|name| look_up(&surroundings.environment, name), cli.command.iter().map(OsString::as_os_str));
    let (file, mut complaints) = config::read(&surroundings.files, &names);
    let by_flag = values::finder(cli.foreground_pid.as_deref(), cli.exe.as_deref(), &mut complaints);
    let finder = by_flag.unwrap_or_else(|| file.finder());
    let mut switch =
        |flag, word: &Option<OsString>| values::or_complain(values::switch(flag, word.as_deref()), &mut complaints);
    let require = switch("--require", &cli.require).or(file.require).unwrap_or(false);
    let wait_attach = switch("--wait-attach", &cli.wait_attach).or(file.wait_attach).unwrap_or(false);
    let mut wait_family = switch("--wait-family", &cli.wait_family).or(file.wait_family).unwrap_or(false);
    let mut path =
        |flag, word: &Option<OsString>| values::or_complain(values::path(flag, word.as_deref()), &mut complaints);
    let (socket, log) = (path("--socket", &cli.socket), path("--log", &cli.log).or(file.log));
    if wait_family && matches!(finder, Finder::Nobody) {
        complaints.push("--wait-family waits for a game, and --foreground-pid none pins none".to_owned());
        wait_family = false;
    }
    // A flag replaces what the file says of the same option, and leaves the others. No text is no option, which is told.
    let by_flag = cli.tune.iter().map(|word| word.to_string_lossy());
    let tuning = file.tune.iter().flatten().map(Cow::from).chain(by_flag);
    Options {
        require,
        wait_attach,
        wait_family,
        finder,
        tuning: tuning.map(|word| values::tuning_option(&word)).collect(),
        is_tuned_by_flag: !cli.tune.is_empty(),
        socket,
        log,
        verbosity: if cli.verbose > 0 { cli.verbose } else { file.verbose.unwrap_or(0) },
        complaints,
    }
}

/// What clap says first, without its label and the usage below.
fn first_sentence(rendered: &str) -> String {
    let first = rendered.lines().next().unwrap_or("this command line can't be read");
    first.strip_prefix("error: ").unwrap_or(first).to_owned()
}

#[cfg(test)]
mod tests;
