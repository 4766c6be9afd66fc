//! A wrapper within a wrapper: where the outer one has the scheduler, all that we start is of its family already.

use std::path::Path;

use crate::game::proc::ProcFs;
use crate::kernel::SchedExtDir;
use crate::kernel::is_ours;
use crate::wrapper::owner::OWNER;

/// Our own name as the kernel has it, which is short enough not to be cut.
pub const OWN_NAME: &str = "scx-gamer-run";

/// PID of the wrapper among the ancestors of `pid`, the nearest one.
#[must_use]
pub fn outer_wrapper(procfs: &ProcFs, pid: i32) -> Option<i32> {
    procfs.ancestors(pid).find(|(_, comm)| comm == OWN_NAME).map(|(pid, _)| pid)
}

/// Whether the wrapper `outer` has the scheduler or will have it: ours stands, or an scx_gamer of its own loads it. One
/// that a service still loads can be asked for once more; that costs a second lease on the same.
#[must_use]
pub fn will_schedule(procfs: &ProcFs, outer: i32, sysfs: &Path) -> bool {
    stands(sysfs) || procfs.children(outer).into_iter().any(|pid| procfs.comm(pid).as_deref() == Some(OWNER))
}

/// Whether our scheduler stands, whoever holds it.
#[must_use]
pub fn stands(sysfs: &Path) -> bool {
    SchedExtDir::at(sysfs).scheduler().is_some_and(|name| is_ours(&name))
}
