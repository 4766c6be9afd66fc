//! Two processes and one lock in shared memory: one holds it most of the time, the other one waits for it.
//!
//! `shared_lock hold FILE` makes the lock, `shared_lock wait FILE` reports its longest wait.

#[path = "support/spin.rs"]
#[allow(dead_code)]
mod spin;

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::Path;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser;
use clap::Subcommand;
use nix::sys::mman::MapFlags;
use nix::sys::mman::ProtFlags;
use nix::sys::mman::mmap;

/// Hold a lock that another process waits for
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Make the lock in FILE, and hold it for 10 ms of work out of about 15, until killed
    Hold { file: PathBuf },
    /// Take the lock again and again, and print the longest wait in microseconds
    Wait {
        file: PathBuf,
        /// Take it this often
        #[arg(long, default_value_t = 100)]
        rounds: u32,
        /// Take it this often before that
        #[arg(long, default_value_t = 0)]
        skip: u32,
    },
}

const WORK: Duration = Duration::from_millis(10);
const REST: Duration = Duration::from_millis(5);

/// A pthread mutex in a file that several processes map.
struct SharedLock(*mut libc::pthread_mutex_t);

impl SharedLock {
    fn map(file: &File) -> anyhow::Result<Self> {
        let length = NonZeroUsize::new(size_of::<libc::pthread_mutex_t>()).expect("BUG: a mutex has a size");
        // SAFETY: a new shared mapping at an address of the kernel's choice; it lives until the process ends.
        let memory =
            unsafe { mmap(None, length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, file, 0) }
                .context("map the lock")?;
        Ok(Self(memory.as_ptr().cast()))
    }

    fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::options().create(true).truncate(true).read(true).write(true).open(path)?;
        file.set_len(size_of::<libc::pthread_mutex_t>() as u64)?;
        let lock = Self::map(&file)?;
        // SAFETY: both objects are ours alone until the wait role, started later, maps the file.
        unsafe {
            let mut attributes = std::mem::zeroed();
            libc::pthread_mutexattr_init(&raw mut attributes);
            libc::pthread_mutexattr_setpshared(&raw mut attributes, libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_mutex_init(lock.0, &raw const attributes);
        }
        Ok(lock)
    }

    fn open(path: &Path) -> anyhow::Result<Self> {
        Self::map(&File::options().read(true).write(true).open(path)?)
    }

    fn with<T>(&self, body: impl FnOnce() -> T) -> T {
        // SAFETY: the mutex was initialised by create(), and the mapping lives as long as the process.
        unsafe { libc::pthread_mutex_lock(self.0) };
        let value = body();
        // SAFETY: as above, and this thread holds it.
        unsafe { libc::pthread_mutex_unlock(self.0) };
        value
    }
}

fn hold(path: &Path) -> anyhow::Result<()> {
    let lock = SharedLock::create(path).with_context(|| format!("make a lock in {}", path.display()))?;
    let spins = spin::calibrate_spins_per_ms() * WORK.as_millis() as u64;
    loop {
        lock.with(|| spin::spin(spins));
        sleep(REST);
    }
}

fn wait(path: &Path, skip: u32, rounds: u32) -> anyhow::Result<()> {
    let lock = SharedLock::open(path).with_context(|| format!("open the lock in {}", path.display()))?;
    let mut longest = Duration::ZERO;
    for round in 0..skip + rounds {
        let begin = Instant::now();
        let waited = lock.with(|| begin.elapsed());
        if round >= skip {
            longest = longest.max(waited);
        }
        sleep(REST);
    }
    println!("{}", longest.as_micros());
    Ok(())
}

fn main() -> anyhow::Result<()> {
    match Options::parse().role {
        Role::Hold { file } => hold(&file),
        Role::Wait { file, rounds, skip } => wait(&file, skip, rounds),
    }
}
