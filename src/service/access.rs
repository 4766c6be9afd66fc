//! Who may use the service? Root, the members of a group, and who sits at this machine.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::unistd::Gid;
use nix::unistd::Group;

use super::peer::Peer;
use crate::files;

/// Most groups of a process that are asked for; the kernel allows as many (NGROUPS_MAX).
const GROUPS_MAX: usize = 65_536;

/// The rule.
#[derive(Clone, Debug)]
pub struct Access {
    group: Option<Gid>,
    group_name: String,
    /// logind's runtime state.
    sessions: PathBuf,
}

impl Access {
    /// Members of `group` may, if there is one, and who has an active local session by the files below `run`.
    pub fn new(group: &str, run: &Path) -> Self {
        let found = Group::from_name(group).ok().flatten().map(|group| group.gid);
        if found.is_none() {
            log::debug!("there is no group {group}");
        }
        Self { group: found, group_name: group.to_owned(), sessions: run.join("systemd/sessions") }
    }

    /// Whether `peer`, who made `socket`, may use the service.
    pub fn allows(&self, peer: Peer, socket: impl AsFd) -> bool {
        let is_member = || {
            let groups = groups_of(socket).unwrap_or_else(|error| {
                log::debug!("the groups of process {} are unknown: {error}", peer.tgid);
                Vec::new()
            });
            self.group.is_some_and(|group| groups.contains(&group))
        };
        peer.uid == 0 || self.has_active_local_session(peer.uid) || is_member()
    }

    /// One sentence for who may not, and what to do about it.
    pub fn refusal(&self, peer: Peer) -> (String, String) {
        let message = format!(
            "user {} neither sits at this machine (no active local session) nor is in the group {}",
            peer.uid, self.group_name
        );
        (message, format!("sudo usermod -aG {} YOUR_NAME, then log in again", self.group_name))
    }

    /// The rule that polkit calls allow_active: logind knows a session of the user on a seat, and it is the one in front.
    fn has_active_local_session(&self, uid: u32) -> bool {
        let Ok(entries) = fs::read_dir(&self.sessions) else { return false };
        // Not even opened: the FIFOs beside the files, by which logind knows that a session lives.
        entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file())).any(|entry| {
            let text = files::read_text(&entry.path()).unwrap_or_default();
            is_active_local_session_of(uid, &text)
        })
    }
}

/// Reads a session as logind writes it: one `KEY=VALUE` a line.
fn is_active_local_session_of(uid: u32, session: &str) -> bool {
    let value = |key: &str| session.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value("UID") == Some(&uid.to_string())
        && value("ACTIVE") == Some("1")
        && value("STATE") == Some("active")
        && value("REMOTE") != Some("1")
        && value("SEAT").is_some_and(|seat| !seat.is_empty())
}

/// The groups of the process that made `socket`, its own one among them, as the kernel knows them.
fn groups_of(socket: impl AsFd) -> io::Result<Vec<Gid>> {
    let fd = socket.as_fd().as_raw_fd();
    let mut groups: Vec<libc::gid_t> = vec![0; 32];
    loop {
        let mut bytes = libc::socklen_t::try_from(size_of_val(groups.as_slice())).unwrap_or(libc::socklen_t::MAX);
        // SAFETY: the kernel writes at most `bytes` bytes, which is the size of the buffer, and tells how many it needs.
        let outcome = unsafe {
            libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERGROUPS, groups.as_mut_ptr().cast(), &raw mut bytes)
        };
        let nr_groups = bytes as usize / size_of::<libc::gid_t>();
        match Errno::result(outcome) {
            Ok(_) => groups.truncate(nr_groups),
            Err(Errno::ERANGE) if nr_groups > groups.len() && nr_groups <= GROUPS_MAX => {
                groups.resize(nr_groups, 0);
                continue;
            }
            Err(errno) => return Err(errno.into()),
        }
        groups.push(own_group_of(fd)?);
        return Ok(groups.into_iter().map(Gid::from_raw).collect());
    }
}

/// nix tells the number of the process and of its user only.
fn own_group_of(fd: i32) -> io::Result<libc::gid_t> {
    let mut credentials = MaybeUninit::<libc::ucred>::zeroed();
    let mut bytes = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes one ucred, for which there is room; all zeroes are one, too.
    let credentials = unsafe {
        let outcome =
            libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, credentials.as_mut_ptr().cast(), &raw mut bytes);
        Errno::result(outcome)?;
        credentials.assume_init()
    };
    Ok(credentials.gid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::transport::Transport;

    const ON_A_SEAT: &str =
        "# This is private data. Do not parse.\nUID=1000\nUSER=alice\nACTIVE=1\nSTATE=active\nREMOTE=0\nSEAT=seat0\n";

    #[test]
    fn a_session_counts_if_it_is_the_users_on_a_seat_and_in_front() {
        assert!(is_active_local_session_of(1000, ON_A_SEAT));
        assert!(!is_active_local_session_of(100, ON_A_SEAT), "somebody else's");
        for (there, instead) in [
            ("ACTIVE=1", "ACTIVE=0"),
            ("STATE=active", "STATE=closing"),
            ("REMOTE=0", "REMOTE=1"),
            ("SEAT=seat0", "SEAT="),
            ("SEAT=seat0\n", ""),
            ("UID=1000\n", "REALUID=1000\n"),
        ] {
            assert!(!is_active_local_session_of(1000, &ON_A_SEAT.replace(there, instead)), "{instead}");
        }
    }

    #[test]
    fn sessions_are_looked_for_where_logind_keeps_them_beside_whatever_else_is_there() {
        let run = tempfile::tempdir().expect("temporary directory");
        let sessions = run.path().join("systemd/sessions");
        fs::create_dir_all(sessions.join("c1")).expect("create");
        nix::unistd::mkfifo(&sessions.join("2.ref"), nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
        let access = Access::new("scx-gamer-has-no-such-group", run.path());
        let (ours, _theirs) = Transport::pair().expect("socketpair");
        let peer = |uid| Peer { tgid: 1, uid };
        assert!(!access.allows(peer(1000), &ours), "nobody sits here");
        fs::write(sessions.join("2"), ON_A_SEAT).expect("write");
        assert!(access.allows(peer(1000), &ours));
        assert!(!access.allows(peer(1001), &ours));
        assert!(access.allows(peer(0), &ours), "root always may");
        let (message, hint) = access.refusal(peer(1001));
        assert!(message.contains("user 1001") && hint.contains("usermod"), "{message}: {hint}");
    }

    #[test]
    fn a_member_of_the_group_may_without_a_session() {
        let (ours, _theirs) = Transport::pair().expect("socketpair");
        let own = Group::from_gid(nix::unistd::getgid()).ok().flatten().expect("our group has a name");
        let access = Access::new(&own.name, Path::new("/nowhere"));
        assert!(access.allows(Peer { tgid: 1, uid: 1000 }, &ours));
        assert!(groups_of(&ours).expect("groups").contains(&own.gid));
    }
}
