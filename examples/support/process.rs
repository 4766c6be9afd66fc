//! Child processes that cannot outlive us, and what processes cost.

use std::os::unix::process::CommandExt;
use std::process::Child;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::Usage;
use nix::sys::resource::UsageWho;
use nix::sys::resource::getrusage;
use nix::sys::signal::Signal;
use nix::sys::time::TimeValLike;
use nix::unistd::getpid;
use nix::unistd::getppid;

/// Spawns `command` so that the kernel kills it when the *thread* that called us is gone, however
/// that happened.
pub fn spawn_tied(command: &mut Command) -> std::io::Result<Child> {
    let parent = getpid();
    // SAFETY: between fork and exec the closure makes three system calls and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before we asked; then no signal is on its way.
            if getppid() != parent {
                return Err(Errno::ESRCH.into());
            }
            Ok(())
        });
    }
    command.spawn()
}

/// Kills and reaps its process when dropped.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// CPU time that `who` has used, user and system, in seconds.
pub fn cpu_seconds(who: UsageWho) -> f64 {
    let of =
        |usage: Usage| (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6;
    getrusage(who).map(of).unwrap_or(0.0)
}

/// CPUs this process may run on.
pub fn available_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
