//! A machine as files: what sysfs says of schedulers, and /proc of processes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;

use scx_gamer_run::service::rivals::OnConflict;
use scx_gamer_run::service::rivals::Rivals;
use tempfile::TempDir;

/// The process that keeps a scheduler attached.
const RUNNER: i32 = 60;

/// Clones are the same machine.
#[derive(Clone)]
pub struct Machine {
    root: Arc<TempDir>,
}

impl Machine {
    /// Nothing is attached, and we are process 10.
    pub fn new() -> Self {
        let machine = Self { root: Arc::new(tempfile::tempdir().expect("temporary directory")) };
        for directory in ["sys/kernel/sched_ext", "proc/sys/kernel/random"] {
            fs::create_dir_all(machine.path(directory)).expect("make directories");
        }
        machine.write("proc/sys/kernel/random/boot_id", "this-boot\n");
        machine.detach();
        machine.be(10);
        machine
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// At once, as the kernel's own files change: nobody reads half of it.
    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file in a directory")).expect("make directories");
        let new = path.with_extension("new");
        fs::write(&new, text).expect("write");
        fs::rename(new, path).expect("put it in place");
    }

    /// The scheduler that the kernel reports; "disabled" where there is none.
    pub fn attached(&self) -> String {
        let read = |name| fs::read_to_string(self.path(name)).unwrap_or_default().trim().to_owned();
        match read("sys/kernel/sched_ext/state").as_str() {
            "enabled" => read("sys/kernel/sched_ext/root/ops"),
            state => state.to_owned(),
        }
    }

    pub fn attach(&self, ops: &str) {
        self.write("sys/kernel/sched_ext/root/ops", ops);
        self.write("sys/kernel/sched_ext/state", "enabled\n");
    }

    pub fn detach(&self) {
        self.write("sys/kernel/sched_ext/state", "disabled\n");
        let _ = fs::remove_dir_all(self.path("sys/kernel/sched_ext/root"));
        let _ = fs::remove_dir_all(self.path(&format!("proc/{RUNNER}")));
    }

    /// A process that keeps the scheduler attached: `parent` has started it, in this cgroup.
    pub fn run(&self, command: &[&str], parent: u32, cgroup: &str) {
        let comm = command[0];
        self.live(RUNNER, comm, parent);
        let file = |name: &str| format!("proc/{RUNNER}/{name}");
        self.write(&file("comm"), &format!("{comm}\n"));
        self.write(&file("cgroup"), &format!("0::{cgroup}\n"));
        self.write(&file("cmdline"), &command.iter().map(|word| format!("{word}\0")).collect::<String>());
        self.write(&file("fdinfo/7"), "pos:\t0\nlink_type:\tstruct_ops\nlink_id:\t3\nmap_id:\t12\n");
        self.drop_link();
        self.take_link();
    }

    /// The process that keeps the scheduler attached has the link to it, as it has once attaching returns.
    pub fn take_link(&self) {
        let descriptors = self.path(&format!("proc/{RUNNER}/fd"));
        fs::create_dir_all(&descriptors).expect("make a directory");
        symlink("anon_inode:bpf_link", descriptors.join("7")).expect("link");
    }

    /// It has not.
    pub fn drop_link(&self) {
        let _ = fs::remove_dir_all(self.path(&format!("proc/{RUNNER}/fd")));
    }

    fn live(&self, pid: i32, comm: &str, parent: u32) {
        let zeros = "0 ".repeat(30);
        let start_ticks = 1000 + pid;
        let stat =
            format!("{pid} ({comm}) S {parent} 1 1 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 {start_ticks} {zeros}\n");
        self.write(&format!("proc/{pid}/stat"), &stat);
    }

    /// From now on we are process `pid`.
    pub fn be(&self, pid: i32) {
        self.live(pid, "scx_gamer", 1);
        let _ = fs::remove_file(self.path("proc/self"));
        symlink(pid.to_string(), self.path("proc/self")).expect("link");
    }

    /// Process 10 has died, and we are process 11.
    pub fn be_the_next_one(&self) {
        fs::remove_dir_all(self.path("proc/10")).expect("remove");
        self.be(11);
    }

    pub fn rivals(&self, bus_address: &str, policy: OnConflict) -> Rivals {
        Rivals::new(&self.path("sys"), &self.path("proc"), &self.path("state"), policy).with_bus(bus_address)
    }

    pub fn has_record(&self) -> bool {
        self.path("state/stopped.json").exists()
    }
}
