//! `scx_gamer --serve` and players without privilege. Who systemd and logind have a say about is in `system.rs`.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use scx_gamer_run::session::protocol::Event;
use scx_gamer_run::session::protocol::Request;
use scx_gamer_run::session::protocol::VERSION;
use scx_gamer_run::session::transport::Received;
use scx_gamer_run::session::transport::Transport;
use tempfile::TempDir;

use crate::direct::lift_real_time_limits;
use crate::direct::starve_a_task_on_cpu_0;
use crate::support::Kept;
use crate::support::Stray;
use crate::support::is_alive;
use crate::support::observe_from_above;
use crate::support::scx_gamer;
use crate::support::scx_gamer_run;
use crate::support::state;
use crate::support::wait_for_process;
use crate::support::wait_for_state;
use crate::support::wait_until;

/// A group that every Debian has, by name and number.
const GROUP: (&str, &str) = ("games", "60");

/// Players without any right of their own.
const ALICE: &str = "1500";
const BOB: &str = "1501";

/// A service that listens in a directory of its own.
struct Service {
    process: Kept,
    directory: TempDir,
}

impl Service {
    fn start(flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(directory.path(), open).expect("let everybody in");
        let path = directory.path().join("socket");
        let said = fs::File::create(directory.path().join("said")).expect("make a file");
        let mut command = scx_gamer(&["--serve", "-v", "--group", GROUP.0, "--socket"]);
        let process = Kept::spawn(command.arg(&path).args(flags).stderr(Stdio::from(said)));
        // The path appears with bind(2), which a connect(2) before listen(2) finds refused.
        wait_until("the service listens", || Transport::connect(&path).is_ok());
        assert_eq!(state(), "disabled", "nobody plays yet");
        Self { process, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn said(&self) -> String {
        fs::read_to_string(self.path("said")).unwrap_or_default()
    }

    /// The wrapper of a player who is in these groups; what it says goes to the file `log`.
    fn played_by(&self, uid: &str, groups: &str, log: &str, words: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", uid, "--regid", uid, if groups.is_empty() { "--clear-groups" } else { "--groups" }]);
        command.args((!groups.is_empty()).then_some(groups)).arg(env!("CARGO_BIN_EXE_scx-gamer-run"));
        command.arg(format!("--socket={}", self.path("socket").display())).arg("-v").args(words);
        let log = fs::File::create(self.path(log)).expect("make a file");
        command.env("HOME", "/nowhere").stderr(Stdio::from(log));
        command
    }

    /// A game of a member of the group, which is scheduled once this returns.
    fn plays(&self, uid: &str, seconds: &str) -> (Kept, i32) {
        let words = ["--require", "--", "sleep", seconds];
        let wrapper = Kept::spawn(&mut self.played_by(uid, GROUP.1, seconds, &words));
        let game = wait_for_process(seconds);
        self.wait_for(seconds, &format!("foreground: sleep (TGID {game})"));
        assert_eq!(state(), "enabled");
        (wrapper, game)
    }

    fn wait_for(&self, log: &str, words: &str) {
        wait_until(&format!("{log} tells: {words}"), || self.log(log).contains(words));
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn nr_descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.pid())).expect("list its descriptors").count()
    }

    fn anonymous_kb(&self) -> u64 {
        let process = procfs::process::Process::new(self.process.pid()).expect("it lives");
        process.status().expect("read status").rssanon.expect("a size")
    }

    /// A client that holds a lease, without a wrapper.
    fn lease(&self) -> Transport {
        let client = Transport::connect(&self.path("socket")).expect("connect");
        client.send(&Request::Hello { version: VERSION }, None).expect("send");
        client.send(&Request::Acquire { since_boot_ns: 0, tuning: Default::default() }, None).expect("send");
        self.hear(&client, |event| matches!(event, Event::Attached { .. }));
        client
    }

    fn hear(&self, client: &Transport, wanted: impl Fn(&Event) -> bool) {
        wait_until("the service answers", || match client.receive::<Event>() {
            Ok(Received::Message(event, _)) if wanted(&event) => true,
            Ok(Received::Message(Event::Error { message, .. }, _)) => panic!("{message}: {}", self.said()),
            Ok(Received::Message(..) | Received::Nothing) => false,
            other => panic!("{other:?}: {}", self.said()),
        });
    }

