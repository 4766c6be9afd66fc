//! The programs that see events in the kernel: loaded where they have a window to open and the kernel has what they
//! watch, attached for as long as somebody keeps what attaching them returns.

use std::path::Path;
use std::ptr;

use anyhow::Context as _;
use anyhow::ensure;
use libbpf_rs::Link;
use libbpf_rs::ProgramMut;

use super::Scheduler;
use super::Tunables;
use super::skel::OpenBpfSkel;
use super::skel::intf;

/// Most CRTCs of a card that the kernel part tells apart, which is as many as the kernel has.
pub const CRTCS_MAX: usize = intf::gr_limits_GR_CRTCS_MAX as usize;

/// A program that sees events, attached until this is dropped.
pub struct KernelEyes {
    _link: Link,
}

/// Lets the kernel load the programs that have a window to open and something to watch; called before the load.
pub fn choose(skel: &mut OpenBpfSkel<'_>, tunables: &Tunables, sysfs: &Path) {
    let has_tracepoint = |name: &str| sysfs.join("kernel/tracing/events").join(name).exists();
    let has_input = || scx_utils::compat::ksym_exists("input_event").unwrap_or(false);
    let progs = &mut skel.progs;
    for (program, is_wanted) in [
        (&mut progs.on_input_event, tunables.input_window_us > 0 && has_input()),
        (&mut progs.on_vblank, tunables.frame_window_us > 0 && has_tracepoint("drm/drm_vblank_event")),
        (&mut progs.on_napi_poll, tunables.prefer_napi_on_input && has_tracepoint("napi/napi_poll")),
    ] {
        program.set_autoload(is_wanted);
        program.set_autoattach(false);
    }
}

/// Lets the kernel load none of them: where it refused one, the scheduler is worth more than its windows.
pub fn choose_none(skel: &mut OpenBpfSkel<'_>) {
    let progs = &mut skel.progs;
    for program in [&mut progs.on_input_event, &mut progs.on_vblank, &mut progs.on_napi_poll] {
        program.set_autoload(false);
    }
}

impl Scheduler {
    /// Opens an input window at each event of the input core.
    ///
    /// # Errors
    /// The kernel lacks what is watched, or refuses to have it watched.
    pub fn see_input(&self) -> anyhow::Result<KernelEyes> {
        attach(&self.skel.progs.on_input_event, "watch the input core")
    }

    /// Counts vblanks, and opens a frame window at those that [`Scheduler::frames_begin_at`] names.
    ///
    /// # Errors
    /// The kernel lacks what is watched, or refuses to have it watched.
    pub fn see_vblanks(&self) -> anyhow::Result<KernelEyes> {
        attach(&self.skel.progs.on_vblank, "watch the display's tracepoint")
    }

    /// Opens a NAPI window on each CPU that receives packets.
    ///
    /// # Errors
    /// The kernel lacks what is watched, or refuses to have it watched.
    pub fn see_packets(&self) -> anyhow::Result<KernelEyes> {
        attach(&self.skel.progs.on_napi_poll, "watch the network's tracepoint")
    }

    /// Vblanks seen so far, by the CRTC's index on whichever card.
    pub fn vblanks(&self) -> [u64; CRTCS_MAX] {
        let counts = &self.skel.maps.bss_data.as_deref().expect("BUG: no bss after load").vblanks;
        // SAFETY: aligned words behind a reference; volatile because the kernel counts behind our back.
        std::array::from_fn(|crtc| unsafe { ptr::read_volatile(&raw const counts[crtc]) })
    }

    /// Lets a vblank of the CRTC with this index begin a frame; `None`: of none.
    pub fn frames_begin_at(&mut self, crtc: Option<u32>) {
        let mask = crtc.map_or(0, |crtc| 1 << (crtc % CRTCS_MAX as u32));
        super::publish(&mut self.bss().frame_crtcs, mask);
    }
}

fn attach(program: &ProgramMut<'_>, what: &'static str) -> anyhow::Result<KernelEyes> {
    ensure!(program.autoload(), "{what}: this kernel has nothing to watch there, or refused to");
    Ok(KernelEyes { _link: program.attach().context(what)? })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::mem::MaybeUninit;

    use libbpf_rs::libbpf_sys::bpf_insn;
    use libbpf_rs::skel::OpenSkel as _;
    use libbpf_rs::skel::SkelBuilder as _;

    use crate::sched::skel::BpfSkelBuilder;

    // include/uapi/linux/bpf.h and bpf_common.h
    const CLASS: u8 = 0x07;
    const LDX: u8 = 0x01;
    const MOV64_REGISTER: u8 = 0xbf;
    const CALL: u8 = 0x85;
    const HELPERS_THAT_READ_ARGUMENTS: [i32; 2] = [183, 184]; // bpf_get_func_arg, bpf_get_func_ret

    /// Offsets from the context, which is the traced function's arguments at 8 bytes each, that a program loads.
    fn arguments_loaded_by(program: &[bpf_insn]) -> BTreeSet<i16> {
        let mut holds_context = BTreeSet::from([1u8]); // r1, as the program begins
        let mut loaded = BTreeSet::new();
        for insn in program {
            let (to, from) = (insn.dst_reg(), insn.src_reg());
            assert!(
                insn.code != CALL || from != 0 || !HELPERS_THAT_READ_ARGUMENTS.contains(&insn.imm),
                "an argument is read by a helper"
            );
            if insn.code & CLASS == LDX && holds_context.contains(&from) {
                loaded.insert(insn.off);
            }
            match (insn.code, holds_context.contains(&from)) {
                (MOV64_REGISTER, true) => holds_context.insert(to),
                (CALL, _) => (1..=5).fold(false, |_, scratch| holds_context.remove(&scratch)),
                // Loads and arithmetic overwrite their target; stores and jumps do not.
                _ if matches!(insn.code & CLASS, 0x00 | 0x01 | 0x04 | 0x07) => holds_context.remove(&to),
                _ => false,
            };
        }
        loaded
    }

    #[test]
    fn no_program_loads_the_code_or_the_value_of_an_input_event() {
        let mut object = MaybeUninit::uninit();
        let skel = BpfSkelBuilder::default().open(&mut object).expect("open the BPF object");
        // input_event(dev, type, code, value): what hand it was, and of which kind its event is.
        assert_eq!(arguments_loaded_by(skel.progs.on_input_event.insns()), BTreeSet::from([0, 8]));
        assert_eq!(arguments_loaded_by(skel.progs.on_vblank.insns()), BTreeSet::from([0]));
        let others = skel.open_object().progs().filter(|program| program.section().to_string_lossy().contains("input"));
        assert_eq!(others.count(), 1, "another program is attached to the input core");
    }
}
