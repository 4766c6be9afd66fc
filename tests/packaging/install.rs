//! `make install` and `make uninstall`.

use std::fs;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;

use crate::rig::System;
use crate::rig::read;

/// All that an install writes, by what it may do.
pub const PROGRAMS: [&str; 2] = ["/usr/bin/scx-gamer-run", "/usr/bin/scx_gamer"];
pub const TEXTS: [&str; 18] = [
    "/usr/lib/systemd/system/scx-gamer.service",
    "/usr/lib/systemd/system/scx-gamer.socket",
    "/usr/lib/sysusers.d/scx-gamer.conf",
    "/usr/share/bash-completion/completions/scx-gamer-run",
    "/usr/share/bash-completion/completions/scx_gamer",
    "/usr/share/doc/scx-gamer-run/LICENSE",
    "/usr/share/doc/scx-gamer-run/README.md",
    "/usr/share/doc/scx-gamer-run/config.toml",
    "/usr/share/doc/scx-gamer-run/steam/README.md",
    "/usr/share/doc/scx-gamer-run/steam/bottles.md",
    "/usr/share/doc/scx-gamer-run/steam/heroic.json",
    "/usr/share/doc/scx-gamer-run/steam/lutris.yml",
    "/usr/share/fish/vendor_completions.d/scx-gamer-run.fish",
    "/usr/share/fish/vendor_completions.d/scx_gamer.fish",
    "/usr/share/man/man1/scx-gamer-run.1",
    "/usr/share/man/man8/scx_gamer.8",
    "/usr/share/zsh/site-functions/_scx-gamer-run",
    "/usr/share/zsh/site-functions/_scx_gamer",
];

#[test]
fn an_install_writes_these_files_and_no_others() {
    let found: Vec<_> = System::installed().files().into_iter().collect();
    let mut expected: Vec<_> = PROGRAMS.map(|path| (path.to_owned(), 0o755)).to_vec();
    expected.extend(TEXTS.map(|path| (path.to_owned(), 0o644)));
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn an_uninstall_leaves_nothing() {
    let system = System::installed();
    system.make("uninstall");
    assert_eq!(fs::read_dir(system.root()).expect("read").count(), 0, "{:?}", system.files());
}

#[test]
fn an_uninstall_leaves_what_others_have_put_beside_our_files() {
    let system = System::installed();
    let others = system.path("/usr/share/man/man1/other.1");
    fs::write(&others, "").expect("write");
    system.make("uninstall");
    assert_eq!(system.files().into_keys().collect::<Vec<_>>(), ["/usr/share/man/man1/other.1"]);
}

#[test]
fn an_uninstall_where_nothing_is_installed_succeeds() {
    System::new().make("uninstall");
}

#[test]
fn another_prefix_moves_everything_and_the_unit_follows() {
    let system = System::with(&["PREFIX=/opt/gamer", "zshdir=/opt/gamer/share/zsh"]);
    system.make("install");
    let files = system.files();
    assert_eq!(files.len(), PROGRAMS.len() + TEXTS.len());
    assert!(files.keys().all(|path| path.starts_with("/opt/gamer/")), "{files:?}");
    assert!(
        read(system.path("/opt/gamer/lib/systemd/system/scx-gamer.service"))
            .contains("ExecStart=/opt/gamer/bin/scx_gamer ")
    );
}

#[test]
fn a_directory_can_be_given_by_itself() {
    let system = System::with(&["bindir=/usr/games"]);
    system.make("install");
    assert!(system.path("/usr/games/scx_gamer").is_file());
    assert!(read(system.path("/usr/lib/systemd/system/scx-gamer.service")).contains("ExecStart=/usr/games/scx_gamer "));
}

#[test]
fn what_packagers_are_used_to_give_does_not_matter() {
    let system = System::with(&["INSTALL=/usr/bin/install -p", "CFLAGS=-O2", "prefix=/elsewhere"]);
    system.make("install");
    assert_eq!(system.files(), System::installed().files());
}

#[test]
fn what_is_not_built_is_named_and_nothing_is_installed() {
    let system = System::with(&["BUILT=/nonexistent"]);
    let output = system.try_make("install");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(stderr.starts_with("install: /nonexistent/scx-gamer-run is missing: run 'make build' first"), "{stderr}");
    assert_eq!(system.files().len(), 0);
}

#[test]
fn a_program_that_runs_is_replaced_by_another_file() {
    let system = System::installed();
    let path = system.path("/usr/bin/scx_gamer");
    let mut running = File::open(&path).expect("open");
    let before = running.metadata().expect("metadata");
    system.make("install");
    assert_ne!(fs::metadata(&path).expect("metadata").ino(), before.ino());
    let mut content = Vec::new();
    running.read_to_end(&mut content).expect("read");
    assert_eq!(content.len() as u64, before.len());
    assert_eq!(system.files().len(), PROGRAMS.len() + TEXTS.len());
}
