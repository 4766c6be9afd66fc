//! A wrapper within a wrapper: the outer one holds the lease, and all that we start is of its family already.

use crate::game::proc::ProcFs;

/// Our own name as the kernel has it, which is short enough not to be cut.
pub const OWN_NAME: &str = "scx-gamer-run";

/// PID of the wrapper among the ancestors of `pid`, the nearest one.
#[must_use]
pub fn outer_wrapper(procfs: &ProcFs, pid: i32) -> Option<i32> {
    procfs.ancestors(pid).find(|(_, comm)| comm == OWN_NAME).map(|(pid, _)| pid)
}
