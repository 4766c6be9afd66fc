//! Threads and processes whose place the tests choose and watch.

use std::fs;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::thread::JoinHandle;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use nix::sched::CpuSet;
use nix::sched::sched_setaffinity;
use nix::time::ClockId;
use nix::time::clock_gettime;
use nix::unistd::Pid;
use nix::unistd::gettid;

use crate::support::Kept;
use crate::support::example;

/// Lets thread `tid` run on `cpus` only.
pub fn allow(tid: i32, cpus: &[usize]) {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu).expect("a CPU number");
    }
    sched_setaffinity(Pid::from_raw(tid), &set).expect("set an affinity");
}

/// The CPU where thread `tid` runs or last ran.
pub fn cpu_of(tid: i32) -> usize {
    let stat = fs::read_to_string(format!("/proc/{tid}/stat")).expect("read the thread's stat");
    let after_comm = stat.rsplit_once(") ").expect("a comm in brackets").1;
    // processor is field 39 of proc_pid_stat(5); state, the first one here, is field 3
    after_comm.split_whitespace().nth(39 - 3).and_then(|cpu| cpu.parse().ok()).expect("a CPU number")
}

/// How many of `samples` looks, 10 ms apart, found thread `tid` on one of `cpus`.
pub fn times_on(tid: i32, cpus: &[usize], samples: usize) -> usize {
    let look = |_| {
        sleep(Duration::from_millis(10));
        cpus.contains(&cpu_of(tid))
    };
    (0..samples).map(look).filter(|is_there| *is_there).count()
}

/// A thread of ours that is ended and joined with the test.
pub struct Worker {
    pub tid: i32,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(mut step: impl FnMut() + Send + 'static) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let is_over_too = is_over.clone();
        let (send_tid, receive_tid) = mpsc::channel();
        let thread = thread::spawn(move || {
            let _ = send_tid.send(gettid().as_raw());
            while !is_over_too.load(Ordering::Relaxed) {
                step();
            }
        });
        Self { tid: receive_tid.recv().expect("the thread's id"), is_over, thread: Some(thread) }
    }

    /// One that never sleeps.
    pub fn spinner() -> Self {
        Self::start(std::hint::spin_loop)
    }

    /// One that works for `work` and sleeps for `rest`, in turn.
    pub fn spinner_for(work: Duration, rest: Duration) -> Self {
        Self::start(move || {
            let begin = Instant::now();
            while begin.elapsed() < work {
                std::hint::spin_loop();
            }
            sleep(rest);
        })
    }

    /// One that uses `work` of CPU time and sleeps for `rest`, in turn, however long it has to wait for the former.
    pub fn toiler(work: Duration, rest: Duration) -> Self {
        let used = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("CPU time"));
        Self::start(move || {
            let enough = used() + work;
            while used() < enough {}
            sleep(rest);
        })
    }

    /// One that wakes every `period` to do next to nothing.
    pub fn sleeper(period: Duration) -> Self {
        Self::start(move || sleep(period))
    }

    /// Two that only wake each other: the first the second every `period`.
    pub fn pair(period: Duration) -> [Self; 2] {
        let bell = Arc::new((Mutex::new(0_u64), Condvar::new()));
        let bell_too = bell.clone();
        let waker = Self::start(move || {
            sleep(period);
            *bell.0.lock().expect("nobody panics with it") += 1;
            bell.1.notify_one();
        });
        let mut heard = 0;
        let woken = Self::start(move || {
            let rings = bell_too.0.lock().expect("nobody panics with it");
            let limit = Duration::from_secs(1);
            let (rings, _) = bell_too.1.wait_timeout_while(rings, limit, |rings| *rings == heard).expect("likewise");
            heard = *rings;
        });
        [waker, woken]
    }

    /// Lets it run on `cpus` only.
    pub fn allow(&self, cpus: &[usize]) {
        allow(self.tid, cpus);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A process with one thread that works for a moment every 5 ms.
pub fn pulse() -> Kept {
    Kept::spawn(Command::new(example("pulse")).stdout(Stdio::null()))
}
