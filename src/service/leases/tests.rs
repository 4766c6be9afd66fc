use super::rehearsal::FakeOwner;
use super::rehearsal::rehearse;
use super::*;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::send;
use proptest::prelude::*;
use std::os::fd::AsRawFd as _;
use std::os::fd::FromRawFd as _;
use std::process::Command;

/// A client, and the session at its other end.
struct Talk {
    client: Option<Transport>,
    session: Session,
    owner: FakeOwner,
}

impl Talk {
    fn begin() -> Self {
        let (client, server) = Transport::pair().expect("socketpair");
        let peer = Peer::of(&server).expect("a peer");
        Self { client: Some(client), session: Session::new(server, peer), owner: FakeOwner::of_leases(3) }
    }

    fn greeted() -> Self {
        let mut talk = Self::begin();
        assert_eq!(talk.ask(&Request::Hello { version: VERSION }), [Event::Hello { version: VERSION }]);
        talk
    }

    fn with_lease() -> Self {
        let mut talk = Self::greeted();
        assert!(matches!(talk.ask(&acquire(&[]))[..], [Event::Attached { .. }]));
        talk
    }

    fn client(&self) -> &Transport {
        self.client.as_ref().expect("the client has not gone")
    }

    fn ask(&mut self, request: &Request) -> Vec<Event> {
        self.ask_with(request, None)
    }

    fn ask_with(&mut self, request: &Request, descriptor: Option<BorrowedFd<'_>>) -> Vec<Event> {
        self.client().send(request, descriptor).expect("send");
        self.answer();
        self.heard()
    }

    fn answer(&mut self) -> Next {
        self.session.answer(&mut self.owner)
    }

    fn heard(&self) -> Vec<Event> {
        let mut heard = Vec::new();
        while let Ok(Received::Message(event, _)) = self.client().receive() {
            heard.push(event);
        }
        heard
    }

    /// Sends bytes as they are; returns what became of the session and what was heard.
    fn throw(&mut self, bytes: &[u8]) -> (Next, Vec<Event>) {
        send(self.client().as_fd().as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT).expect("send");
        let next = self.answer();
        (next, self.heard())
    }
}

fn acquire(tuning: &[(&str, &str)]) -> Request {
    let tuning = tuning.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Request::Acquire { since_boot_ns: 0, tuning }
}

fn pidfd_open(pid: u32) -> OwnedFd {
    // SAFETY: takes two integers and returns a new descriptor or -1, which is checked.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { OwnedFd::from_raw_fd(i32::try_from(raw).ok().filter(|raw| *raw >= 0).expect("a pidfd")) }
}

fn kind(events: &[Event]) -> Option<ErrorKind> {
    events.iter().find_map(|event| match event {
        Event::Error { kind, .. } => Some(*kind),
        _ => None,
    })
}

#[test]
fn a_lease_is_had_after_a_greeting_and_given_back_on_request() {
    let mut talk = Talk::with_lease();
    assert_eq!(talk.owner.held.len(), 1);
    assert_eq!(kind(&talk.ask(&acquire(&[]))), Some(ErrorKind::Protocol), "one lease a session");
    talk.client().send(&Request::Release, None).expect("send");
    assert_eq!(talk.answer(), Next::Released);
    talk.session.release(&mut talk.owner);
    assert_eq!(talk.owner.held, []);
}

#[test]
fn whoever_says_anything_before_hello_or_speaks_another_version_is_let_go() {
    for request in [Request::Status, acquire(&[]), Request::SetForeground, Request::Release] {
        let mut talk = Talk::begin();
        talk.client().send(&request, None).expect("send");
        assert_eq!(talk.answer(), Next::Over, "{request:?}");
        assert_eq!(kind(&talk.heard()), Some(ErrorKind::Protocol));
    }
    let mut talk = Talk::begin();
    talk.client().send(&Request::Hello { version: VERSION + 1 }, None).expect("send");
    assert_eq!(talk.answer(), Next::Over);
    assert_eq!(kind(&talk.heard()), Some(ErrorKind::Version));
}

