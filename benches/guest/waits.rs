//! The longest wait of any task, from `benches/waits.bpf.c`: measured in the same way under every scheduler.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use libbpf_rs::OpenObject;
use libbpf_rs::skel::OpenSkel;
use libbpf_rs::skel::Skel;
use libbpf_rs::skel::SkelBuilder;
use nix::sched::CpuSet;
use nix::sched::sched_getaffinity;
use nix::sched::sched_setaffinity;
use nix::unistd::Pid;

use crate::record;
use crate::spin::monotonic_ns;
use crate::spin::spin;

/// Far longer than anybody waits on an idle machine.
const TRIAL_WAIT_MS: u64 = 100;
/// A busy host lengthens some, and a page that is fetched in the middle cuts some short.
const TRIALS: usize = 10;
/// The calling thread.
const MYSELF: Pid = Pid::from_raw(0);

#[allow(missing_docs, dead_code, clippy::all, clippy::unwrap_used, clippy::undocumented_unsafe_blocks)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/waits_skel.rs"));
}

/// Watches until it is dropped.
pub struct Waits {
    skel: generated::WaitsSkel<'static>,
}

impl Waits {
    /// Loads and attaches the BPF program.
    pub fn watch() -> Result<Self> {
        libbpf_rs::set_print(None); // it talks on stderr by default
        // The skeleton borrows this for as long as it lives, which is as long as the process: 8 bytes.
        let object: &'static mut MaybeUninit<OpenObject> = Box::leak(Box::new(MaybeUninit::uninit()));
        let open =
            generated::WaitsSkelBuilder::default().open(object).context("open the program that watches waits")?;
        let mut skel = open.load().context("load the program that watches waits")?;
        skel.attach().context("attach the program that watches waits")?;
        Ok(Self { skel })
    }

    /// Makes an ordinary thread wait for a CPU and fails unless that is seen: a ruler is held against a known length
    /// before it measures. The caller has to be a real-time thread.
    pub fn check(&mut self) -> Result<()> {
        let everywhere = sched_getaffinity(MYSELF).context("ask for this thread's CPUs")?;
        let mut first = CpuSet::new();
        first.set(0).context("name the first CPU")?;
        sched_setaffinity(MYSELF, &first).context("keep this thread on the first CPU")?;
        let seen: Vec<record::Waits> =
            std::iter::repeat_with(|| self.try_once()).take(TRIALS).take_while(|seen| !is_trial_wait(seen)).collect();
        sched_setaffinity(MYSELF, &everywhere).context("let this thread run anywhere")?;
        ensure!(seen.len() < TRIALS, "a thread that waited {TRIAL_WAIT_MS} ms was seen to wait so: {seen:?}");
        Ok(())
    }

    fn try_once(&mut self) -> record::Waits {
        self.start_anew();
        std::thread::scope(|threads| {
            threads.spawn(|| ()); // on the same CPU, below us: it does not run before we are through
            let end_ns = monotonic_ns() + TRIAL_WAIT_MS * 1_000_000;
            while monotonic_ns() < end_ns {
                spin(1000);
            }
        });
        self.longest()
    }

    /// Forgets every wait until now.
    pub fn start_anew(&mut self) {
        let bss = self.skel.maps.bss_data.as_deref_mut().expect("BUG: no bss after load");
        // SAFETY: a valid, aligned, exclusive reference; volatile because BPF programs read it behind our back.
        unsafe { ptr::write_volatile(&raw mut bss.since_ns, monotonic_ns()) }
        let data = self.skel.maps.data_data.as_deref_mut().expect("BUG: no data after load");
        // SAFETY: as above. The time comes first: volatile writes keep their order, and so does x86.
        unsafe { ptr::write_volatile(&raw mut data.epoch, data.epoch.wrapping_add(1)) }
    }

    /// The longest since `start_anew()`.
    pub fn longest(&self) -> record::Waits {
        let epoch = self.skel.maps.data_data.as_deref().expect("BUG: no data after load").epoch;
        let bss = self.skel.maps.bss_data.as_deref().expect("BUG: no bss after load");
        let seen = || bss.cpus.iter().filter(|cpu| cpu.epoch == epoch);
        let longest = seen().max_by_key(|cpu| cpu.wait_ns);
        record::Waits {
            longest_ms: longest.map_or(0.0, |cpu| cpu.wait_ns as f64 / 1e6),
            comm: longest.map_or(String::new(), |cpu| comm_of(&cpu.comm)),
            switches: seen().map(|cpu| cpu.nr_switches).sum(),
        }
    }
}

/// Whether this is the wait of a trial, to a tenth.
fn is_trial_wait(seen: &record::Waits) -> bool {
    (seen.longest_ms / TRIAL_WAIT_MS as f64 - 1.0).abs() < 0.1
}

fn comm_of(bytes: &[i8]) -> String {
    let bytes: Vec<u8> = bytes.iter().map(|byte| byte.cast_unsigned()).collect();
    CStr::from_bytes_until_nul(&bytes).map_or_else(|_| String::new(), |comm| comm.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ruler_that_is_off_by_a_tenth_is_refused() {
        let seen = |longest_ms| record::Waits { longest_ms, comm: "bench".into(), switches: 1 };
        assert!(is_trial_wait(&seen(104.0)));
        assert!(![0.0, 89.0, 111.0].map(seen).iter().any(is_trial_wait));
    }

    #[test]
    fn a_name_ends_where_the_kernel_ended_it() {
        let mut comm = [0_i8; 16];
        comm[..3].copy_from_slice(&[b'h' as i8, b'o' as i8, b'g' as i8]);
        comm[5] = b'x' as i8; // what an earlier, longer name left there
        assert_eq!(comm_of(&comm), "hog");
    }
}
