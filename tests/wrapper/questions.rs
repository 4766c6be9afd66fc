//! `--doctor` and `--status`: who is asked, what is told, and with which exit status.

use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::os::fd::FromRawFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::path::PathBuf;
use std::process::Output;
use std::thread;

use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::Backlog;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::UnixAddr;
use nix::sys::socket::accept;
use nix::sys::socket::bind;
use nix::sys::socket::listen;
use nix::sys::socket::socket;
use scx_gamer_run::session::protocol::Event;
use scx_gamer_run::session::protocol::LeaseStatus;
use scx_gamer_run::session::protocol::Leases;
use scx_gamer_run::session::protocol::Request;
use scx_gamer_run::session::protocol::VERSION;
use scx_gamer_run::session::transport::Received;
use scx_gamer_run::session::transport::Transport;
use scx_gamer_run::wrapper::Roots;
use scx_gamer_run::wrapper::doctor;
use scx_gamer_run::wrapper::status;
use scx_gamer_run::wrapper::status::Status;
use serde_json::Value;
use tempfile::TempDir;

use crate::rig::Rig;
use crate::rig::text;

/// A machine of files, and whoever listens on it.
struct Machine(TempDir);

impl Machine {
    /// With this scheduler attached, or with none.
    fn where_attached(scheduler: Option<&str>) -> Self {
        let machine = Self(tempfile::tempdir().expect("temporary directory"));
        let sched_ext = machine.path("sys/kernel/sched_ext");
        fs::create_dir_all(sched_ext.join("root")).expect("make directories");
        fs::write(sched_ext.join("state"), scheduler.map_or("disabled\n", |_| "enabled\n")).expect("write");
        if let Some(name) = scheduler {
            fs::write(sched_ext.join("root/ops"), format!("{name}\n")).expect("write");
        }
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A service that tells of these leases.
    fn with_service(self, leases: &[LeaseStatus]) -> Self {
        let listener = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).expect("socket");
        bind(listener.as_raw_fd(), &UnixAddr::new(&self.path("service")).expect("an address")).expect("bind");
        listen(&listener, Backlog::new(4).expect("a backlog")).expect("listen");
        let leases = leases.to_vec();
        thread::spawn(move || {
            while let Ok(accepted) = accept(listener.as_raw_fd()) {
                // SAFETY: the kernel has just made this descriptor for us.
                serve(&Transport::from(unsafe { OwnedFd::from_raw_fd(accepted) }), &leases);
            }
        });
        self
    }

    /// A scx_gamer at its metrics socket that answers the first line so.
    fn with_scheduler(self, answer: String) -> Self {
        let listener = UnixListener::bind(self.path("metrics")).expect("bind");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accept");
            let mut line = String::new();
            BufReader::new(stream.try_clone().expect("clone")).read_line(&mut line).expect("a request");
            let _ = writeln!(stream, "{answer}"); // who has heard enough hangs up
        });
        self
    }

    fn with_scheduler_that_holds(self, leases: &[LeaseStatus]) -> Self {
        let held = Leases { leases: leases.to_vec() };
        self.with_scheduler(serde_json::json!({"errno": 0, "args": {"resp": held}}).to_string())
    }

    /// What `--status` finds, or its message and its hint.
    fn status(&self) -> Result<Status, (String, Option<String>)> {
        self.asking(status::find_out).map_err(|failure| (failure.message, failure.hint))
    }

    fn asking<T>(&self, ask: impl FnOnce(&Roots<'_>) -> T) -> T {
        let (sysfs, nothing) = (self.path("sys"), self.path("nothing"));
        let (service, metrics) = (self.path("service"), self.path("metrics"));
        ask(&Roots { sysfs: &sysfs, procfs: Path::new("/proc"), dev: &nothing, service: &service, metrics: &metrics })
    }
}

