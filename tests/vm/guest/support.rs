//! What the guest tests share: starting programs that never stay behind, and waiting for conditions.

use std::fs;
use std::io::Write as _;
use std::ops::Deref;
use std::ops::DerefMut;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use scx_gamer_run::kernel::SchedExtDir;
use scx_gamer_run::sched::Class;
use scx_gamer_run::sched::LeaseId;
use scx_gamer_run::sched::Machine;
use scx_gamer_run::sched::Scheduler;
use scx_gamer_run::sched::Tunables;
use scx_gamer_run::service::cli::Options;

/// How long anything may take under software emulation, on a host that others use as well, before a test gives up.
const PATIENCE: Duration = Duration::from_secs(180);

pub fn sched_ext() -> SchedExtDir {
    SchedExtDir::at(Path::new("/sys"))
}

pub fn state() -> String {
    sched_ext().state().unwrap_or_else(|| "no sched_ext".to_owned())
}

/// Polls `condition` and fails the test, naming `what`, when it does not come true.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        sleep(Duration::from_millis(10));
    }
}

pub fn wait_for_state(wanted: &str) {
    wait_until(&format!("sched_ext is {wanted}"), || state() == wanted);
}

/// A child that is killed and reaped with the test.
pub struct Kept(Child);

impl From<Child> for Kept {
    fn from(child: Child) -> Self {
        Self(child)
    }
}

impl Kept {
    pub fn spawn(command: &mut Command) -> Self {
        command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}")).into()
    }

    pub fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("signal a child");
    }
}

impl Deref for Kept {
    type Target = Child;
    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Kept {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Kills a process that is not our child when the test ends.
pub struct Stray(pub i32);

impl Drop for Stray {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0), Signal::SIGKILL);
    }
}

pub fn scx_gamer(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scx_gamer"));
    command.args(args);
    command
}

pub fn scx_gamer_run(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scx-gamer-run"));
    command.args(args);
    command
}

/// A program of `examples/`, which the ring builds too.
pub fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_scx_gamer")).with_file_name("examples").join(name)
}

/// One process with two threads a CPU that never sleep.
pub fn hogs() -> Kept {
    Kept::spawn(Command::new(example("synthetic_load")).arg("hogs").stdout(Stdio::null()))
}

/// One process with a single thread that never sleeps.
pub fn one_hog() -> Kept {
    Kept::spawn(Command::new("sh").args(["-c", "while :; do :; done"]))
}

/// Time that a process has waited for a CPU, in ns, and how often it has got one.
pub fn waits_of(pid: i32) -> (u64, u64) {
    let schedstat = fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("read schedstat");
    let mut fields = schedstat.split_whitespace().map(|field| field.parse().expect("a number"));
    let (_ran_ns, waited_ns, runs) = (fields.next(), fields.next(), fields.next());
    (waited_ns.expect("run delay"), runs.expect("number of runs"))
}

/// What scx_gamer makes of these flags.
pub fn tunables(flags: &[&str]) -> Tunables {
    Options::from_words(flags).unwrap_or_else(|why| panic!("{why}")).tunables
}

/// Makes this thread a real-time one, and what it starts not: a test that the game starves sees nothing.
pub fn observe_from_above() {
    let parameter = libc::sched_param { sched_priority: 1 };
    // SAFETY: reads one sched_param, which outlives the call; 0 is the calling thread.
    let outcome =
        unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const parameter) };
    assert_eq!(outcome, 0, "become a real-time thread");
}

pub fn attach() -> Scheduler {
    attach_with(&[])
}

pub fn attach_with(flags: &[&str]) -> Scheduler {
    libbpf_rs::set_print(None); // it talks on stderr by default
    observe_from_above();
    Scheduler::attach(&tunables(flags), Path::new("/sys")).unwrap_or_else(|why| panic!("{why}"))
}

/// On a machine that only the scheduler believes in.
pub fn attach_on(machine: &Machine, flags: &[&str]) -> Scheduler {
    libbpf_rs::set_print(None);
    observe_from_above();
    Scheduler::attach_to(machine, &tunables(flags), Path::new("/sys")).unwrap_or_else(|why| panic!("{why}"))
}

/// Pins a game, or nobody, and watches its locks.
pub fn pin(scheduler: &mut Scheduler, lease: LeaseId, game: Option<i32>) {
    scheduler.set_foreground(lease, game);
    scheduler.watch_locks();
}

/// What the kernel part takes the task for.
pub fn class_of(scheduler: &Scheduler, pid: i32) -> Class {
    scheduler.role_of(pid).expect("ask the kernel part").unwrap_or_else(|| panic!("process {pid} is unknown")).class
}

/// A shell that reads commands from us, to fork and exec on demand.
pub fn shell() -> Kept {
    Kept::spawn(Command::new("sh").stdin(Stdio::piped()))
}

/// Gives a shell a command.
pub fn tell(shell: &mut Kept, command: &str) {
    let stdin = shell.stdin.as_mut().expect("stdin is a pipe");
    writeln!(stdin, "{command}").expect("write to the shell");
    stdin.flush().expect("write to the shell");
}

/// The counter called `name`, since the attach.
pub fn count(scheduler: &Scheduler, name: &str) -> u64 {
    scheduler.counts().get(name).unwrap_or_else(|| panic!("no counter is called {name}"))
}

/// CPU time that a process has used, in clock ticks of 10 ms.
pub fn cpu_ticks(pid: i32) -> u64 {
    let stat = procfs::process::Process::new(pid).and_then(|process| process.stat()).expect("read the process's stat");
    stat.utime + stat.stime
}

/// CPU time that a process's main thread has used, in ns.
pub fn cpu_ns(pid: i32) -> u64 {
    let schedstat = fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("read schedstat");
    schedstat.split_whitespace().next().and_then(|ns| ns.parse().ok()).expect("a number of ns")
}

/// Pids of programs that run with `argument` as their only one.
fn pids_with_argument(argument: &str) -> Vec<i32> {
    procfs::process::all_processes()
        .expect("list processes")
        .flatten()
        .filter(|process| process.cmdline().is_ok_and(|args| args.len() == 2 && args[1] == argument))
        .map(|process| process.pid)
        .collect()
}

/// Waits for the one program that runs with `argument` as its only one, such as `sleep 11111`.
pub fn wait_for_process(argument: &str) -> i32 {
    let mut found = Vec::new();
    wait_until(&format!("a process with argument {argument} runs"), || {
        found = pids_with_argument(argument);
        found.len() == 1
    });
    found[0]
}

pub fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Thread ids of a process.
pub fn threads_of(pid: i32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("list threads");
    tasks.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
