//! Policy and niceness of the calling thread.

use nix::errno::Errno;

use crate::report::BulkPolicy;

/// Runs before every task that is not real-time. Threads and processes started later inherit it.
pub fn become_real_time(priority: i32) -> Result<(), Errno> {
    set_policy(libc::SCHED_FIFO, priority)
}

/// Policy and niceness of a bulk thread; nice 0 leaves the niceness as it is.
pub fn become_bulk(policy: BulkPolicy, nice: i32) -> Result<(), Errno> {
    let policy = match policy {
        BulkPolicy::Other => libc::SCHED_OTHER,
        BulkPolicy::Idle => libc::SCHED_IDLE,
        BulkPolicy::Batch => libc::SCHED_BATCH,
    };
    set_policy(policy, 0)?;
    if nice == 0 {
        return Ok(());
    }
    // SAFETY: takes numbers only. On Linux, 0 is the calling thread and not its process.
    Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map(drop)
}

fn set_policy(policy: libc::c_int, sched_priority: i32) -> Result<(), Errno> {
    let parameter = libc::sched_param { sched_priority };
    // SAFETY: reads one sched_param, which outlives the call; 0 is the calling thread.
    Errno::result(unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) }).map(drop)
}
