//! The player's side: ask for the scheduler, spawn the game, follow it, wait, tell, exit.
//!
//! No privilege and no BPF here. Once the game runs nothing of ours may end, stop or slow it: what fails is reported
//! and we go on with less.

mod ask;
mod child;
pub mod cli;
pub mod config;
pub mod doctor;
mod follow;
pub mod hook;
mod lease;
mod nested;
mod news;
mod orphans;
mod owner;
mod patience;
mod report;
pub mod setup;
mod signals;
pub mod status;

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::path::Path;
use std::time::Instant;

use crate::game::lineage::Root;
use crate::game::lineage::Search;
use crate::game::marks::Marks;
use crate::game::proc::ProcFs;
use crate::game::watch::Finder;
use crate::game::watch::Watch;
use crate::wrapper::child::NotStarted;
use crate::wrapper::child::STATUS_OURS;
use crate::wrapper::cli::Options;
use crate::wrapper::cli::Play;
use crate::wrapper::follow::Follow;
use crate::wrapper::lease::Lease;
use crate::wrapper::orphans::Orphans;
use crate::wrapper::report::Failure;
use crate::wrapper::report::GivenBack;
use crate::wrapper::report::Message;
use crate::wrapper::report::Report;
use crate::wrapper::signals::Inherited;
use crate::wrapper::signals::Signals;

/// Where we look for what is the machine's.
#[derive(Clone, Copy, Debug)]
pub struct Roots<'a> {
    /// `/sys` outside of tests.
    pub sysfs: &'a Path,
    /// `/proc` outside of tests.
    pub procfs: &'a Path,
    /// `/dev` outside of tests.
    pub dev: &'a Path,
    /// The service's socket.
    pub service: &'a Path,
    /// Where an attached scx_gamer serves its metrics.
    pub metrics: &'a Path,
}

/// Runs a game; returns our exit status.
#[must_use]
pub fn run(play: &Play, procfs: ProcFs, roots: &Roots<'_>) -> u8 {
    let options = &play.options;
    let report = Report::new(options.verbosity, options.log.as_deref());
    let inherited = Inherited::take();
    if let Err(refused) = check(options, &procfs, &report) {
        report.say(&Message::Required(refused));
        return STATUS_OURS;
    }

    let outer = nested::outer_wrapper(&procfs, std::process::id().cast_signed());
    let outer = outer.filter(|outer| nested::will_schedule(&procfs, *outer, roots.sysfs));
    if let Some(pid) = outer
        && let Err(refused) = join(pid, options, roots.sysfs, &report)
    {
        report.say(&Message::Required(refused));
        return STATUS_OURS;
    }
    let mut lease = if outer.is_some() { Lease::none() } else { Lease::ask(&options.wish(roots.service)) };
    if outer.is_none() && (options.require || options.wait_attach) {
        for news in lease.settle() {
            news::tell(news, options.require, &report);
        }
        if options.require && !lease.is_attached() {
            lease.give_back();
            return STATUS_OURS;
        }
    }

    // Until here a signal simply ends us, which closes the session; from here on it is the game's.
    let signals = Signals::block().inspect_err(|error| report.less("signals are not passed on", error)).ok();
    let orphans = options.wait_family.then(|| Orphans::adopt(&procfs)).and_then(|adopted| {
        adopted.inspect_err(|error| report.less("a game whose launcher has left may be lost", error)).ok()
    });
    let mut game = match child::spawn(play, inherited, &report) {
        Ok(game) => game,
        Err(NotStarted { message, status }) => {
            report.say(&message);
            lease.abandon();
            return status;
        }
    };
    let started = Instant::now();
    let program = play.program.to_string_lossy().into_owned();
    report.say(&Message::Started { program, pid: game.pid().as_raw() });

    let search = Search {
        root: Root::Game(procfs.identity(game.pid().as_raw()).unwrap_or_default()),
        marks: Marks::of(|name| std::env::var_os(name)),
        since_ticks: procfs.identity(std::process::id().cast_signed()).map_or(0, |own| own.start_ticks),
    };
    let watch = Watch::new(procfs.clone(), options.finder.clone(), search);
    let mut follow = Follow::new(options, procfs, &mut lease, watch, &report, started, orphans);
    let ended = catch_unwind(AssertUnwindSafe(|| follow.until_end(&mut game, signals.as_ref())));
    let ended = ended.unwrap_or_else(|_| follow::wait_only(&mut game, signals.as_ref(), &report));

    let after = started.elapsed();
    let given_back = catch_unwind(AssertUnwindSafe(|| lease.give_back())).unwrap_or(GivenBack::Nothing);
    report.say(&Message::Over { ended, after, given_back });
    ended.status()
}

/// Tells of values that we can't use; under `--require` they are a failure.
fn check(options: &Options, procfs: &ProcFs, report: &Report) -> Result<(), Failure> {
    for complaint in &options.complaints {
        if options.require {
            return Err(Failure { message: complaint.clone(), hint: None });
        }
        report.say(&Message::BadValue(complaint.clone()));
    }
    match options.finder {
        Finder::Process(pid) if options.require && procfs.identity(pid).is_none() => {
            Err(Failure { message: format!("--foreground-pid: there is no process {pid}"), hint: None })
        }
        _ => Ok(()),
    }
}

/// Within the wrapper `outer`, which has asked already, there is nothing to ask for: its lease is held for all that we start.
fn join(outer: i32, options: &Options, sysfs: &Path, report: &Report) -> Result<(), Failure> {
    if options.require && !nested::stands(sysfs) {
        let message = format!("the scx-gamer-run around this one (PID {outer}) has no scheduler yet");
        return Err(Failure::new(message, "give --require or --wait-attach to that one"));
    }
    report.say(&Message::Within { outer });
    let around = format!("the scx-gamer-run around this one (PID {outer})");
    if !matches!(options.finder, Finder::Family) {
        report.say(&Message::BadValue(format!("{around} chooses the game: tell that one which it is")));
    }
    if options.is_tuned_by_flag {
        report.say(&Message::BadValue(format!("{around} tunes the scheduler: give --tune to that one")));
    }
    Ok(())
}