    /// Gives a lease back and waits until that is done.
    fn give_back(&self, client: Transport) {
        client.send(&Request::Release, None).expect("send");
        self.hear(&client, |event| matches!(event, Event::Released { .. }));
    }
}

fn ends_with(wrapper: &mut Kept, game: i32, status: i32) {
    kill(Pid::from_raw(game), Signal::SIGTERM).expect("end the game");
    assert_eq!(wrapper.wait().expect("wait").code(), Some(status));
}

#[test]
fn a_member_of_the_group_plays_scheduled_without_any_right_and_the_machine_is_back_after() {
    let service = Service::start(&[]);
    let script = "cat /sys/kernel/sched_ext/state; exit 7";
    let output = service.played_by(ALICE, GROUP.1, "log", &["--require", "--", "sh", "-c", script]).output();
    let output = output.expect("run");
    assert_eq!(output.status.code(), Some(7), "{}", service.log("log"));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "enabled");
    assert_eq!(state(), "disabled", "before the wrapper has returned");
    assert!(service.log("log").contains("the scheduler from before is back"), "{}", service.log("log"));
}

#[test]
fn who_is_neither_root_nor_of_the_group_nor_sits_here_plays_unscheduled_and_is_told_what_to_do() {
    let service = Service::start(&[]);
    let status = service.played_by(BOB, "", "log", &["--wait-attach", "--", "sh", "-c", "exit 4"]).status();
    assert_eq!(status.expect("run").code(), Some(4));
    let said = service.log("log");
    assert!(said.contains("user 1501 neither sits at this machine"), "{said}");
    assert!(said.contains("Hint: sudo usermod -aG games"), "{said}");
    assert_eq!(state(), "disabled");
    assert!(
        scx_gamer_run(&["--require", &format!("--socket={}", service.path("socket").display()), "true"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success()),
        "root may"
    );
}

#[test]
fn games_of_two_players_share_the_scheduler_and_the_last_one_gives_the_machine_back() {
    let service = Service::start(&[]);
    let (mut first, first_game) = service.plays(ALICE, "82001");
    let (mut second, second_game) = service.plays(BOB, "82002");
    ends_with(&mut first, first_game, 128 + 15);
    assert_eq!(state(), "enabled");
    assert!(service.log("82001").contains("the scheduler stays for another game"), "{}", service.log("82001"));
    ends_with(&mut second, second_game, 128 + 15);
    assert_eq!(state(), "disabled");
    assert!(service.log("82002").contains("the scheduler from before is back"), "{}", service.log("82002"));
}

#[test]
fn a_killed_wrapper_ends_its_lease_and_its_game_lives() {
    let service = Service::start(&[]);
    let (mut wrapper, game) = service.plays(ALICE, "82003");
    let _cleanup = Stray(game);
    wrapper.signal(Signal::SIGKILL);
    wrapper.wait().expect("wait");
    wait_for_state("disabled");
    assert!(is_alive(game));
    let (mut next, game) = service.plays(ALICE, "82004");
    ends_with(&mut next, game, 128 + 15);
}

#[test]
fn a_killed_service_leaves_the_machine_to_the_kernel_and_the_game_alive() {
    let service = Service::start(&[]);
    let (mut wrapper, game) = service.plays(ALICE, "82005");
    service.process.signal(Signal::SIGKILL);
    wait_for_state("disabled");
    service.wait_for("82005", "scx_gamer closed the session; the game goes on");
    assert!(is_alive(game) && is_alive(wrapper.pid()));
    ends_with(&mut wrapper, game, 128 + 15);
}

#[test]
fn a_service_that_is_told_to_end_detaches_first_and_the_game_goes_on() {
    let mut service = Service::start(&[]);
    let (mut wrapper, game) = service.plays(ALICE, "82006");
    service.process.signal(Signal::SIGTERM);
    assert_eq!(service.process.wait().expect("wait").code(), Some(0));
    assert_eq!(state(), "disabled");
    service.wait_for("82006", "scx_gamer was told to stop; the game goes on");
    ends_with(&mut wrapper, game, 128 + 15);
}

#[test]
fn a_player_may_not_name_the_process_of_another() {
    let service = Service::start(&[]);
    let roots = Kept::spawn(Command::new("sleep").arg("82007"));
    let pid = roots.pid().to_string();
    let words = ["--require", "--foreground-pid", &pid, "--", "sleep", "82008"];
    let mut wrapper = Kept::spawn(&mut service.played_by(ALICE, GROUP.1, "log", &words));
    service.wait_for("log", &format!("process {pid} belongs to user 0, not to user 1500"));
    let game = wait_for_process("82008");
    ends_with(&mut wrapper, game, 128 + 15);
}

#[test]
fn a_player_in_a_pid_namespace_with_no_new_privileges_is_scheduled_too() {
    let service = Service::start(&[]);
    let mut command = Command::new("setpriv");
    command.args(["--reuid", ALICE, "--regid", ALICE, "--groups", GROUP.1, "--no-new-privs"]);
    command.args(["bwrap", "--dev-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "--"]);
    command.arg(env!("CARGO_BIN_EXE_scx-gamer-run"));
    command.arg(format!("--socket={}", service.path("socket").display())).args(["--require", "-v", "--"]);
    let preload = "/lib/x86_64-linux-gnu/libm.so.6";
    command.args(["sh", "-c", "echo preload=$LD_PRELOAD >&2; exec sleep 82009"]).env("LD_PRELOAD", preload);
    let log = fs::File::create(service.path("log")).expect("make a file");
    let mut sandbox = Kept::spawn(command.env("HOME", "/nowhere").stderr(Stdio::from(log)));
    let game = wait_for_process("82009");
    service.wait_for("log", &format!("foreground: sleep (TGID {game})"));
    assert_eq!(state(), "enabled");
    assert!(service.log("log").contains(&format!("preload={preload}")), "{}", service.log("log"));
    ends_with(&mut sandbox, game, 128 + 15);
    assert_eq!(state(), "disabled");
}

#[test]
fn a_fifth_game_of_one_player_runs_unscheduled_and_the_four_go_on() {
    let service = Service::start(&[]);
    let mut games: Vec<(Kept, i32)> =
        ["82011", "82012", "82013", "82014"].iter().map(|seconds| service.plays(ALICE, seconds)).collect();
    let fifth = service.played_by(ALICE, GROUP.1, "log", &["--wait-attach", "--", "sh", "-c", "exit 3"]).status();
    assert_eq!(fifth.expect("run").code(), Some(3));
    assert!(service.log("log").contains("one user may hold 4 leases"), "{}", service.log("log"));
    let (wrapper, game) = service.plays(BOB, "82015");
    games.push((wrapper, game));
    for (wrapper, game) in &mut games {
        assert_eq!(state(), "enabled");
        ends_with(wrapper, *game, 128 + 15);
    }
    assert_eq!(state(), "disabled");
}

#[test]
fn tuning_of_the_first_game_holds_and_a_value_out_of_range_is_told_and_ignored() {
    let service = Service::start(&["--slice-us", "3000"]);
    let words = ["--require", "--tune=frame-window-us=2000", "--tune=frame-hz=100", "--", "sleep", "82016"];
    let mut wrapper = Kept::spawn(&mut service.played_by(ALICE, GROUP.1, "log", &words));
    let game = wait_for_process("82016");
    service.wait_for("log", "frames: timer as told");
    ends_with(&mut wrapper, game, 128 + 15);
    let words = ["--wait-attach", "--tune=mig-max=0", "--", "sh", "-c", "cat /sys/kernel/sched_ext/state"];
    let output = service.played_by(ALICE, GROUP.1, "log", &words).output().expect("run");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "enabled");
    let said = service.log("log");
    assert!(said.contains("--mig-max") && said.contains("; ignored"), "{said}");
}

#[test]
fn a_scheduler_that_fails_is_attached_again_with_the_family_and_the_game_as_they_were() {
    observe_from_above();
    lift_real_time_limits();
    let service = Service::start(&["--watchdog-secs", "1"]);
    // An orphan of the family, to which no parent link leads. It is there before the game is one.
    let keeper = service.path("keeper");
    fs::copy("/bin/sleep", &keeper).expect("copy sleep");
    let script = format!("(setsid {} 82017 &) ; exec sleep 82018", keeper.display());
    let words = ["--require", "--exe=sleep", "--", "sh", "-c", &script];
    let mut wrapper = Kept::spawn(&mut service.played_by(ALICE, GROUP.1, "log", &words));
    let game = wait_for_process("82018");
    let _orphan = Stray(wait_for_process("82017"));
    service.wait_for("log", &format!("foreground: sleep (TGID {game})"));
    let starving = starve_a_task_on_cpu_0(service.process.pid(), 10);
    service.wait_for("log", "longer than --watchdog-secs 1 allows; the game goes on");
    drop(starving);
    wait_until("it is attached again", || service.log("log").matches("scheduled by gamer").count() == 2);
    assert_eq!(state(), "enabled");
    // The service tells each time that it marks somebody: the wrapper's descendants, and the orphan by itself.
    let said = service.said();
    let (_, since) = said.split_once("it is attached again in").expect("it says so");
    assert!(since.matches("belong to it").count() >= 2, "the orphan is family again: {said}");
    let pinned = || service.log("log").matches(&format!("foreground: sleep (TGID {game})")).count();
    wait_until("the game is pinned again", || pinned() >= 2);
    ends_with(&mut wrapper, game, 128 + 15);
    assert_eq!(state(), "disabled");
}

#[test]
fn a_scheduler_that_fails_three_times_is_left_out_until_nobody_plays() {
    observe_from_above();
    lift_real_time_limits();
    let service = Service::start(&["--watchdog-secs", "1"]);
    let (mut wrapper, game) = service.plays(ALICE, "82019");
    for outcome in
        ["it is attached again in 1 s", "it is attached again in 5 s", "it is not attached again for those who hold"]
    {
        wait_for_state("enabled");
        let _starving = starve_a_task_on_cpu_0(service.process.pid(), 10);
        let told = format!("longer than --watchdog-secs 1 allows; {outcome}");
        wait_until(&format!("the service tells: {told}"), || service.said().contains(&told));
    }
    assert_eq!(state(), "disabled");
    assert!(is_alive(game));
    let another = service.played_by(BOB, GROUP.1, "log", &["--wait-attach", "--", "true"]).status();
    assert!(another.is_ok_and(|status| status.success()));
    assert!(service.log("log").contains("the kernel has ended the scheduler too often"), "{}", service.log("log"));
    ends_with(&mut wrapper, game, 128 + 15);
    let (mut next, game) = service.plays(BOB, "82020");
    ends_with(&mut next, game, 128 + 15);
}

#[test]
fn sysrq_is_a_wish_and_nothing_is_attached_again() {
    let service = Service::start(&[]);
    let (mut wrapper, game) = service.plays(ALICE, "82021");
    fs::write("/proc/sysrq-trigger", "S").expect("SysRq-S");
    wait_until("the service tells", || service.said().contains("it is not attached again"));
    sleep(Duration::from_millis(1500)); // longer than the first attempt would take to come
    assert_eq!(state(), "disabled");
    ends_with(&mut wrapper, game, 128 + 15);
}

/// Numbers of the BPF programs in the kernel.
fn bpf_programs() -> usize {
    libbpf_rs::query::ProgInfoIter::default().count()
}

#[test]
fn leases_and_attaches_that_come_and_go_leave_nothing_behind() {
    observe_from_above();
    let service = Service::start(&[]);
    let attach_and_detach = || {
        let held = service.lease();
        for _ in 0..100 {
            service.give_back(service.lease());
        }
        assert_eq!(state(), "enabled");
        service.give_back(held);
        assert_eq!(state(), "disabled");
        service.anonymous_kb()
    };
    // What the allocator keeps settles within a few of them, at 2.1 to 3.2 MB.
    let settled_kb = (0..3).map(|_| attach_and_detach()).max().expect("three of them");
    wait_until("their programs are freed", || bpf_programs() == 0);
    let descriptors = service.nr_descriptors();
    let nr_attaches = std::env::var("SCX_GAMER_ATTACHES").map_or(5, |number| number.parse().expect("a number"));
    let last_kb = (0..nr_attaches).map(|_| attach_and_detach()).last().expect("one at least");
    wait_until("their programs are freed", || bpf_programs() == 0);
    wait_until("descriptors are no more than before", || service.nr_descriptors() <= descriptors);
    println!("{nr_attaches} attaches: {settled_kb} kB of anonymous memory before, {last_kb} kB after");
    assert!(last_kb < settled_kb + 1024, "from {settled_kb} kB to {last_kb} kB");
}

#[test]
fn a_second_service_at_the_same_place_is_refused_and_the_first_one_goes_on() {
    let service = Service::start(&[]);
    let mut second = scx_gamer(&["--serve", "--socket"]);
    let output = second.arg(service.path("socket")).output().expect("run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("another program serves at"), "{said}");
    assert!(Path::new(&service.path("socket")).exists());
    service.give_back(service.lease());
}
