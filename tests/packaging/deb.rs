//! The Debian package: what is in it, and what its scripts do. They run here with everything replaced that they call.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::install::PROGRAMS;
use crate::install::TEXTS;
use crate::rig::System;
use crate::rig::files_below;
use crate::rig::has;
use crate::rig::ours;
use crate::rig::read;
use crate::rig::run;

const VERSION: &str = "7.8.9";
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// A package and what comes out of it.
struct Package {
    _directory: TempDir,
    file: PathBuf,
    unpacked: PathBuf,
    control: PathBuf,
}

/// `None` where this machine cannot make one.
fn package() -> Option<Package> {
    if !["dpkg-deb", "dpkg-shlibdeps", "strip"].into_iter().all(has) {
        return None;
    }
    let system = System::new();
    let directory = tempfile::tempdir().expect("temporary directory");
    run(system
        .with_sources(ours("packaging/debian/build"))
        .arg(directory.path())
        .env("DEB_VERSION", VERSION)
        .env("DEB_COMPRESSION", "none"));
    let names: Vec<_> =
        fs::read_dir(directory.path()).expect("read").map(|entry| entry.expect("entry").path()).collect();
    let [file] = names.as_slice() else { panic!("one package, not {names:?}") };
    let file = file.clone();
    let (unpacked, control) = (directory.path().join("root"), directory.path().join("control"));
    run(Command::new("dpkg-deb").arg("--extract").args([&file, &unpacked]));
    run(Command::new("dpkg-deb").arg("--control").args([&file, &control]));
    Some(Package { _directory: directory, file, unpacked, control })
}

#[test]
fn the_package_holds_what_an_install_writes_in_debians_way() {
    let Some(package) = package() else { return };
    let in_debians_way = |path: &str| match path {
        "/usr/share/doc/scx-gamer-run/LICENSE" => "/usr/share/doc/scx-gamer-run/copyright".to_owned(),
        "/usr/share/doc/scx-gamer-run/config.toml" => "/usr/share/doc/scx-gamer-run/examples/config.toml".to_owned(),
        page if page.starts_with("/usr/share/man/") => format!("{page}.gz"),
        other => other.replace("/zsh/site-functions/", "/zsh/vendor-completions/"),
    };
    let mut expected: Vec<_> = PROGRAMS.map(|path| (path.to_owned(), 0o755)).to_vec();
    expected.extend(TEXTS.map(|path| (in_debians_way(path), 0o644)));
    expected.push(("/usr/share/doc/scx-gamer-run/changelog.gz".to_owned(), 0o644));
    expected.sort();
    assert_eq!(files_below(&package.unpacked).into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn everything_belongs_to_root_and_nobody_else_may_write() {
    let Some(package) = package() else { return };
    let listing = run(Command::new("dpkg-deb").arg("--contents").arg(&package.file));
    assert!(listing.lines().count() > PROGRAMS.len() + TEXTS.len());
    for line in listing.lines() {
        let mut words = line.split_whitespace();
        let (mode, owner) = (words.next().expect("a mode"), words.next().expect("an owner"));
        assert!(["drwxr-xr-x", "-rwxr-xr-x", "-rw-r--r--"].contains(&mode), "{line}");
        assert_eq!(owner, "root/root", "{line}");
    }
}

#[test]
fn the_package_says_what_it_is_and_needs() {
    let Some(package) = package() else { return };
    let field = |name: &str| {
        let answer = run(Command::new("dpkg-deb").arg("--field").arg(&package.file).arg(name));
        answer.trim().to_owned()
    };
    assert_eq!(field("Package"), "scx-gamer-run");
    assert_eq!(field("Version"), VERSION);
    for library in ["libc6", "libelf1", "zlib1g", "systemd"] {
        assert!(field("Depends").contains(library), "{library} is missing in {}", field("Depends"));
    }
    let control = read(package.control.join("control"));
    let unfilled: Vec<_> =
        control.lines().filter(|line| line.contains('@') && !line.starts_with("Maintainer:")).collect();
    assert!(unfilled.is_empty(), "{unfilled:?}");
}

#[test]
fn the_sums_hold_for_every_file() {
    let Some(package) = package() else { return };
    let sums = package.control.join("md5sums");
    run(Command::new("md5sum").args(["--check", "--quiet"]).arg(&sums).current_dir(&package.unpacked));
    assert_eq!(read(&sums).lines().count(), files_below(&package.unpacked).len());
}

#[test]
fn shells_can_read_the_scripts() {
    for script in SCRIPTS {
        let path = ours("packaging/debian").join(script);
        run(Command::new("sh").arg("-n").arg(&path));
        if has("dash") {
            run(Command::new("dash").arg("-n").arg(&path));
        }
    }
}

/// A machine on which systemd runs and every command that a script calls only writes down that it was called.
struct Machine {
    directory: TempDir,
}

impl Machine {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let machine = Self { directory };
        for part in ["bin", "run/systemd/system", "run/scx/root", "var/lib/scx-gamer", "etc/scx-gamer"] {
            fs::create_dir_all(machine.path(part)).expect("directories");
        }
        for name in ["systemctl", "systemd-sysusers", "deb-systemd-helper", "deb-systemd-invoke", "getent", "groupdel"]
        {
            let path = machine.path("bin").join(name);
            let log = machine.path("log");
            fs::write(&path, format!("#!/bin/sh\necho \"{name} $*\" >>'{}'\n", log.display())).expect("write");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        }
        machine
    }

    fn path(&self, part: &str) -> PathBuf {
        self.directory.path().join(part)
    }

    /// What a script calls, as dpkg starts it.
    fn calls(&self, script: &str, words: &[&str]) -> String {
        let root = self.directory.path().display();
        let text = read(ours("packaging/debian").join(script))
            .replace("/run/", &format!("{root}/run/"))
            .replace("/var/lib/", &format!("{root}/var/lib/"))
            .replace("/etc/", &format!("{root}/etc/"));
        let here = self.path(script);
        fs::write(&here, text).expect("write");
        fs::write(self.path("log"), "").expect("write");
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        run(Command::new("sh").arg(here).args(words).env("PATH", path));
        read(self.path("log"))
    }
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).expect("read").next().is_none()
}

