//! The command line of `scx_gamer`, and its one typed form.

use clap::Parser;
use clap::error::ErrorKind;

use crate::sched::Tunables;
use crate::sched::WAKEUP_TIMER_US_MIN;

/// Attach the gaming scheduler until Ctrl+C
///
/// Runs the game that --foreground-pid names, or nobody in particular, under a sched_ext scheduler. Players use
/// scx-gamer-run, which starts this program and finds the game.
#[derive(Debug, Parser)]
#[command(name = "scx_gamer", version, max_term_width = 100)]
pub struct Cli {
    /// Keep this much of the kernel's dump when it fails us
    ///
    /// In bytes; 0 keeps the kernel's default of 32 KiB. The dump goes to stderr with -v.
    #[arg(long, value_name = "BYTES", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=16 << 20))]
    exit_dump_len: u32,

    /// Let a task run for at most this long at a stretch
    ///
    /// In microseconds. The kernel looks at its tick only, every 1 to 10 ms, so that less means one tick. Far less
    /// costs: whoever is interrupted has then used his slice up and is queued anew.
    #[arg(short, long, value_name = "USEC", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    slice_us: u64,

    /// Bound what a task may be owed or owe
    ///
    /// In microseconds of virtual time. More favours tasks that sleep a lot, less shares more evenly.
    #[arg(short = 'l', long, value_name = "USEC", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(0..=100_000))]
    slice_lag_us: u64,

    /// Call the machine busy above this utilisation
    ///
    /// In percent of all CPUs. A busy machine queues by deadline for all CPUs, others keep to their own CPU.
    #[arg(short, long, value_name = "PCT", default_value_t = 75, value_parser = clap::value_parser!(u32).range(0..=100))]
    cpu_busy_thresh: u32,

    /// Call it busy no longer below this utilisation
    ///
    /// In percent; by default 10 less than --cpu-busy-thresh, but not below 0.
    #[arg(long, value_name = "PCT", value_parser = clap::value_parser!(u32).range(0..=100))]
    cpu_busy_exit: Option<u32>,

    /// Do nothing (deprecated; the scheduler does not poll)
    #[arg(short, long, value_name = "MS")]
    polling_ms: Option<u64>,

    /// Treat this process as the game
    ///
    /// Its threads go first and its descendants belong to the game. 0: there is no game.
    #[arg(long, value_name = "TGID", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..=4_194_304))]
    foreground_pid: i32,

    /// Detach and exit when a queued task has waited this long
    ///
    /// In seconds; 0 turns it off. The kernel's own watchdog takes the machine back after 5 s in any case.
    #[arg(long, value_name = "SEC", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=3600))]
    watchdog_secs: u64,

    /// Look for forgotten tasks this often while any are queued
    ///
    /// In microseconds, 250 or more; 0: as long as a slice, but not less than 250.
    #[arg(long, value_name = "USEC", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    wakeup_timer_us: u64,

    /// Say more (can be repeated)
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,

    /// Serve the session on standard input and end with it; scx-gamer-run starts us so
    #[arg(long, hide = true, conflicts_with = "foreground_pid")]
    child: bool,
}

/// What the command line asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// Numbers of the policy.
    pub tunables: Tunables,
    /// TGID of the game in direct mode.
    pub foreground_tgid: Option<i32>,
    /// Longest wait of a queued task before we give the machine back, in seconds.
    pub watchdog_secs: Option<u64>,
    /// How many times `-v` was given.
    pub verbosity: u8,
    /// Serve the session on standard input.
    pub is_child: bool,
    /// `--polling-ms` was given, which has no effect any more.
    pub has_polling_ms: bool,
}

impl Options {
    /// Reads the process's arguments; prints and exits by itself for `--help`, `--version` and bad usage (2).
    pub fn from_args() -> Self {
        Self::try_from(Cli::parse()).unwrap_or_else(|error| error.exit())
    }
}

impl TryFrom<Cli> for Options {
    type Error = clap::Error;

    fn try_from(cli: Cli) -> Result<Self, clap::Error> {
        let enter_pct = cli.cpu_busy_thresh;
        let exit_pct = cli.cpu_busy_exit.unwrap_or(enter_pct.saturating_sub(10));
        if exit_pct > enter_pct {
            let message = format!(
                "--cpu-busy-exit {exit_pct} is above --cpu-busy-thresh {enter_pct}; give {enter_pct} or less\n"
            );
            return Err(clap::Error::raw(ErrorKind::ValueValidation, message));
        }
        if (1..WAKEUP_TIMER_US_MIN).contains(&cli.wakeup_timer_us) {
            let asked_us = cli.wakeup_timer_us;
            let message = format!(
                "--wakeup-timer-us {asked_us} is not 0 and below {WAKEUP_TIMER_US_MIN}; give 0 or more than that\n"
            );
            return Err(clap::Error::raw(ErrorKind::ValueValidation, message));
        }
        Ok(Self {
            tunables: Tunables {
                slice_us: cli.slice_us,
                slice_lag_us: cli.slice_lag_us,
                cpu_busy_enter_pct: enter_pct,
                cpu_busy_exit_pct: exit_pct,
                wakeup_timer_us: cli.wakeup_timer_us,
                exit_dump_len: cli.exit_dump_len,
            },
            foreground_tgid: (cli.foreground_pid != 0).then_some(cli.foreground_pid),
            watchdog_secs: (cli.watchdog_secs != 0).then_some(cli.watchdog_secs),
            verbosity: cli.verbose,
            is_child: cli.child,
            has_polling_ms: cli.polling_ms.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(args: &[&str]) -> Result<Options, String> {
        let args = ["scx_gamer"].iter().chain(args);
        Cli::try_parse_from(args).and_then(Options::try_from).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn busy_exit_follows_enter_ten_below_and_not_below_zero() {
        assert_eq!(options(&[]).map(|o| o.tunables.cpu_busy_exit_pct), Ok(65));
        assert_eq!(options(&["-c", "5"]).map(|o| o.tunables.cpu_busy_exit_pct), Ok(0));
    }

    #[test]
    fn a_busy_exit_above_enter_is_refused_with_both_values() {
        let error = options(&["-c", "50", "--cpu-busy-exit", "51"]).expect_err("exit above enter");
        assert!(error.contains("--cpu-busy-exit 51 is above --cpu-busy-thresh 50"), "{error}");
    }

    #[test]
    fn values_out_of_range_are_refused_with_flag_value_and_range() {
        for (flag, value) in
            [("--slice-us", "0"), ("-c", "101"), ("--slice-lag-us", "100001"), ("--foreground-pid", "-4")]
        {
            let error = options(&[&format!("{flag}={value}")]).expect_err(flag);
            assert!(error.contains(value) && error.contains("not in"), "{error}");
        }
        let error = options(&["--wakeup-timer-us", "249"]).expect_err("below 250");
        assert!(error.contains("--wakeup-timer-us 249"), "{error}");
    }

    #[test]
    fn flags_of_later_versions_are_not_accepted_yet() {
        assert!(options(&["--stats", "1"]).is_err());
        assert!(options(&["--enable-numa"]).is_err());
    }
}
