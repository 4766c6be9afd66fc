//! Other schedulers: stopped for ours, and put back as they were.
//!
//! The kernel has room for one scheduler. One that scx_loader or `scx.service` runs is stopped and started again; what
//! nobody could start again is left alone. What is stopped is written down first, so that the next scx_gamer puts it
//! back where this one could not.

mod bus;
mod decide;
mod loader;
mod names;
mod patience;
mod record;
mod runner;
mod unit;

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use clap::ValueEnum;

use self::bus::Bus;
use self::decide::Facts;
use self::decide::Step;
use self::decide::Verdict;
use self::loader::Loader;
use self::patience::until;
use self::record::Noted;
use self::record::Stopped;
use self::record::Store;
use self::runner::Runner;
use self::unit::Systemd;
use crate::kernel::NotReady;
use crate::kernel::SchedExtDir;
use crate::kernel::is_ours;

/// How long the kernel may take between two schedulers: to let go of one that was told to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// How long a scheduler that was started again may take to be attached. Large ones take seconds; one that takes longer
/// comes up all the same, but we do not see it.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How long a state between two others may last.
const SETTLE_LIMIT: Duration = Duration::from_secs(2);

/// What to do with a scheduler that neither scx_loader nor `scx.service` runs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum OnConflict {
    /// Leave it, and say so
    #[default]
    Keep,
    /// Stop it if a service of the system runs it, and start that again afterwards
    Replace,
}

/// Other schedulers. Dropping this puts back what was stopped.
#[derive(Debug)]
pub struct Rivals {
    sched_ext: SchedExtDir,
    proc_root: PathBuf,
    store: Store,
    policy: OnConflict,
    bus_address: Option<String>,
    stopped: Option<Stopped>,
    /// One that was stopped did not come back. It may take its time to fail, so that it is not tried at every turn.
    has_failed: bool,
}

impl Rivals {
    /// Other schedulers of the machine below these roots; what was stopped is noted in `state`.
    pub fn new(sysfs: &Path, procfs: &Path, state: &Path, policy: OnConflict) -> Self {
        Self {
            sched_ext: SchedExtDir::at(sysfs),
            proc_root: procfs.to_owned(),
            store: Store::new(state, procfs),
            policy,
            bus_address: None,
            stopped: None,
            has_failed: false,
        }
    }

    /// On another bus than the system's.
    pub fn with_bus(mut self, address: &str) -> Self {
        self.bus_address = Some(address.to_owned());
        self
    }

    /// Whether there is one to put back.
    pub fn has_stopped_one(&self) -> bool {
        self.stopped.is_some()
    }

    /// Puts back what an earlier scx_gamer, which has died, had stopped. What fails is told, and tried again with the
    /// next [`Rivals::restore`].
    pub fn recover(&mut self) {
        if self.stopped.is_some() || self.has_failed {
            return;
        }
        if let Noted::Ours(stopped) = self.store.read() {
            log::debug!("an earlier scx_gamer had stopped {stopped}");
            if let Err(why) = self.give_back(&stopped) {
                log::warn!("{why:#}");
            }
        }
    }

    /// Makes room for ours: nothing is attached any more, and what was is noted.
    ///
    /// # Errors
    /// [`NotReady::OtherScheduler`]: it is left alone, and why.
    pub fn make_room(&mut self) -> Result<(), NotReady> {
        let attached = self.settled();
        if let Noted::Anothers(pid) = self.store.read() {
            let name = attached.unwrap_or_else(|| "gamer".to_owned());
            let why = Some(format!("process {pid}, another scx_gamer, has it or is about to"));
            return Err(NotReady::OtherScheduler { name, why });
        }
        let Some(name) = attached else { return Ok(()) };
        if is_ours(&name) {
            return Err(NotReady::OtherScheduler { name, why: None });
        }
        self.take(&name).map_err(|why| NotReady::OtherScheduler { name, why: Some(format!("{why:#}")) })
    }

    /// Puts back what was stopped, by us or by one that has died since, if anything.
    ///
    /// # Errors
    /// It does not come back; it stays noted for the next start.
    pub fn restore(&mut self) -> Result<()> {
        let stopped = match (self.stopped.take(), self.store.read()) {
            (Some(stopped), _) | (None, Noted::Ours(stopped)) => stopped,
            _ => return Ok(()),
        };
        // The kernel may still be about to let go of ours.
        until(SETTLE_LIMIT, || !self.sched_ext.scheduler().is_some_and(|name| is_ours(&name)));
        self.give_back(&stopped)
    }

    /// What is attached, once the kernel has finished what it is at.
    fn settled(&self) -> Option<String> {
        let is_settled = |state: Option<String>| !matches!(state.as_deref(), Some("enabling" | "disabling"));
        until(SETTLE_LIMIT, || is_settled(self.sched_ext.state()));
        self.attached()
    }

    fn attached(&self) -> Option<String> {
        let state = self.sched_ext.state().filter(|state| state != "disabled")?;
        Some(self.sched_ext.scheduler().unwrap_or_else(|| format!("{state}, without a name")))
    }

