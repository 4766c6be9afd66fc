//! Where our own event loop runs: not where the game wants to be.

use anyhow::Context as _;
use nix::sched::CpuSet;
use nix::sched::sched_getaffinity;
use nix::sched::sched_setaffinity;
use nix::unistd::Pid;

/// The calling thread. Others, which zbus has while it is asked, run where they like.
const OURSELVES: Pid = Pid::from_raw(0);

/// Whether we may run on `cpu`.
///
/// # Errors
/// One sentence on where we may.
pub fn check(cpu: u32) -> Result<(), String> {
    let allowed = sched_getaffinity(OURSELVES).map_err(|errno| format!("can't tell the CPUs: {errno}"))?;
    let cpus: Vec<usize> = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false)).collect();
    if cpus.contains(&(cpu as usize)) {
        return Ok(());
    }
    let list = cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    Err(format!("there is no such CPU, or we may not run there; give one of {list}"))
}

/// Moves the event loop to `asked`; without one, to the `weak` CPUs, where the game does not belong. On a machine whose
/// CPUs are alike there are none of those, and an idle one that the scheduler finds is as good as any.
pub fn stay_away(asked: Option<u32>, weak: &[usize]) {
    let moved = match asked {
        Some(cpu) => move_to(&[cpu as usize]),
        None if weak.is_empty() => return,
        None => move_to(weak),
    };
    if let Err(why) = moved {
        log::debug!("the event loop runs anywhere: {why:#}");
    }
}

fn move_to(cpus: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu)?;
    }
    sched_setaffinity(OURSELVES, &set).with_context(|| format!("run on CPUs {cpus:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_that_is_not_there_is_refused_with_those_that_are() {
        let why = check(5000).expect_err("no such CPU");
        assert!(why.contains("give one of") && why.contains(char::is_numeric), "{why}");
        let first =
            (0..CpuSet::count()).find(|&cpu| sched_getaffinity(OURSELVES).expect("ask").is_set(cpu) == Ok(true));
        assert_eq!(check(first.expect("a CPU") as u32), Ok(()));
    }
}
