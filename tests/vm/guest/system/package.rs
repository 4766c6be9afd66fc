//! The Debian package on a machine that is in use. SCX_GAMER_DEB says where the package is.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::Player;
use super::player;
use super::service::Game;
use super::service::SERVICE;
use super::service::SOCKET_UNIT;
use super::service::attaches;
use super::service::leases;
use super::service::service_pid;
use super::service::unit;
use super::service::wrapped;
use crate::support::is_alive;
use crate::support::state;
use crate::support::wait_for_state;
use crate::users::told;

const NAME: &str = "scx-gamer-run";
const SOCKET: &str = "/run/scx-gamer.sock";

/// What other programs write while we look; what is ours by its name counts there as well.
const OF_OTHERS: [&str; 7] =
    ["/run/systemd", "/run/user", "/run/log", "/run/dbus", "/var/log", "/var/lib/dpkg", "/var/cache/man"];

fn package() -> String {
    env::var("SCX_GAMER_DEB").expect("SCX_GAMER_DEB names the package")
}

/// Without what other packages do about ours: an index of manual pages takes minutes in the guest.
fn dpkg(action: &str, argument: &str) {
    told(&["dpkg", "--no-triggers", action, argument]);
}

fn install() {
    player(); // whose account leaves files of its own
    paths_before();
    dpkg("--install", &package());
}

fn is_installed() -> bool {
    let query = Command::new("dpkg-query").args(["--show", "--showformat=${db:Status-Status}", NAME]).output();
    query.expect("run dpkg-query").stdout == b"installed"
}

pub fn ensure_installed() {
    if !is_installed() {
        install();
    }
}

/// A machine without it, on which what is left behind from now on can be told.
pub fn ensure_purged() {
    player();
    if is_installed() {
        dpkg("--purge", NAME);
    }
    paths_before();
}

/// Installs the same package under a higher version, which it returns.
fn upgrade() -> String {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (tree, higher) = (path("tree"), path("higher.deb"));
    told(&["dpkg-deb", "--raw-extract", &package(), &tree]);
    let control = format!("{tree}/DEBIAN/control");
    let before = fs::read_to_string(&control).expect("read control");
    let version = before.lines().find_map(|line| line.strip_prefix("Version: ")).expect("a version");
    let next = format!("{version}+next");
    fs::write(&control, before.replace(&format!("Version: {version}\n"), &format!("Version: {next}\n")))
        .expect("write");
    told(&["dpkg-deb", "--root-owner-group", "-Znone", "--build", &tree, &higher]);
    dpkg("--install", &higher);
    next
}

/// The paths of the machine that has never had the package.
fn paths_before() -> &'static BTreeSet<PathBuf> {
    static BEFORE: OnceLock<BTreeSet<PathBuf>> = OnceLock::new();
    BEFORE.get_or_init(paths)
}

/// What is where the package and its service write. All of /usr would take minutes: directories that the package
/// has something in will do there.
fn paths() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for top in ["/etc", "/run", "/var"] {
        collect(Path::new(top), &mut found);
    }
    for line in told(&["dpkg-deb", "--contents", &package()]).lines() {
        let path = line.split_once(" ./").map_or("", |(_, path)| path);
        let entries = fs::read_dir(Path::new("/").join(path)).into_iter().flatten().flatten();
        found.extend(entries.filter(|_| path.ends_with('/')).map(|entry| entry.path()));
    }
    found
}

fn collect(directory: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), found);
        }
        found.insert(entry.path());
    }
}

/// What the package, or another way to install the same, has left behind.
pub fn left_behind() -> Vec<PathBuf> {
    let is_of_others =
        |path: &PathBuf| OF_OTHERS.iter().any(|top| path.starts_with(top)) && !path.to_string_lossy().contains("scx");
    paths().difference(paths_before()).filter(|path| !is_of_others(path)).cloned().collect()
}

#[test]
fn an_upgrade_while_a_game_is_played_leaves_game_lease_and_scheduler_alone() {
    ensure_installed();
    let Player { user, session } = player();
    let game = Game::start(session.command(&wrapped("83101")), "83101");
    let held = || (state(), attaches(), service_pid(), leases());
    let before = held();
    assert_eq!(before.3.len(), 1, "{before:?}");
    assert_eq!(before.3[0]["uid"], user.uid, "{before:?}");
    let version = upgrade();
    assert_eq!(told(&["dpkg-query", "--show", "--showformat=${Version}", NAME]), version);
    assert_eq!(held(), before);
    assert!(is_alive(game.pid));
    game.end();
    wait_for_state("disabled");
    Game::start(session.command(&wrapped("83102")), "83102").end();
}

#[test]
fn purged_the_package_leaves_no_file_no_unit_no_group_and_no_process() {
    ensure_installed();
    let Player { session, .. } = player();
    Game::start(session.command(&wrapped("83103")), "83103").end();
    assert!(Path::new(SOCKET).exists() && !left_behind().is_empty(), "what this test looks for is not there");
    dpkg("--purge", NAME);
    assert_eq!(left_behind(), Vec::<PathBuf>::new());
    assert!(!Path::new(SOCKET).exists());
    assert_eq!([SERVICE, SOCKET_UNIT].map(|name| unit(name, "LoadState")), ["not-found", "not-found"]);
    assert_eq!(service_pid(), None);
    let group = Command::new("getent").args(["group", "scx-gamer"]).output().expect("run getent");
    assert_eq!(String::from_utf8_lossy(&group.stdout), "");
    assert_eq!(state(), "disabled");
}
