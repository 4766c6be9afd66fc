//! Who belongs to the game's family: plain data read from `/proc`.
//!
//! Processes vanish while we read and some may not be read at all; such a one is left out or known by less.

use std::collections::HashMap;
use std::collections::HashSet;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use procfs::process::FDTarget;
use procfs::process::Process as ProcDirectory;
use procfs::process::Stat;

use crate::game::names;
use crate::game::names::Role;

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

    /// The name that a player would recognise: the longer form of comm where argv tells it.
    #[must_use]
    pub fn name(&self) -> &str {
        let long = self.argv0_name();
        if long.starts_with(&self.comm) { long } else { &self.comm }
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

/// The family of one root process over time. Who was seen in it stays in it, wherever it is re-parented.
#[derive(Debug)]
pub struct Family {
    root_pid: i32,
    /// Members of the last look, with the CPU time that they had then.
    members: HashMap<Identity, u64>,
    looked_at: Duration,
}

impl Family {
    /// `root_pid` and its descendants. The root is the wrapper's child and not the wrapper, which may have children of
    /// before its own exec (`exec scx-gamer-run` in a script).
    #[must_use]
    pub fn of(root_pid: i32) -> Self {
        Self { root_pid, members: HashMap::new(), looked_at: Duration::ZERO }
    }

    /// Takes a new snapshot; `now` is the time since the family began.
    ///
    /// # Errors
    /// When the process directory itself can't be read.
    pub fn look(&mut self, procfs: &ProcFs, now: Duration) -> io::Result<Snapshot> {
        let stats = procfs.stats()?;
        let links: Vec<Link> = stats.iter().map(Link::from).collect();
        let remembered = self.members.keys().copied().collect();
        let kin = kin(&links, self.root_pid, &remembered);

        let elapsed = now.saturating_sub(self.looked_at);
        let mut processes: Vec<Process> = stats
            .into_iter()
            .filter(|stat| kin.contains(&identity(stat)) && is_alive(stat))
            .map(|stat| self.describe(procfs, stat, elapsed))
            .collect();
        processes.sort_by_key(|process| (process.id.start_ticks, process.id.pid));
        count_gpu_descriptors(&mut processes, procfs);

        self.members = processes.iter().map(|process| (process.id, process.cpu_ticks)).collect();
        self.looked_at = now;
        Ok(Snapshot { processes })
    }

    fn describe(&self, procfs: &ProcFs, stat: Stat, elapsed: Duration) -> Process {
        let id = identity(&stat);
        let cpu_ticks = stat.utime + stat.stime;
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

/// What lineage needs of a process.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Who it is.
    pub id: Identity,
    /// PID of its parent.
    pub parent_pid: i32,
}

impl From<&Stat> for Link {
    fn from(stat: &Stat) -> Self {
        Self { id: identity(stat), parent_pid: stat.ppid }
    }
}

/// The root, the remembered members that still live, and everyone below them.
#[must_use]
pub fn kin(links: &[Link], root_pid: i32, remembered: &HashSet<Identity>) -> HashSet<Identity> {
    let mut children: HashMap<i32, Vec<Identity>> = HashMap::new();
    for link in links {
        children.entry(link.parent_pid).or_default().push(link.id);
    }
    let is_known = |id: &Identity| id.pid == root_pid || remembered.contains(id);
    let mut found: HashSet<Identity> = links.iter().map(|link| link.id).filter(is_known).collect();
    let mut to_visit: Vec<i32> = found.iter().map(|id| id.pid).collect();
    while let Some(pid) = to_visit.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            if found.insert(*child) {
                to_visit.push(child.pid);
            }
        }
    }
    found
}

fn identity(stat: &Stat) -> Identity {
    Identity { pid: stat.pid, start_ticks: stat.starttime }
}

/// A zombie is over, unless only its first thread has ended.
fn is_alive(stat: &Stat) -> bool {
    !matches!(stat.state, 'Z' | 'X') || stat.num_threads > 1
}

/// A mounted proc file system.
#[derive(Clone, Debug)]
pub struct ProcFs {
    root: PathBuf,
}

impl ProcFs {
    /// The one mounted at `root`.
    #[must_use]
    pub fn at(root: impl AsRef<Path>) -> Self {
        Self { root: root.as_ref().to_path_buf() }
    }

    /// Who `pid` is now, if it exists.
    #[must_use]
    pub fn identity(&self, pid: i32) -> Option<Identity> {
        self.open(pid)?.stat().ok().map(|stat| identity(&stat))
    }

    /// Name of `pid` in the kernel, if it exists.
    #[must_use]
    pub fn comm(&self, pid: i32) -> Option<String> {
        self.open(pid)?.stat().ok().map(|stat| stat.comm)
    }

    fn open(&self, pid: i32) -> Option<ProcDirectory> {
        ProcDirectory::new_with_root(self.root.join(pid.to_string())).ok()
    }

    fn stats(&self) -> io::Result<Vec<Stat>> {
        let all = procfs::process::all_processes_with_root(&self.root).map_err(io::Error::other)?;
        Ok(all.filter_map(|process| process.ok()?.stat().ok()).collect())
    }

