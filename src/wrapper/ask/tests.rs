use super::*;
use std::io::BufRead as _;
use std::io::BufReader;
use std::os::fd::AsRawFd as _;
use std::os::fd::FromRawFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread;

use nix::sys::socket::AddressFamily;
use nix::sys::socket::Backlog;
use nix::sys::socket::SockFlag;
use nix::sys::socket::UnixAddr;
use nix::sys::socket::accept;
use nix::sys::socket::bind;
use nix::sys::socket::listen;
use nix::sys::socket::socket;
use tempfile::TempDir;

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("socket");
    (directory, path)
}

fn listen_at(path: &Path) -> OwnedFd {
    let listener =
        socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).expect("make a socket");
    bind(listener.as_raw_fd(), &UnixAddr::new(path).expect("an address")).expect("bind");
    listen(&listener, Backlog::new(4).expect("a backlog")).expect("listen");
    listener
}

/// A service that treats its one client so.
fn service(serve: impl FnOnce(Transport) + Send + 'static) -> (TempDir, PathBuf) {
    let (directory, path) = directory();
    let listener = listen_at(&path);
    thread::spawn(move || {
        let accepted = accept(listener.as_raw_fd()).expect("accept");
        // SAFETY: the kernel has just made this descriptor for us.
        serve(Transport::from(unsafe { OwnedFd::from_raw_fd(accepted) }));
    });
    (directory, path)
}

/// A scx_gamer that answers the one line that it is asked so, and hangs up.
fn scheduler(answer: Vec<u8>) -> (TempDir, PathBuf) {
    let (directory, path) = directory();
    let listener = UnixListener::bind(&path).expect("bind");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accept");
        let mut line = String::new();
        BufReader::new(stream.try_clone().expect("clone")).read_line(&mut line).expect("a request");
        assert_eq!(line, "{\"req\":\"leases\",\"args\":{}}\n");
        let _ = stream.write_all(&answer); // who has heard enough hangs up
    });
    (directory, path)
}

fn next_request(session: &Transport) -> Request {
    loop {
        wait_readable(Some(session.as_fd()), Duration::from_secs(60));
        if let Received::Message(request, _) = session.receive().expect("receive") {
            return request;
        }
    }
}

fn greeted(session: &Transport) {
    assert_eq!(next_request(session), Request::Hello { version: VERSION });
    session.send(&Event::Hello { version: VERSION }, None).expect("greet");
}

fn lease(pid: i32) -> LeaseStatus {
    LeaseStatus { pid, uid: 1000, foreground_tgid: None, foreground_comm: None, since: 1_790_000_000 }
}

fn failed(why: &str) -> NoAnswer {
    NoAnswer::Failed(why.to_owned())
}

#[test]
fn a_service_is_greeted_and_tells_its_leases_after_whatever_else_it_says() {
    let (_directory, path) = service(|session| {
        greeted(&session);
        assert_eq!(next_request(&session), Request::Status);
        session.send(&Event::Foreground { tgid: Some(3) }, None).expect("send");
        session.send(&Event::Status { leases: vec![lease(7), lease(9)] }, None).expect("send");
    });
    assert_eq!(leases_of_service(&path), Ok(vec![lease(7), lease(9)]));

    let (_directory, path) = service(|session| greeted(&session));
    assert_eq!(greet_service(&path), Ok(()));
}

#[test]
fn a_service_that_refuses_garbles_or_leaves_is_told_in_words() {
    let (_directory, path) = service(|session| {
        let message = "16 leases are held already".to_owned();
        let kind = crate::session::protocol::ErrorKind::Limit;
        session.send(&Event::Error { kind, message, hint: None }, None).expect("send");
    });
    assert_eq!(greet_service(&path), Err(failed("refuses: 16 leases are held already")));

    let (_directory, path) = service(|session| {
        next_request(&session);
        session.send(&Event::Hello { version: VERSION + 1 }, None).expect("send");
    });
    let why = format!("speaks version {} of the session protocol and we speak {VERSION}", VERSION + 1);
    assert_eq!(greet_service(&path), Err(failed(&why)));

    let (_directory, path) = service(|session| {
        greeted(&session);
        next_request(&session);
        nix::unistd::write(session.as_fd(), b"\x7fELF").expect("write");
    });
    let Err(NoAnswer::Failed(why)) = leases_of_service(&path) else { panic!("garbage was understood") };
    assert!(why.starts_with("sent something that is no message ("), "{why}");

    let (_directory, path) = service(drop);
    assert_eq!(greet_service(&path), Err(failed("has hung up")));
}

