//! Other schedulers, with a real scx_loader on a real system bus: are they back afterwards, as they were?
//!
//! What scx_loader runs as scx_bpfland is that, where SCX_GAMER_BPFLAND names it (`make rivals`), else the empty
//! scheduler of `examples/` under that name.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use zbus::blocking::Connection;
use zbus::zvariant::DynamicType;
use zbus::zvariant::OwnedValue;

use crate::support::Kept;
use crate::support::example;
use crate::support::sched_ext;
use crate::support::scx_gamer;
use crate::support::scx_gamer_run;
use crate::support::state;
use crate::support::wait_for_process;
use crate::support::wait_for_state;
use crate::support::wait_until;

const LOADER: &str = "org.scx.Loader";

const RECORD: &str = "/var/lib/scx-gamer/stopped.json";

/// Its slice, in µs: real scx_bpfland knows it, too.
const ARGS: [&str; 2] = ["-s", "3000"];

/// What scx's packages bring for the bus: root alone is scx_loader.
const BUS_POLICY: &str = r#"<busconfig>
  <policy user="root"><allow own="org.scx.Loader"/></policy>
  <policy context="default"><allow send_destination="org.scx.Loader"/></policy>
</busconfig>
"#;

/// And for polkit.
const ACTION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE policyconfig PUBLIC "-//freedesktop//DTD PolicyKit Policy Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/PolicyKit/1/policyconfig.dtd">
<policyconfig>
  <action id="org.scx.loader.manage-schedulers">
    <description>Manage schedulers</description>
    <message>Authentication is needed</message>
    <defaults><allow_any>no</allow_any><allow_inactive>no</allow_inactive><allow_active>auth_admin_keep</allow_active></defaults>
  </action>
</policyconfig>
"#;

/// A machine on which scx_loader runs.
struct Scene {
    connection: Connection,
    // In this order they end.
    _loader: Kept,
    _polkit: Kept,
    _bus: Kept,
    _programs: TempDir,
}

/// What scx_loader says that it runs.
#[derive(Debug, Eq, PartialEq)]
struct Said {
    current: String,
    mode: u32,
    args: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        fs::create_dir_all("/run/dbus").expect("make a directory");
        fs::write("/usr/share/dbus-1/system.d/org.scx.Loader.conf", BUS_POLICY).expect("write");
        fs::write("/usr/share/polkit-1/actions/org.scx.Loader.policy", ACTION).expect("write");
        let bus = quiet(Command::new("dbus-daemon").args(["--system", "--nofork", "--nopidfile", "--nosyslog"]));
        wait_until("the bus listens", || Connection::system().is_ok());
        let connection = Connection::system().expect("connect to the bus");
        let polkit = quiet(Command::new("/usr/lib/polkit-1/polkitd").arg("--no-debug"));
        wait_for_name(&connection, "org.freedesktop.PolicyKit1");

        let programs = tempfile::tempdir().expect("temporary directory");
        let bpfland = std::env::var_os("SCX_GAMER_BPFLAND").map_or_else(|| example("empty_scheduler"), PathBuf::from);
        fs::copy(&bpfland, programs.path().join("scx_bpfland")).unwrap_or_else(|why| panic!("copy {bpfland:?}: {why}"));
        let loader = std::env::var_os("SCX_GAMER_LOADER").expect("SCX_GAMER_LOADER names scx_loader");
        let loader = quiet(Command::new(loader).env("PATH", programs.path()));
        wait_for_name(&connection, LOADER);
        Self { connection, _loader: loader, _polkit: polkit, _bus: bus, _programs: programs }
    }

    /// It runs scx_bpfland with arguments.
    fn with_args() -> Self {
        let scene = Self::new();
        scene.tell("StartSchedulerWithArgs", &("scx_bpfland", &ARGS[..]));
        wait_for_state("enabled");
        scene
    }

    fn tell(&self, method: &str, arguments: &(impl serde::Serialize + DynamicType)) {
        self.connection.call_method(Some(LOADER), "/org/scx/Loader", Some(LOADER), method, arguments).expect(method);
    }

    fn property<T: TryFrom<OwnedValue>>(&self, name: &str) -> T {
        let properties = Some("org.freedesktop.DBus.Properties");
        let reply = self.connection.call_method(Some(LOADER), "/org/scx/Loader", properties, "Get", &(LOADER, name));
        let value: OwnedValue = reply.expect(name).body().deserialize().expect(name);
        T::try_from(value).ok().expect("a property of this type")
    }

    fn said(&self) -> Said {
        Said {
            current: self.property("CurrentScheduler"),
            mode: self.property("SchedulerMode"),
            args: self.property("CurrentSchedulerArgs"),
        }
    }

    /// What is attached, what scx_loader says of it, and the arguments that the program has.
    fn all(&self) -> (Option<String>, Said, Vec<String>) {
        (sched_ext().scheduler(), self.said(), args_of("scx_bpfland"))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Killed, scx_loader would leave its scheduler behind.
        let _ = self.connection.call_method(Some(LOADER), "/org/scx/Loader", Some(LOADER), "StopScheduler", &());
        if !std::thread::panicking() {
            wait_for_state("disabled");
        }
        let _ = fs::remove_file(RECORD);
    }
}

