//! Short questions to whoever may hold a scheduler: answered within two seconds, or not at all; and the last word of a lease.

use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use nix::sys::socket::SockType;
use scx_stats::StatsRequest;
use scx_stats::StatsResponse;

use crate::session::protocol::ErrorKind;
use crate::session::protocol::Event;
use crate::session::protocol::LeaseStatus;
use crate::session::protocol::Leases;
use crate::session::protocol::Request;
use crate::session::protocol::VERSION;
use crate::session::transport::Received;
use crate::session::transport::Transport;
use crate::session::transport::connect_to;
use crate::wrapper::lease::wait_readable;
use crate::wrapper::report::GivenBack;

/// How long all of an answer may take, from the connection on.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longest answer that is read; 16 leases have less than 3 KiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why a question has no answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NoAnswer {
    /// Nobody listens there.
    Absent,
    /// We may not ask.
    Denied,
    /// Whoever was asked does not serve us.
    Refused {
        /// Why not, in one sentence.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// Anything else, as what follows the name of who was asked.
    Failed(String),
}

impl NoAnswer {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Self::Absent,
            io::ErrorKind::PermissionDenied => Self::Denied,
            io::ErrorKind::WouldBlock => Self::Failed("lets nobody in".to_owned()),
            _ => Self::Failed(format!("can't be asked: {error}")),
        }
    }

    fn too_late() -> Self {
        Self::Failed(format!("has not answered within {} s", PATIENCE.as_secs()))
    }

    fn hung_up() -> Self {
        Self::Failed("has hung up".to_owned())
    }
}

/// Whether the service at `socket` answers, and speaks as we do.
///
/// # Errors
/// It does not.
pub fn greet_service(socket: &Path) -> Result<(), NoAnswer> {
    greet(socket, Instant::now() + PATIENCE).map(drop)
}

/// The leases that the service at `socket` tells of.
///
/// # Errors
/// It does not tell.
pub fn leases_of_service(socket: &Path) -> Result<Vec<LeaseStatus>, NoAnswer> {
    let until = Instant::now() + PATIENCE;
    let session = greet(socket, until)?;
    answer_to(&session, &Request::Status, until, |event| match event {
        Event::Status { leases } => Some(leases),
        _ => None,
    })
}

fn greet(socket: &Path, until: Instant) -> Result<Transport, NoAnswer> {
    let session = Transport::connect(socket).map_err(|error| NoAnswer::of(&error))?;
    let version = answer_to(&session, &Request::Hello { version: VERSION }, until, |event| match event {
        Event::Hello { version } => Some(version),
        _ => None,
    })?;
    if version == VERSION {
        return Ok(session);
    }
    Err(NoAnswer::Failed(format!("speaks version {version} of the session protocol and we speak {VERSION}")))
}

/// Sends one request and waits for the event that answers it; an error is one, too.
fn answer_to<T>(
    session: &Transport,
    request: &Request,
    until: Instant,
    wanted: impl Fn(Event) -> Option<T>,
) -> Result<T, NoAnswer> {
    // One that has hung up is told by the next look, which may find its reason before.
    let _ = session.send(request, None);
    let mut times_closed = 0;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NoAnswer::too_late());
        }
        match session.receive::<Event>() {
            Ok(Received::Message(Event::Error { kind: ErrorKind::Denied, message, hint }, _)) => {
                return Err(NoAnswer::Refused { message, hint: hint.unwrap_or_default() });
            }
            Ok(Received::Message(Event::Error { message, .. }, _)) => {
                return Err(NoAnswer::Failed(format!("refuses: {message}")));
            }
            Ok(Received::Message(event, _)) => {
                if let Some(answer) = wanted(event) {
                    return Ok(answer);
                }
            }
            Ok(Received::Nothing) => wait_readable(Some(session.as_fd()), left),
            // A peer that left our request unread is reported as gone before what it said can be read.
            Ok(Received::Closed) if times_closed == 0 => times_closed += 1,
            Ok(Received::Closed) => return Err(NoAnswer::hung_up()),
            Ok(Received::Garbage(why)) => {
                return Err(NoAnswer::Failed(format!("sent something that is no message ({why})")));
            }
            Err(error) => return Err(NoAnswer::of(&error)),
        }
    }
}

/// Asks the service to take our lease back and waits until it has said what that means for the scheduler.
pub fn give_back(session: &Transport, patience: Duration) -> GivenBack {
    let until = Instant::now() + patience;
    let _ = session.send(&Request::Release, None);
    let mut times_closed = 0;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match session.receive::<Event>() {
            Ok(Received::Message(Event::Released { is_kept_for_others: true }, _)) => return GivenBack::KeptForOthers,
            Ok(Received::Message(Event::Released { .. }, _)) => return GivenBack::Confirmed,
            Ok(Received::Message(..)) => {}
            Ok(Received::Nothing) if left.is_zero() => {
                return GivenBack::Unconfirmed(format!("has not answered for {} s", patience.as_secs()));
            }
            Ok(Received::Nothing) => wait_readable(Some(session.as_fd()), left),
            // A peer that left our request unread is reported as gone before what it said can be read.
            Ok(Received::Closed) if times_closed == 0 => times_closed += 1,
            Ok(Received::Closed | Received::Garbage(_)) | Err(_) => {
                return GivenBack::Unconfirmed("hung up instead of saying so".to_owned());
            }
        }
    }
}

/// The leases that the scx_gamer which serves metrics at `socket` tells of.
///
/// # Errors
/// It does not tell.
pub fn leases_of_scheduler(socket: &Path) -> Result<Vec<LeaseStatus>, NoAnswer> {
    let until = Instant::now() + PATIENCE;
    let connected = connect_to(socket, SockType::Stream).map_err(|error| NoAnswer::of(&error))?;
    let mut stream = UnixStream::from(connected);
    let mut request = serde_json::to_vec(&StatsRequest::new("leases", Vec::new())).expect("BUG: strings are JSON");
    request.push(b'\n');
    stream.write_all(&request).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => NoAnswer::hung_up(),
        _ => NoAnswer::of(&error),
    })?;
    let garbage = |why: serde_json::Error| NoAnswer::Failed(format!("sent something that is no answer ({why})"));
    let answer: StatsResponse = serde_json::from_slice(&read_line(&mut stream, until)?).map_err(garbage)?;
    let value = answer.args.get("resp").cloned().unwrap_or_default();
    match answer.errno {
        0 => serde_json::from_value(value).map(|Leases { leases }| leases).map_err(garbage),
        _ => Err(NoAnswer::Failed(format!("refuses: {}", value.as_str().unwrap_or("no reason given")))),
    }
}

fn read_line(stream: &mut UnixStream, until: Instant) -> Result<Vec<u8>, NoAnswer> {
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    while !line.ends_with(b"\n") {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NoAnswer::too_late());
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Err(NoAnswer::hung_up()),
            Ok(nr_bytes) => line.extend_from_slice(&buffer[..nr_bytes]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_readable(Some(stream.as_fd()), left),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(NoAnswer::hung_up()),
        }
        if line.len() > ANSWER_BYTES_MAX {
            return Err(NoAnswer::Failed(format!("sent more than {ANSWER_BYTES_MAX} bytes without an end")));
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests;
