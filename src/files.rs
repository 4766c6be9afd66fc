//! Small files of the kernel's and of others, read without waiting for anybody.

use std::fs::OpenOptions;
use std::io;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Longest file that is read; those of sysfs have 4 KiB.
const BYTES_MAX: u64 = 64 * 1024;

/// The text of a regular file, without the blanks around it. What is no UTF-8 becomes a question mark.
///
/// # Errors
/// It is missing, not ours to read, something else than a file, or too long.
pub fn read_text(path: &Path) -> io::Result<String> {
    // Non-blocking: a FIFO in its place is an error and not a wait.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {BYTES_MAX} bytes")));
    }
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    #[test]
    fn a_file_is_read_and_whatever_else_stands_there_is_an_error_and_no_wait() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("state"), " enabled\n").expect("write");
        fs::write(path("binary"), b"a\xff\n").expect("write");
        fs::write(path("huge"), vec![b'x'; BYTES_MAX as usize + 1]).expect("write");
        mkfifo(&path("fifo"), Mode::S_IRWXU).expect("mkfifo");
        assert_eq!(read_text(&path("state")).expect("read"), "enabled");
        assert_eq!(read_text(&path("binary")).expect("read"), "a\u{fffd}");
        for (name, why) in [("huge", "more than 65536 bytes"), ("fifo", "no regular file"), (".", "no regular file")] {
            let error = read_text(&path(name)).expect_err(name).to_string();
            assert!(error.contains(why), "{name}: {error}");
        }
        assert_eq!(read_text(&path("missing")).expect_err("missing").kind(), io::ErrorKind::NotFound);
    }
}
