//! The player's side: ask for the scheduler, spawn the game, follow it, wait, tell, exit.
//!
//! No privilege and no BPF here. Once the game runs nothing of ours may end, stop or slow it: what fails is reported
//! and we go on with less.

mod child;
pub mod cli;
mod follow;
mod lease;
mod report;
mod signals;

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::time::Instant;

use crate::game::tree::ProcFs;
use crate::game::watch::Finder;
use crate::game::watch::Watch;
use crate::wrapper::child::NotStarted;
use crate::wrapper::child::STATUS_OURS;
use crate::wrapper::cli::Options;
use crate::wrapper::follow::Follow;
use crate::wrapper::lease::Lease;
use crate::wrapper::report::Failure;
use crate::wrapper::report::GivenBack;
use crate::wrapper::report::Message;
use crate::wrapper::report::Report;
use crate::wrapper::signals::Inherited;
use crate::wrapper::signals::Signals;

/// Runs the game that `options` name; returns our exit status.
#[must_use]
pub fn run(options: &Options, procfs: ProcFs) -> u8 {
    let report = Report::new(options.verbosity, options.log.as_deref());
    let inherited = Inherited::take();
    if let Err(refused) = check(options, &procfs, &report) {
        report.say(&Message::Required(refused));
        return STATUS_OURS;
    }

    let mut lease = Lease::ask(options.verbosity);
    if options.require || options.wait_attach {
        for news in lease.settle() {
            follow::tell(news, options.require, &report);
        }
        if options.require && !lease.is_attached() {
            lease.give_back();
            return STATUS_OURS;
        }
    }

    // Until here a signal simply ends us, which closes the session; from here on it is the game's.
    let signals = Signals::block().inspect_err(|error| report.less("signals are not passed on", error)).ok();
    let mut game = match child::spawn(options, inherited, &report) {
        Ok(game) => game,
        Err(NotStarted { message, status }) => {
            report.say(&message);
            lease.give_back();
            return status;
        }
    };
    let started = Instant::now();
    let program = options.program.to_string_lossy().into_owned();
    report.say(&Message::Started { program, pid: game.pid().as_raw() });

    let watch = Watch::new(procfs, options.finder.clone(), game.pid().as_raw());
    let mut follow = Follow::new(&options.finder, &mut lease, watch, &report, started);
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
