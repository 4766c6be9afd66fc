//! What is told about a scheduler that runs: printed, served, and read by another process.

use std::collections::BTreeMap;
use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use nix::fcntl::FcntlArg;
use nix::fcntl::fcntl;
use nix::sys::signal::Signal;
use scx_gamer_run::sched::stats::metrics;
use serde_json::Value;
use serde_json::json;

use crate::support::Kept;
use crate::support::Stray;
use crate::support::cpu_ticks;
use crate::support::example;
use crate::support::hogs;
use crate::support::observe_from_above;
use crate::support::one_hog;
use crate::support::scx_gamer;
use crate::support::scx_gamer_run;
use crate::support::state;
use crate::support::threads_of;
use crate::support::wait_for_process;
use crate::support::wait_for_state;
use crate::support::wait_until;

const SOCKET: &str = "/var/run/scx/root/stats";

/// A scx_gamer whose metrics can be asked for, and its words on stderr discarded.
fn start(args: &[&str]) -> Kept {
    let scx_gamer = Kept::spawn(scx_gamer(args).stdout(Stdio::piped()).stderr(Stdio::null()));
    wait_for_state("enabled");
    wait_until("somebody serves metrics", || UnixStream::connect(SOCKET).is_ok());
    scx_gamer
}

/// A scx_gamer that looks at the one that runs.
fn monitor(interval_s: &str) -> Command {
    let mut command = scx_gamer(&["--monitor", interval_s]);
    command.stdout(Stdio::piped());
    command
}

/// Ends a scx_gamer as Ctrl+C does.
fn stop(mut scx_gamer: Kept) {
    scx_gamer.signal(Signal::SIGINT);
    assert_eq!(scx_gamer.wait().expect("wait").code(), Some(0));
}

/// A client that knows nothing of our code.
struct Client(BufReader<UnixStream>);

impl Client {
    fn connect() -> Self {
        let stream = UnixStream::connect(SOCKET).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("limit");
        Self(BufReader::new(stream))
    }

    fn send(&mut self, line: &str) -> Value {
        writeln!(self.0.get_mut(), "{line}").expect("ask");
        let mut answer = String::new();
        self.0.read_line(&mut answer).expect("an answer");
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error} in {answer:?}"))
    }

    fn stats(&mut self) -> Value {
        let answer = self.send(r#"{"req":"stats","args":{}}"#);
        assert_eq!(answer["errno"], 0, "{answer}");
        answer["args"]["resp"].clone()
    }
}

/// The blocks that a process prints, each as its title and its values by name.
struct Blocks(std::io::Lines<BufReader<ChildStdout>>);

impl Blocks {
    fn of(process: &mut Kept) -> Self {
        let mut lines = BufReader::new(process.stdout.take().expect("stdout is a pipe")).lines();
        let first = lines.next().expect("a block").expect("read");
        assert!(first.starts_with("scx_gamer: "), "{first}");
        Self(lines)
    }

    /// The values of the block whose title was read, up to and with the title of the next one.
    fn next(&mut self) -> BTreeMap<String, f64> {
        let mut values = BTreeMap::new();
        for line in self.0.by_ref().map(|line| line.expect("read")) {
            if line.starts_with("scx_gamer: ") {
                return values;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            values.extend(words.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].parse().expect("a number"))));
        }
        panic!("it printed no further block")
    }
}

#[test]
fn stats_prints_in_each_block_what_happened_since_the_one_before() {
    observe_from_above();
    let game = hogs();
    let others = [one_hog(), one_hog()];
    let mut scx_gamer = start(&["--stats", "0.5", "--foreground-pid", &game.pid().to_string()]);
    let mut blocks = Blocks::of(&mut scx_gamer);
    blocks.next(); // the attach is part of the first one
    let used_before = cpu_ticks(game.pid());
    let block = blocks.next();
    for metric in metrics().skip(5) {
        assert!(block.contains_key(metric.name), "{} is missing in {block:?}", metric.name);
    }
    let shares = ["foreground_pct", "critical_pct", "family_pct", "normal_pct", "background_pct"];
    assert!((99.5..100.5).contains(&shares.map(|name| block[name]).iter().sum()), "{block:?}");
    assert!((80.0..100.0).contains(&block["foreground_pct"]), "{block:?}");
    assert!(block["idle_pct"] < 20.0 && block["cpu_util_pct"] > 50.0, "{block:?}");
    assert!(block["urgent_enqueue"] > 0.0, "{block:?}");
    // Deltas: were they totals, they would only grow. So many deltas do that once in 12! times.
    let sums: Vec<f64> = (0..12).map(|_| blocks.next()["urgent_enqueue"]).collect();
    assert!(cpu_ticks(game.pid()) > used_before);
    assert!(sums.windows(2).any(|pair| pair[1] <= pair[0]), "{sums:?}");
    drop(others);
    stop(scx_gamer);
}

