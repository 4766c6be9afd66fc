//! Generated: the BPF object as a Rust value, and the types of `bpf/intf.h`.

#[allow(missing_docs, clippy::all, clippy::unwrap_used, clippy::undocumented_unsafe_blocks)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/bpf_skel.rs"));
}

/// Types and numbers both sides see, from `bpf/intf.h`.
#[allow(missing_docs, non_upper_case_globals, non_camel_case_types, non_snake_case, dead_code, clippy::all)]
pub mod intf {
    include!(concat!(env!("OUT_DIR"), "/bpf_intf.rs"));
}

pub use generated::BpfSkel;
pub use generated::BpfSkelBuilder;
pub use generated::OpenBpfSkel;

/// Globals of the BPF side that user space may write.
pub type Bss = generated::types::bss;

/// What the kernel tells when it disables a scheduler.
pub type ExitInfo = generated::types::user_exit_info;

/// Where a CPU stands in the machine, as the BPF side has it.
pub type RawPlace = generated::types::gr_place;
