//! Stands in for scx_gamer in tests: speaks the session protocol and schedules nothing.
//!
//! `FAKE_SCX_GAMER` selects its behaviour. `FAKE_SCX_GAMER_NOTES` names a file into which it writes how it was started. If
//! `FAKE_SCX_GAMER_MISSED` names a file, it misses the first foreground process and creates that file. With `--listen
//! PATH` it replaces the service, one session after the other.

use std::env;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::exit;
use std::thread::sleep;
use std::time::Duration;

use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::signal::Signal;
use nix::sys::signal::raise;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::Backlog;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::UnixAddr;
use nix::sys::socket::accept4;
use nix::sys::socket::bind;
use nix::sys::socket::listen;
use nix::sys::socket::socket;
use nix::unistd::getpgrp;
use scx_gamer_run::session::protocol::ErrorKind;
use scx_gamer_run::session::protocol::Event;
use scx_gamer_run::session::protocol::Request;
use scx_gamer_run::session::protocol::VERSION;
use scx_gamer_run::session::transport::Received;
use scx_gamer_run::session::transport::Transport;

/// No test waits for this long.
const FOR_EVER: Duration = Duration::from_secs(60);

fn main() -> anyhow::Result<()> {
    let behaviour = env::var("FAKE_SCX_GAMER").unwrap_or_default();
    take_notes()?;
    match env::args_os().skip_while(|word| word != "--listen").nth(1) {
        Some(path) => listen_at(Path::new(&path), &behaviour),
        None => behave(&Transport::from(io::stdin().as_fd().try_clone_to_owned()?), &behaviour),
    }
}

fn listen_at(path: &Path, behaviour: &str) -> anyhow::Result<()> {
    let listener = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
    // Under its own name only once it listens: a connect(2) before that is refused.
    let unready = path.with_extension("unready");
    bind(listener.as_raw_fd(), &UnixAddr::new(&unready)?)?;
    listen(&listener, Backlog::new(1)?)?;
    fs::rename(unready, path)?;
    loop {
        let accepted = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)?;
        // SAFETY: the kernel has just made this descriptor for us.
        behave(&Transport::from(unsafe { OwnedFd::from_raw_fd(accepted) }), behaviour)?;
    }
}

fn behave(session: &Transport, behaviour: &str) -> anyhow::Result<()> {
    match behaviour {
        "fails" => exit(1),
        "prints garbage" => {
            nix::unistd::write(session.as_fd(), b"\x7fELF no JSON at all")?;
            sleep_until_closed(session);
        }
        "is mute" => sleep_until_closed(session),
        "hangs" => sleep(FOR_EVER),
        _ => serve(session, behaviour)?,
    }
    Ok(())
}

fn take_notes() -> anyhow::Result<()> {
    let Some(file) = env::var_os("FAKE_SCX_GAMER_NOTES") else { return Ok(()) };
    let words: Vec<String> = env::args().skip(1).collect();
    let leads_group = getpgrp() == nix::unistd::getpid();
    let preload = env::var_os("LD_PRELOAD").is_some() || env::var_os("LD_LIBRARY_PATH").is_some();
    fs::write(file, format!("{} leads_group={leads_group} preload={preload}", words.join(" ")))?;
    Ok(())
}

fn serve(session: &Transport, behaviour: &str) -> anyhow::Result<()> {
    // A wrapper that has left is told by the next look at the session.
    let say = |event: Event| drop(session.send(&event, None));
    loop {
        wait_readable(session);
        match session.receive::<Request>()? {
            Received::Message(Request::Hello { .. }, _) if behaviour == "is of another version" => {
                say(Event::Hello { version: VERSION + 1 });
            }
            Received::Message(Request::Hello { .. }, _) => say(Event::Hello { version: VERSION }),
            Received::Message(Request::Acquire { .. }, _) if behaviour == "refuses" => {
                let hint = Some("boot another kernel".to_owned());
                say(Event::Error { kind: ErrorKind::Kernel, message: "this kernel has no sched_ext".to_owned(), hint });
            }
            Received::Message(Request::Acquire { .. }, _) if behaviour == "loads" => sleep(FOR_EVER),
            Received::Message(Request::Acquire { tuning, .. }, _)
                if behaviour == "is untunable" && !tuning.is_empty() =>
            {
                let message = format!("no such tuning: {tuning:?}");
                say(Event::Error { kind: ErrorKind::Tuning, message, hint: None });
            }
            Received::Message(Request::Acquire { .. }, _) => {
                let attached = Event::Attached {
                    scheduler: "gamer".to_owned(),
                    attach_ms: 812,
                    input_source: "seen in the kernel".to_owned(),
                    frame_source: "off".to_owned(),
                    is_tuned_otherwise: behaviour == "is shared",
                };
                let ended = |retry_ms| Event::Ended { message: "the kernel threw gamer out".to_owned(), retry_ms };
                say(attached.clone());
                match behaviour {
                    "dies" => raise(Signal::SIGKILL)?,
                    "is thrown out" => say(ended(None)),
                    "gives up" => {
                        say(ended(Some(1000)));
                        return Ok(());
                    }
                    "comes back" => [ended(Some(1000)), attached].into_iter().for_each(say),
                    _ => {}
                }
            }
            Received::Message(Request::Release, _) if behaviour == "keeps silent" => {}
            Received::Message(Request::Release, _) => {
                say(Event::Released { is_kept_for_others: behaviour == "is shared" })
            }
            Received::Message(Request::SetForeground, Some(_)) if misses_game()? => {
                say(Event::Foreground { tgid: None })
            }
            Received::Message(Request::SetForeground, pidfd) => say(Event::Foreground { tgid: tgid(pidfd)? }),
            Received::Message(..) | Received::Nothing => {}
            Received::Garbage(_) => exit(2),
            Received::Closed if behaviour == "ends badly" => exit(3),
            Received::Closed if behaviour == "never ends" => sleep(FOR_EVER),
            Received::Closed => return Ok(()),
        }
    }
}

/// True once: the game has ended by the time that it is named. Creates the file that `FAKE_SCX_GAMER_MISSED` names.
fn misses_game() -> anyhow::Result<bool> {
    let Some(file) = env::var_os("FAKE_SCX_GAMER_MISSED").filter(|file| !Path::new(file).exists()) else {
        return Ok(false);
    };
    fs::write(file, "")?;
    Ok(true)
}

/// What the kernel says behind the pidfd.
fn tgid(pidfd: Option<OwnedFd>) -> anyhow::Result<Option<i32>> {
    let Some(pidfd) = pidfd else { return Ok(None) };
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    Ok(info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok()))
}

fn sleep_until_closed(session: &Transport) {
    while !matches!(session.receive::<Request>(), Ok(Received::Closed) | Err(_)) {
        wait_readable(session);
    }
}

fn wait_readable(session: &Transport) {
    let _ = poll(&mut [PollFd::new(session.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
}