fn quiet(command: &mut Command) -> Kept {
    Kept::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
}

fn wait_for_name(connection: &Connection, name: &str) {
    let bus = "org.freedesktop.DBus";
    wait_until(&format!("{name} is on the bus"), || {
        let reply = connection.call_method(Some(bus), "/org/freedesktop/DBus", Some(bus), "NameHasOwner", &name);
        reply.is_ok_and(|reply| reply.body().deserialize().unwrap_or(false))
    });
}

/// Arguments of the one program of this name, its own name left out.
fn args_of(comm: &str) -> Vec<String> {
    let processes = procfs::process::all_processes().expect("list processes").flatten();
    let mut named = processes.filter(|process| process.stat().is_ok_and(|stat| stat.comm == comm && stat.state != 'Z'));
    let process = named.next().unwrap_or_else(|| panic!("{comm} does not run"));
    assert!(named.next().is_none(), "{comm} runs twice");
    process.cmdline().expect("its command line").into_iter().skip(1).collect()
}

fn ours_is_attached() -> bool {
    state() == "enabled" && sched_ext().scheduler().is_some_and(|name| name.starts_with("gamer"))
}

/// A scx_gamer in a terminal.
fn attached() -> Kept {
    let mut scx_gamer = Kept::spawn(scx_gamer(&[]).stderr(Stdio::piped()));
    wait_until("ours is attached", || {
        if let Some(status) = scx_gamer.try_wait().expect("ask for its end") {
            panic!("{status}: {}", std::io::read_to_string(scx_gamer.stderr.take().expect("stderr")).expect("read"));
        }
        ours_is_attached()
    });
    scx_gamer
}

/// Ends it as Ctrl+C does; what it has said.
fn end(mut scx_gamer: Kept) -> String {
    scx_gamer.signal(Signal::SIGINT);
    let stderr = std::io::read_to_string(scx_gamer.stderr.take().expect("stderr")).expect("read");
    assert_eq!(scx_gamer.wait().expect("wait").code(), Some(0), "{stderr}");
    stderr
}

