//! `--monitor`: prints the metrics of a scx_gamer that runs already.

use std::collections::BTreeMap;
use std::io;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::anyhow;
use anyhow::ensure;
use scx_stats::StatsClient;
use scx_stats::StatsMeta;

use super::printer::has_room;
use super::printer::write_block;
use super::wire::META_NAME;
use super::wire::Report;
use crate::service::wake::Wake;
use crate::service::wake::Wakes;

/// A server that is alive answers in far less.
const ANSWER_WITHIN_MS: u64 = 5000;

/// Prints a block each `interval` until a signal comes, the server goes, or nobody reads any more.
///
/// # Errors
/// No scx_gamer can be asked.
pub fn monitor(socket: &Path, interval: Duration) -> anyhow::Result<()> {
    let mut wakes = Wakes::new()?;
    let mut client = connect(socket)?;
    // The first answer tells of the time before us.
    let _: Report = client.request("stats", Vec::new()).context("ask scx_gamer for its metrics")?;
    wakes.add_timer(Wake::Print, interval)?;
    let out = io::stdout();
    loop {
        match wakes.wait()? {
            Wake::Signal => return Ok(()),
            Wake::Print if has_room(&out) => match client.request("stats", Vec::new()) {
                Ok(report) => match write_block(&out, &report) {
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()), // `| head` has seen enough
                    outcome => outcome.context("print metrics")?,
                },
                Err(why) => {
                    log::info!("scx_gamer no longer answers: {why}");
                    return Ok(());
                }
            },
            _ => {}
        }
    }
}

fn connect(socket: &Path) -> anyhow::Result<StatsClient> {
    let connected = StatsClient::new().set_path(socket).connect(Some(ANSWER_WITHIN_MS));
    let mut client = connected.map_err(|why| explain(why, socket))?;
    let meta: BTreeMap<String, StatsMeta> =
        client.request("stats_meta", Vec::new()).with_context(|| format!("ask who serves at {}", socket.display()))?;
    ensure!(
        meta.contains_key(META_NAME),
        "what serves metrics at {} is another scheduler, which has a monitor of its own",
        socket.display()
    );
    Ok(client)
}

fn explain(why: anyhow::Error, socket: &Path) -> anyhow::Error {
    let path = socket.display();
    match why.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            anyhow!("no scx_gamer is running: nobody serves metrics at {path}")
        }
        Some(ErrorKind::PermissionDenied) => anyhow!("the metrics at {path} are for root: try sudo"),
        _ => why.context(format!("connect to {path}")),
    }
}
