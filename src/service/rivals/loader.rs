//! scx_loader, which starts and stops schedulers for whoever asks it on the system bus.

use anyhow::Context as _;
use anyhow::Result;

use super::bus::Bus;
use super::bus::Object;
use super::bus::Peer;
use super::bus::property;

/// Its name on the bus, and of the interface that it speaks.
pub const NAME: &str = "org.scx.Loader";

const OBJECT: Object<'static> = Object { path: "/org/scx/Loader", interface: NAME };

/// What it calls the scheduler when there is none.
const NO_SCHEDULER: &str = "unknown";

/// The mode in which it starts a scheduler with given arguments: Auto.
pub const MODE_AUTO: u32 = 0;

/// What it says of itself. That need not be so: it says that a scheduler runs from when it was asked to start it,
/// and goes on saying so when that has ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Says {
    /// Its own process.
    pub pid: i32,
    /// The program that it means to run.
    pub current: Option<String>,
    /// One of its modes, by number.
    pub mode: u32,
    /// Arguments that it was given; none where the mode decides.
    pub args: Vec<String>,
}

/// scx_loader as it runs now.
pub struct Loader<'a> {
    bus: &'a Bus,
    peer: Peer,
}

impl<'a> Loader<'a> {
    /// `None` where it does not run.
    ///
    /// # Errors
    /// The bus does not answer.
    pub fn find(bus: &'a Bus) -> Result<Option<Self>> {
        Ok(bus.find(NAME)?.map(|peer| Self { bus, peer }))
    }

    /// Asks what it runs.
    ///
    /// # Errors
    /// It does not answer, or not as we know it.
    pub fn says(&self) -> Result<Says> {
        let mut properties = self.bus.properties(&self.peer, OBJECT)?;
        let current: String = property(&mut properties, "CurrentScheduler")?;
        Ok(Says {
            pid: self.bus.pid_of(&self.peer)?,
            current: Some(current).filter(|current| current != NO_SCHEDULER),
            mode: property(&mut properties, "SchedulerMode")?,
            // Older ones do not tell.
            args: property(&mut properties, "CurrentSchedulerArgs").unwrap_or_default(),
        })
    }

    /// Has it stop the scheduler that it runs.
    ///
    /// # Errors
    /// It refuses, or does not answer.
    pub fn stop(&self) -> Result<()> {
        self.bus.call(&self.peer, OBJECT, "StopScheduler", &())
    }

    /// Has it start a scheduler as it was: by its arguments where it had some, which come with mode Auto, else by mode.
    ///
    /// # Errors
    /// It refuses, or does not answer.
    pub fn start(&self, scheduler: &str, mode: u32, args: Option<&[String]>) -> Result<()> {
        // To switch works as well when it still waits for one that has ended by itself; to start does not, silently.
        match args {
            Some(args) => self.bus.call(&self.peer, OBJECT, "SwitchSchedulerWithArgs", &(scheduler, args)),
            None => self.bus.call(&self.peer, OBJECT, "SwitchScheduler", &(scheduler, mode)),
        }
        .with_context(|| format!("start {scheduler} again"))
    }
}
