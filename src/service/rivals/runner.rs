//! Which process keeps a scheduler attached: the one that holds its link. Names alone decide between several at most.

use std::fs;
use std::path::Path;

use procfs::process::Process;

use super::names;
use super::unit::service_of;
use crate::files;

/// How far up parents are looked for; a shell script or two between a service and its scheduler.
const PARENTS_MAX: usize = 8;

/// The process behind an attached scheduler.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Runner {
    /// TGID.
    pub pid: i32,
    /// Its name, which the kernel cuts at 15 characters.
    pub comm: String,
    /// Its parent, that one's parent and so on.
    pub parents: Vec<i32>,
    /// Its arguments, without its own name.
    pub args: Vec<String>,
    /// The system's service that it belongs to.
    pub service: Option<String>,
}

impl Runner {
    /// Who keeps the scheduler that the kernel calls `ops`; `None` where that can't be told.
    pub fn find(ops: &str, proc_root: &Path) -> Option<Self> {
        let entries = fs::read_dir(proc_root).ok()?.flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let holders: Vec<(i32, String)> = pids
            .filter(|pid| holds_struct_ops_link(&proc_root.join(pid.to_string())))
            .filter_map(|pid| Some((pid, files::read_text(&proc_root.join(format!("{pid}/comm"))).ok()?)))
            .collect();
        let (pid, comm) = choose(ops, &holders)?.clone();
        let directory = proc_root.join(pid.to_string());
        let cgroup = files::read_text(&directory.join("cgroup")).unwrap_or_default();
        let args = Process::new_with_root(directory).and_then(|process| process.cmdline()).unwrap_or_default();
        Some(Self {
            pid,
            comm,
            parents: parents_of(pid, proc_root),
            args: args.into_iter().skip(1).collect(),
            service: cgroup.lines().find_map(service_of).map(str::to_owned),
        })
    }
}

/// One that is called like the scheduler, else the only one.
fn choose<'a>(ops: &str, holders: &'a [(i32, String)]) -> Option<&'a (i32, String)> {
    let mut named = holders.iter().filter(|(_, comm)| names::is_called(ops, comm));
    match (named.next(), named.next(), holders) {
        (Some(one), None, _) => Some(one),
        (None, _, [only]) => Some(only),
        _ => None,
    }
}

/// Whether a process has a link to a struct_ops map open, which a sched_ext scheduler is.
fn holds_struct_ops_link(process: &Path) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        let is_link = fs::read_link(descriptor.path()).is_ok_and(|target| {
            target.to_str().is_some_and(|target| target.starts_with("anon_inode:") && target.contains("bpf_link"))
        });
        is_link
            && files::read_text(&process.join("fdinfo").join(descriptor.file_name()))
                .is_ok_and(|info| info.lines().any(is_struct_ops))
    })
}

fn is_struct_ops(line: &str) -> bool {
    line.split_once(':').is_some_and(|(key, value)| key == "link_type" && value.trim() == "struct_ops")
}

fn parents_of(pid: i32, proc_root: &Path) -> Vec<i32> {
    let parent = |pid: &i32| {
        let process = Process::new_with_root(proc_root.join(pid.to_string())).ok()?;
        process.stat().ok().map(|stat| stat.ppid).filter(|parent| *parent > 0)
    };
    std::iter::successors(parent(&pid), parent).take(PARENTS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holders(comms: &[&str]) -> Vec<(i32, String)> {
        (1..).zip(comms.iter().map(|comm| (*comm).to_owned())).collect()
    }

    #[test]
    fn the_only_holder_of_a_link_runs_the_scheduler_whatever_it_is_called() {
        assert_eq!(choose("bpfland_1.1.4", &holders(&["my-scheduler"])).map(|(pid, _)| *pid), Some(1));
        assert_eq!(choose("bpfland_1.1.4", &[]), None);
    }

    #[test]
    fn of_several_holders_the_one_with_the_schedulers_name_runs_it_if_it_is_one() {
        let pid = |comms: &[&str]| choose("bpfland_1.1.4", &holders(comms)).map(|(pid, _)| *pid);
        assert_eq!(pid(&["tcp-tuner", "scx_bpfland"]), Some(2));
        assert_eq!(pid(&["scx_bpfland", "scx_bpfland"]), None);
        assert_eq!(pid(&["tcp-tuner", "other"]), None);
    }

    #[test]
    fn links_of_other_kinds_are_no_schedulers() {
        assert!(is_struct_ops("link_type:\tstruct_ops"));
        assert!(!is_struct_ops("link_type:\ttracing") && !is_struct_ops("prog_type:\tstruct_ops"));
    }
}
