//! Everything that the wrapper says, in one place: to stderr and to the log file, never to stdout.

use std::fmt;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::poll;

use crate::wrapper::follow::Released;

/// How long a reader of stderr may keep us waiting before it loses a line.
const READER_PATIENCE_MS: u8 = 100;

/// Why something of ours failed, and what the player can do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// One sentence without a full stop.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with advice.
    #[must_use]
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()) }
    }
}

/// How the game ended, for the exit line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// By itself.
    Exited(u8),
    /// By a signal.
    Killed(i32),
}

/// What became of scx_gamer after the lease was given back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GivenBack {
    /// It ended well: it has read back that the kernel's scheduler is in place.
    Confirmed,
    /// Somebody else holds a lease, too, so that it stays.
    KeptForOthers,
    /// It ended in another way.
    Unconfirmed(String),
    /// It did not end in time and was killed, upon which the kernel takes its scheduler out.
    Killed,
    /// It was gone already, which has been said.
    LostBefore,
    /// There was none to give back.
    Nothing,
}

/// A message to the player.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// The scheduler stands.
    Attached { scheduler: String, after: Duration, sources: String },
    /// Who tells when frames begin has changed.
    FrameSource(String),
    /// Another wrapper around us has the lease.
    Within { outer: i32 },
    /// The game plays without it.
    NotScheduled(Failure),
    /// `--require` forbids that.
    Required(Failure),
    /// It stood and is gone.
    SchedulerLost(Failure),
    /// A request was refused; everything else goes on.
    Refused(Failure),
    /// The scheduler confirms the game.
    Foreground { name: String, tgid: i32 },
    /// Nothing is pinned any more.
    NoForeground,
    /// What `--foreground-pid` or `--exe` names was not found.
    ForegroundMissing(String),
    /// A value on the command line that we can't use.
    BadValue(String),
    /// `--log` can't be written.
    NoLog(PathBuf, String),
    /// The game could not be started.
    NotStarted { program: String, why: String },
    /// The game takes our place because no process could be made for it.
    TakesOurPlace(String),
    /// The game runs.
    Started { program: String, pid: i32 },
    /// A signal went to the game.
    Forwarded(&'static str),
    /// Something of ours failed after the game began.
    LessThanAsked { what: String, why: String },
    /// No lease is held for a game that is yet to come.
    NoHolder(String),
    /// A lease without a command was given back.
    Released { why: Released, after: Duration, given_back: GivenBack },
    /// No holder was there to be ended.
    NothingHeld,
    /// Who holds the scheduler could not be found out.
    NoStatus(Failure),
    /// What `--setup` did not do, or what to know of what it did.
    SetUp(Failure),
    /// The game is over.
    Over { ended: Ended, after: Duration, given_back: GivenBack },
}