    fn connect(&self) -> Result<Bus> {
        Bus::connect(self.bus_address.as_deref())
    }

    /// Who keeps what is attached. The kernel says that it is before the one who attaches it has the link in hand.
    fn find_runner(&self, ops: &str) -> Option<Runner> {
        let mut runner = None;
        until(SETTLE_LIMIT, || {
            runner = Runner::find(ops, &self.proc_root);
            runner.is_some()
        });
        runner
    }

    /// Stops what is attached, or says why not.
    fn take(&mut self, ops: &str) -> Result<()> {
        let runner = self.find_runner(ops);
        let bus = self.connect();
        let loader = ask_loader(bus.as_ref());
        let facts = Facts { ops, runner: runner.as_ref(), loader: &loader, policy: self.policy };
        log::debug!("another scheduler: {facts:?}");
        let stopped = match decide::decide(&facts) {
            Verdict::Take(stopped) => stopped,
            Verdict::Leave(why) => bail!("{why}"),
        };
        let bus = bus?;
        if let Stopped::Service { unit, .. } = &stopped {
            Systemd::find(&bus)?.check_comes_back(unit)?;
        }
        self.store.write(&stopped).context("note that it is to be started again")?;
        // From here on it is to come back, even if it should stop only after we have lost patience.
        self.stopped = Some(stopped.clone());
        match &stopped {
            Stopped::Loader { .. } => find_loader(&bus)?.stop()?,
            Stopped::Service { unit, .. } => Systemd::find(&bus)?.stop(unit)?,
        }
        let has_gone = until(STOP_LIMIT, || self.attached().is_none());
        if !has_gone {
            // It may go yet, when nobody waits for that any more: so whoever runs it starts it after that.
            if let Err(why) = self.ask_for_start(&stopped) {
                log::warn!("{why:#}");
            }
            bail!("it is still attached {} s after it was told to stop", STOP_LIMIT.as_secs());
        }
        log::info!("stopped {stopped}; it comes back afterwards");
        Ok(())
    }

    /// Starts again what was stopped, unless something else has taken its place, and forgets it then.
    fn give_back(&mut self, stopped: &Stopped) -> Result<()> {
        let outcome = self.try_to_give_back(stopped);
        self.has_failed = outcome.is_err();
        outcome
    }

    fn try_to_give_back(&self, stopped: &Stopped) -> Result<()> {
        let attached = self.settled();
        let step = match (attached.as_deref(), stopped) {
            (None, Stopped::Loader { .. }) => {
                let bus = self.connect().and_then(|bus| Ok(find_loader(&bus)?.says()?.current));
                let current = bus.with_context(|| not_back(stopped))?;
                decide::next_step(stopped, None, current.as_deref())
            }
            (attached, _) => decide::next_step(stopped, attached, None),
        };
        match step {
            Step::Later => {
                log::debug!("{stopped} comes back later: {attached:?} is attached");
                return Ok(());
            }
            Step::Forget(why) => log::info!("{why}"),
            Step::Start => {
                let name = self.start_again(stopped).with_context(|| not_back(stopped))?;
                log::info!("{name} is back: {stopped}");
            }
        }
        self.store.remove();
        Ok(())
    }

    /// What the kernel then calls it.
    fn start_again(&self, stopped: &Stopped) -> Result<String> {
        self.ask_for_start(stopped)?;
        let is_back = || self.sched_ext.state().as_deref() == Some("enabled");
        ensure!(until(START_LIMIT, is_back), "it is not attached {} s after it was started", START_LIMIT.as_secs());
        let name = self.attached().unwrap_or_default();
        ensure!(names::is_same(&name, stopped.ops()), "{name} is attached instead");
        Ok(name)
    }

    fn ask_for_start(&self, stopped: &Stopped) -> Result<()> {
        let bus = self.connect()?;
        match stopped {
            Stopped::Loader { scheduler, mode, args, .. } => {
                find_loader(&bus)?.start(scheduler, *mode, args.as_deref())
            }
            Stopped::Service { unit, .. } => Systemd::find(&bus)?.start(unit),
        }
    }
}

impl Drop for Rivals {
    fn drop(&mut self) {
        if self.stopped.is_some()
            && let Err(why) = self.restore()
        {
            log::warn!("{why:#}");
        }
    }
}

fn not_back(stopped: &Stopped) -> String {
    format!("{stopped}: not started again, which the next scx_gamer will try")
}

fn find_loader(bus: &Bus) -> Result<Loader<'_>> {
    Loader::find(bus)?.context("scx_loader has left the system bus")
}

fn ask_loader(bus: Result<&Bus, &anyhow::Error>) -> decide::Loader {
    let says = match bus {
        Err(why) if bus::is_missing(why) => return decide::Loader::Absent,
        Err(why) => return decide::Loader::Silent(format!("{why:#}")),
        Ok(bus) => Loader::find(bus).and_then(|loader| loader.map(|loader| loader.says()).transpose()),
    };
    match says {
        Ok(None) => decide::Loader::Absent,
        Ok(Some(says)) => decide::Loader::Says(says),
        Err(why) => decide::Loader::Silent(format!("{why:#}")),
    }
}
