//! Bulk threads: shader compilers and asset streaming, which work beside the frames without a deadline.

use std::os::unix::thread::JoinHandleExt as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::Result;
use nix::errno::Errno;
use nix::time::ClockId;

use crate::policy::become_bulk;
use crate::process::available_cpus;
use crate::progress::Progress;
use crate::report::BulkConfig;
use crate::report::BulkReport;
use crate::spin::monotonic_ns;

/// Length of a chunk: a tenth of a millisecond.
const CHUNKS_PER_MS: u64 = 10;

/// All bulk threads of a game; they end when it is dropped.
pub struct Bulk {
    kinds: Vec<Kind>,
    stop: Arc<AtomicBool>,
}

struct Kind {
    config: BulkConfig,
    threads: Vec<Thread>,
}

struct Thread {
    progress: Arc<Progress>,
    handle: JoinHandle<()>,
}

/// Work that was done at one moment.
pub struct Counted {
    at_ns: u64,
    chunks: Vec<u64>,
}

impl Bulk {
    /// Starts every kind that has threads.
    pub fn start(configs: &[BulkConfig], spins_per_ms: u64) -> Result<Self> {
        let mut bulk = Self { kinds: Vec::new(), stop: Arc::default() };
        for config in configs.iter().filter(|config| config.threads > 0) {
            let threads = (0..config.threads).map(|number| bulk.spawn(config, number, spins_per_ms));
            let threads = threads.collect::<Result<_>>().with_context(|| format!("start {} threads", config.kind))?;
            bulk.kinds.push(Kind { config: config.clone(), threads });
        }
        Ok(bulk)
    }

    fn spawn(&self, config: &BulkConfig, number: usize, spins_per_ms: u64) -> Result<Thread> {
        let progress = Arc::new(Progress::new(spins_per_ms / CHUNKS_PER_MS));
        let (seen, stop, own) = (Arc::clone(&progress), Arc::clone(&self.stop), config.clone());
        let (outcome_sender, outcome) = mpsc::channel();
        let handle = std::thread::Builder::new().name(format!("{}{number}", config.kind)).spawn(move || {
            let outcome = become_bulk(own.policy, own.nice);
            let _ = outcome_sender.send(outcome);
            if outcome.is_ok() {
                work(&seen, &own, &stop);
            }
        })?;
        outcome.recv()?.with_context(|| format!("set policy {:?} and nice {}", config.policy, config.nice))?;
        Ok(Thread { progress, handle })
    }

    /// Begins to count.
    pub fn count_from_now(&self) -> Counted {
        self.threads().for_each(|thread| thread.progress.forget_waits());
        self.counted()
    }

    fn counted(&self) -> Counted {
        let chunks_of = |kind: &Kind| kind.threads.iter().map(|thread| thread.progress.chunks()).sum();
        Counted { at_ns: monotonic_ns(), chunks: self.kinds.iter().map(chunks_of).collect() }
    }

    /// What was done since `start`.
    pub fn report_since(&self, start: &Counted) -> Vec<BulkReport> {
        let now = self.counted();
        let wall_ms = (now.at_ns - start.at_ns) as f64 / 1e6;
        let possible_chunks = wall_ms * CHUNKS_PER_MS as f64 * available_cpus() as f64;
        let done = now.chunks.iter().zip(&start.chunks).map(|(now, start)| (now - start) as f64);
        self.kinds
            .iter()
            .zip(done)
            .map(|(kind, chunks)| BulkReport {
                config: kind.config.clone(),
                work_pct: 100.0 * chunks / possible_chunks,
                longest_wait_ms: kind.longest_wait_ns() as f64 / 1e6,
            })
            .collect()
    }

    /// The CPU-time clock of each thread.
    pub fn cpu_clocks(&self) -> Vec<ClockId> {
        self.threads().filter_map(|thread| thread.cpu_clock().ok()).collect()
    }

    fn threads(&self) -> impl Iterator<Item = &Thread> {
        self.kinds.iter().flat_map(|kind| &kind.threads)
    }
}

impl Kind {
    fn longest_wait_ns(&self) -> u64 {
        self.threads.iter().map(|thread| thread.progress.longest_wait_ns()).max().unwrap_or(0)
    }
}

impl Thread {
    fn cpu_clock(&self) -> Result<ClockId, Errno> {
        let mut clock = 0;
        // SAFETY: the thread has not been joined, so its handle is valid; the call writes one clockid_t.
        match unsafe { libc::pthread_getcpuclockid(self.handle.as_pthread_t(), &raw mut clock) } {
            0 => Ok(ClockId::from_raw(clock)),
            error => Err(Errno::from_raw(error)),
        }
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.kinds.drain(..).flat_map(|kind| kind.threads) {
            let _ = thread.handle.join();
        }
    }
}

fn work(progress: &Progress, config: &BulkConfig, stop: &AtomicBool) {
    let chunks_per_burst = (config.burst_us * CHUNKS_PER_MS / 1000).max(1);
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..chunks_per_burst {
            progress.work_one_chunk();
        }
        progress.expect_progress_at(monotonic_ns() + config.pause_us * 1000);
        std::thread::sleep(Duration::from_micros(config.pause_us));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::BulkPolicy;
    use crate::spin::clock_ns;

    fn config(kind: &str, threads: usize, burst_us: u64) -> BulkConfig {
        BulkConfig { kind: kind.into(), threads, burst_us, pause_us: 100, policy: BulkPolicy::Idle, nice: 19 }
    }

    #[test]
    fn work_is_counted_for_each_kind_that_has_threads() {
        let bulk = Bulk::start(&[config("compile", 2, 500), config("stream", 0, 500)], 1000).expect("threads");
        let start = bulk.count_from_now();
        while bulk.counted().chunks[0] < start.chunks[0] + 100 {
            std::thread::yield_now();
        }
        let [compile] = &bulk.report_since(&start)[..] else { panic!("one kind has threads") };
        assert_eq!(compile.config, config("compile", 2, 500));
        assert!(compile.work_pct > 0.0);
        assert!(bulk.cpu_clocks().into_iter().all(|clock| clock_ns(clock) > 0));
    }

    #[test]
    fn policy_and_nice_value_are_those_of_the_thread() {
        let bulk = Bulk::start(&[config("stream", 1, 500)], 1000).expect("threads");
        let tasks = procfs::process::Process::myself().expect("this process").tasks().expect("its threads");
        let stats = tasks.flatten().filter_map(|task| task.stat().ok());
        let streamer = stats.filter(|stat| stat.comm == "stream0").last().expect("a thread of that name");
        assert_eq!((streamer.policy, streamer.nice), (Some(libc::SCHED_IDLE.cast_unsigned()), 19));
        drop(bulk);
    }
}
