//! Root's side: owns the attached scheduler, and gives the machine back when nobody holds it any more.

pub mod cli;
mod housekeeping;
mod leases;
mod metrics;
mod peer;
mod wake;

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::bail;
use log::LevelFilter;
use nix::sys::signal::SigHandler;
use nix::sys::signal::Signal;
use nix::sys::signal::signal;
use procfs::process::Process;

use self::cli::Job;
use self::cli::Options;
use self::leases::Next;
use self::leases::Owner as _;
use self::leases::Session;
use self::metrics::Metrics;
use self::metrics::Wanted;
use self::wake::Wake;
use self::wake::Wakes;
use crate::events::Events;
use crate::events::card;
use crate::sched::NotReady;
use crate::sched::Scheduler;
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
    /// Where scx's tools look for a scheduler's metrics.
    pub metrics: &'static Path,
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
    if matches!(options.job, Job::Direct | Job::Child) {
        housekeeping::stay_away(options.event_loop_cpu, roots.sysfs);
    }
    let outcome = match options.job {
        Job::Direct => run_directly(options, roots),
        Job::Child => serve_parent(options, roots),
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
    let primary_domain = &options.tunables.primary_domain;
    if *primary_domain != PrimaryDomain::All
        && let Err(error) = Machine::read(primary_domain, roots.sysfs)
        && let Some(why) = error.downcast_ref::<BadPrimaryDomain>()
    {
        return Err(format!("--primary-domain {primary_domain}: {why}"));
    }
    if let Some(cpu) = options.event_loop_cpu {
        housekeeping::check(cpu).map_err(|why| format!("--event-loop-cpu {cpu}: {why}"))?;
    }
    if let Some(crtc) = options.events.frames.and_then(|frames| frames.crtc) {
        card::check(&roots.dev.join("dri"), crtc).map_err(|why| format!("--drm-debugfs {crtc}: {why}"))?;
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
    let mut wakes = Wakes::new()?;
    let mut owner = Owner::new(options, roots);
    let (scheduler, took) = owner.attach()?;
    let name = scheduler.name();
    let Sources { input, frame, .. } = owner.sources();
    log::info!("attached {name} in {} ms, input: {input}, frames: {frame}; Ctrl+C detaches", took.as_millis());
    if let (Some(tgid), Some(scheduler)) = (options.foreground_tgid, owner.scheduler()) {
        let lease = scheduler.begin_lease(tgid, 0)?;
        scheduler.set_foreground(lease, Some(tgid));
        log::info!("the game is process {tgid}");
    }
    owner.watch(&mut wakes)?;
    loop {
        match wakes.wait()? {
            Wake::Signal => return owner.detach(),
            Wake::KernelExit => return owner.explain_end(),
            Wake::Watchdog => owner.check_progress()?,
            Wake::Print => owner.print_metrics(),
            Wake::Metrics => owner.serve_metrics(),
            Wake::Event => {
                owner.handle_events();
            }
            Wake::Session => {}
        }
    }
}

/// Started by the wrapper: serve the session on standard input, leave with it.
fn serve_parent(options: &Options, roots: Roots) -> anyhow::Result<()> {
    // We are not the terminal's foreground group: under `stty tostop` a word of ours would stop us, attached.
    // SAFETY: ignoring a signal installs no handler.
    unsafe { signal(Signal::SIGTTOU, SigHandler::SigIgn) }.context("ignore SIGTTOU")?;
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().context("take the session from standard input")?;
    let mut session = Session::new(Transport::from(stdin))?;
    let mut wakes = Wakes::new()?;
    wakes.add_session(session.as_fd())?;
    let mut owner = Owner::new(options, roots);
    loop {
        match wakes.wait()? {
            Wake::Session => {
                let next = session.answer(&mut owner);
                owner.watch(&mut wakes)?;
                if next == Next::Over {
                    session.release(&mut owner);
                    return owner.detach();
                }
            }
            Wake::Signal => {
                session.tell_end("scx_gamer was told to stop");
                return owner.detach();
            }
            Wake::KernelExit => {
                let why = owner.explain_end();
                session.tell_end(&why.as_ref().map_or_else(ToString::to_string, |()| "it was detached".to_owned()));
                return why;
            }
            Wake::Watchdog => {
                if let Err(why) = owner.check_progress() {
                    session.tell_end(&why.to_string());
                    return owner.detach().and(Err(why));
                }
            }
            Wake::Print => owner.print_metrics(),
            Wake::Metrics => owner.serve_metrics(),
            Wake::Event => {
                if owner.handle_events() {
                    session.tell_frame_source(&owner.sources());
                }
            }
        }
    }
}

/// The scheduler, once somebody wants it. Dropping it detaches.
struct Owner<'a> {
    options: &'a Options,
    roots: Roots,
    /// There from the attach on, as the next one; before the scheduler, which they look at.
    events: Option<Events>,
    scheduler: Option<Scheduler>,
    /// There from the attach on.
    metrics: Option<Metrics>,
}

