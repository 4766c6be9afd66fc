//! Builds process trees for tests: `tree().child("sh").child("game").busy(1.0).build()`.

use crate::game::tree::Identity;
use crate::game::tree::Process;
use crate::game::tree::Snapshot;

const ROOT_PID: i32 = 100;

/// A tree below a wrapper; what follows a child describes that child.
#[derive(Clone)]
pub struct Tree {
    processes: Vec<Process>,
    /// From the root down to the process that the next child gets as its parent.
    path: Vec<i32>,
}

/// An empty tree.
pub fn tree() -> Tree {
    Tree { processes: Vec::new(), path: vec![ROOT_PID] }
}

impl Tree {
    /// Adds a child and goes down to it.
    pub fn child(mut self, comm: &str) -> Self {
        let pid = ROOT_PID + 1 + self.processes.len() as i32;
        let parent_pid = self.path.last().copied().unwrap_or(ROOT_PID);
        self.processes.push(Process {
            id: Identity { pid, start_ticks: pid as u64 },
            parent_pid,
            comm: comm.to_owned(),
            argv0: comm.to_owned(),
            threads: 1,
            rss_bytes: 10 << 20,
            ..Process::default()
        });
        self.path.push(pid);
        self
    }

    /// Adds a child and stays.
    pub fn leaf(self, comm: &str) -> Self {
        self.child(comm).up(1)
    }

    /// Goes up again.
    pub fn up(mut self, levels: usize) -> Self {
        self.path.truncate(self.path.len().saturating_sub(levels).max(1));
        self
    }

    /// Its first argument, which is its name unless given.
    pub fn argv0(self, argv0: &str) -> Self {
        self.with(|process| process.argv0 = argv0.to_owned())
    }

    /// CPUs that it used since the look before.
    pub fn busy(self, busy_cpus: f64) -> Self {
        self.with(|process| process.busy_cpus = busy_cpus)
    }

    /// Its number of threads.
    pub fn threads(self, threads: u32) -> Self {
        self.with(|process| process.threads = threads)
    }

    /// Its resident memory.
    pub fn rss_mib(self, rss_mib: u64) -> Self {
        self.with(|process| process.rss_bytes = rss_mib << 20)
    }

    /// Its open GPU descriptors.
    pub fn gpu(self, descriptors: usize) -> Self {
        self.with(|process| process.gpu_descriptors = descriptors)
    }

    fn with(mut self, change: impl FnOnce(&mut Process)) -> Self {
        change(self.processes.last_mut().expect("a child to describe"));
        self
    }

    /// The tree as a look would have brought it.
    pub fn build(self) -> Snapshot {
        Snapshot { processes: self.processes }
    }
}

impl Snapshot {
    /// The first process of that name.
    pub fn id_of(&self, comm: &str) -> Identity {
        self.processes.iter().find(|process| process.comm == comm).expect("a process of that name").id
    }

    /// PID of the first process of that name.
    pub fn pid_of(&self, comm: &str) -> i32 {
        self.id_of(comm).pid
    }

    /// The same moment, had those processes ended.
    pub fn without(&self, comm: &str) -> Snapshot {
        Snapshot { processes: self.processes.iter().filter(|process| process.comm != comm).cloned().collect() }
    }
}
