use super::*;
use crate::sched::stats::Gauges;
use crate::service::metrics::wire::Report;
use scx_stats::StatsClient;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::poll;

struct Rig {
    server: Server,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("stats");
        let server = Server::bind(&path, Totals::zero(Instant::now())).expect("bind");
        Self { server, path, _directory: directory }
    }

    fn connect(&mut self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("limit");
        self.serve();
        stream
    }

    /// Serves until nobody wants anything any more.
    fn serve(&mut self) {
        for _ in 0..10_000 {
            if !self.is_wanted() {
                return;
            }
            self.server.serve(|| Ok(now()), Vec::new).expect("serve");
        }
        panic!("the server is never done");
    }

    fn is_wanted(&self) -> bool {
        poll(&mut [PollFd::new(self.server.as_fd(), PollFlags::POLLIN)], 0u8).expect("poll") > 0
    }
}

fn now() -> Sample {
    Sample { totals: Totals::zero(Instant::now()), gauges: Gauges { nr_cpus: 1, ..Gauges::default() } }
}

fn ask(rig: &mut Rig, stream: &mut UnixStream) -> String {
    stream.write_all(b"{\"req\":\"stats\"}\n").expect("ask");
    rig.serve();
    read_line(stream)
}

fn read_line(stream: &mut UnixStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') && stream.read(&mut byte).expect("an answer in time") > 0 {
        line.push(byte[0]);
    }
    String::from_utf8(line).expect("UTF-8")
}

fn is_closed(stream: &mut UnixStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("limit");
    let mut buffer = vec![0; 1 << 16];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return !is_passing(error.kind()),
        }
    }
}

#[test]
fn the_client_of_scxs_own_tools_is_answered() {
    let mut rig = Rig::new();
    let path = rig.path.clone();
    let done = AtomicBool::new(false);
    let report: Report = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let report = StatsClient::new().set_path(path).connect(Some(10_000)).and_then(|mut client| {
                let _: serde_json::Value = client.request("stats_meta", Vec::new())?;
                client.request("stats", Vec::new())
            });
            done.store(true, Ordering::Relaxed);
            report
        });
        while !done.load(Ordering::Relaxed) {
            rig.serve();
            thread::yield_now();
        }
        asking.join().expect("no panic").expect("an answer")
    });
    assert!(report.contains_key("preempt") && report.contains_key("foreground_pct"), "{report:?}");
}

#[test]
fn a_request_in_pieces_and_two_in_one_piece_are_answered_each_once() {
    let mut rig = Rig::new();
    let mut stream = rig.connect();
    for piece in ["{\"req\":", "\"stats\"", "}\n"] {
        stream.write_all(piece.as_bytes()).expect("ask");
        rig.serve();
    }
    assert!(read_line(&mut stream).starts_with("{\"errno\":0"));
    stream.write_all(b"{\"req\":\"stats\"}\n{\"req\":\"stats_meta\"}\n").expect("ask");
    rig.serve();
    assert!(read_line(&mut stream).contains("\"interval_s\":"));
    assert!(read_line(&mut stream).contains("\"desc\":"));
    assert!(!is_closed(&mut stream), "one answer too many, or hung up");
}

#[test]
fn who_sends_no_line_end_is_let_go_and_the_others_are_served_on() {
    let mut rig = Rig::new();
    let (mut endless, mut good) = (rig.connect(), rig.connect());
    endless.write_all(&[b'x'; REQUEST_BYTES_MAX]).expect("write");
    rig.serve();
    assert!(is_closed(&mut endless));
    assert!(ask(&mut rig, &mut good).starts_with("{\"errno\":0"));
}

#[test]
fn who_does_not_read_is_let_go_and_the_others_are_served_on() {
    let mut rig = Rig::new();
    let (mut deaf, mut good) = (rig.connect(), rig.connect());
    let requests = "{\"req\":\"stats_meta\"}\n".repeat(20);
    for _ in 0..1000 {
        if deaf.write_all(requests.as_bytes()).is_err() {
            break;
        }
        rig.serve();
    }
    assert!(deaf.write_all(b"\n").is_err(), "20000 answers of kilobytes were kept for it");
    assert!(ask(&mut rig, &mut good).starts_with("{\"errno\":0"));
}

#[test]
fn garbage_is_answered_with_an_error() {
    let mut rig = Rig::new();
    let mut stream = rig.connect();
    stream.write_all(b"\xff\xfe\0 not JSON\n").expect("write");
    rig.serve();
    assert!(read_line(&mut stream).starts_with("{\"errno\":22"));
    assert!(ask(&mut rig, &mut stream).starts_with("{\"errno\":0"));
}

#[test]
fn one_client_too_many_takes_the_place_of_the_one_that_was_silent_for_the_longest() {
    let mut rig = Rig::new();
    let mut clients: Vec<UnixStream> = (0..CLIENTS_MAX).map(|_| rig.connect()).collect();
    ask(&mut rig, &mut clients[0]); // number 1 is the most silent one now
    let mut newcomer = rig.connect();
    assert!(is_closed(&mut clients[1]));
    assert!(ask(&mut rig, &mut newcomer).starts_with("{\"errno\":0"));
    assert!(ask(&mut rig, &mut clients[0]).starts_with("{\"errno\":0"));
    assert_eq!(rig.server.clients.len(), CLIENTS_MAX);
}

#[test]
fn who_hangs_up_is_forgotten_and_nothing_is_wanted_any_more() {
    let mut rig = Rig::new();
    drop(rig.connect());
    rig.serve();
    assert!(rig.server.clients.is_empty());
    assert!(!rig.is_wanted());
}

#[test]
fn the_path_goes_with_the_server() {
    let Rig { server, path, _directory } = Rig::new();
    assert!(path.exists());
    drop(server);
    assert!(!path.exists());
}
