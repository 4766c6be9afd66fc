//! The units that systemd reads.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use tempfile::TempDir;

use crate::rig::System;
use crate::rig::has;
use crate::rig::read;
use crate::rig::run;

/// What `systemd-analyze security` may find at most, in tenths. Root, BPF and other users' processes are what is left.
const EXPOSURE_MAX: u32 = 20;

const SERVICE: &str = "/usr/lib/systemd/system/scx-gamer.service";
const SOCKET: &str = "/usr/lib/systemd/system/scx-gamer.socket";

/// Values of a setting, in order.
fn settings(unit: &str, name: &str) -> Vec<String> {
    let prefix = format!("{name}=");
    unit.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect()
}

/// Both units in a directory, of which the service starts the program that is in `system`.
fn units_of(system: &System) -> TempDir {
    let units = tempfile::tempdir().expect("temporary directory");
    let bin = system.path("/usr/bin");
    let service = read(system.path(SERVICE)).replace("/usr/bin", &bin.display().to_string());
    fs::write(units.path().join("scx-gamer.service"), service).expect("write");
    fs::copy(system.path(SOCKET), units.path().join("scx-gamer.socket")).expect("copy");
    units
}

fn analyze(units: &TempDir, words: &[&str]) -> String {
    let mut command = Command::new("systemd-analyze");
    command.args(words).args(["scx-gamer.service", "scx-gamer.socket"].map(|unit| units.path().join(unit)));
    let output = command.output().expect("run systemd-analyze");
    let told = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    told
}

#[test]
fn the_service_starts_the_installed_program() {
    let system = System::installed();
    let started = settings(&read(system.path(SERVICE)), "ExecStart");
    assert_eq!(started, ["/usr/bin/scx_gamer --serve"]);
    let program = fs::metadata(system.path("/usr/bin/scx_gamer")).expect("metadata");
    assert_eq!(program.permissions().mode() & 0o111, 0o111);
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    if !has("systemd-analyze") {
        return;
    }
    let told = analyze(&units_of(&System::installed()), &["--man=no", "verify"]);
    let about_us: Vec<_> = told.lines().filter(|line| line.contains("scx-gamer")).collect();
    assert!(about_us.is_empty(), "{told}");
}

#[test]
fn the_service_is_exposed_no_more_than_it_has_to_be() {
    if !has("systemd-analyze") {
        return;
    }
    let units = units_of(&System::installed());
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    run(Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", &threshold])
        .arg(units.path().join("scx-gamer.service")));
}

#[test]
fn the_socket_is_where_the_wrapper_asks_and_open_to_all() {
    let socket = read(System::installed().path(SOCKET));
    assert_eq!(settings(&socket, "ListenSequentialPacket"), ["/run/scx-gamer.sock"]);
    assert_eq!(settings(&socket, "SocketMode"), ["0666"]);
    assert_eq!(settings(&socket, "WantedBy"), ["sockets.target"]);
}

#[test]
fn the_group_and_nobody_else_is_made() {
    let conf = read(System::installed().path("/usr/lib/sysusers.d/scx-gamer.conf"));
    let lines: Vec<_> = conf.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines, ["g scx-gamer - -"]);
}