#[test]
fn the_game_is_told_by_number_and_name_and_its_waits_are_counted() {
    observe_from_above();
    let game = hogs();
    let scx_gamer = start(&["--foreground-pid", &game.pid().to_string()]);
    let mut client = Client::connect();
    let first = client.stats();
    assert_eq!(
        (&first["foreground_tgids"], &first["foreground_comms"]),
        (&json!([game.pid()]), &json!(["synthetic_load"]))
    );
    let _bursty = Kept::spawn(Command::new(example("synthetic_load")).arg("bursty").stdout(Stdio::null()));
    let mut waits = 0;
    wait_until("somebody who woke has waited in a queue", || {
        let now = client.stats();
        waits += now["other_waits"].as_u64().expect("a number");
        let percentiles =
            ["other_wait_p50_us", "other_wait_p99_us", "other_wait_max_us"].map(|name| now[name].as_u64());
        assert!(percentiles.is_sorted(), "{now}");
        waits > 10
    });
    drop(game);
    stop(scx_gamer);
}

#[test]
fn monitor_prints_what_a_running_scx_gamer_serves_and_attaches_nothing() {
    let attaches = || fs::read_to_string("/sys/kernel/sched_ext/enable_seq").expect("read enable_seq");
    let scx_gamer = start(&[]);
    let attaches_before = attaches();
    let mut monitor = Kept::spawn(&mut monitor("0.2"));
    let mut blocks = Blocks::of(&mut monitor);
    for _ in 0..3 {
        let block = blocks.next();
        assert!(block.contains_key("idle_dispatch") && block.contains_key("idle_pct"), "{block:?}");
    }
    assert_eq!(attaches(), attaches_before);
    stop(monitor);
    assert_eq!(state(), "enabled");
    stop(scx_gamer);
}

#[test]
fn monitor_ends_with_a_sentence_when_the_one_it_looks_at_does() {
    let scx_gamer = start(&[]);
    let mut monitor = Kept::spawn(monitor("0.1").stderr(Stdio::piped()));
    let _blocks = Blocks::of(&mut monitor);
    stop(scx_gamer);
    assert_eq!(monitor.wait().expect("wait").code(), Some(0));
    let stderr = std::io::read_to_string(monitor.stderr.take().expect("stderr")).expect("read");
    assert!(stderr.contains("scx_gamer no longer answers"), "{stderr}");
}

#[test]
fn monitor_ends_quietly_when_nobody_reads_it_any_more() {
    let scx_gamer = start(&[]);
    let mut monitor = Kept::spawn(monitor("0.1").stderr(Stdio::piped()));
    drop(Blocks::of(&mut monitor));
    assert_eq!(monitor.wait().expect("wait").code(), Some(0));
    let stderr = std::io::read_to_string(monitor.stderr.take().expect("stderr")).expect("read");
    assert_eq!(stderr, "");
    stop(scx_gamer);
}

