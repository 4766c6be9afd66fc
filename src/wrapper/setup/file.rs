//! A file of Steam's, read whole and replaced whole: it is the old one or the new one at every moment.

use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::fs::OpenOptions;
use std::fs::Permissions;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::fchown;
use std::path::Path;
use std::path::PathBuf;

use nix::sys::signal::SigSet;
use nix::sys::signal::SigmaskHow;
use tempfile::NamedTempFile;

use crate::wrapper::setup::localconfig::Broken;

/// The largest of players have a few MiB.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What the copy from before a change is called: the file's name with this.
const BACKUP_SUFFIX: &str = ".scx-gamer-backup";

/// A file as it was when we read it.
#[derive(Debug)]
pub struct ConfigFile {
    /// Where it really is, whatever links led there.
    path: PathBuf,
    text: String,
    seen: Metadata,
}

impl ConfigFile {
    /// Reads what `path` leads to.
    ///
    /// # Errors
    /// One sentence that names the file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| format!("can't read {}: {error}", path.display());
        let real = fs::canonicalize(path).map_err(failed)?;
        // Non-blocking: a FIFO without a writer is no wait.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&real).map_err(failed)?;
        let seen = file.metadata().map_err(failed)?;
        if !seen.is_file() {
            return Err(format!("{} is no regular file", path.display()));
        }
        let mut bytes = Vec::new();
        if seen.len() <= FILE_BYTES_MAX {
            file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        }
        if seen.len().max(bytes.len() as u64) > FILE_BYTES_MAX {
            return Err(format!("{} is larger than {} MiB", path.display(), FILE_BYTES_MAX / 1024 / 1024));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let before = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
            broken(path, &Broken::after(&before, "bytes that are no text (UTF-8)"))
        })?;
        Ok(Self { path: real, text, seen })
    }

    /// Where it really is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where [`ConfigFile::replace`] leaves what was in it.
    #[must_use]
    pub fn backup_path(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(BACKUP_SUFFIX);
        PathBuf::from(name)
    }

    /// Puts `text` in its place, with the same owner and mode, and leaves what it was in the backup. An older backup stays:
    /// it is from before our first change.
    ///
    /// # Errors
    /// One sentence; the file is then as it was.
    pub fn replace(&self, text: &str) -> Result<(), String> {
        let _undisturbed = Undisturbed::begin();
        self.try_replace(text).map_err(|error| format!("can't change {}: {error}", self.path.display()))
    }

    fn try_replace(&self, text: &str) -> io::Result<()> {
        let new = self.beside(text)?;
        let backup = self.needs_backup()?.then(|| self.beside(&self.text)).transpose()?;
        let now = fs::metadata(&self.path)?;
        let state = |file: &Metadata| (file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec());
        if state(&now) != state(&self.seen) {
            return Err(io::Error::other("it has changed meanwhile; try again"));
        }
        if let Some(backup) = backup {
            backup.persist_noclobber(self.backup_path()).map_err(|error| error.error)?;
        }
        new.persist(&self.path).map_err(|error| error.error)?;
        // It is in place; that a crash of the machine could still undo this is no failure.
        let _ = File::open(self.directory()).and_then(|directory| directory.sync_all());
        Ok(())
    }

    fn needs_backup(&self) -> io::Result<bool> {
        let backup = self.backup_path();
        match fs::symlink_metadata(&backup) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
            Ok(older) if older.is_file() => Ok(false),
            Ok(_) => Err(io::Error::other(format!("{} is in the way of its backup", backup.display()))),
        }
    }

    /// A file like this one in its directory, which vanishes unless it is given a name.
    fn beside(&self, text: &str) -> io::Result<NamedTempFile> {
        let mut new = tempfile::Builder::new().prefix(".localconfig.vdf.").tempfile_in(self.directory())?;
        new.write_all(text.as_bytes())?;
        let file = new.as_file();
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (self.seen.uid(), self.seen.gid()) {
            fchown(file, Some(self.seen.uid()), Some(self.seen.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(self.seen.mode() & 0o7777))?;
        file.sync_all()?;
        Ok(new)
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }
}

/// The sentence for a file that can't be read to its end.
#[must_use]
pub fn broken(path: &Path, broken: &Broken) -> String {
    format!("{}:{}:{}: {}", path.display(), broken.line, broken.column, broken.what)
}

/// While it lives no signal ends us, which would leave a temporary file behind.
struct Undisturbed(Option<SigSet>);

impl Undisturbed {
    fn begin() -> Self {
        Self(SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK).ok())
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        let _ = self.0.as_ref().map(SigSet::thread_set_mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    fn directory_with(text: &[u8]) -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("localconfig.vdf");
        fs::write(&path, text).expect("write the file");
        (directory, path)
    }

    fn names(directory: &Path) -> Vec<OsString> {
        let mut names: Vec<_> =
            fs::read_dir(directory).expect("list").map(|entry| entry.expect("entry").file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_the_first_backup_stays() {
        let (directory, path) = directory_with(b"old");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("set the mode");
        ConfigFile::read(&path).expect("read").replace("new").expect("replace");
        ConfigFile::read(&path).expect("read").replace("newer").expect("replace");
        let backup = directory.path().join("localconfig.vdf.scx-gamer-backup");
        assert_eq!(fs::read(&path).expect("read"), b"newer");
        assert_eq!(fs::read(&backup).expect("read"), b"old");
        for file in [path, backup] {
            assert_eq!(fs::metadata(file).expect("metadata").mode() & 0o7777, 0o640);
        }
        assert_eq!(names(directory.path()), ["localconfig.vdf", "localconfig.vdf.scx-gamer-backup"]);
    }

    #[test]
    fn a_link_stays_a_link_and_its_target_is_replaced() {
        let (directory, path) = directory_with(b"old");
        let link = directory.path().join("link");
        symlink(&path, &link).expect("link");
        ConfigFile::read(&link).expect("read").replace("new").expect("replace");
        assert_eq!(fs::read_link(&link).expect("still a link"), path);
        assert_eq!(fs::read(&path).expect("read"), b"new");
        let kept = ["link", "localconfig.vdf", "localconfig.vdf.scx-gamer-backup"];
        assert_eq!(names(directory.path()), kept);
    }

    #[test]
    fn a_file_that_changed_meanwhile_stays_as_it_is() {
        let (directory, path) = directory_with(b"old");
        let file = ConfigFile::read(&path).expect("read");
        fs::write(&path, b"Steam's").expect("write");
        assert!(file.replace("new").expect_err("refused").contains("meanwhile"));
        assert_eq!(fs::read(&path).expect("read"), b"Steam's");
        assert_eq!(names(directory.path()), ["localconfig.vdf"]);
    }

    #[test]
    fn where_no_backup_can_be_made_nothing_is_changed() {
        let (directory, path) = directory_with(b"old");
        let backup = directory.path().join("localconfig.vdf.scx-gamer-backup");
        fs::create_dir(&backup).expect("a directory in the way");
        let sentence = ConfigFile::read(&path).expect("read").replace("new").expect_err("no backup");
        assert!(sentence.ends_with("is in the way of its backup"), "{sentence}");
        assert_eq!(fs::read(&path).expect("read"), b"old");
        assert_eq!(names(directory.path()), ["localconfig.vdf", "localconfig.vdf.scx-gamer-backup"]);
    }

    #[test]
    fn what_is_no_file_of_text_is_named_in_one_sentence() {
        let (directory, path) = directory_with(b"one\ntwo \xff");
        let sentence = ConfigFile::read(&path).expect_err("no text");
        assert!(sentence.ends_with("localconfig.vdf:2:5: bytes that are no text (UTF-8)"), "{sentence}");
        File::create(&path).and_then(|file| file.set_len(FILE_BYTES_MAX + 1)).expect("a large file");
        assert!(ConfigFile::read(&path).expect_err("too large").ends_with("is larger than 64 MiB"));
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
        let loops = directory.path().join("loop");
        symlink(&loops, &loops).expect("link");
        for path in [directory.path(), &fifo, &loops, &directory.path().join("missing")] {
            let sentence = ConfigFile::read(path).expect_err("no file");
            assert!(sentence.contains(&path.display().to_string()), "{sentence}");
        }
    }
}