impl Message {
    /// From which `-v` on it is said.
    fn verbosity(&self) -> u8 {
        match self {
            Self::Foreground { .. } | Self::NoForeground | Self::Started { .. } | Self::FrameSource(_) => 1,
            Self::Over { given_back: GivenBack::Nothing, .. } | Self::NothingHeld => 1,
            Self::Forwarded(_) => 2,
            _ => 0,
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Attached { scheduler, after, sources } => {
                write!(f, "scheduled by {scheduler} after {} ms", after.as_millis())?;
                if sources.is_empty() { Ok(()) } else { write!(f, " ({sources})") }
            }
            Self::Within { outer } => {
                write!(f, "within scx-gamer-run (PID {outer}), whose scheduler is for this game, too")
            }
            Self::FrameSource(source) => write!(f, "frames: {source}"),
            Self::NotScheduled(why) => {
                write!(f, "{}; the game runs under the kernel's scheduler{}", why.message, HintLine(&why.hint))
            }
            Self::Required(why) => {
                write!(f, "{}; not started because of --require{}", why.message, HintLine(&why.hint))
            }
            Self::SchedulerLost(why) => {
                write!(f, "{}; the game goes on under the kernel's scheduler{}", why.message, HintLine(&why.hint))
            }
            Self::Refused(why) | Self::NoStatus(why) | Self::SetUp(why) => {
                write!(f, "{}{}", why.message, HintLine(&why.hint))
            }
            Self::Foreground { name, tgid } => write!(f, "foreground: {name} (TGID {tgid})"),
            Self::NoForeground => f.write_str("foreground: none"),
            Self::ForegroundMissing(what) => write!(f, "no game is pinned: {what}"),
            Self::BadValue(complaint) => write!(f, "{complaint}; ignored"),
            Self::NoLog(path, why) => write!(f, "can't write the log {}: {why}", path.display()),
            Self::NotStarted { program, why } => write!(f, "can't start '{program}': {why}"),
            Self::TakesOurPlace(why) => write!(f, "no process for the game ({why}); it takes the wrapper's place"),
            Self::Started { program, pid } => write!(f, "started '{program}' (PID {pid})"),
            Self::Forwarded(signal) => write!(f, "passed {signal} on to the game"),
            Self::LessThanAsked { what, why } => write!(f, "{what}: {why}; the game is not affected"),
            Self::NoHolder(why) => write!(f, "no lease is held for the game: {why}"),
            Self::NothingHeld => f.write_str("no holder for this game was left to be ended"),
            Self::Released { why, after, given_back } => {
                match why {
                    Released::Told(signal) => write!(f, "told to end by {signal}")?,
                    Released::GameEnded => f.write_str("the game has ended")?,
                    Released::LauncherEnded => f.write_str("the launcher has ended")?,
                    Released::NoGame => f.write_str("no game has appeared")?,
                }
                write!(f, " after {}{}", Span(*after), HowGivenBack(given_back))
            }
            Self::Over { ended, after, given_back } => {
                match ended {
                    Ended::Exited(status) => write!(f, "game exited with status {status}")?,
                    Ended::Killed(signal) => write!(f, "game was ended by {}", signal_name(*signal))?,
                }
                write!(f, " after {}", Span(*after))?;
                write!(f, "{}", HowGivenBack(given_back))
            }
        }
    }
}

/// The part of a last line that tells what became of the scheduler.
struct HowGivenBack<'a>(&'a GivenBack);

impl fmt::Display for HowGivenBack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0 {
            GivenBack::Confirmed => f.write_str("; the scheduler from before is back"),
            GivenBack::KeptForOthers => f.write_str("; the scheduler stays for another game"),
            GivenBack::Unconfirmed(how) => write!(f, "; scx_gamer {how}{}", HintLine(&Some(CHECK_STATE.to_owned()))),
            GivenBack::Killed => {
                write!(f, "; scx_gamer did not end and was killed{}", HintLine(&Some(CHECK_STATE.to_owned())))
            }
            GivenBack::LostBefore | GivenBack::Nothing => Ok(()),
        }
    }
}

const CHECK_STATE: &str = "/sys/kernel/sched_ext/state should read 'disabled'";

/// A name such as SIGTERM, or the number of a real-time signal.
#[must_use]
pub fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal)
        .map_or_else(|_| format!("signal {signal}"), |signal| signal.as_str().to_owned())
}

struct HintLine<'a>(&'a Option<String>);

impl fmt::Display for HintLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |hint| write!(f, "\nHint: {hint}"))
    }
}

/// A time as people say it.
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0.as_secs() {
            seconds @ 0..60 => write!(f, "{seconds} s"),
            seconds @ 60..3600 => write!(f, "{} min", seconds / 60),
            seconds => write!(f, "{} h {:02} min", seconds / 3600, seconds / 60 % 60),
        }
    }
}

/// Where messages go.
#[derive(Debug)]
pub struct Report {
    verbosity: u8,
    log: Option<File>,
}

impl Report {
    /// Opens the log; one that can't be written is reported and done without.
    #[must_use]
    pub fn new(verbosity: u8, log: Option<&Path>) -> Self {
        let mut report = Self { verbosity, log: None };
        if let Some(path) = log {
            match open_log(path) {
                Ok(file) => report.log = Some(file),
                Err(error) => report.say(&Message::NoLog(path.to_owned(), error.to_string())),
            }
        }
        report
    }

