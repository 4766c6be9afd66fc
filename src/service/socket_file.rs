//! A path at which a socket of ours listens: made only where nobody else can meddle, gone with its guard.

use std::fs;
use std::fs::DirBuilder;
use std::io;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;
use nix::sys::socket::SockType;
use nix::sys::stat::Mode;
use nix::sys::stat::umask;
use nix::unistd::geteuid;

use crate::session::transport::connect_to;

/// Who may connect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Modes {
    /// Its owner alone; connecting takes the right to write.
    ForOwner,
    /// Everybody.
    ForAll,
}

impl Modes {
    /// What a socket's permissions lack; those of its directories are the same as of old.
    fn umask(self) -> Mode {
        match self {
            Self::ForOwner => Mode::from_bits_retain(0o022),
            Self::ForAll => Mode::from_bits_retain(0o111),
        }
    }
}

/// A path at which a socket of ours listens. Dropping it removes it.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl SocketFile {
    /// Lets `listen` make a socket at `path`, in whose way one may stand at which nobody listens any more.
    ///
    /// # Errors
    /// Somebody listens there, others may write in its directory, or what the kernel says.
    pub fn make<T>(path: &Path, modes: Modes, listen: impl FnOnce() -> io::Result<T>) -> anyhow::Result<(T, Self)> {
        let directory = path.parent().context("a socket needs a directory")?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)
            .with_context(|| format!("create {}", directory.display()))?;
        check_is_private(directory)?;
        remove_stale(path)?;
        let _umask = Umask::set(modes.umask());
        let listener = listen().with_context(|| format!("listen at {}", path.display()))?;
        let device_and_inode = device_and_inode(path).with_context(|| format!("look at {}", path.display()))?;
        Ok((listener, Self { path: path.to_owned(), device_and_inode }))
    }
}

/// Whoever may write in the directory could put a socket of their own in our place.
fn check_is_private(directory: &Path) -> anyhow::Result<()> {
    let metadata = fs::metadata(directory).with_context(|| format!("look at {}", directory.display()))?;
    let is_owner_known = [0, geteuid().as_raw()].contains(&metadata.uid());
    ensure!(
        is_owner_known && metadata.mode() & 0o022 == 0,
        "{} belongs to others or is theirs to write",
        directory.display()
    );
    Ok(())
}

/// A process that was killed leaves its socket behind.
fn remove_stale(path: &Path) -> anyhow::Result<()> {
    match connect_to(path, SockType::Stream) {
        Ok(_) => bail!("another program serves at {}", path.display()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // One that takes sessions, or has no time.
        Err(error) if [Some(libc::EPROTOTYPE), Some(libc::EAGAIN)].contains(&error.raw_os_error()) => {
            bail!("another program serves at {}", path.display())
        }
        Err(error) if error.kind() == ErrorKind::ConnectionRefused && is_socket(path) => {
            fs::remove_file(path).with_context(|| format!("remove the stale {}", path.display()))
        }
        Err(error) => Err(error).with_context(|| format!("see who serves at {}", path.display())),
    }
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

fn device_and_inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Not that of somebody who took the path over.
        if device_and_inode(&self.path).is_ok_and(|found| found == self.device_and_inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The caller's umask, back when dropped. It is the whole process's; no other thread makes files then.
struct Umask(Mode);

impl Umask {
    fn set(mask: Mode) -> Self {
        Self(umask(mask))
    }
}

impl Drop for Umask {
    fn drop(&mut self) {
        umask(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;
    use std::os::unix::net::UnixStream;

    fn listen(path: &Path) -> anyhow::Result<(UnixListener, SocketFile)> {
        SocketFile::make(path, Modes::ForOwner, || UnixListener::bind(path))
    }

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("temporary directory")
    }

    fn why_not(path: &Path) -> String {
        format!("{:#}", listen(path).expect_err("refused"))
    }

    #[test]
    fn the_socket_is_its_owners_alone_in_directories_that_are_made_for_it_and_goes_with_the_guard() {
        let root = directory();
        let path = root.path().join("scx/root/stats");
        let (_listener, file) = listen(&path).expect("listen");
        for made in [path.as_path(), &root.path().join("scx/root"), &root.path().join("scx")] {
            assert_eq!(fs::metadata(made).expect("metadata").mode() & 0o022, 0, "{}", made.display());
        }
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_a_killed_process_left_is_replaced() {
        let root = directory();
        let path = root.path().join("stats");
        drop(UnixListener::bind(&path).expect("bind"));
        assert!(path.exists(), "dropping a listener leaves its file");
        let (_listener, _file) = listen(&path).expect("listen");
        UnixStream::connect(&path).expect("somebody listens now");
    }

    #[test]
    fn a_socket_that_somebody_serves_is_left_to_them() {
        let root = directory();
        let path = root.path().join("stats");
        let _theirs = UnixListener::bind(&path).expect("bind");
        assert!(why_not(&path).contains("another program serves at"));
        UnixStream::connect(&path).expect("they still do");
    }

    #[test]
    fn a_file_that_is_no_socket_is_not_removed() {
        let root = directory();
        let path = root.path().join("stats");
        fs::write(&path, "precious").expect("write");
        assert!(why_not(&path).contains("see who serves"));
        assert_eq!(fs::read_to_string(&path).expect("read"), "precious");
    }

    #[test]
    fn a_directory_that_others_may_write_is_refused() {
        let root = directory();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).expect("chmod");
        assert!(why_not(&root.path().join("stats")).contains("theirs to write"));
        assert!(!root.path().join("stats").exists());
    }

    #[test]
    fn the_socket_of_who_took_the_path_over_stays() {
        let root = directory();
        let path = root.path().join("stats");
        let (listener, file) = listen(&path).expect("listen");
        fs::rename(&path, root.path().join("ours")).expect("rename");
        let _theirs = UnixListener::bind(&path).expect("bind");
        drop((listener, file));
        UnixStream::connect(&path).expect("theirs is still there");
    }
}
