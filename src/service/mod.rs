//! Root's side: owns the attached scheduler, and gives the machine back when nobody holds it any more.

mod access;
mod attached;
mod budget;
pub mod cli;
mod holders;
mod housekeeping;
mod leases;
mod listen;
mod metrics;
mod owner;
mod peer;
pub mod rivals;
mod serve;
mod socket_file;
mod wake;

#[cfg(fuzzing)]
pub use self::leases::rehearsal::rehearse;

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use anyhow::bail;
use log::LevelFilter;
use nix::sys::signal::SigHandler;
use nix::sys::signal::Signal;
use nix::sys::signal::signal;
use procfs::process::Process;

use self::access::Access;
use self::cli::Job;
use self::cli::Options;
use self::leases::Session;
use self::listen::Listener;
use self::owner::Owner;
use self::peer::Peer;
use self::serve::Clients;
use self::wake::Wake;
use crate::events::card;
use crate::kernel::NotReady;
use crate::sched::stats::Sources;
use crate::sched::topology::BadPrimaryDomain;
use crate::sched::topology::Machine;
use crate::sched::topology::PrimaryDomain;
use crate::session::transport::Transport;

/// Exit status for values that name something which does not exist.
const STATUS_BAD_INPUT: u8 = 2;

/// Sends what we, and with `-v` libbpf, have to say to stderr. Started by the wrapper we say nothing there
/// unless asked: the session carries it, and the wrapper speaks.
pub fn log_to_stderr(options: &Options) {
    let level = match (options.verbosity, options.job == Job::Child) {
        (0, true) => LevelFilter::Off,
        (0, false) => LevelFilter::Info,
        (1, _) => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    // libbpf warns at length about what we explain in a sentence.
    let libraries = match options.verbosity {
        0 => LevelFilter::Off,
        1 => LevelFilter::Warn,
        _ => LevelFilter::Debug,
    };
    env_logger::Builder::new()
        .filter_level(libraries)
        .filter_module("scx_gamer_run", level)
        .format(|out, record| writeln!(out, "scx_gamer: {}", record.args().to_string().trim_end()))
        .init();
    scx_utils::init_libbpf_logging(None);
}

/// Where we look for what is the machine's.
#[derive(Clone, Copy, Debug)]
pub struct Roots {
    /// `/sys` outside of tests.
    pub sysfs: &'static Path,
    /// `/proc` outside of tests.
    pub procfs: &'static Path,
    /// `/dev` outside of tests.
    pub dev: &'static Path,
    /// `/run` outside of tests.
    pub run: &'static Path,
    /// Where scx's tools look for a scheduler's metrics.
    pub metrics: &'static Path,
    /// What has to outlive us.
    pub state: &'static Path,
}

/// Runs `scx_gamer` until a signal, its session or the kernel ends it, or its one answer is given.
pub fn run(options: &Options, roots: Roots) -> ExitCode {
    if options.has_polling_ms {
        log::warn!("--polling-ms has no effect: the scheduler does not poll");
    }
    if let Err(why) = check_what_flags_name(options, roots) {
        log::error!("{why}; nothing was attached");
        return ExitCode::from(STATUS_BAD_INPUT);
    }
    let outcome = match options.job {
        Job::Direct => run_directly(options, roots),
        Job::Child => serve_parent(options, roots),
        Job::Serve => serve_clients(options, roots),
        Job::Monitor(interval) => metrics::monitor(roots.metrics, interval),
        Job::HelpStats => std::io::stdout().write_all(metrics::help().as_bytes()).context("print the metrics"),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error:#}");
            if let Some(hint) = error.downcast_ref::<NotReady>().and_then(NotReady::hint) {
                log::error!("Hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

/// What flags name has to exist: a process, CPUs, a CRTC. What does not is told with its flag.
fn check_what_flags_name(options: &Options, roots: Roots) -> Result<(), String> {
    if let Some(tgid) = options.foreground_tgid {
        check_is_process(tgid, roots.procfs).map_err(|why| format!("--foreground-pid {tgid}: {why}"))?;
    }
    check_domain(&options.tunables.primary_domain, roots.sysfs)?;
    if options.job == Job::Serve {
        listen::check(options.socket.as_deref()).map_err(|why| format!("--serve: {why}"))?;
    }
    if let Some(cpu) = options.event_loop_cpu {
        housekeeping::check(cpu).map_err(|why| format!("--event-loop-cpu {cpu}: {why}"))?;
    }
    if let Some(crtc) = options.events.frames.and_then(|frames| frames.crtc) {
        card::check(&roots.dev.join("dri"), crtc).map_err(|why| format!("--drm-debugfs {crtc}: {why}"))?;
    }
    Ok(())
}

/// Whether this machine has the CPUs that are to be preferred.
fn check_domain(domain: &PrimaryDomain, sysfs: &Path) -> Result<(), String> {
    if *domain != PrimaryDomain::All
        && let Err(error) = Machine::read(domain, sysfs)
        && let Some(why) = error.downcast_ref::<BadPrimaryDomain>()
    {
        return Err(format!("--primary-domain {domain}: {why}"));
    }
    Ok(())
}

/// Tells a living process from nothing, and from a thread of one, which has no family.
fn check_is_process(tgid: i32, proc_root: &Path) -> Result<(), String> {
    let status = Process::new_with_root(proc_root.join(tgid.to_string())).and_then(|process| process.status());
    match status {
        Ok(status) if status.tgid == tgid => Ok(()),
        Ok(status) => Err(format!("that is a thread of process {}, which is what to give", status.tgid)),
        Err(_) => Err("there is no such process".to_owned()),
    }
}

/// In a terminal: attach at once, leave on Ctrl+C.
fn run_directly(options: &Options, roots: Roots) -> anyhow::Result<()> {
    let mut owner = Owner::new(options, roots)?;
    let took = owner.attach(options.untuned(), || true)?;
    let (name, Sources { input, frame, .. }) = (owner.scheduler_name().unwrap_or_default(), owner.sources());
    log::info!("attached {name} in {} ms, input: {input}, frames: {frame}; Ctrl+C detaches", took.as_millis());
    if let Some(tgid) = options.foreground_tgid {
        owner.play(tgid)?;
        log::info!("the game is process {tgid}");
    }
    loop {
        match owner.wakes.wait()? {
            Wake::Signal => return owner.detach(),
            Wake::Kernel => {
                if let Some(end) = owner.hear_kernel()? {
                    bail!("the kernel ended the scheduler: {}", end.reason);
                }
            }
            Wake::Renew => {
                let took = owner.renew()?;
                log::info!("attached again in {} ms", took.as_millis());
            }
            Wake::Watchdog => owner.check_progress()?,
            Wake::Locks => owner.watch_locks(),
            Wake::Print => owner.print_metrics(),
            Wake::Metrics => owner.serve_metrics(),
            Wake::Event => {
                owner.handle_events();
            }
            Wake::Client | Wake::Session(_) | Wake::Idle | Wake::Retry | Wake::Family | Wake::Rested => {}
        }
    }
}

/// Started by the wrapper: serve the session on standard input, leave with it.
fn serve_parent(options: &Options, roots: Roots) -> anyhow::Result<()> {
    // We are not the terminal's foreground group: under `stty tostop` a word of ours would stop us, attached.
    // SAFETY: ignoring a signal installs no handler.
    unsafe { signal(Signal::SIGTTOU, SigHandler::SigIgn) }.context("ignore SIGTTOU")?;
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().context("take the session from standard input")?;
    let transport = Transport::from(stdin);
    let peer = Peer::of(&transport)?;
    Clients::parent(Session::new(transport, peer)).serve(&mut Owner::new(options, roots)?)
}

/// Started by systemd or by hand: serve whoever connects and may, and be attached while anybody holds a lease.
fn serve_clients(options: &Options, roots: Roots) -> anyhow::Result<()> {
    let listener = Listener::open(options.socket.as_deref())?;
    let access = Access::new(&options.group, roots.run);
    log::info!("serving root, the users at this machine and the group {}", options.group);
    let mut owner = Owner::new(options, roots)?;
    owner.recover();
    Clients::of_service(listener, access).serve(&mut owner)
}
