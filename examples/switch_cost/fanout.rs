//! One thread wakes a pool, each of it through a descriptor of its own, and sleeps until the last is done.
//!
//! One descriptor for all would let a quick worker take a slow one's job, and how many switches a round
//! has would be the scheduler's choice.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread;

use anyhow::Context as _;
use anyhow::Result;
use nix::sys::eventfd::EventFd;

use crate::Rounds;

/// Workers: what an engine starts on eight CPUs.
const POOL: u32 = 8;

struct Pool {
    jobs: Vec<EventFd>,
    unfinished: AtomicU32,
    all_done: EventFd,
}

pub fn run(rounds: Rounds) -> Result<f64> {
    let jobs = (0..POOL).map(|_| EventFd::new()).collect::<Result<_, _>>().context("open the workers' descriptors")?;
    let all_done = EventFd::new().context("open the main thread's descriptor")?;
    let pool = Arc::new(Pool { jobs, unfinished: AtomicU32::new(0), all_done });
    let workers = (0..POOL as usize)
        .map(|number| {
            let pool = Arc::clone(&pool);
            thread::Builder::new().name(format!("worker{number}")).spawn(move || pool.work(number, rounds))
        })
        .collect::<Result<Vec<_>, _>>()
        .context("start the workers")?;
    let ns_per_round = rounds.time(|| pool.hand_out())?;
    for worker in workers {
        worker.join().expect("BUG: a worker panicked")?;
    }
    Ok(ns_per_round)
}

impl Pool {
    fn hand_out(&self) -> Result<()> {
        self.unfinished.store(POOL, Ordering::Relaxed);
        for job in &self.jobs {
            job.write(1).context("wake a worker")?;
        }
        self.all_done.read().context("wait for the last one")?;
        Ok(())
    }

    fn work(&self, number: usize, rounds: Rounds) -> Result<()> {
        for _ in 0..rounds.all() {
            self.jobs[number].read().context("wait for a job")?;
            if self.unfinished.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.all_done.write(1).context("tell that all is done")?;
            }
        }
        Ok(())
    }
}