#[test]
fn monitor_says_in_one_line_why_it_cannot_look() {
    let nobody = scx_gamer(&["--monitor", "1"]).output().expect("run");
    let stderr = String::from_utf8_lossy(&nobody.stderr);
    assert_eq!((nobody.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
    assert!(stderr.contains("no scx_gamer is running"), "{stderr}");

    let scx_gamer = start(&[]);
    let unprivileged = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_scx_gamer"), "--monitor", "1"])
        .output()
        .expect("run setpriv");
    let stderr = String::from_utf8_lossy(&unprivileged.stderr);
    assert_eq!((unprivileged.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
    assert!(stderr.contains("are for root"), "{stderr}");
    stop(scx_gamer);
}

#[test]
fn the_convention_of_scxs_tools_is_spoken_with_each_client_by_itself() {
    let scx_gamer = start(&[]);
    let (mut one, mut other) = (Client::connect(), Client::connect());
    let since_attach = one.stats();
    for metric in metrics() {
        assert!(!since_attach[metric.name].is_null(), "{} is missing in {since_attach}", metric.name);
    }
    assert_eq!(
        (&since_attach["foreground_pct"], &since_attach["foreground_waits"]),
        (&json!(0.0), &json!(0)),
        "no game"
    );
    assert_eq!(since_attach.as_object().map(serde_json::Map::len), Some(metrics().count()));
    sleep(Duration::from_millis(300));
    // The other one's first interval reaches back to the attach, although the first has been told of it.
    let (second_of_one, first_of_other) = (one.stats(), other.stats());
    let seconds = |stats: &Value| stats["interval_s"].as_f64().expect("a number");
    assert!(seconds(&second_of_one) >= 0.3 && seconds(&second_of_one) < seconds(&first_of_other));

    let meta = one.send(r#"{"req":"stats_meta"}"#);
    let described = &meta["args"]["resp"]["scx_gamer"];
    assert_eq!((&described["top"], &described["fields"]["migration"]["datum"]), (&json!("true"), &json!("u64")));
    stop(scx_gamer);
}

#[test]
fn a_client_that_talks_rubbish_or_never_reads_costs_nobody_else() {
    let scx_gamer = start(&[]);
    let mut good = Client::connect();
    assert_eq!(Client::connect().send("\u{1}{{{")["errno"], 22);

    let mut endless = UnixStream::connect(SOCKET).expect("connect");
    let refused = (0..1 << 20).find_map(|_| endless.write_all(&[b'x'; 4096]).err());
    assert!(refused.is_some(), "4 GiB without an end of line were taken");

    let mut deaf = UnixStream::connect(SOCKET).expect("connect");
    let refused = (0..100_000).find_map(|_| deaf.write_all(b"{\"req\":\"stats_meta\"}\n").err());
    assert!(refused.is_some(), "100000 answers that nobody reads were kept");

    good.stats();
    let crowd: Vec<UnixStream> = (0..200).map(|_| UnixStream::connect(SOCKET).expect("connect")).collect();
    let mut late = Client::connect();
    late.stats();
    let descriptors = fs::read_dir(format!("/proc/{}/fd", scx_gamer.pid())).expect("list descriptors").count();
    assert!(descriptors < 100, "{descriptors} descriptors for {} clients", crowd.len());
    assert_eq!(threads_of(scx_gamer.pid()).len(), 1);
    stop(scx_gamer);
}

#[test]
fn the_socket_goes_with_a_signal_and_a_stale_one_is_no_obstacle() {
    stop(start(&[]));
    assert!(!Path::new(SOCKET).exists());

    let mut killed = start(&[]);
    killed.signal(Signal::SIGKILL);
    killed.wait().expect("wait");
    assert!(Path::new(SOCKET).exists(), "nobody could remove it");
    wait_for_state("disabled");
    let next = start(&[]);
    Client::connect().stats();
    stop(next);
    assert!(!Path::new(SOCKET).exists());
}

#[test]
fn a_second_scx_gamer_does_not_disturb_the_metrics_of_the_first() {
    let first = start(&[]);
    assert_eq!(scx_gamer(&[]).output().expect("run").status.code(), Some(1));
    Client::connect().stats();
    stop(first);
}

#[test]
fn a_socket_that_somebody_else_serves_is_one_warning_and_stays_theirs() {
    fs::create_dir_all("/var/run/scx/root").expect("create the directory");
    let theirs = UnixListener::bind(SOCKET).expect("bind");
    let mut ours = Kept::spawn(scx_gamer(&[]).stderr(Stdio::piped()));
    let mut stderr = BufReader::new(ours.stderr.take().expect("stderr"));
    let mut lines = String::new();
    while !lines.contains("metrics are not served") {
        assert!(stderr.read_line(&mut lines).expect("read") > 0, "{lines}");
    }
    assert_eq!(state(), "enabled");
    ours.signal(Signal::SIGINT);
    assert_eq!(ours.wait().expect("wait").code(), Some(0));
    stderr.read_to_string(&mut lines).expect("read");
    assert_eq!(lines.matches("metrics").count(), 1, "{lines}");
    UnixStream::connect(SOCKET).expect("theirs is still there");
    drop(theirs);
    fs::remove_file(SOCKET).expect("clean up");
}

#[test]
fn stdout_that_nobody_reads_keeps_nobody_from_detaching() {
    let scx_gamer = start(&["--stats", "0.1"]);
    // Room for a few blocks only, after which a write would wait for ever.
    let stdout = scx_gamer.stdout.as_ref().expect("stdout is a pipe");
    fcntl(stdout, FcntlArg::F_SETPIPE_SZ(4096)).expect("shorten the pipe");
    let before = sleeps(scx_gamer.pid());
    wait_until("it was time for twenty blocks", || sleeps(scx_gamer.pid()) >= before + 20);
    Client::connect().stats();
    stop(scx_gamer);
    assert_eq!(state(), "disabled");
}

/// How often the threads of a process have gone to sleep.
fn sleeps(pid: i32) -> u64 {
    let status = |thread: i32| fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).expect("read status");
    let count = |status: String| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:").map(str::to_owned));
        line.and_then(|count| count.trim().parse().ok()).expect("counted by this kernel")
    };
    threads_of(pid).into_iter().map(status).map(count).sum()
}

#[test]
fn nobody_who_asks_means_that_we_sleep() {
    let scx_gamer = start(&[]);
    let mut client = Client::connect();
    client.stats();
    wait_until("it sleeps", || {
        let before = sleeps(scx_gamer.pid());
        sleep(Duration::from_millis(100));
        sleeps(scx_gamer.pid()) == before
    });
    let before = sleeps(scx_gamer.pid());
    sleep(Duration::from_secs(2));
    assert_eq!(sleeps(scx_gamer.pid()), before, "it woke up although nobody asked");
    client.stats();
    wait_until("the test sees it wake up and sleep again", || sleeps(scx_gamer.pid()) > before);
    stop(scx_gamer);
}

#[test]
fn a_game_of_the_wrapper_can_be_looked_at() {
    let mut wrapper = Kept::spawn(scx_gamer_run(&["--require", "--", "sleep", "82001"]).stderr(Stdio::null()));
    let _game = Stray(wait_for_process("82001"));
    wait_until("its scx_gamer serves metrics", || UnixStream::connect(SOCKET).is_ok());
    Client::connect().stats();
    wrapper.signal(Signal::SIGTERM);
    wrapper.wait().expect("wait");
    assert!(!Path::new(SOCKET).exists());
}
