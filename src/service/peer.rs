//! Who is at the other end, and which process may they name?

use std::fs;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::sockopt::PeerPidfd;
use procfs::process::Process;

/// The process that made the connection, as the kernel tells it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer {
    /// Its TGID.
    pub tgid: i32,
    /// Its user.
    pub uid: u32,
}

impl Peer {
    /// Asks the kernel who made `socket`.
    ///
    /// # Errors
    /// `socket` is not a connected Unix socket.
    pub fn of(socket: impl AsFd) -> anyhow::Result<Self> {
        let credentials = getsockopt(&socket, PeerCredentials).context("ask who is at the other end of the session")?;
        ensure!(credentials.pid() > 0, "the other end of the session is in a PID namespace that we can't see");
        Ok(Self { tgid: credentials.pid(), uid: credentials.uid() })
    }

    /// Whether a PID means the same process to this peer as to us.
    pub fn shares_our_pids(&self, proc_root: &Path) -> bool {
        let namespace_of =
            |who: &str| fs::metadata(proc_root.join(who).join("ns/pid")).map(|file| (file.dev(), file.ino()));
        match (namespace_of(&self.tgid.to_string()), namespace_of("self")) {
            (Ok(theirs), Ok(ours)) => theirs == ours,
            _ => false,
        }
    }

    /// The living process behind `pidfd`, if this peer may name it: its own, or anybody's for root.
    ///
    /// # Errors
    /// `pidfd` is none, its process is gone, or belongs to somebody else.
    pub fn named_process(&self, pidfd: BorrowedFd<'_>, proc_root: &Path) -> anyhow::Result<i32> {
        let tgid = tgid_of(pidfd, proc_root)?;
        let owner = uid_of(tgid, proc_root)?;
        // Still the same process: had it gone and its number been used again, the pidfd would tell now.
        ensure!(tgid_of(pidfd, proc_root)? == tgid, "process {tgid} has ended");
        if self.uid != 0 && owner != self.uid {
            bail!("process {tgid} belongs to user {owner}, not to user {}", self.uid);
        }
        Ok(tgid)
    }
}

/// Whose process `tgid` is.
///
/// # Errors
/// It is gone.
pub fn uid_of(tgid: i32, proc_root: &Path) -> anyhow::Result<u32> {
    let owner = Process::new_with_root(proc_root.join(tgid.to_string())).and_then(|process| process.uid());
    owner.with_context(|| format!("find the owner of process {tgid}"))
}

/// The process that made `socket`, for good. `None` when it has ended already, and before Linux 6.5, which has no
/// sched_ext either.
pub fn pidfd_of(socket: impl AsFd) -> Option<OwnedFd> {
    getsockopt(&socket, PeerPidfd).ok()
}

/// Whether the process behind `pidfd` has ended.
pub fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// TGID behind a pidfd in our PID namespace, as the kernel prints it in fdinfo.
fn tgid_of(pidfd: BorrowedFd<'_>, proc_root: &Path) -> anyhow::Result<i32> {
    let path = proc_root.join("self/fdinfo").join(pidfd.as_raw_fd().to_string());
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let tgid = text.lines().find_map(|line| line.strip_prefix("Pid:")).context("the descriptor is no pidfd")?;
    match tgid.trim().parse() {
        Ok(tgid) if tgid > 0 => Ok(tgid),
        _ => bail!("the process has ended or can't be seen from here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::transport::Transport;
    use std::fs::File;
    use std::os::fd::FromRawFd;
    use std::os::fd::OwnedFd;
    use std::process::Command;

    const PROC: &str = "/proc";

    #[test]
    fn the_process_that_connected_is_known_for_good() {
        let (ours, _theirs) = Transport::pair().expect("socketpair");
        let ourselves = pidfd_of(&ours).expect("Linux 6.5 or later tells");
        assert!(!has_ended(ourselves.as_fd()));
        let mut child = Command::new("true").spawn().expect("spawn");
        let pidfd = pidfd_of_child(child.id());
        child.wait().expect("wait");
        assert!(has_ended(pidfd.as_fd()));
    }

    fn pidfd_of_child(pid: u32) -> OwnedFd {
        // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1, which is checked.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        assert!(fd >= 0, "pidfd_open");
        // SAFETY: the kernel has just made this descriptor for us.
        unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).expect("descriptor")) }
    }

    #[test]
    fn a_socket_pair_tells_who_made_it() {
        let (ours, _theirs) = Transport::pair().expect("socketpair");
        let peer = Peer::of(&ours).expect("peer");
        assert_eq!(peer, Peer { tgid: std::process::id().cast_signed(), uid: nix::unistd::getuid().as_raw() });
    }

    #[test]
    fn our_own_pids_are_ours_and_those_of_a_process_that_is_gone_are_unknown() {
        let peer = |tgid| Peer { tgid, uid: 0 };
        assert!(peer(std::process::id().cast_signed()).shares_our_pids(Path::new(PROC)));
        assert!(!peer(i32::MAX).shares_our_pids(Path::new(PROC)));
    }

    #[test]
    fn a_peer_may_name_its_own_process_and_nobody_elses() {
        let me = pidfd_of_child(std::process::id());
        let uid = nix::unistd::getuid().as_raw();
        let tgid = std::process::id().cast_signed();
        let owner = Peer { tgid, uid };
        assert_eq!(owner.named_process(me.as_fd(), Path::new(PROC)).expect("own process"), tgid);
        let stranger = Peer { tgid, uid: uid + 1 };
        assert!(stranger.named_process(me.as_fd(), Path::new(PROC)).is_err());
    }

    #[test]
    fn a_dead_process_and_a_descriptor_that_is_no_pidfd_are_refused() {
        let peer = Peer { tgid: 1, uid: 0 };
        let mut child = Command::new("true").spawn().expect("spawn");
        let pidfd = pidfd_of_child(child.id());
        child.wait().expect("wait");
        assert!(peer.named_process(pidfd.as_fd(), Path::new(PROC)).is_err());
        let file = File::open("/dev/null").expect("open");
        assert!(peer.named_process(file.as_fd(), Path::new(PROC)).is_err());
    }
}
