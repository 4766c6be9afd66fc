//! What the running kernel says of sched_ext and of its own types. Both sides ask; nothing is loaded for it.

mod btf;
mod ready;

pub use self::btf::KernelBtf;
pub use self::btf::is_broken as is_btf_broken;
pub use self::ready::NotReady;
pub use self::ready::OLDEST_KERNEL;
pub use self::ready::SchedExtDir;
pub use self::ready::is_ours;
pub use self::ready::kernel_release;
