//! A bus that only one test knows.

use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use tempfile::TempDir;
use zbus::blocking::connection::Builder;

pub struct Bus {
    daemon: Child,
    directory: TempDir,
}

impl Bus {
    /// Where org.scx.Loader can be activated: that would leave a file behind.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().display();
        fs::create_dir(directory.path().join("services")).expect("make a directory");
        let service = format!("[D-BUS Service]\nName=org.scx.Loader\nExec=/usr/bin/touch {path}/activated\n");
        fs::write(directory.path().join("services/org.scx.Loader.service"), service).expect("write");
        let config = format!(
            "<busconfig>\n<listen>unix:path={path}/bus</listen>\n<auth>EXTERNAL</auth>\n\
             <servicedir>{path}/services</servicedir>\n<policy context=\"default\">\n<allow user=\"*\"/>\n\
             <allow own=\"*\"/>\n<allow send_destination=\"*\"/>\n<allow receive_sender=\"*\"/>\n</policy>\n</busconfig>\n"
        );
        fs::write(directory.path().join("config"), config).expect("write");
        let mut daemon = Command::new("dbus-daemon")
            .args(["--nofork", "--print-address"])
            .arg(format!("--config-file={path}/config"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start dbus-daemon");
        let mut address = String::new();
        let stdout = daemon.stdout.take().expect("stdout");
        BufReader::new(stdout).read_line(&mut address).expect("read the address");
        assert!(address.starts_with("unix:"), "the bus listens at {address:?}");
        Self { daemon, directory }
    }

    pub fn address(&self) -> String {
        format!("unix:path={}", self.directory.path().join("bus").display())
    }

    pub fn builder(&self) -> Builder<'static> {
        Builder::address(self.address().as_str()).expect("an address")
    }

    pub fn trace_of_activation(&self) -> PathBuf {
        self.directory.path().join("activated")
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
