//! Files in debugfs that a driver changes at each vblank.
//!
//! The kernel's DRM has had none for years, and inotify does not see what changes inside of debugfs by itself
//! (ADR 0003). Where a driver brings one that can be seen, it is a source as good as any.

use std::fs;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::path::PathBuf;

use inotify::Inotify;
use inotify::WatchDescriptor;
use inotify::WatchMask;

use super::frame::CrtcId;

/// The files of some CRTCs, watched.
pub struct Counters {
    inotify: Inotify,
    watched: Vec<(WatchDescriptor, CrtcId)>,
}

impl AsFd for Counters {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl Counters {
    /// Watches the files of `crtcs` below `debugfs`; `None` where there are none, or we may not look.
    pub fn watch(debugfs: &Path, crtcs: impl Iterator<Item = CrtcId>) -> Option<Self> {
        let files: Vec<(PathBuf, CrtcId)> =
            crtcs.flat_map(|crtc| files_of(debugfs, crtc).into_iter().map(move |file| (file, crtc))).collect();
        if files.is_empty() {
            return None;
        }
        let inotify = Inotify::init().ok()?;
        let watch =
            |(file, crtc): (PathBuf, CrtcId)| Some((inotify.watches().add(file, WatchMask::MODIFY).ok()?, crtc));
        let watched = files.into_iter().filter_map(watch).collect();
        Some(Self { inotify, watched })
    }

    /// Whose files have changed since the last time, once for each change that the kernel told apart.
    pub fn take(&mut self) -> Vec<CrtcId> {
        let mut buffer = [0; 4096];
        let Ok(events) = self.inotify.read_events(&mut buffer) else { return Vec::new() };
        let crtc = |wd: &WatchDescriptor| self.watched.iter().find(|(watched, _)| watched == wd).map(|(_, crtc)| *crtc);
        events.filter_map(|event| crtc(&event.wd)).collect()
    }
}

/// `dri/CARD/crtc-CRTC/*vblank*`.
fn files_of(debugfs: &Path, crtc: CrtcId) -> Vec<PathBuf> {
    let dir = debugfs.join(format!("dri/{}/crtc-{}", crtc.card, crtc.crtc));
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().contains("vblank")).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_is_heard_and_others_are_not() {
        let debugfs = tempfile::tempdir().expect("make a directory");
        let dir = debugfs.path().join("dri/0/crtc-1");
        fs::create_dir_all(&dir).expect("make directories");
        fs::write(dir.join("vblank_count"), "7").expect("write");
        fs::write(dir.join("state"), "on").expect("write");
        let (watched, other) = (CrtcId { card: 0, crtc: 1 }, CrtcId { card: 0, crtc: 0 });
        let mut counters = Counters::watch(debugfs.path(), [other, watched].into_iter()).expect("a file");
        assert_eq!(counters.take(), []);
        fs::write(dir.join("state"), "off").expect("write");
        fs::OpenOptions::new()
            .append(true)
            .open(dir.join("vblank_count"))
            .and_then(|mut file| std::io::Write::write_all(&mut file, b"8"))
            .expect("write");
        assert_eq!(counters.take(), [watched]);
        assert!(Counters::watch(debugfs.path(), [other].into_iter()).is_none());
    }
}