#[test]
fn an_install_makes_the_group_before_the_socket_listens() {
    let calls = Machine::new().calls("postinst", &["configure"]);
    let position = |call: &str| calls.find(call).unwrap_or_else(|| panic!("no {call} in\n{calls}"));
    assert!(position("systemd-sysusers scx-gamer.conf") < position("deb-systemd-invoke start scx-gamer.socket"));
    assert!(position("systemctl --system daemon-reload") < position("deb-systemd-invoke start scx-gamer.socket"));
    assert!(calls.contains("deb-systemd-helper enable scx-gamer.socket"));
}

#[test]
fn an_upgrade_stops_and_restarts_nothing() {
    let machine = Machine::new();
    let calls = [
        machine.calls("prerm", &["upgrade", "2"]),
        machine.calls("postrm", &["upgrade", "2"]),
        machine.calls("postinst", &["configure", "1"]),
    ]
    .concat();
    assert!(calls.contains("daemon-reload"), "{calls}");
    for word in ["stop", "restart", "disable", "kill", "service", "purge"] {
        assert!(!calls.contains(word), "{word} in\n{calls}");
    }
}

#[test]
fn a_removal_stops_the_socket_and_the_service() {
    let machine = Machine::new();
    assert_eq!(machine.calls("prerm", &["remove"]), "deb-systemd-invoke stop scx-gamer.socket scx-gamer.service\n");
    assert_eq!(machine.calls("postrm", &["remove"]), "systemctl --system daemon-reload\n");
    assert!(machine.path("var/lib/scx-gamer").is_dir(), "kept until the purge");
}

#[test]
fn a_purge_leaves_nothing() {
    let machine = Machine::new();
    let calls = machine.calls("postrm", &["purge"]);
    assert!(calls.contains("deb-systemd-helper purge scx-gamer.socket"), "{calls}");
    assert!(calls.contains("groupdel scx-gamer"), "{calls}");
    assert!(is_empty(&machine.path("var/lib")) && is_empty(&machine.path("etc")));
    assert!(!machine.path("run/scx").exists());
}

#[test]
fn a_purge_leaves_the_metrics_of_another_scheduler() {
    let machine = Machine::new();
    fs::write(machine.path("run/scx/root/stats"), "").expect("write");
    machine.calls("postrm", &["purge"]);
    assert!(machine.path("run/scx/root/stats").exists());
}