#[test]
fn who_does_not_answer_or_answers_something_else_for_ever_is_given_two_seconds() {
    let (_directory, mute) = directory();
    let _listener = listen_at(&mute);
    let (_directory, talks) = service(|session| {
        let event = Event::Foreground { tgid: None };
        while !session.send(&event, None).is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
            thread::sleep(Duration::from_millis(1));
        }
    });
    let (_directory, deaf) = directory();
    let _deaf = UnixListener::bind(&deaf).expect("bind");
    let began = Instant::now();
    thread::scope(|scope| {
        let silence = Err(failed("has not answered within 2 s"));
        let asked = [
            scope.spawn(|| leases_of_service(&mute)),
            scope.spawn(|| leases_of_service(&talks)),
            scope.spawn(|| leases_of_scheduler(&deaf)),
        ];
        for answer in asked {
            assert_eq!(answer.join().expect("no panic"), silence);
        }
    });
    assert!(began.elapsed() >= PATIENCE);
}

#[test]
fn where_nobody_listens_or_that_is_no_session_is_told_apart() {
    let (directory, path) = directory();
    assert_eq!(greet_service(&path), Err(NoAnswer::Absent));
    assert_eq!(leases_of_scheduler(&path), Err(NoAnswer::Absent));
    drop(UnixListener::bind(&path).expect("bind")); // a killed process leaves its socket behind
    assert_eq!(greet_service(&path), Err(NoAnswer::Absent));
    assert_eq!(leases_of_scheduler(&path), Err(NoAnswer::Absent));
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    assert_eq!(greet_service(&fifo), Err(NoAnswer::Absent));

    let other = directory.path().join("other");
    let _other = UnixListener::bind(&other).expect("bind");
    let Err(NoAnswer::Failed(why)) = greet_service(&other) else { panic!("a session over a stream") };
    assert!(why.starts_with("can't be asked: "), "{why}");
    assert_eq!(NoAnswer::of(&io::Error::from_raw_os_error(libc::EACCES)), NoAnswer::Denied);
    assert_eq!(NoAnswer::of(&io::Error::from_raw_os_error(libc::EAGAIN)), failed("lets nobody in"));
}

#[test]
fn an_attached_scheduler_tells_its_leases() {
    let told = serde_json::json!({"errno": 0, "args": {"resp": Leases { leases: vec![lease(7)] }}});
    let (_directory, path) = scheduler(format!("{told}\n").into_bytes());
    assert_eq!(leases_of_scheduler(&path), Ok(vec![lease(7)]));
}

#[test]
fn an_answer_of_a_scheduler_that_is_none_is_told_in_words() {
    let older = br#"{"errno":22,"args":{"resp":"Invalid argument: unknown request \"leases\""}}"#;
    for (answer, why) in [
        (&[older, &b"\n"[..]].concat()[..], "refuses: Invalid argument: unknown request \"leases\""),
        (b"{\"errno\":1,\"args\":{}}\n", "refuses: no reason given"),
        (b"{\"errno\":0", "has hung up"),
        (b"", "has hung up"),
    ] {
        let (_directory, path) = scheduler(answer.to_vec());
        assert_eq!(leases_of_scheduler(&path), Err(failed(why)));
    }
    for answer in [&b"\xff\xfe\n"[..], b"[]\n", b"{\"errno\":0,\"args\":{\"resp\":{\"leases\":[{}]}}}\n"] {
        let (_directory, path) = scheduler(answer.to_vec());
        let Err(NoAnswer::Failed(why)) = leases_of_scheduler(&path) else { panic!("understood {answer:?}") };
        assert!(why.starts_with("sent something that is no answer ("), "{why}");
    }
    let (_directory, path) = scheduler(vec![b'x'; 1 << 20]);
    assert_eq!(leases_of_scheduler(&path), Err(failed("sent more than 65536 bytes without an end")));
}