impl<'a> Owner<'a> {
    fn new(options: &'a Options, roots: Roots) -> Self {
        Self { options, roots, events: None, scheduler: None, metrics: None }
    }

    /// Lets the kernel's exit, the watchdog and who asks for metrics wake us from the attach on.
    fn watch(&mut self, wakes: &mut Wakes) -> anyhow::Result<()> {
        if let Some(scheduler) = &self.scheduler
            && self.metrics.is_none()
        {
            wakes.add_kernel_exit(scheduler.exit_fd())?;
            if let Some(events) = &self.events {
                wakes.add_events(events.as_fd())?;
            }
            if let Some(secs) = self.options.watchdog_secs {
                wakes.add_timer(Wake::Watchdog, Duration::from_secs(secs) / 4)?;
            }
            let wanted = Wanted {
                interval: self.options.stats_interval,
                on_stderr: self.options.job == Job::Child,
                socket: self.roots.metrics,
            };
            self.metrics = Some(Metrics::begin(&wanted, scheduler, wakes)?);
        }
        Ok(())
    }

    fn print_metrics(&mut self) {
        let sources = self.sources();
        if let (Some(metrics), Some(scheduler)) = (&mut self.metrics, &self.scheduler) {
            metrics.print(|| scheduler.sample(self.roots.procfs, sources));
        }
    }

    fn serve_metrics(&mut self) {
        let sources = self.sources();
        if let (Some(metrics), Some(scheduler)) = (&mut self.metrics, &self.scheduler) {
            metrics.serve(|| scheduler.sample(self.roots.procfs, sources.clone()));
        }
    }

    /// Opens windows for what has happened. True if another source of frames is used from now on, which is logged.
    fn handle_events(&mut self) -> bool {
        let (Some(events), Some(scheduler)) = (&mut self.events, &mut self.scheduler) else { return false };
        let has_changed = events.handle(scheduler);
        if has_changed {
            let Sources { frame, frame_hz, .. } = events.sources();
            log::info!("frames: {frame}, {frame_hz:.1} Hz");
        }
        has_changed
    }

    /// Fails when a queued task has waited longer than the watchdog allows.
    fn check_progress(&self) -> anyhow::Result<()> {
        let (Some(scheduler), Some(limit_secs)) = (&self.scheduler, self.options.watchdog_secs) else {
            return Ok(());
        };
        let waited = scheduler.longest_wait()?;
        if waited >= Duration::from_secs(limit_secs) {
            bail!(
                "a queued task has waited {:.1} s, longer than --watchdog-secs {limit_secs} allows",
                waited.as_secs_f64()
            );
        }
        Ok(())
    }

    /// Why the kernel disabled the scheduler, as an error; its remains are taken out.
    fn explain_end(&mut self) -> anyhow::Result<()> {
        let why =
            self.scheduler.as_ref().and_then(Scheduler::end_reason).unwrap_or_else(|| "no reason given".to_owned());
        if let Some(scheduler) = &self.scheduler
            && self.options.verbosity > 0
        {
            scheduler.print_dump();
        }
        self.detach()?;
        bail!("the kernel ended the scheduler: {why}")
    }

    /// Gives the machine back, if we have it.
    fn detach(&mut self) -> anyhow::Result<()> {
        self.metrics = None;
        self.events = None;
        let Some(scheduler) = self.scheduler.take() else { return Ok(()) };
        log::debug!("{}", scheduler.counts());
        scheduler.detach()?;
        log::info!("detached; the kernel's scheduler is back");
        Ok(())
    }
}

impl leases::Owner for Owner<'_> {
    fn attach(&mut self) -> Result<(&mut Scheduler, Duration), NotReady> {
        let started = Instant::now();
        let mut scheduler = match self.scheduler.take() {
            Some(scheduler) => scheduler,
            None => Scheduler::attach(&self.options.tunables, self.roots.sysfs)?,
        };
        if self.events.is_none() {
            let events = Events::begin(&self.options.events, self.roots.dev, self.roots.sysfs, &mut scheduler);
            self.events = events.map_err(|why| log::warn!("no windows open: {why:#}")).ok();
        }
        Ok((self.scheduler.insert(scheduler), started.elapsed()))
    }

    fn scheduler(&mut self) -> Option<&mut Scheduler> {
        self.scheduler.as_mut()
    }

    fn sources(&self) -> Sources {
        self.events.as_ref().map(Events::sources).unwrap_or_default()
    }

    fn proc_root(&self) -> &Path {
        self.roots.procfs
    }
}
