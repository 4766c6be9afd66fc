//! Who belongs to the game's family: plain data read from `/proc`.
//!
//! Processes vanish while we read and some may not be read at all; such a one is left out or known by less.

use std::collections::HashMap;
use std::collections::HashSet;
use std::io;
use std::time::Duration;

use procfs::process::Stat;

use crate::game::lineage;
use crate::game::lineage::Link;
use crate::game::lineage::Search;
use crate::game::lineage::outsiders;
use crate::game::names;
use crate::game::names::Role;
use crate::game::neighbours::Neighbours;
use crate::game::proc::ProcFs;

/// How many candidates are asked for their open descriptors at each look: the only costly question.
const GPU_QUESTIONS_MAX: usize = 8;

/// A process for good: PIDs are used again, a PID with its start time is not.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Identity {
    /// TGID.
    pub pid: i32,
    /// Start time in clock ticks since boot.
    pub start_ticks: u64,
}

/// One member of the family as the choice sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// Who it is.
    pub id: Identity,
    /// PID of its parent now; 1 or a subreaper for orphans.
    pub parent_pid: i32,
    /// Name in the kernel, at most 15 bytes.
    pub comm: String,
    /// First argument, a Unix or a Windows path; empty when unreadable.
    pub argv0: String,
    /// Number of threads.
    pub threads: u32,
    /// User and system time so far, in clock ticks.
    pub cpu_ticks: u64,
    /// CPUs that it used, on average, since the look before.
    pub busy_cpus: f64,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Open DRM and NVIDIA descriptors.
    pub gpu_descriptors: usize,
}

impl Process {
    /// Last part of [`Process::argv0`], whichever way its slashes lean.
    #[must_use]
    pub fn argv0_name(&self) -> &str {
        names::base_name(&self.argv0)
    }

    /// The name that a player would recognise: the longer form of comm where argv tells it. It is asked for comm anew: the
    /// process may have become another program between the readings of a look, so that `comm` is of the old one and
    /// `argv0` of the new one.
    #[must_use]
    pub fn name(&self, procfs: &ProcFs) -> String {
        let comm = procfs.comm(self.id.pid).unwrap_or_else(|| self.comm.clone());
        let long = self.argv0_name();
        if long.starts_with(&comm) { long.to_owned() } else { comm }
    }
}

/// The family at one moment, eldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Living members.
    pub processes: Vec<Process>,
}

impl Snapshot {
    /// The member `id`, if it still lives.
    #[must_use]
    pub fn find(&self, id: Identity) -> Option<&Process> {
        self.processes.iter().find(|process| process.id == id)
    }
}

/// The family of one game over time. Who was seen in it stays in it, wherever it is re-parented.
#[derive(Debug)]
pub struct Family {
    search: Search,
    /// Members of the last look, with the CPU time that they had then; and those that the kernel has told since.
    members: HashMap<Identity, u64>,
    /// Members of which the kernel itself has told.
    told: HashSet<Identity>,
    neighbours: Neighbours,
    outsiders: Vec<Identity>,
    looked_at: Duration,
}

impl Family {
    /// Nobody is known yet.
    #[must_use]
    pub fn new(search: Search) -> Self {
        Self {
            search,
            members: HashMap::new(),
            told: HashSet::new(),
            neighbours: Neighbours::default(),
            outsiders: Vec::new(),
            looked_at: Duration::ZERO,
        }
    }

    /// Counts those among the members, whoever their parents are, for as long as they live.
    pub fn remember(&mut self, members: impl IntoIterator<Item = Identity>) {
        for member in members {
            self.members.entry(member).or_insert(0);
            self.told.insert(member);
        }
    }

    /// Members of the last look of which the kernel can't know: the uppermost of each branch that is neither below the
    /// game's first process nor was told of.
    #[must_use]
    pub fn outsiders(&self) -> &[Identity] {
        &self.outsiders
    }

    /// Takes a new snapshot; `now` is the time since the family began.
    ///
    /// # Errors
    /// When the process directory itself can't be read.
    pub fn look(&mut self, procfs: &ProcFs, now: Duration) -> io::Result<Snapshot> {
        let stats = procfs.stats()?;
        let links: Vec<Link> = stats.iter().map(Link::from).collect();
        let mut known: HashSet<Identity> = self.members.keys().copied().collect();
        let mut kin = lineage::kin(&links, &self.search, &known);
        let marked = self.neighbours.marked(procfs, &stats, &kin, &self.search);
        if !marked.is_empty() {
            known.extend(marked);
            kin = lineage::kin(&links, &self.search, &known);
        }
        self.outsiders = outsiders(&links, &kin, &self.search, &self.told);

        let elapsed = now.saturating_sub(self.looked_at);
        let mut processes: Vec<Process> = stats
            .into_iter()
            .filter(|stat| kin.contains(&Identity::from(stat)) && is_alive(stat))
            .map(|stat| self.describe(procfs, stat, elapsed))
            .collect();
        processes.sort_by_key(|process| (process.id.start_ticks, process.id.pid));
        count_gpu_descriptors(&mut processes, procfs);

        self.members = processes.iter().map(|process| (process.id, process.cpu_ticks)).collect();
        self.told.retain(|id| self.members.contains_key(id));
        self.looked_at = now;
        Ok(Snapshot { processes })
    }

