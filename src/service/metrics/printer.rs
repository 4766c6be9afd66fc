//! Prints a block each time it is told to, to whoever reads in time.

use std::io;
use std::io::Write;
use std::os::fd::AsFd;

use anyhow::Context as _;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;

use super::text;
use super::wire::Report;
use super::wire::report;
use crate::sched::stats::Interval;
use crate::sched::stats::Sample;
use crate::sched::stats::Totals;

/// Remembers what it has told.
pub struct Printer {
    on_stderr: bool,
    told: Totals,
}

impl Printer {
    /// The first block tells what has happened since `since`.
    pub fn new(on_stderr: bool, since: Totals) -> Self {
        Self { on_stderr, told: since }
    }

    /// Prints what has happened since the last block.
    ///
    /// # Errors
    /// Nobody will ever read it, or the scheduler can't be asked.
    pub fn print(&mut self, sample: impl FnOnce() -> anyhow::Result<Sample>) -> anyhow::Result<()> {
        if self.on_stderr { self.print_to(io::stderr(), sample) } else { self.print_to(io::stdout(), sample) }
    }

    fn print_to(
        &mut self,
        out: impl Write + AsFd,
        sample: impl FnOnce() -> anyhow::Result<Sample>,
    ) -> anyhow::Result<()> {
        if !has_room(&out) {
            return Ok(()); // the next block tells of this interval, too
        }
        let now = sample()?;
        write_block(out, &report(&Interval::between(&self.told, &now))).context("print metrics")?;
        self.told = now.totals;
        Ok(())
    }
}

/// Writes one block.
///
/// # Errors
/// What `write(2)` says, EPIPE for instance.
pub fn write_block(mut out: impl Write, report: &Report) -> io::Result<()> {
    out.write_all(text::block(report).as_bytes())?;
    out.flush()
}

/// Whether a block can be written without waiting: a pipe has room for one then, and a terminal is not stopped.
pub fn has_room(out: &impl AsFd) -> bool {
    let mut wanted = [PollFd::new(out.as_fd(), PollFlags::POLLOUT)];
    poll(&mut wanted, PollTimeout::ZERO).is_ok_and(|nr_ready| nr_ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::stats::Gauges;
    use std::fs::File;
    use std::io::Read as _;
    use std::time::Duration;
    use std::time::Instant;

    fn pipe() -> (File, File) {
        let (reader, writer) = nix::unistd::pipe().expect("pipe");
        (File::from(reader), File::from(writer))
    }

    fn second(epoch: &Totals, second: u64) -> anyhow::Result<Sample> {
        let totals = Totals::zero(epoch.at + Duration::from_secs(second));
        Ok(Sample { totals, gauges: Gauges { nr_cpus: 1, ..Gauges::default() } })
    }

    #[test]
    fn who_does_not_read_misses_blocks_and_the_next_one_covers_their_time() {
        let epoch = Totals::zero(Instant::now());
        let mut printer = Printer::new(false, epoch.clone());
        let (mut reader, writer) = pipe();
        let mut nr_printed = 0;
        while has_room(&writer) {
            nr_printed += 1;
            printer.print_to(&writer, || second(&epoch, nr_printed)).expect("print");
        }
        assert!(nr_printed > 1, "the pipe holds a block");
        printer.print_to(&writer, || panic!("it looked although nobody reads")).expect("skip");
        assert!(reader.read(&mut vec![0; 1 << 20]).expect("read") > 0);
        printer.print_to(&writer, || second(&epoch, nr_printed + 5)).expect("print");
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read");
        assert!(text.starts_with("scx_gamer: 5.0 s,"), "{text}");
    }

    #[test]
    fn a_block_fits_into_the_room_that_poll_promises() {
        let full: Report =
            crate::sched::stats::metrics().map(|metric| (metric.name.to_owned(), u64::MAX.into())).collect();
        let bytes = text::block(&full).len();
        assert!(bytes <= libc::PIPE_BUF, "a block of {bytes} bytes may block on a pipe that poll calls writable");
    }

    #[test]
    fn a_reader_that_has_gone_is_an_error() {
        let epoch = Totals::zero(Instant::now());
        let (reader, writer) = pipe();
        drop(reader);
        let error = Printer::new(false, epoch.clone()).print_to(writer, || second(&epoch, 1)).expect_err("EPIPE");
        assert!(format!("{error:#}").contains("Broken pipe"), "{error:#}");
    }
}
