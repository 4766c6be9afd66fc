//! The table of contents of the BPF side, compiled and linked into one object.

fn main() -> anyhow::Result<()> {
    scx_cargo::BpfBuilder::new()?
        .enable_intf("bpf/intf.h", "bpf_intf.rs")
        .enable_skel("bpf/main.bpf.c", "bpf")
        .add_source("bpf/tunables.bpf.c")
        .add_source("bpf/family.bpf.c")
        .add_source("bpf/classify.bpf.c")
        .add_source("bpf/queue.bpf.c")
        .add_source("bpf/preempt.bpf.c")
        .add_source("bpf/load.bpf.c")
        .compile_link_gen()?;
    Ok(())
}