    fn argv0(&self, pid: i32) -> Option<String> {
        const LONGEST_PATH_BYTES: u64 = 4096;
        let mut start = Vec::new();
        let file = self.open(pid)?.open_relative("cmdline").ok()?;
        file.take(LONGEST_PATH_BYTES).read_to_end(&mut start).ok()?;
        let first = start.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(first).into_owned())
    }

    fn gpu_descriptors(&self, pid: i32) -> usize {
        const LOOKED_AT_MAX: usize = 512;
        let Some(descriptors) = self.open(pid).and_then(|process| process.fd().ok()) else { return 0 };
        descriptors
            .take(LOOKED_AT_MAX)
            .filter(|descriptor| {
                descriptor.as_ref().is_ok_and(|descriptor| match &descriptor.target {
                    FDTarget::Path(path) => is_gpu(path),
                    _ => false,
                })
            })
            .count()
    }
}

fn is_gpu(path: &Path) -> bool {
    let path = path.to_string_lossy();
    path.contains("/dev/dri/") || path.contains("/dev/nvidia")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn link(pid: i32, parent_pid: i32) -> Link {
        Link { id: Identity { pid, start_ticks: 1000 + pid as u64 }, parent_pid }
    }

    fn pids(links: &[Link], remembered: &[i32]) -> Vec<i32> {
        let remembered = remembered.iter().map(|pid| link(*pid, 0).id).collect();
        let mut pids: Vec<i32> = kin(links, 10, &remembered).into_iter().map(|id| id.pid).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn the_family_is_everyone_below_the_root_and_no_neighbour() {
        let links = [link(1, 0), link(10, 1), link(11, 10), link(12, 11), link(20, 1), link(21, 20)];
        assert_eq!(pids(&links, &[]), [10, 11, 12]);
    }

    #[test]
    fn an_orphan_that_was_seen_stays_with_its_children() {
        let links = [link(1, 0), link(10, 1), link(12, 1), link(13, 12), link(20, 1)];
        assert_eq!(pids(&links, &[11, 12]), [10, 12, 13]);
    }

    #[test]
    fn a_pid_that_was_used_again_is_no_member() {
        let links = [link(1, 0), link(10, 1), link(12, 1)];
        let remembered = HashSet::from([Identity { pid: 12, start_ticks: 5 }]);
        assert_eq!(kin(&links, 10, &remembered), HashSet::from([links[1].id]));
    }

    #[test]
    fn a_loop_of_parents_ends() {
        assert_eq!(pids(&[link(10, 11), link(11, 10)], &[]), [10, 11]);
    }

    /// A directory that looks like `/proc` to us.
    struct FakeProc(tempfile::TempDir);

    impl FakeProc {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("temporary directory"))
        }

        fn process(self, pid: i32, parent_pid: i32, comm: &[u8], cmdline: &[u8]) -> Self {
            let directory = self.0.path().join(pid.to_string());
            fs::create_dir(&directory).expect("process directory");
            let mut stat = format!("{pid} (").into_bytes();
            stat.extend_from_slice(comm);
            stat.extend_from_slice(
                format!(
                    ") S {parent_pid} 1 1 0 -1 0 0 0 0 0 30 20 0 0 20 0 7 0 {} 4096 25 18446744073709551615 \
                     0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
                    1000 + pid
                )
                .as_bytes(),
            );
            fs::write(directory.join("stat"), stat).expect("stat");
            fs::write(directory.join("cmdline"), cmdline).expect("cmdline");
            self
        }

        fn look(&self) -> Snapshot {
            let mut family = Family::of(10);
            family.look(&ProcFs::at(self.0.path()), Duration::from_secs(1)).expect("read the directory")
        }
    }

    #[test]
    fn a_name_with_brackets_newlines_or_no_text_at_all_is_read() {
        let proc = FakeProc::new()
            .process(10, 1, b"sh", b"/bin/sh\0")
            .process(11, 10, b"a) S (b\n)", b"/opt/a) S (b\n)\0")
            .process(12, 11, b"\xff\xfe", b"\xff\0");
        let snapshot = proc.look();
        let seen: Vec<(i32, &str)> = snapshot.processes.iter().map(|p| (p.id.pid, p.comm.as_str())).collect();
        assert_eq!(seen, [(10, "sh"), (11, "a) S (b\n)"), (12, "\u{fffd}\u{fffd}")]);
        assert_eq!(snapshot.processes[1].argv0_name(), "a) S (b\n)");
        assert_eq!(snapshot.processes[1].threads, 7);
        assert_eq!(snapshot.processes[1].cpu_ticks, 50);
    }

    #[test]
    fn a_process_that_vanishes_while_we_read_is_left_out() {
        let proc = FakeProc::new().process(10, 1, b"sh", b"").process(12, 10, b"game", b"");
        fs::create_dir(proc.0.path().join("11")).expect("process directory without files");
        fs::create_dir(proc.0.path().join("13")).expect("process directory");
        fs::write(proc.0.path().join("13/stat"), "13").expect("half a stat");
        fs::remove_file(proc.0.path().join("12/cmdline")).expect("unreadable cmdline");
        let snapshot = proc.look();
        assert_eq!(snapshot.processes.len(), 2);
        assert_eq!(snapshot.processes[1].name(), "game");
    }

    #[test]
    fn a_process_directory_that_is_missing_is_an_error() {
        let mut family = Family::of(10);
        assert!(family.look(&ProcFs::at("/nonexistent"), Duration::ZERO).is_err());
    }

    #[test]
    fn our_own_test_run_is_found_below_its_parent() {
        let own = std::process::id() as i32;
        let mut family = Family::of(nix::unistd::getppid().as_raw());
        let snapshot = family.look(&ProcFs::at("/proc"), Duration::from_secs(1)).expect("read /proc");
        let us = snapshot.processes.iter().find(|process| process.id.pid == own).expect("ourselves");
        assert!(us.rss_bytes > 0);
        assert!(us.argv0.contains("scx_gamer_run"));
    }
}
