//! BPF run time of each callback of the attached scheduler, as the kernel itself counts it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use libbpf_rs::ProgramType;
use libbpf_rs::query::ProgInfoIter;

use crate::guest::set_sysctl;
use crate::record::Callback;

/// Where counting is switched on.
const BPF_STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Runs and run time of every struct_ops program: those of the attached scheduler.
type Counts = BTreeMap<u32, Callback>;

/// What `work` makes the callbacks do. Counting has a cost of its own, so nothing else is measured meanwhile.
pub fn counted(work: impl FnOnce() -> Result<()>) -> Result<Vec<Callback>> {
    set_sysctl(Path::new(BPF_STATS), "1")?;
    let before = counts();
    let done = work();
    let after = counts();
    set_sysctl(Path::new(BPF_STATS), "0")?;
    done.map(|()| differences(&before, after))
}

fn counts() -> Counts {
    ProgInfoIter::default()
        .filter(|program| program.ty == ProgramType::StructOps)
        .map(|program| {
            let name = program.name.to_string_lossy().into_owned();
            (program.id, Callback { name, runs: program.run_cnt, run_time_ns: program.run_time_ns })
        })
        .collect()
}

/// What was added, the costliest first; callbacks that did not run are left out.
fn differences(before: &Counts, after: Counts) -> Vec<Callback> {
    let mut grown: Vec<Callback> = after
        .into_iter()
        .map(|(id, after)| match before.get(&id) {
            Some(before) => Callback {
                runs: after.runs - before.runs,
                run_time_ns: after.run_time_ns - before.run_time_ns,
                ..after
            },
            None => after,
        })
        .filter(|callback| callback.runs > 0)
        .collect();
    grown.sort_by_key(|callback| std::cmp::Reverse(callback.run_time_ns));
    grown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callback(name: &str, runs: u64, run_time_ns: u64) -> Callback {
        Callback { name: name.into(), runs, run_time_ns }
    }

    #[test]
    fn only_what_ran_meanwhile_counts_and_the_costliest_comes_first() {
        let before = Counts::from([(1, callback("init", 1, 500)), (2, callback("enqueue", 10, 1000))]);
        let after = Counts::from([
            (1, callback("init", 1, 500)),
            (2, callback("enqueue", 15, 1600)),
            (3, callback("dispatch", 5, 900)),
        ]);
        assert_eq!(differences(&before, after), [callback("dispatch", 5, 900), callback("enqueue", 5, 600)]);
    }
}