/// Answers until the client has gone.
fn serve(session: &Transport, leases: &[LeaseStatus]) {
    loop {
        let _ = poll(&mut [PollFd::new(session.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
        let answer = match session.receive() {
            Ok(Received::Message(Request::Hello { .. }, _)) => Event::Hello { version: VERSION },
            Ok(Received::Message(Request::Status, _)) => Event::Status { leases: leases.to_vec() },
            Ok(Received::Nothing) => continue,
            _ => return,
        };
        let _ = session.send(&answer, None);
    }
}

fn lease(pid: i32) -> LeaseStatus {
    let foreground_comm = Some("eldenring.exe".to_owned());
    LeaseStatus { pid, uid: 1000, foreground_tgid: Some(pid + 1), foreground_comm, since: 1_790_000_000 }
}

fn status_of(state: Option<&str>, scheduler: Option<&str>, leases: &[LeaseStatus]) -> Status {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Status { scheduler: owned(scheduler), state: owned(state), leases: leases.to_vec() }
}

fn enabled(scheduler: &str, leases: &[LeaseStatus]) -> Status {
    status_of(Some("enabled"), Some(scheduler), leases)
}

#[test]
fn the_service_tells_who_holds_the_scheduler() {
    let leases = [lease(70), lease(80)];
    let machine = Machine::where_attached(Some("gamer_0.1.0")).with_service(&leases);
    assert_eq!(machine.status(), Ok(enabled("gamer_0.1.0", &leases)));
}

#[test]
fn a_scheduler_without_a_service_tells_it_where_its_metrics_are() {
    let ours = || Machine::where_attached(Some("gamer_0.1.0"));
    let held = enabled("gamer_0.1.0", &[lease(70)]);
    assert_eq!(ours().with_scheduler_that_holds(&[lease(70)]).status(), Ok(held.clone()));
    // Beside a service that has no part in it, too.
    assert_eq!(ours().with_service(&[]).with_scheduler_that_holds(&[lease(70)]).status(), Ok(held));
    assert_eq!(ours().with_service(&[]).status(), Ok(enabled("gamer_0.1.0", &[])));
}

#[test]
fn where_none_of_ours_is_attached_nobody_holds_one_and_nobody_needs_to_answer() {
    assert_eq!(Machine::where_attached(None).status(), Ok(status_of(Some("disabled"), None, &[])));
    assert_eq!(Machine::where_attached(Some("lavd_1.1.4")).status(), Ok(enabled("lavd_1.1.4", &[])));
    let without_sched_ext = Machine::where_attached(None);
    fs::remove_dir_all(without_sched_ext.path("sys")).expect("remove");
    assert_eq!(without_sched_ext.status(), Ok(status_of(None, None, &[])));
}

#[test]
fn a_scheduler_that_nobody_answers_for_is_a_failure_with_a_hint() {
    let machine = Machine::where_attached(Some("gamer_0.1.0"));
    let message = format!("gamer_0.1.0 is attached, but nobody answers at {}", machine.path("metrics").display());
    assert_eq!(machine.status(), Err((message, Some("`pgrep -a scx_gamer` tells what has attached it".to_owned()))));

    let older = r#"{"errno":22,"args":{"resp":"Invalid argument: unknown request \"leases\""}}"#.to_owned();
    let machine = Machine::where_attached(Some("gamer_0.0.1")).with_scheduler(older);
    let (message, hint) = machine.status().expect_err("an older scx_gamer was understood");
    let why = "refuses: Invalid argument: unknown request \"leases\"";
    assert!(
        message.starts_with("gamer_0.0.1 is attached, but the scx_gamer at ") && message.ends_with(why),
        "{message}"
    );
    assert!(hint.is_some());
}

#[test]
fn a_player_is_told_that_only_root_may_ask() {
    let machine = Machine::where_attached(Some("gamer_0.1.0")).with_scheduler_that_holds(&[lease(70)]);
    fs::set_permissions(machine.path("metrics"), fs::Permissions::from_mode(0o000)).expect("chmod");
    if nix::unistd::geteuid().is_root() {
        assert!(machine.status().is_ok(), "root may");
        return;
    }
    let message = "gamer_0.1.0 is attached, and who holds it is for root to ask".to_owned();
    assert_eq!(machine.status(), Err((message, Some("sudo scx-gamer-run --status".to_owned()))));
}

#[test]
fn doctor_sees_the_service_and_the_scheduler_that_are_there() {
    let says = |machine: &Machine, name: &str| {
        let checks = machine.asking(doctor::examine);
        checks.into_iter().find(|check| check.name == name).map(|check| check.says)
    };
    let machine = Machine::where_attached(Some("lavd_1.1.4")).with_service(&[]);
    let answers = format!("it answers at {}", machine.path("service").display());
    assert_eq!(says(&machine, "service"), Some(answers));
    assert_eq!(says(&machine, "scheduler").as_deref(), Some("another sched_ext scheduler is active (lavd_1.1.4)"));
    let nobody = Machine::where_attached(None);
    assert!(says(&nobody, "service").is_some_and(|says| says.starts_with("nobody listens at ")));
    assert_eq!(says(&nobody, "scheduler").as_deref(), Some("no sched_ext scheduler is attached"));
}

fn ask_program(words: &[&str]) -> (Output, String) {
    let output = Rig::where_scx_gamer("fails").run(words);
    let stdout = text(&output.stdout);
    (output, stdout)
}

fn json(stdout: &str) -> Value {
    serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{error} in {stdout}"))
}

#[test]
fn doctor_names_the_kernel_and_its_status_is_1_exactly_if_a_check_fails() {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("read the kernel's release");
    let (output, stdout) = ask_program(&["--doctor", "--json"]);
    let answer = json(&stdout);
    let has_failed = answer["verdict"] == "fail";
    assert_eq!(output.status.code(), Some(i32::from(has_failed)), "{stdout}");
    assert!(text(&output.stderr).is_empty(), "{}", text(&output.stderr));
    let kernel = &answer["checks"][0];
    assert!(kernel["says"].as_str().is_some_and(|says| says.contains(release.trim())), "{kernel}");
    if !Path::new("/sys/kernel/sched_ext").exists() {
        assert_eq!((&kernel["name"], &kernel["verdict"]), (&Value::from("kernel"), &Value::from("fail")));
        assert!(kernel["hint"].is_string() && has_failed, "{kernel}");
    }

    let (output, stdout) = ask_program(&["--doctor"]);
    assert_eq!(output.status.code(), Some(i32::from(has_failed)), "{stdout}");
    let first = stdout.lines().next().unwrap_or_default();
    assert!(first.contains("  kernel ") && first.contains(release.trim()), "{stdout}");
    let is_check = |line: &&str| ["ok  ", "warn", "fail"].iter().any(|verdict| line.starts_with(verdict));
    let nr_checks = answer["checks"].as_array().map(Vec::len);
    assert_eq!(Some(stdout.lines().filter(is_check).count()), nr_checks, "{stdout}");
    let others = stdout.lines().filter(|line| !is_check(line)).collect::<Vec<_>>();
    assert!(others.iter().all(|line| line.starts_with("      Hint: ")), "{others:?}");
}

#[test]
fn status_is_told_on_stdout_and_json_has_leases_scheduler_and_state() {
    if Path::new("/sys/kernel/sched_ext/root/ops").exists() {
        return; // what holds this machine's scheduler is not ours to know
    }
    let (output, stdout) = ask_program(&["--status"]);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(0), "no scheduler of ours is attached\n"));
    let (output, stdout) = ask_program(&["--status", "--json"]);
    let answer = json(&stdout);
    assert_eq!((output.status.code(), &answer["leases"]), (Some(0), &Value::Array(vec![])));
    assert!(answer["scheduler"].is_null() && answer.get("state").is_some(), "{answer}");
}

#[test]
fn a_question_beside_a_game_starts_neither() {
    for words in [&["--doctor", "/bin/sh", "-c", "echo ran"][..], &["--status", "--doctor"], &["--json", "true"]] {
        let (output, stdout) = ask_program(words);
        assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""), "{words:?}");
        assert_eq!(text(&output.stderr).lines().count(), 2, "{}", text(&output.stderr));
    }
}
