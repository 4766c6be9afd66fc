//! The real `scx_gamer --serve` and clients that mean it harm. Nobody asks it for the scheduler here, so that no root and no
//! sched_ext is needed; `tests/vm/guest/service.rs` does.

use std::fs;
use std::io::IoSlice;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::Backlog;
use nix::sys::socket::ControlMessage;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::UnixAddr;
use nix::sys::socket::bind;
use nix::sys::socket::listen;
use nix::sys::socket::send;
use nix::sys::socket::sendmsg;
use nix::sys::socket::socket;
use nix::unistd::Group;
use nix::unistd::Pid;
use scx_gamer_run::session::protocol::ErrorKind;
use scx_gamer_run::session::protocol::Event;
use scx_gamer_run::session::protocol::Request;
use scx_gamer_run::session::protocol::VERSION;
use scx_gamer_run::session::transport::Received;
use scx_gamer_run::session::transport::Transport;
use tempfile::TempDir;

/// How long a condition may take on a busy machine before a test fails.
const LIMIT: Duration = Duration::from_secs(60);

/// Most connections of a user, as `src/service/serve.rs` has it.
const SESSIONS_OF_USER_MAX: usize = 16;

const HELLO: Request = Request::Hello { version: VERSION };

/// A service that ends with the test.
struct Service {
    child: Child,
    directory: TempDir,
}

impl Service {
    /// Which serves our own group, so that this user may use it whoever that is.
    fn start() -> Self {
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("temporary directory");
        let group = Group::from_gid(nix::unistd::getgid()).ok().flatten().expect("our group has a name").name;
        let mut command = Command::new(env!("CARGO_BIN_EXE_scx_gamer"));
        command.args(["--serve", "--group", &group, "--socket"]).arg(directory.path().join("socket"));
        let child = command.stderr(Stdio::null()).spawn().expect("start the service");
        let service = Self { child, directory };
        wait_until("the service listens", || Transport::connect(&service.socket()).is_ok());
        service.is_well();
        std::thread::sleep(Duration::from_millis(200)); // until the first clients are forgotten, which tests are the stricter for
        service
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// The next client that may come in, greeted. Who has just hung up may still be counted.
    fn client(&self) -> Transport {
        let mut client = None;
        wait_until("a client is let in", || {
            client = Transport::connect(&self.socket()).ok().filter(|next| {
                next.send(&HELLO, None).is_ok() && heard(next) == Some(Event::Hello { version: VERSION })
            });
            client.is_some()
        });
        client.expect("it was let in")
    }

    /// Answers a client that behaves.
    fn is_well(&self) {
        let client = self.client();
        client.send(&Request::Status, None).expect("send");
        assert_eq!(heard(&client), Some(Event::Status { leases: vec![] }));
    }

    fn nr_descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("list its descriptors").count()
    }

