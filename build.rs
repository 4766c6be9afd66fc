//! The table of contents of the BPF side, compiled and linked into one object.

fn main() -> anyhow::Result<()> {
    scx_cargo::BpfBuilder::new()?
        .enable_intf("bpf/intf.h", "bpf_intf.rs")
        .enable_skel("bpf/main.bpf.c", "bpf")
        .compile_link_gen()?;
    Ok(())
}
