//! Players in a machine with logind (`VM_INIT=systemd`): accounts, sessions at its screen, programs that run as them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::wait_until;

/// Runs a program that must succeed, and returns what it printed.
pub fn told(words: &[&str]) -> String {
    let output =
        Command::new(words[0]).args(&words[1..]).output().unwrap_or_else(|error| panic!("start {words:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "{words:?}: {said} {}", String::from_utf8_lossy(&output.stderr));
    said
}

/// An account without privileges, which lasts as long as the machine.
pub struct User {
    pub name: String,
    pub uid: u32,
}

impl User {
    pub fn add(name: &str) -> Self {
        told(&["useradd", "--create-home", "--user-group", "--shell", "/bin/sh", name]);
        let uid = told(&["id", "--user", name]).parse().expect("a uid");
        Self { name: name.to_owned(), uid }
    }

    /// What starts from now on is in the group; sessions do not matter for that.
    pub fn join(&self, group: &str) {
        told(&["usermod", "--append", "--groups", group, &self.name]);
    }

    /// A program of the user beside any session, as cron starts it.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(self.setpriv_options()).args(words).current_dir("/");
        command
    }

    fn setpriv_options(&self) -> [String; 4] {
        [
            format!("--reuid={}", self.name),
            format!("--regid={}", self.name),
            "--init-groups".to_owned(),
            "--reset-env".to_owned(),
        ]
    }

    /// A session at the screen, on a virtual terminal from 1 to 6. That of terminal 1 is active, until another is activated.
    pub fn log_in(&self, terminal: u8) -> Session {
        let unit = format!("login-{}.service", self.name);
        let settings = [
            "PAMName=login".to_owned(),
            format!("User={}", self.name),
            format!("TTYPath=/dev/tty{terminal}"),
            "StandardInput=tty".to_owned(),
            "StandardOutput=journal".to_owned(),
        ];
        let mut words = vec!["systemd-run", "--quiet", "--collect", "--unit", &unit];
        words.extend(settings.iter().flat_map(|setting| ["--property", setting]));
        words.extend(["sleep", "infinity"]);
        told(&words);
        let mut id = String::new();
        wait_until(&format!("{} has logged in", self.name), || {
            id = loginctl(&["show-user", "--value", "--property=Display", &self.name]);
            !id.is_empty() && property(&id, "State") != "opening"
        });
        Session { id, unit, user: Self { name: self.name.clone(), uid: self.uid } }
    }
}

/// What loginctl answers; nothing about whom it does not know.
fn loginctl(words: &[&str]) -> String {
    let output = Command::new("loginctl").args(words).output().expect("run loginctl");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn property(id: &str, name: &str) -> String {
    loginctl(&["show-session", "--value", "--property", name, id])
}

/// A session that logind knows; dropped, the user logs out.
pub struct Session {
    pub id: String,
    unit: String,
    user: User,
}

impl Session {
    /// A program of the user within the session: in its control group, with its environment.
    pub fn command(&self, words: &[&str]) -> Command {
        let uid = self.user.uid;
        let group = format!("/sys/fs/cgroup/user.slice/user-{uid}.slice/session-{}.scope/cgroup.procs", self.id);
        let mut command = Command::new("sh");
        command.args(["-c", r#"echo $$ >"$0" && exec setpriv "$@""#, &group]).args(self.user.setpriv_options());
        command.args(["env", &format!("XDG_SESSION_ID={}", self.id), &format!("XDG_RUNTIME_DIR=/run/user/{uid}")]);
        command.args(words).current_dir("/");
        command
    }

    pub fn property(&self, name: &str) -> String {
        property(&self.id, name)
    }

    /// Brings the session to the screen.
    pub fn activate(&self) {
        told(&["loginctl", "activate", &self.id]);
        wait_until("the session is active", || self.property("Active") == "yes");
    }

    /// What logind writes below /run/systemd about the session.
    pub fn record(&self) -> String {
        fs::read_to_string(Path::new("/run/systemd/sessions").join(&self.id))
            .expect("read logind's record of a session")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = Command::new("systemctl").args(["stop", &self.unit]).status();
        wait_until(&format!("{} has logged out", self.user.name), || self.property("State").is_empty());
    }
}