    fn resident_kb(&self) -> u64 {
        let process = procfs::process::Process::new(self.child.id().cast_signed()).expect("it lives");
        process.status().expect("read status").vmrss.expect("a resident size")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The next thing that the service says; `None` when it hangs up instead.
fn heard(client: &Transport) -> Option<Event> {
    let mut said = None;
    let mut times_closed = 0;
    wait_until("the service says something", || match client.receive::<Event>() {
        Ok(Received::Message(event, _)) => {
            said = Some(event);
            true
        }
        Ok(Received::Nothing) => false,
        // A peer that left something unread is reported as gone before what it said can be read.
        Ok(Received::Closed) | Err(_) => {
            times_closed += 1;
            times_closed > 1
        }
        Ok(Received::Garbage(why)) => panic!("the service said {why}"),
    });
    said
}

fn refusal(client: &Transport) -> Option<ErrorKind> {
    match heard(client) {
        Some(Event::Error { kind, .. }) => Some(kind),
        other => panic!("no refusal but {other:?}"),
    }
}

fn throw(client: &Transport, bytes: &[u8]) {
    send(client.as_fd().as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL).expect("send");
}

#[test]
fn garbage_ends_its_own_session_with_a_reason_and_nobody_elses() {
    let service = Service::start();
    let bystander = service.client();
    for garbage in [&b"\x00\x01\x02"[..], b"{\"type\":", b"null", &vec![b'x'; 64 * 1024 + 1], &vec![b'['; 64 * 1024]] {
        let client = service.client();
        throw(&client, garbage);
        assert_eq!(refusal(&client), Some(ErrorKind::Protocol));
        assert_eq!(heard(&client), None, "the session is over");
    }
    let other_version = Transport::connect(&service.socket()).expect("connect");
    other_version.send(&Request::Hello { version: 999 }, None).expect("send");
    assert_eq!(refusal(&other_version), Some(ErrorKind::Version));
    bystander.send(&Request::Status, None).expect("send");
    assert_eq!(heard(&bystander), Some(Event::Status { leases: vec![] }));
}

#[test]
fn whoever_hangs_up_at_whatever_step_leaves_nothing_behind() {
    let service = Service::start();
    let before = service.nr_descriptors();
    let steps: [&[Request]; 5] =
        [&[], &[HELLO], &[HELLO, Request::Status], &[HELLO, Request::Release], &[HELLO, Request::SetForeground]];
    for round in 0..200 {
        // Where too many wait to be let in that is an answer, too.
        let Ok(client) = Transport::connect(&service.socket()) else { continue };
        for request in steps[round % steps.len()] {
            let _ = client.send(request, None); // it may have hung up: too many of us
        }
    }
    service.is_well();
    wait_until("its descriptors are no more than before", || service.nr_descriptors() <= before);
}

#[test]
fn one_user_has_so_many_connections_and_thousands_cost_nothing_lasting() {
    let service = Service::start();
    let (descriptors, resident_kb) = (service.nr_descriptors(), service.resident_kb());
    let held: Vec<Transport> = (0..SESSIONS_OF_USER_MAX).map(|_| service.client()).collect();
    for _ in 0..3000 {
        // EAGAIN: more wait than there is room for, which is an answer, too.
        if let Ok(surplus) = Transport::connect(&service.socket()) {
            drop(surplus);
        }
    }
    let mut surplus = None;
    wait_until("there is room for one more to wait", || {
        surplus = Transport::connect(&service.socket()).ok();
        surplus.is_some()
    });
    let surplus = surplus.expect("a connection");
    assert_eq!(refusal(&surplus), Some(ErrorKind::Limit));
    held[0].send(&Request::Status, None).expect("send");
    assert!(matches!(heard(&held[0]), Some(Event::Status { .. })));
    drop((held, surplus));
    service.is_well();
    wait_until("its descriptors are no more than before", || service.nr_descriptors() <= descriptors);
    let grown_kb = service.resident_kb().saturating_sub(resident_kb);
    assert!(grown_kb < 1024, "it has grown by {grown_kb} kB");
}

#[test]
fn descriptors_that_nobody_asked_for_are_closed() {
    let service = Service::start();
    let before = service.nr_descriptors();
    let null = fs::File::open("/dev/null").expect("open");
    for nr_descriptors in [2, 100, 253] {
        let client = service.client();
        let bomb = vec![null.as_raw_fd(); nr_descriptors];
        let bytes = serde_json::to_vec(&Request::SetForeground).expect("JSON");
        sendmsg::<()>(
            client.as_fd().as_raw_fd(),
            &[IoSlice::new(&bytes)],
            &[ControlMessage::ScmRights(&bomb)],
            MsgFlags::empty(),
            None,
        )
        .expect("send");
        assert_eq!(refusal(&client), Some(ErrorKind::Protocol));
    }
    // One with each request, whether it takes one or not.
    let client = service.client();
    for request in [HELLO, Request::Status, Request::Join, Request::SetForeground, Request::Unknown] {
        client.send(&request, Some(null.as_fd())).expect("send");
        assert!(heard(&client).is_some());
    }
    drop(client);
    service.is_well();
    wait_until("its descriptors are no more than before", || service.nr_descriptors() <= before);
}

#[test]
fn a_flood_costs_the_one_who_sends_it_and_others_are_answered_meanwhile() {
    let service = Service::start();
    let flood = service.client();
    let mut nr_sent = 0;
    while flood.has_peer() {
        nr_sent += u32::from(flood.send(&Request::Status, None).is_ok()); // never read
        if nr_sent % 100 == 0 {
            service.is_well();
        }
        assert!(nr_sent < 1_000_000, "it is answered for ever");
    }
    service.is_well();
}

#[test]
fn a_client_that_waits_for_ever_keeps_nobody_from_being_served() {
    let service = Service::start();
    let _silent: Vec<Transport> =
        (0..SESSIONS_OF_USER_MAX - 2).map(|_| Transport::connect(&service.socket()).expect("connect")).collect();
    service.is_well();
}

#[test]
fn told_to_end_it_ends_well_and_takes_its_socket_along() {
    let mut service = Service::start();
    let client = service.client();
    kill(Pid::from_raw(service.child.id().cast_signed()), Signal::SIGTERM).expect("signal");
    assert_eq!(service.child.wait().expect("wait").code(), Some(0));
    assert!(!service.socket().exists());
    assert_eq!(heard(&client), None);
}

/// Makes a socket descriptor 3 of `command`, as systemd does.
fn hand_over(listener: &OwnedFd, command: &mut Command) {
    let raw = listener.as_raw_fd();
    let become_three = move || match nix::errno::Errno::result(
        // SAFETY: takes two integers.
        unsafe { libc::dup2(raw, 3) },
    ) {
        Ok(_) => Ok(()),
        Err(errno) => Err(errno.into()),
    };
    // SAFETY: runs between fork and exec; one system call.
    unsafe { command.pre_exec(become_three) };
}

/// `scx_gamer --serve` with these flags and a socket of this kind as systemd hands it over; its status and its words.
fn started_with(kind: Option<SockType>, flags: &str) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let listener = kind.map(|kind| {
        let listener = socket(AddressFamily::Unix, kind, SockFlag::empty(), None).expect("socket");
        bind(listener.as_raw_fd(), &UnixAddr::new(&directory.path().join("socket")).expect("address")).expect("bind");
        let _ = listen(&listener, Backlog::new(1).expect("backlog")); // a datagram socket can't
        listener
    });
    let handed_over = if listener.is_some() { "export LISTEN_FDS=1 LISTEN_PID=$$;" } else { "" };
    let mut command = Command::new("/bin/sh");
    let program = env!("CARGO_BIN_EXE_scx_gamer");
    command.arg("-c").arg(format!("{handed_over} exec {program} --serve {flags}")).stderr(Stdio::piped());
    if let Some(listener) = &listener {
        hand_over(listener, &mut command);
    }
    let mut child = command.spawn().expect("start");
    let mut said = String::new();
    child.stderr.take().expect("stderr is a pipe").read_to_string(&mut said).expect("read");
    (child.wait().expect("wait").code(), said)
}

#[test]
fn a_place_to_listen_that_is_none_is_refused_with_what_to_give() {
    let (status, said) = started_with(None, "");
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("--serve: there is nowhere to listen; give --socket PATH"), "{said}");
    let (status, said) = started_with(Some(SockType::SeqPacket), "--socket /run/other");
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("--socket /run/other names another one"), "{said}");
    for kind in [SockType::Stream, SockType::Datagram] {
        let (status, said) = started_with(Some(kind), "");
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("ListenSequentialPacket="), "{said}");
    }
}

