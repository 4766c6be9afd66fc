//! What the command line asks for, in types; and what a client of the service may ask for beside that.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser as _;
use clap::error::ErrorKind;

use super::Cli;
use crate::events::FrameWish;
use crate::events::Wish;
use crate::sched::IdleScan;
use crate::sched::Tunables;
use crate::sched::WAKEUP_TIMER_US_MIN;
use crate::service::rivals::OnConflict;

/// Address spaces remembered by --enable-mm-hint unless told otherwise.
const MM_HINT_SIZE: u32 = 4096;

/// For how long vblanks are listened to unless told otherwise.
const VBLANK_SAMPLE_MS: u64 = 200;

/// Whose members are served unless told otherwise.
const GROUP: &str = "scx-gamer";

/// What a client of ours may say of the scheduler that is attached for it: numbers and choices, no path, and nothing
/// about ourselves. Their ranges are those of the flags.
const TUNING: [&str; 24] = [
    "slice-us",
    "slice-lag-us",
    "cpu-busy-thresh",
    "cpu-busy-exit",
    "wakeup-timer-us",
    "no-deferred-wakeup",
    "no-wake-sync",
    "primary-domain",
    "flat-idle-scan",
    "preferred-idle-scan",
    "disable-smt",
    "avoid-smt",
    "mm-affinity",
    "enable-mm-hint",
    "mm-hint-size",
    "enable-numa",
    "mig-window-ms",
    "mig-max",
    "disable-cpufreq",
    "input-window-us",
    "frame-window-us",
    "frame-hz",
    "vblank-sample-ms",
    "prefer-napi-on-input",
];

/// Longest value of one of them; a list of CPUs is the longest that makes sense.
const TUNING_BYTES_MAX: usize = 256;

/// What there is to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Job {
    /// Attach at once, leave on Ctrl+C.
    Direct,
    /// Serve the session on standard input.
    Child,
    /// Serve whoever connects.
    Serve,
    /// Print what another one counts, this often.
    Monitor(Duration),
    /// Print what the metrics mean.
    HelpStats,
}

/// How the scheduler is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// Numbers of the policy.
    pub tunables: Tunables,
    /// Which events open windows.
    pub events: Wish,
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What to do.
    pub job: Job,
    /// Numbers of the policy.
    pub tunables: Tunables,
    /// Which events open windows.
    pub events: Wish,
    /// Where to listen if systemd has not handed over a socket.
    pub socket: Option<PathBuf>,
    /// Whose members may use the service.
    pub group: String,
    /// What to do with other schedulers.
    pub on_conflict: OnConflict,
    /// Where our own event loop runs.
    pub event_loop_cpu: Option<u32>,
    /// TGID of the game in direct mode.
    pub foreground_tgid: Option<i32>,
    /// Longest wait of a queued task before we give the machine back, in seconds.
    pub watchdog_secs: Option<u64>,
    /// How often to print metrics.
    pub stats_interval: Option<Duration>,
    /// How many times `-v` was given.
    pub verbosity: u8,
    /// `--polling-ms` was given, which has no effect any more.
    pub has_polling_ms: bool,
    /// The words that all this was read from.
    words: Vec<OsString>,
}

