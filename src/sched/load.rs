//! From the BPF object to an attached scheduler: open, fill in, load, attach, and explain a failure of any of these.

use std::mem::MaybeUninit;
use std::path::Path;

use anyhow::anyhow;
use anyhow::ensure;
use libbpf_rs::Link;
use libbpf_rs::OpenObject;
use libbpf_rs::libbpf_sys;
use scx_utils::scx_ops_attach;

use super::CPUS_MAX;
use super::Machine;
use super::Tunables;
use super::end;
use super::futex;
use super::refusal::Warnings;
use super::skel::BpfSkel;
use super::skel::BpfSkelBuilder;
use super::skel::OpenBpfSkel;
use super::sources;
use super::tunables::NODES_MAX;
use crate::kernel::NotReady;
use crate::kernel::SchedExtDir;
use crate::kernel::is_btf_broken;
use crate::kernel::is_ours;
use crate::kernel::kernel_release;

/// Flags of `struct sched_ext_ops`. With these two, exiting and migration-disabled tasks pass through `gamer_enqueue()`
/// as all others do. Without them the kernel puts such a task on a CPU itself, ahead of the game's queue, and puts it
/// there again each time it is preempted.
const OPS_FLAGS: [&str; 2] = ["SCX_OPS_ENQ_EXITING", "SCX_OPS_ENQ_MIGRATION_DISABLED"];

/// Loads the BPF object. If that fails, tries once more without the programs that see events: one of them may be the
/// cause, and the scheduler is worth more than its windows.
///
/// # Errors
/// [`NotReady`], in words for the player.
pub fn load(tunables: &Tunables, machine: &Machine, sysfs: &Path) -> Result<BpfSkel<'static>, NotReady> {
    match try_load(tunables, machine, |skel| sources::choose(skel, tunables, sysfs)) {
        // Broken BTF and a missing permission would fail the second attempt as well.
        Err(why @ (NotReady::Refused { .. } | NotReady::Failed(_))) => {
            log::debug!("loading once more without the programs that see events: {why}");
            try_load(tunables, machine, sources::choose_none)
        }
        outcome => outcome,
    }
}

/// Attaches the loaded scheduler.
///
/// # Errors
/// [`NotReady`], in words for the player.
pub fn attach(skel: &mut BpfSkel<'_>, sched_ext: &SchedExtDir) -> Result<Link, NotReady> {
    let warnings = Warnings::listen();
    scx_ops_attach!(skel, gamer_ops).map_err(|error| {
        // Another scheduler may have attached since the last check.
        if sched_ext.scheduler().is_some_and(|name| !is_ours(&name))
            && let Err(why) = sched_ext.check()
        {
            return why;
        }
        let end = end::end(&skel.maps.data_data.as_deref().expect("BUG: no data after load").uei);
        NotReady::Failed(match (end, warnings.last()) {
            (Some(end), _) => anyhow!("the kernel ended it at once: {}", end.reason),
            (None, Some(warning)) => anyhow!(warning),
            (None, None) => anyhow!("{error:#}; `dmesg` may say why"),
        })
    })
}

fn try_load(
    tunables: &Tunables,
    machine: &Machine,
    choose_sources: impl FnOnce(&mut OpenBpfSkel<'_>),
) -> Result<BpfSkel<'static>, NotReady> {
    let warnings = Warnings::listen();
    open_and_load(tunables, machine, choose_sources).map_err(|error| explain(error, &warnings))
}

fn open_and_load(
    tunables: &Tunables,
    machine: &Machine,
    choose_sources: impl FnOnce(&mut OpenBpfSkel<'_>),
) -> anyhow::Result<BpfSkel<'static>> {
    let nr_cpus = machine.places.len();
    ensure!(nr_cpus <= CPUS_MAX, "this machine has {nr_cpus} CPUs, more than the {CPUS_MAX} we have room for");
    let nr_nodes = machine.nr_nodes;
    ensure!(nr_nodes <= NODES_MAX, "this machine has {nr_nodes} nodes, more than the {NODES_MAX} we have room for");
    // The skeleton borrows this for as long as it lives, which Rust can't say of a field beside it: 8 bytes an
    // attach are left to the process's end. What they point to is freed with the skeleton.
    let object: &'static mut MaybeUninit<OpenObject> = Box::leak(Box::new(MaybeUninit::uninit()));
    let mut skel: OpenBpfSkel<'static> = scx_utils::scx_ops_open!(
        BpfSkelBuilder::default(),
        object,
        gamer_ops,
        None::<libbpf_sys::bpf_object_open_opts>
    )?;
    skel.struct_ops.gamer_ops_mut().flags =
        flags_known_to(|name| scx_utils::compat::read_enum("scx_ops_flags", name).ok());
    tunables.write_to(&mut skel, machine)?;
    futex::choose(&mut skel);
    choose_sources(&mut skel);
    let skel = scx_utils::scx_ops_load!(skel, gamer_ops, uei)?;
    Ok(skel)
}

/// Those of [`OPS_FLAGS`] that a kernel has; one that it does not know would make it refuse the scheduler. `value_of`
/// reads a flag from the kernel's type information.
fn flags_known_to(value_of: impl Fn(&str) -> Option<u64>) -> u64 {
    OPS_FLAGS.into_iter().filter_map(value_of).fold(0, |flags, flag| flags | flag)
}

/// Turns a failure to load into words for the player.
fn explain(error: anyhow::Error, warnings: &Warnings) -> NotReady {
    let release = kernel_release();
    if is_btf_broken() {
        return NotReady::BrokenBtf { release };
    }
    // Before the look at the errno: the verifier answers EACCES to much that has nothing to do with permissions.
    if let Some(refusal) = warnings.refusal() {
        return NotReady::Refused { release, program: refusal.program, why: refusal.verdict };
    }
    let is_denied = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<libbpf_rs::Error>()
            .is_some_and(|error| error.kind() == libbpf_rs::ErrorKind::PermissionDenied)
    };
    if error.chain().any(is_denied) {
        return NotReady::Privilege;
    }
    NotReady::Failed(warnings.last().map_or(error, |warning| anyhow!(warning)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_the_kernel_knows() {
        let of_6_16 = |name: &str| match name {
            "SCX_OPS_ENQ_EXITING" => Some(1 << 2),
            "SCX_OPS_ENQ_MIGRATION_DISABLED" => Some(1 << 4),
            _ => None,
        };
        assert_eq!(flags_known_to(of_6_16), 0b10100);
        // Linux 6.12 came before migration-disabled tasks could be asked for.
        let of_6_12 = |name: &str| of_6_16(name).filter(|_| name == "SCX_OPS_ENQ_EXITING");
        assert_eq!(flags_known_to(of_6_12), 0b100);
        assert_eq!(flags_known_to(|_| None), 0);
    }
}