#[test]
fn a_client_of_a_socket_that_was_handed_over_is_served() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("socket");
    let listener: OwnedFd = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::empty(), None).expect("socket");
    bind(listener.as_raw_fd(), &UnixAddr::new(&path).expect("address")).expect("bind");
    listen(&listener, Backlog::new(1).expect("backlog")).expect("listen");
    let client = Transport::connect(&path).expect("connect before anybody serves");
    client.send(&HELLO, None).expect("send");
    let group = Group::from_gid(nix::unistd::getgid()).ok().flatten().expect("our group has a name").name;
    let program = env!("CARGO_BIN_EXE_scx_gamer");
    let mut command = Command::new("/bin/sh");
    let words = format!("export LISTEN_FDS=1 LISTEN_PID=$$; exec {program} --serve --group {group}");
    hand_over(&listener, &mut command);
    let child = command.arg("-c").arg(words).stderr(Stdio::null()).spawn().expect("start");
    let mut service = Service { child, directory };
    assert_eq!(heard(&client), Some(Event::Hello { version: VERSION }));
    kill(Pid::from_raw(service.child.id().cast_signed()), Signal::SIGTERM).expect("signal");
    assert_eq!(service.child.wait().expect("wait").code(), Some(0));
    assert!(path.exists(), "it is systemd's");
    // Whoever handed it over goes on to listen there.
    Transport::connect(&path).expect("connect");
    drop(listener);
}