impl Options {
    /// Reads flags without the program's name, as the tests do.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub fn from_words(words: &[&str]) -> Result<Self, String> {
        Self::parse(["scx_gamer"].iter().chain(words).map(OsString::from).collect()).map_err(|error| error.to_string())
    }

    /// Reads the process's arguments; prints and exits by itself for `--help`, `--version` and bad usage (2).
    pub fn from_args() -> Self {
        Self::parse(std::env::args_os().collect()).unwrap_or_else(|error| error.exit())
    }

    /// The scheduler as the command line alone wants it.
    #[must_use]
    pub fn untuned(&self) -> Tuned {
        Tuned { tunables: self.tunables.clone(), events: self.events }
    }

    /// The scheduler as a client wants it, who names flags without dashes; those that take no value have an empty one.
    ///
    /// # Errors
    /// One sentence on what can't be had.
    pub fn tuned(&self, tuning: &BTreeMap<String, String>) -> Result<Tuned, String> {
        let mut words = self.words.clone();
        for (name, value) in tuning {
            if !TUNING.contains(&name.as_str()) {
                return Err(format!("there is no tuning option '{}'; there are {}", brief(name), TUNING.join(", ")));
            }
            if value.len() > TUNING_BYTES_MAX || value.chars().any(char::is_control) {
                return Err(format!("the value of the tuning option '{name}' is too long or no text"));
            }
            words.push(if value.is_empty() { format!("--{name}") } else { format!("--{name}={value}") }.into());
        }
        let options = Self::parse(words).map_err(|error| first_sentence(&error))?;
        Ok(options.untuned())
    }

    fn parse(words: Vec<OsString>) -> Result<Self, clap::Error> {
        let cli = Cli::try_parse_from(&words)?;
        let enter_pct = cli.cpu_busy_thresh;
        let exit_pct = cli.cpu_busy_exit.unwrap_or(enter_pct.saturating_sub(10));
        if exit_pct > enter_pct {
            let message =
                format!("--cpu-busy-exit {exit_pct} is above --cpu-busy-thresh {enter_pct}; give {enter_pct} or less");
            return Err(bad_value(message));
        }
        if (1..WAKEUP_TIMER_US_MIN).contains(&cli.wakeup_timer_us) {
            let asked_us = cli.wakeup_timer_us;
            let message = format!(
                "--wakeup-timer-us {asked_us} is not 0 and below {WAKEUP_TIMER_US_MIN}; give 0 or more than that"
            );
            return Err(bad_value(message));
        }
        if cli.disable_smt && !cli.flat_idle_scan && !cli.preferred_idle_scan {
            return Err(bad_value("--disable-smt needs --flat-idle-scan or --preferred-idle-scan beside it"));
        }
        if cli.prefer_napi_on_input && cli.input_window_us == 0 {
            return Err(bad_value("--prefer-napi-on-input needs --input-window-us above 0"));
        }
        for (flag, is_given) in [
            ("--frame-hz", cli.frame_hz.is_some()),
            ("--drm-debugfs", cli.drm_debugfs.is_some()),
            ("--vblank-sample-ms", cli.vblank_sample_ms.is_some()),
        ] {
            if is_given && cli.frame_window_us == 0 {
                return Err(bad_value(format!("{flag} needs --frame-window-us above 0 beside it")));
            }
        }
        let frames = FrameWish {
            given_hz: cli.frame_hz,
            crtc: cli.drm_debugfs,
            sample: Duration::from_millis(cli.vblank_sample_ms.unwrap_or(VBLANK_SAMPLE_MS)),
        };
        let job = match cli.monitor {
            Some(interval) => Job::Monitor(interval),
            None if cli.help_stats => Job::HelpStats,
            None if cli.child => Job::Child,
            None if cli.serve => Job::Serve,
            None => Job::Direct,
        };
        Ok(Self {
            job,
            tunables: Tunables {
                slice_us: cli.slice_us,
                slice_lag_us: cli.slice_lag_us,
                cpu_busy_enter_pct: enter_pct,
                cpu_busy_exit_pct: exit_pct,
                wakeup_timer_us: cli.wakeup_timer_us,
                numa: cli.enable_numa,
                idle_scan: match (cli.flat_idle_scan, cli.preferred_idle_scan) {
                    (true, _) => IdleScan::Flat,
                    (_, true) => IdleScan::Preferred,
                    _ => IdleScan::Kernel,
                },
                prefer_idle_core: !cli.disable_smt,
                avoid_smt: cli.avoid_smt,
                wake_sync: !cli.no_wake_sync,
                deferred_wakeup: !cli.no_deferred_wakeup,
                mm_affinity: cli.mm_affinity,
                mm_hint_size: cli.enable_mm_hint.then_some(cli.mm_hint_size.unwrap_or(MM_HINT_SIZE)),
                mig_window_ms: cli.mig_window_ms,
                mig_max: cli.mig_max,
                input_window_us: cli.input_window_us,
                frame_window_us: cli.frame_window_us,
                prefer_napi_on_input: cli.prefer_napi_on_input,
                cpufreq: !cli.disable_cpufreq,
                exit_dump_len: cli.exit_dump_len,
                primary_domain: cli.primary_domain,
            },
            events: Wish {
                input: cli.input_window_us > 0,
                packets: cli.prefer_napi_on_input,
                frames: (cli.frame_window_us > 0).then_some(frames),
            },
            socket: cli.socket,
            group: cli.group.unwrap_or_else(|| GROUP.to_owned()),
            on_conflict: cli.on_conflict,
            event_loop_cpu: cli.event_loop_cpu,
            foreground_tgid: (cli.foreground_pid != 0).then_some(cli.foreground_pid),
            watchdog_secs: (cli.watchdog_secs != 0).then_some(cli.watchdog_secs),
            stats_interval: cli.stats,
            verbosity: cli.verbose,
            has_polling_ms: cli.polling_ms.is_some(),
            words,
        })
    }
}

/// What clap says first, without its label and the usage below.
fn first_sentence(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let first = rendered.lines().next().unwrap_or("this can't be read");
    first.strip_prefix("error: ").unwrap_or(first).to_owned()
}

/// So much of a client's word as is worth repeating.
fn brief(word: &str) -> String {
    word.chars().filter(|c| !c.is_control()).take(40).collect()
}

fn bad_value(message: impl std::fmt::Display) -> clap::Error {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{message}\n"))
}
