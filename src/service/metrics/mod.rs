//! Metrics for people and tools: printed on request, and served to who asks.

mod monitor;
mod printer;
mod server;
mod text;
mod wire;

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

pub use self::monitor::monitor;
use self::printer::Printer;
use self::server::Server;
pub use self::text::help;
use super::wake::Wake;
use super::wake::Wakes;
use crate::sched::Scheduler;
use crate::sched::stats::Sample;
use crate::session::protocol::LeaseStatus;

/// The metrics of an attached scheduler.
pub struct Metrics {
    printer: Option<Printer>,
    server: Option<Server>,
}

/// What is told, and where.
pub struct Wanted<'a> {
    /// How often to print.
    pub interval: Option<Duration>,
    /// stdout belongs to somebody else.
    pub on_stderr: bool,
    /// Where to serve.
    pub socket: &'a Path,
}

impl Metrics {
    /// Begins to print, if that is wanted, and to serve. Where serving is not possible a warning says so.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn begin(wanted: &Wanted<'_>, scheduler: &Scheduler, wakes: &mut Wakes) -> anyhow::Result<Self> {
        let since = scheduler.totals();
        let printer = wanted.interval.map(|_| Printer::new(wanted.on_stderr, since.clone()));
        if let Some(interval) = wanted.interval {
            wakes.add_timer(Wake::Print, interval)?;
        }
        let mut server =
            Server::bind(wanted.socket, since).map_err(|why| log::warn!("metrics are not served: {why:#}"));
        if let Ok(server) = &mut server {
            wakes.add(server.as_fd(), Wake::Metrics)?;
        }
        Ok(Self { printer, server: server.ok() })
    }

    /// Prints what has happened since the last time.
    pub fn print(&mut self, sample: impl FnOnce() -> anyhow::Result<Sample>) {
        let Some(printer) = &mut self.printer else { return };
        if let Err(why) = printer.print(sample) {
            log::warn!("metrics are no longer printed: {why:#}");
            self.printer = None;
        }
    }

    /// Answers who has asked.
    pub fn serve(&mut self, sample: impl FnMut() -> anyhow::Result<Sample>, leases: impl Fn() -> Vec<LeaseStatus>) {
        let Some(server) = &mut self.server else { return };
        if let Err(why) = server.serve(sample, leases) {
            log::warn!("metrics are no longer served: {why:#}");
            self.server = None;
        }
    }
}
