//! Fork-join jobs: the simulation wakes a worker per CPU, they share the jobs out among
//! themselves, and it sleeps until the last job is done.

use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread::JoinHandle;

use crate::spin::spin;
use crate::wakeups::Stamp;
use crate::wakeups::WakeUps;

/// A pool of worker threads; they end when it is dropped.
pub struct JobPool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    wakeups: Arc<WakeUps>,
    batch: Mutex<Batch>,
    work_ready: Condvar,
    all_done: Condvar,
}

#[derive(Default)]
struct Batch {
    waiting: usize,
    unfinished: usize,
    spins_per_job: u64,
    stopping: bool,
    ready_at: Stamp,
    done_at: Stamp,
}

impl JobPool {
    /// Starts `workers` threads.
    pub fn start(workers: usize, wakeups: &Arc<WakeUps>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            wakeups: Arc::clone(wakeups),
            batch: Mutex::default(),
            work_ready: Condvar::new(),
            all_done: Condvar::new(),
        });
        let workers = (0..workers)
            .map(|number| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new().name(format!("job{number}")).spawn(move || shared.work())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { shared, workers })
    }

    /// Runs `jobs` jobs of `spins_per_job` each and returns when all are done.
    pub fn run(&self, jobs: usize, spins_per_job: u64) {
        let mut batch = self.shared.lock();
        batch.waiting = jobs;
        batch.unfinished = jobs;
        batch.spins_per_job = spins_per_job;
        batch.ready_at = self.shared.wakeups.stamp();
        self.shared.work_ready.notify_all();
        let batch = self
            .shared
            .all_done
            .wait_while(batch, |batch| batch.unfinished > 0)
            .unwrap_or_else(PoisonError::into_inner);
        self.shared.wakeups.woken(batch.done_at);
    }
}

impl Drop for JobPool {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.work_ready.notify_all();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn work(&self) {
        while let Some(spins) = self.next_job() {
            spin(spins);
            let mut batch = self.lock();
            batch.unfinished -= 1;
            if batch.unfinished == 0 {
                batch.done_at = self.wakeups.stamp();
                self.all_done.notify_one();
            }
        }
    }

    fn next_job(&self) -> Option<u64> {
        let batch = self.lock();
        let has_to_wait = batch.waiting == 0;
        let mut batch = self
            .work_ready
            .wait_while(batch, |batch| batch.waiting == 0 && !batch.stopping)
            .unwrap_or_else(PoisonError::into_inner);
        if has_to_wait && batch.waiting > 0 {
            self.wakeups.woken(batch.ready_at);
        }
        batch.waiting = batch.waiting.checked_sub(1)?;
        Some(batch.spins_per_job)
    }

    fn lock(&self) -> MutexGuard<'_, Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_batch_is_finished_when_run_returns() {
        let pool = JobPool::start(3, &Arc::new(WakeUps::new(0, None))).expect("threads");
        for jobs in [1, 7, 2] {
            pool.run(jobs, 1000);
            let batch = pool.shared.lock();
            assert_eq!((batch.waiting, batch.unfinished), (0, 0));
        }
    }
}