    fn describe(&self, procfs: &ProcFs, stat: Stat, elapsed: Duration) -> Process {
        let id = Identity::from(&stat);
        let cpu_ticks = stat.utime.saturating_add(stat.stime);
        let before_ticks = self.members.get(&id).copied().unwrap_or(0);
        Process {
            id,
            parent_pid: stat.ppid,
            argv0: procfs.argv0(id.pid).unwrap_or_default(),
            threads: u32::try_from(stat.num_threads).unwrap_or(1),
            cpu_ticks,
            busy_cpus: busy_cpus(cpu_ticks.saturating_sub(before_ticks), elapsed),
            rss_bytes: stat.rss.saturating_mul(procfs::page_size()),
            gpu_descriptors: 0,
            comm: stat.comm,
        }
    }
}

/// Time used over time passed. Below 10 ms one clock tick would look like a busy CPU.
fn busy_cpus(grown_ticks: u64, elapsed: Duration) -> f64 {
    let grown_s = grown_ticks as f64 / procfs::ticks_per_second() as f64;
    grown_s / elapsed.as_secs_f64().max(0.01)
}

fn count_gpu_descriptors(processes: &mut [Process], procfs: &ProcFs) {
    let mut worth_asking: Vec<&mut Process> =
        processes.iter_mut().filter(|process| names::role(process) != Role::Infrastructure).collect();
    worth_asking.sort_by_key(|process| std::cmp::Reverse(process.cpu_ticks));
    for process in worth_asking.into_iter().take(GPU_QUESTIONS_MAX) {
        process.gpu_descriptors = procfs.gpu_descriptors(process.id.pid);
    }
}

impl From<&Stat> for Identity {
    fn from(stat: &Stat) -> Self {
        Self { pid: stat.pid, start_ticks: stat.starttime }
    }
}

/// A zombie is over, unless only its first thread has ended.
pub(super) fn is_alive(stat: &Stat) -> bool {
    !matches!(stat.state, 'Z' | 'X') || stat.num_threads > 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::game::fake_proc::FakeProc;
    use crate::game::fake_proc::born;
    use crate::game::lineage::Root;
    use crate::game::marks::Marks;
    use std::fs;

    fn family(root: Identity) -> Family {
        Family::new(Search { root: Root::Game(root), marks: Marks::default(), since_ticks: 0 })
    }

    fn look(proc: &FakeProc) -> Snapshot {
        family(born(10)).look(&proc.fs(), Duration::from_secs(1)).expect("read the directory")
    }

    #[test]
    fn a_name_with_brackets_newlines_or_no_text_at_all_is_read() {
        let proc = FakeProc::new()
            .process(10, 1, b"sh", b"/bin/sh\0")
            .process(11, 10, b"a) S (b\n)", b"/opt/a) S (b\n)\0")
            .process(12, 11, b"\xff\xfe", b"\xff\0");
        let snapshot = look(&proc);
        let seen: Vec<(i32, &str)> = snapshot.processes.iter().map(|p| (p.id.pid, p.comm.as_str())).collect();
        assert_eq!(seen, [(10, "sh"), (11, "a) S (b\n)"), (12, "\u{fffd}\u{fffd}")]);
        assert_eq!(snapshot.processes[1].argv0_name(), "a) S (b\n)");
        assert_eq!(snapshot.processes[1].threads, 7);
        assert_eq!(snapshot.processes[1].cpu_ticks, 50);
    }

    #[test]
    fn who_becomes_another_program_within_a_look_has_the_name_of_that() {
        let proc = FakeProc::new().process(10, 1, b"eldenring-launc", b"/opt/eldenring-launcher\0");
        let torn = Process {
            id: born(10),
            comm: "sh".to_owned(),
            argv0: "/opt/eldenring-launcher".to_owned(),
            ..look(&proc).processes[0].clone()
        };
        assert_eq!(torn.name(&proc.fs()), "eldenring-launcher");
        let gone = Process { id: born(11), ..torn };
        assert_eq!(gone.name(&proc.fs()), "sh");
    }

    #[test]
    fn a_process_that_vanishes_while_we_read_is_left_out() {
        let proc = FakeProc::new().process(10, 1, b"sh", b"").process(12, 10, b"game", b"");
        fs::create_dir(proc.path().join("11")).expect("process directory without files");
        fs::create_dir(proc.path().join("13")).expect("process directory");
        fs::write(proc.path().join("13/stat"), "13").expect("half a stat");
        fs::remove_file(proc.path().join("12/cmdline")).expect("unreadable cmdline");
        let snapshot = look(&proc);
        assert_eq!(snapshot.processes.len(), 2);
        assert_eq!(snapshot.processes[1].name(&proc.fs()), "game");
    }

    #[test]
    fn a_process_directory_that_is_missing_is_an_error() {
        let mut family = family(born(10));
        assert!(family.look(&ProcFs::at("/nonexistent"), Duration::ZERO).is_err());
    }

    #[test]
    fn our_own_test_run_is_found_below_its_parent() {
        let own = std::process::id() as i32;
        let parent = ProcFs::at("/proc").identity(nix::unistd::getppid().as_raw()).expect("our parent");
        let mut family = family(parent);
        let snapshot = family.look(&ProcFs::at("/proc"), Duration::from_secs(1)).expect("read /proc");
        let us = snapshot.processes.iter().find(|process| process.id.pid == own).expect("ourselves");
        assert!(us.rss_bytes > 0);
        assert!(us.argv0.contains("scx_gamer_run"));
    }
}
