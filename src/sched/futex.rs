//! The programs that see for whose futex the game waits: loaded where the kernel has the functions that they watch,
//! attached only while a game is pinned, so that nobody pays for them otherwise.

use anyhow::Context as _;
use libbpf_rs::Link;

use super::skel::BpfSkel;
use super::skel::OpenBpfSkel;

/// Lets the kernel load the programs whose functions it has; called before the load.
pub fn choose(skel: &mut OpenBpfSkel<'_>) {
    let progs = &mut skel.progs;
    for (function, program) in [
        ("futex_wait", &mut progs.on_futex_wait),
        ("futex_wait", &mut progs.after_futex_wait),
        ("futex_lock_pi", &mut progs.on_futex_lock_pi),
        ("futex_lock_pi", &mut progs.after_futex_lock_pi),
    ] {
        program.set_autoload(scx_utils::compat::ksym_exists(function).unwrap_or(false));
        program.set_autoattach(false);
    }
}

/// Attached until dropped. The ends of waits come first, so that no begin is left without its end.
pub struct Watch {
    _links: Vec<Link>,
}

impl Watch {
    /// Attaches what was loaded.
    ///
    /// # Errors
    /// The kernel refuses, as it does without CONFIG_FUNCTION_TRACER.
    pub fn attach(skel: &BpfSkel<'_>) -> anyhow::Result<Self> {
        let progs = &skel.progs;
        let mut links = Vec::new();
        for program in
            [&progs.after_futex_wait, &progs.on_futex_wait, &progs.after_futex_lock_pi, &progs.on_futex_lock_pi]
        {
            if program.autoload() {
                links.push(program.attach().context("watch the game's futexes")?);
            }
        }
        Ok(Self { _links: links })
    }
}