#[test]
fn a_lease_stops_what_scx_loader_runs_and_it_is_back_with_its_arguments_before_the_wrapper_returns() {
    let scene = Scene::with_args();
    let before = scene.all();
    assert_eq!(before.1, Said { current: "scx_bpfland".to_owned(), mode: 0, args: ARGS.map(str::to_owned).to_vec() });
    let script = "cat /sys/kernel/sched_ext/root/ops; exit 7";
    let output = scx_gamer_run(&["--require", "--", "sh", "-c", script]).output().expect("run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{stderr}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("gamer"), "{stderr}");
    assert_eq!((state().as_str(), scene.all()), ("enabled", before));
    assert!(!Path::new(RECORD).exists());
}

#[test]
fn a_mode_is_back_too() {
    let scene = Scene::new();
    scene.tell("StartScheduler", &("scx_bpfland", 1_u32));
    wait_for_state("enabled");
    let before = scene.all();
    assert_eq!(before.1, Said { current: "scx_bpfland".to_owned(), mode: 1, args: Vec::new() });
    let stderr = end(attached());
    assert!(stderr.contains("stopped scx_bpfland in mode 1"), "{stderr}");
    assert_eq!((state().as_str(), scene.all()), ("enabled", before));
}

#[test]
fn after_sigkill_to_scx_gamer_its_next_start_puts_the_scheduler_back() {
    let scene = Scene::with_args();
    let before = scene.all();
    let mut killed = attached();
    killed.signal(Signal::SIGKILL);
    killed.wait().expect("wait");
    wait_for_state("disabled");
    assert_eq!(scene.said().current, "unknown");
    assert!(Path::new(RECORD).exists());

    let stderr = end(attached());
    let mut lines = stderr.lines().filter(|line| line.contains("scx_bpfland"));
    for part in [" is back: scx_bpfland -s 3000", "stopped scx_bpfland -s 3000", " is back: scx_bpfland -s 3000"] {
        assert!(lines.next().is_some_and(|line| line.contains(part)), "{part} is not next in {stderr}");
    }
    assert_eq!((state().as_str(), scene.all()), ("enabled", before));
    assert!(!Path::new(RECORD).exists());
}

#[test]
fn a_second_start_while_ours_is_attached_changes_nothing_and_the_scheduler_is_back_once_at_the_end() {
    let scene = Scene::with_args();
    let before = scene.all();
    let first = attached();
    let output = scx_gamer_run(&["--wait-attach", "--", "sh", "-c", "exit 4"]).output().expect("run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains("another sched_ext scheduler is active (gamer"), "{stderr}");
    assert!(ours_is_attached(), "the first one stays");
    assert_eq!(scene.said().current, "unknown", "nobody has started the other one beside it");
    end(first);
    assert_eq!((state().as_str(), scene.all()), ("enabled", before));
}

#[test]
fn when_the_kernel_throws_ours_out_the_scheduler_is_back() {
    let scene = Scene::with_args();
    let before = scene.all();
    let mut scx_gamer = attached();
    fs::write("/proc/sysrq-trigger", "S").expect("SysRq-S");
    let stderr = std::io::read_to_string(scx_gamer.stderr.take().expect("stderr")).expect("read");
    assert_eq!(scx_gamer.wait().expect("wait").code(), Some(1), "{stderr}");
    assert_eq!((state().as_str(), scene.all()), ("enabled", before), "{stderr}");
}

#[test]
fn a_terminals_scheduler_is_left_and_the_game_runs() {
    let scene = Scene::new();
    let mut other = Kept::spawn(Command::new(example("empty_scheduler")).stdout(Stdio::null()));
    wait_for_state("enabled");
    let name = sched_ext().scheduler();
    let why = format!("process {} (empty_scheduler) runs it, in a terminal", other.pid());
    for flag in ["--on-conflict=keep", "--on-conflict=replace"] {
        let refused = scx_gamer(&[flag]).output().expect("run");
        let stderr = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(&why), "{stderr}");
    }
    let output = scx_gamer_run(&["--wait-attach", "--", "sh", "-c", "exit 5"]).output().expect("run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(stderr.contains(&why), "{stderr}");
    assert_eq!((sched_ext().scheduler(), scene.said().current.as_str()), (name, "unknown"));
    other.signal(Signal::SIGINT);
    other.wait().expect("wait");
}

#[test]
fn what_the_player_starts_meanwhile_is_not_stopped_again() {
    let scene = Scene::with_args();
    let mut wrapper = Kept::spawn(scx_gamer_run(&["--require", "--", "sleep", "82001"]).stderr(Stdio::null()));
    let game = wait_for_process("82001");
    // It can't attach beside ours, but it is what the player wants now.
    scene.tell("SwitchScheduler", &("scx_bpfland", 2_u32));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(game), Signal::SIGTERM).expect("end the game");
    wrapper.wait().expect("wait");
    assert_eq!(scene.said(), Said { current: "scx_bpfland".to_owned(), mode: 2, args: Vec::new() });
    assert!(!Path::new(RECORD).exists());
}