#[test]
fn garbage_ends_the_session_with_a_reason_and_an_unknown_request_only_itself() {
    for garbage in [&b"\x7fELF"[..], b"{", b"[]", b"{\"type\":7}", &[b' '; 65_537]] {
        let (next, heard) = Talk::with_lease().throw(garbage);
        assert_eq!((next, kind(&heard)), (Next::Over, Some(ErrorKind::Protocol)), "{:?}", &garbage[..2]);
    }
    let (next, heard) = Talk::greeted().throw(br#"{"type":"dance"}"#);
    assert_eq!((next, kind(&heard)), (Next::Go, Some(ErrorKind::Protocol)));
}

#[test]
fn nested_json_is_garbage_and_no_deep_call() {
    let (next, _) = Talk::greeted().throw(&vec![b'['; 60_000]);
    assert_eq!(next, Next::Over);
    let nested = format!(r#"{{"type":"status","x":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    let (next, _) = Talk::greeted().throw(nested.as_bytes());
    assert_eq!(next, Next::Over);
}

#[test]
fn a_client_that_floods_is_let_go_and_answered_in_turns_until_then() {
    let mut talk = Talk::greeted();
    let mut nr_turns = 0;
    let next = loop {
        while talk.client().send(&Request::Status, None).is_ok() {}
        nr_turns += 1;
        match talk.answer() {
            Next::Go => drop(talk.heard()),
            next => break next,
        }
    };
    assert_eq!(next, Next::Over);
    assert!(nr_turns >= 1000 / REQUESTS_PER_TURN, "{nr_turns} turns");
}

#[test]
fn a_client_that_does_not_read_costs_nothing_but_what_it_is_told() {
    let mut talk = Talk::with_lease();
    let news = [(
        talk.session.ticket().expect("a lease"),
        Member { lease: crate::sched::LeaseId::none(), tgid: 1, born: Duration::ZERO },
    )];
    for _ in 0..10_000 {
        talk.session.tell_family(&news, Path::new("/proc"));
    }
    assert_eq!(talk.answer(), Next::Go);
    assert!(talk.heard().len() < 10_000, "some of it was lost");
    assert_eq!(talk.ask(&Request::SetForeground), [Event::Foreground { tgid: None }]);
}

#[test]
fn a_foreground_is_a_living_process_of_ones_own_that_a_pidfd_proves() {
    let mut talk = Talk::with_lease();
    let own = std::process::id();
    let pidfd = pidfd_open(own);
    let heard = talk.ask_with(&Request::SetForeground, Some(pidfd.as_fd()));
    assert_eq!(heard, [Event::Foreground { tgid: Some(own.cast_signed()) }]);
    assert_eq!(talk.owner.foreground, Some(own.cast_signed()));

    let null = std::fs::File::open("/dev/null").expect("open");
    assert_eq!(kind(&talk.ask_with(&Request::SetForeground, Some(null.as_fd()))), Some(ErrorKind::Foreground));
    let mut child = Command::new("true").spawn().expect("spawn");
    let dead = pidfd_open(child.id());
    child.wait().expect("wait");
    assert_eq!(kind(&talk.ask_with(&Request::SetForeground, Some(dead.as_fd()))), Some(ErrorKind::Foreground));
    assert_eq!(talk.owner.foreground, Some(own.cast_signed()), "what was pinned stays");

    talk.session.peer.uid = own.wrapping_add(70_000); // somebody who is not the owner of this process
    assert_eq!(kind(&talk.ask_with(&Request::SetForeground, Some(pidfd.as_fd()))), Some(ErrorKind::Foreground));
    talk.ask_with(&Request::Join, Some(pidfd.as_fd()));
    assert!(talk.owner.joined.is_empty());
}

#[test]
fn without_a_lease_nobody_is_pinned_and_nobody_joins() {
    let mut talk = Talk::greeted();
    let pidfd = pidfd_open(std::process::id());
    for request in [Request::SetForeground, Request::Join] {
        assert_eq!(kind(&talk.ask_with(&request, Some(pidfd.as_fd()))), Some(ErrorKind::Protocol));
    }
    assert_eq!((talk.owner.foreground, talk.owner.joined.len()), (None, 0));
}

#[test]
fn tuning_is_from_a_list_and_in_range_and_otherwise_no_lease_is_had() {
    let mut talk = Talk::greeted();
    for (name, value, says) in [
        ("slice-us", "0", "'0'"),
        ("slice-us", "fast", "'fast'"),
        ("cpu-busy-exit", "99", "--cpu-busy-exit 99 is above"),
        ("disable-smt", "", "--disable-smt needs"),
        ("socket", "/etc/passwd", "no tuning option 'socket'"),
        ("drm-debugfs", "0:0", "no tuning option"),
        ("slice-us=1 --serve", "1", "no tuning option"),
        ("primary-domain", &"1,".repeat(200), "too long"),
        ("primary-domain", "0\u{1b}[2J", "too long or no text"),
        ("avoid-smt", "no", "avoid-smt"),
    ] {
        let heard = talk.ask(&acquire(&[(name, value)]));
        let [Event::Error { kind: ErrorKind::Tuning, message, .. }] = &heard[..] else { panic!("{name}: {heard:?}") };
        assert!(message.contains(says) && message.lines().count() == 1, "{name}: {message}");
    }
    assert_eq!(talk.owner.held, []);
    let many: Vec<(String, String)> = (0..100).map(|n| (n.to_string(), String::new())).collect();
    let request = Request::Acquire { since_boot_ns: 0, tuning: many.into_iter().collect() };
    assert_eq!(kind(&talk.ask(&request)), Some(ErrorKind::Tuning));
    let heard = talk.ask(&acquire(&[("slice-us", "2000"), ("avoid-smt", "")]));
    assert!(matches!(heard[..], [Event::Attached { is_tuned_otherwise: true, .. }]), "{heard:?}");
}

#[test]
fn an_attempt_that_fails_is_told_and_ends_the_session() {
    let mut talk = Talk::greeted();
    talk.owner = FakeOwner::of_leases(0);
    talk.client().send(&acquire(&[]), None).expect("send");
    assert_eq!(talk.answer(), Next::Over);
    assert_eq!(kind(&talk.heard()), Some(ErrorKind::Limit));
}

#[test]
fn an_attempt_to_attach_ends_the_turn() {
    let mut talk = Talk::greeted();
    talk.client().send(&acquire(&[]), None).expect("send");
    talk.client().send(&Request::Status, None).expect("send");
    assert_eq!((talk.answer(), talk.heard().len()), (Next::Go, 1));
    assert_eq!((talk.answer(), talk.heard().len()), (Next::Go, 1));
}

#[test]
fn who_hangs_up_while_the_scheduler_loads_gets_none() {
    let mut talk = Talk::greeted();
    talk.client().send(&acquire(&[]), None).expect("send");
    drop(talk.client.take());
    talk.answer();
    assert_eq!(talk.owner.held, []);
}

#[test]
fn a_connection_whose_maker_has_died_holds_nothing() {
    let (client, server) = Transport::pair().expect("socketpair");
    let peer = Peer::of(&server).expect("a peer");
    let mut talk = Talk { client: Some(client), session: Session::new(server, peer), owner: FakeOwner::of_leases(1) };
    let mut child = Command::new("true").spawn().expect("spawn");
    talk.session.process = Some(pidfd_open(child.id()));
    child.wait().expect("wait");
    talk.ask(&Request::Hello { version: VERSION });
    talk.client().send(&acquire(&[]), None).expect("send");
    assert_eq!(talk.answer(), Next::Over);
    assert_eq!(talk.owner.held, [], "the family of a process that took its number was let go");
}

#[test]
fn a_time_of_birth_is_told_in_whole_ticks() {
    assert_eq!(start_ticks(Duration::from_nanos(129_999_999), 100), 12);
    assert_eq!(start_ticks(Duration::from_nanos(130_000_000), 100), 13);
    assert_eq!(start_ticks(Duration::from_secs(3), 1000), 3000);
}

#[test]
fn as_many_members_as_a_datagram_may_hold_fit() {
    let member = protocol::Member { pid: i32::MAX, start_ticks: u64::MAX };
    let event = Event::Family { members: vec![member; MEMBERS_PER_DATAGRAM] };
    let bytes = serde_json::to_vec(&event).expect("serialise").len();
    assert!(bytes <= protocol::DATAGRAM_BYTES_MAX, "{bytes} bytes");
}

proptest! {
    #[test]
    fn any_conversation_leaves_as_many_leases_as_sessions_hold(datagrams in prop::collection::vec(datagram(), 0..40)) {
        rehearse(datagrams.iter().map(Vec::as_slice));
    }
}

#[test]
fn what_the_fuzzer_has_found_worth_keeping_leaves_none_either() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/session");
    let mut nr_files = 0;
    for entry in std::fs::read_dir(&corpus).expect("list the corpus").flatten() {
        let bytes = std::fs::read(entry.path()).expect("read");
        rehearse(bytes.split(|byte| *byte == b'\n'));
        nr_files += 1;
    }
    assert!(nr_files > 10, "{} holds {nr_files} conversations", corpus.display());
}

/// Requests, nearly requests, and noise.
fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let request = prop::sample::select(vec![
        r#"{"type":"hello","version":1}"#,
        r#"{"type":"acquire"}"#,
        r#"{"type":"acquire","tuning":{"slice-us":"2000"}}"#,
        r#"{"type":"acquire","tuning":{"slice-us":2000}}"#,
        r#"{"type":"set_foreground"}"#,
        r#"{"type":"join"}"#,
        r#"{"type":"status"}"#,
        r#"{"type":"release"}"#,
        r#"{"type":"what"}"#,
    ]);
    prop_oneof![
        8 => request.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..200),
    ]
}