    /// Says `message`, if that much was asked for. Never fails and never waits for long.
    pub fn say(&self, message: &Message) {
        if message.verbosity() > self.verbosity {
            return;
        }
        let text = lines(&message.to_string());
        write_to_stderr(&text);
        if let Some(mut log) = self.log.as_ref() {
            let _ = log.write_all(text.as_bytes());
        }
    }

    /// Says that we go on with less, because of `error`.
    pub fn less(&self, what: &str, error: &io::Error) {
        self.say(&Message::LessThanAsked { what: what.to_owned(), why: error.to_string() });
    }

    /// A mistake on the command line.
    pub fn usage(sentence: &str) {
        write_to_stderr(&lines(&format!(
            "{sentence}\nHint: scx-gamer-run [OPTIONS] [--] COMMAND [ARGS...]; see --help"
        )));
    }

    /// What `--help`, `--doctor` and the like asked for: the one use of stdout, since no game runs.
    pub fn answer(text: &str) {
        let _ = io::stdout().write_all(clean(text).as_bytes());
    }
}

/// Labels the first line.
fn lines(text: &str) -> String {
    format!("scx-gamer-run: {}\n", clean(text))
}

/// Takes control characters out, whoever wrote the text.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

/// A full pipe that nobody reads must not hold us up: its reader loses the line.
fn write_to_stderr(text: &str) {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut fds, READER_PATIENCE_MS).is_ok_and(|ready| ready > 0) {
        let _ = stderr.lock().write_all(text.as_bytes());
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    // Non-blocking: a FIFO without a reader is an error and not a wait.
    OpenOptions::new().append(true).create(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_and_its_hint_another() {
        let why = Failure::new("this kernel has no sched_ext", "boot Linux 6.12 or newer");
        assert_eq!(
            lines(&Message::NotScheduled(why).to_string()),
            "scx-gamer-run: this kernel has no sched_ext; the game runs under the kernel's scheduler\n\
             Hint: boot Linux 6.12 or newer\n"
        );
    }

    #[test]
    fn attach_and_exit_are_one_line_each() {
        let attached = |sources: &str| Message::Attached {
            scheduler: "gamer".to_owned(),
            after: Duration::from_millis(812),
            sources: sources.to_owned(),
        };
        assert_eq!(attached("").to_string(), "scheduled by gamer after 812 ms");
        assert_eq!(attached("input: off").to_string(), "scheduled by gamer after 812 ms (input: off)");
        let over = |ended, seconds| {
            Message::Over { ended, after: Duration::from_secs(seconds), given_back: GivenBack::Confirmed }.to_string()
        };
        let back = "; the scheduler from before is back";
        assert_eq!(over(Ended::Exited(0), 749), format!("game exited with status 0 after 12 min{back}"));
        assert_eq!(over(Ended::Killed(15), 3), format!("game was ended by SIGTERM after 3 s{back}"));
        assert_eq!(over(Ended::Killed(40), 3900), format!("game was ended by signal 40 after 1 h 05 min{back}"));
    }

    #[test]
    fn control_characters_of_others_do_not_reach_the_terminal() {
        let name = "a\u{1b}[31m\rb".to_owned();
        assert_eq!(
            lines(&Message::Foreground { name, tgid: 3 }.to_string()),
            "scx-gamer-run: foreground: a [31m b (TGID 3)\n"
        );
    }

    #[test]
    fn an_exit_without_a_scheduler_is_said_only_when_asked() {
        let over = |given_back| Message::Over { ended: Ended::Exited(0), after: Duration::ZERO, given_back };
        assert_eq!(over(GivenBack::Nothing).verbosity(), 1);
        assert_eq!(over(GivenBack::Confirmed).verbosity(), 0);
    }

    #[test]
    fn a_log_without_a_reader_or_a_directory_is_an_error_and_no_wait() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
        assert!(open_log(&fifo).is_err());
        assert!(open_log(&directory.path().join("missing/log")).is_err());
    }
}
