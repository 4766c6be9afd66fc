//! The messages of a session, one JSON object per datagram.
//!
//! Order: the client says [`Request::Hello`], is answered by [`Event::Hello`], says [`Request::Acquire`] and
//! hears [`Event::Attached`] or [`Event::Error`] when the scheduler stands or can't. Closing the connection,
//! in whatever way, gives the lease back; who asks by [`Request::Release`] hears what became of the scheduler. Unknown
//! fields are ignored and unknown requests are answered by an error, so that both sides can grow.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

/// Version of this protocol. A peer of another version is told so and left alone.
pub const VERSION: u32 = 1;

/// Longest datagram that either side sends or accepts, in bytes.
pub const DATAGRAM_BYTES_MAX: usize = 64 * 1024;

/// What a client asks of the scheduler's owner.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// Opens the session; must come first.
    Hello {
        /// The client's [`VERSION`].
        version: u32,
    },
    /// Takes the lease: attach if nobody has, and treat the caller's descendants as a game's family.
    Acquire {
        /// Descendants born before this time (CLOCK_BOOTTIME, in ns) are left out: a script that execs the wrapper
        /// has children of its own.
        #[serde(default)]
        since_boot_ns: u64,
        /// How the scheduler is to be: flags of scx_gamer without dashes, from a fixed list, with their values. Whoever
        /// comes first decides; others are told that theirs differ.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        tuning: BTreeMap<String, String>,
    },
    /// Pins the process behind the pidfd that travels with this datagram; without one, un-pins.
    SetForeground,
    /// Makes the process behind the pidfd that travels with this datagram one of the family, if it is in nobody's. Not
    /// answered: such processes come and go.
    Join,
    /// Asks who holds leases; needs none.
    Status,
    /// Gives the lease back, and closes the connection once that is done.
    Release,
    /// A request of a later version.
    #[serde(other)]
    Unknown,
}

/// What the scheduler's owner tells a client.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Answers [`Request::Hello`].
    Hello {
        /// The server's [`VERSION`].
        version: u32,
    },
    /// The scheduler is enabled, as read back from the kernel, and the caller's family is known to it.
    Attached {
        /// Name under which the kernel lists it (`/sys/kernel/sched_ext/root/ops`).
        scheduler: String,
        /// From the request to `enabled`, in milliseconds.
        attach_ms: u64,
        /// Who sees what the player does, in words.
        #[serde(default)]
        input_source: String,
        /// Who sees the beginnings of frames, in words.
        #[serde(default)]
        frame_source: String,
        /// The scheduler is tuned as somebody else wanted it who came first, and not as the caller does.
        #[serde(default)]
        is_tuned_otherwise: bool,
    },
    /// Another source of frames is used from now on.
    FrameSource {
        /// Who sees them, in words.
        source: String,
        /// How often it fires, in thousandths of a hertz; 0: unknown.
        millihertz: u64,
    },
    /// Processes have joined the caller's family or have become another program: time to look for the game.
    Family {
        /// Who; empty when the caller lives in another PID namespace.
        members: Vec<Member>,
    },
    /// The pinned game, as the scheduler now sees it.
    Foreground {
        /// TGID in the server's PID namespace; `None` when nothing is pinned.
        tgid: Option<i32>,
    },
    /// Answers [`Request::Status`].
    Status {
        /// Every lease that is held.
        leases: Vec<LeaseStatus>,
    },
    /// The scheduler is gone although the lease was held.
    Ended {
        /// Why, in one sentence for the player.
        message: String,
        /// In how many milliseconds it is attached once more; `None`: not again.
        #[serde(default)]
        retry_ms: Option<u64>,
    },
    /// Answers [`Request::Release`].
    Released {
        /// The scheduler stays, because others hold leases.
        is_kept_for_others: bool,
    },
    /// A request could not be met; the connection stays open unless the peer broke the protocol.
    Error {
        /// What kind of failure, for callers that branch.
        kind: ErrorKind,
        /// What was tried and on what, in one sentence.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// An event of a later version.
    #[serde(other)]
    Unknown,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The datagram was no request of this protocol, or came out of order.
    Protocol,
    /// The peer speaks another [`VERSION`].
    Version,
    /// This kernel can't run a sched_ext scheduler.
    Kernel,
    /// We lack the privilege to load one.
    Privilege,
    /// Another sched_ext scheduler is in place.
    OtherScheduler,
    /// The limit of leases, connections or requests is reached.
    Limit,
    /// The caller may not use the service.
    Denied,
    /// There is no such tuning option, or not with that value.
    Tuning,
    /// The process is gone, or not the caller's to name.
    Foreground,
    /// Loading or attaching failed for another reason.
    Attach,
    /// A kind of a later version.
    #[serde(other)]
    Unknown,
}

/// A process for good: a PID is used again, one with its start time is not.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Member {
    /// TGID.
    pub pid: i32,
    /// When it was born, in clock ticks since boot, as `/proc/PID/stat` tells it.
    pub start_ticks: u64,
}

/// One held lease, as `--status` shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LeaseStatus {
    /// TGID of the process that holds the lease: the family's root.
    pub pid: i32,
    /// User of that process.
    pub uid: u32,
    /// TGID of the pinned game.
    pub foreground_tgid: Option<i32>,
    /// Its name, at most 15 characters (the kernel's comm).
    pub foreground_comm: Option<String>,
    /// When the lease was taken, in seconds since the epoch.
    pub since: u64,
}

/// The leases of a scheduler, as who serves its metrics tells them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Leases {
    /// Every lease that is held.
    pub leases: Vec<LeaseStatus>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_request_is_told_apart_from_garbage() {
        let newer: Request = serde_json::from_str(r#"{"type":"dance","steps":3}"#).expect("JSON object with a type");
        assert_eq!(newer, Request::Unknown);
        assert!(serde_json::from_str::<Request>(r#"{"steps":3}"#).is_err());
        assert!(serde_json::from_str::<Request>("[1,2").is_err());
    }

    #[test]
    fn an_unknown_field_is_ignored() {
        let hello: Request = serde_json::from_str(r#"{"type":"hello","version":1,"shoe_size":44}"#).expect("hello");
        assert_eq!(hello, Request::Hello { version: 1 });
    }

    #[test]
    fn requests_look_on_the_wire_as_documented() {
        assert_eq!(serde_json::to_string(&Request::SetForeground).expect("serialise"), r#"{"type":"set_foreground"}"#);
    }
}
