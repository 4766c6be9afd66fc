//! The table of contents of the BPF side, compiled and linked into one object.

use std::env;
use std::path::Path;

fn main() -> anyhow::Result<()> {
    scx_cargo::BpfBuilder::new()?
        .enable_intf("bpf/intf.h", "bpf_intf.rs")
        .enable_skel("bpf/main.bpf.c", "bpf")
        .add_source("bpf/tunables.bpf.c")
        .add_source("bpf/family.bpf.c")
        .add_source("bpf/news.bpf.c")
        .add_source("bpf/classify.bpf.c")
        .add_source("bpf/account.bpf.c")
        .add_source("bpf/place.bpf.c")
        .add_source("bpf/queue.bpf.c")
        .add_source("bpf/slice.bpf.c")
        .add_source("bpf/preempt.bpf.c")
        .add_source("bpf/windows.bpf.c")
        .add_source("bpf/events.bpf.c")
        .add_source("bpf/boost.bpf.c")
        .add_source("bpf/freq.bpf.c")
        .add_source("bpf/load.bpf.c")
        .add_source("bpf/hotplug.bpf.c")
        .compile_link_gen()?;
    // What examples/empty_scheduler attaches; it shares nothing with ours.
    scx_cargo::BpfBuilder::new()?.enable_skel("examples/empty_scheduler/empty.bpf.c", "empty").build()?;
    // What the benchmark measures waits with; it shares nothing with the scheduler.
    scx_cargo::BpfBuilder::new()?.enable_skel("benches/waits.bpf.c", "waits").build()?;
    // What the verifier reads depends on it: tests/vm/guest/cost.rs.
    println!("cargo:rustc-env=BPF_CLANG_VERSION={}", scx_cargo::ClangInfo::new()?.ver);
    compile_math_for_tests()
}

/// `bpf/math.h` once more, for this machine: tests/bpf_math.rs calls it. Only test programs are linked with it.
fn compile_math_for_tests() -> anyhow::Result<()> {
    println!("cargo:rerun-if-changed=tests/bpf_math.c");
    cc::Build::new().file("tests/bpf_math.c").cargo_metadata(false).try_compile("bpf_math")?;
    let library = Path::new(&env::var("OUT_DIR")?).join("libbpf_math.a");
    println!("cargo:rustc-link-arg-tests={}", library.display());
    Ok(())
}
