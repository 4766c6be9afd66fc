//! A systemd with one service, whose scheduler is a file.

use std::sync::Arc;
use std::sync::Mutex;

use zbus::blocking::Connection;
use zbus::fdo;
use zbus::interface;
use zbus::zvariant::OwnedObjectPath;

use crate::bus::Bus;
use crate::machine::Machine;

const UNIT_PATH: &str = "/org/freedesktop/systemd1/unit/it";

pub struct FakeSystemd {
    asked: Arc<Mutex<Vec<String>>>,
    _connection: Connection,
}

struct Manager {
    machine: Machine,
    unit: &'static str,
    asked: Arc<Mutex<Vec<String>>>,
}

struct Unit {
    machine: Machine,
    is_transient: bool,
}

impl FakeSystemd {
    /// `unit` runs lavd.
    pub fn start(bus: &Bus, machine: &Machine, unit: &'static str, is_transient: bool) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let manager = Manager { machine: machine.clone(), unit, asked: Arc::clone(&asked) };
        let builder = bus.builder().serve_at("/org/freedesktop/systemd1", manager);
        let builder = builder.and_then(|it| it.serve_at(UNIT_PATH, Unit { machine: machine.clone(), is_transient }));
        let builder = builder.and_then(|it| it.name("org.freedesktop.systemd1"));
        let connection = builder.and_then(|builder| builder.build()).expect("join the bus");
        run(machine, unit);
        Self { asked, _connection: connection }
    }

    /// What it was asked to do, in words.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panics with it").clone()
    }
}

fn run(machine: &Machine, unit: &str) {
    machine.attach("lavd_1.1.4");
    machine.run(&["scx_lavd", "--performance"], 1, &format!("/system.slice/{unit}"));
}

impl Manager {
    fn object(&self, unit: &str) -> fdo::Result<OwnedObjectPath> {
        if unit != self.unit {
            return Err(fdo::Error::Failed(format!("Unit {unit} not loaded.")));
        }
        OwnedObjectPath::try_from(UNIT_PATH).map_err(|error| fdo::Error::Failed(error.to_string()))
    }

    fn note(&self, asked: String) {
        self.asked.lock().expect("no test panics with it").push(asked);
    }
}

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    fn get_unit(&self, unit: &str) -> fdo::Result<OwnedObjectPath> {
        self.object(unit)
    }

    fn load_unit(&self, unit: &str) -> fdo::Result<OwnedObjectPath> {
        self.object(unit)
    }

    fn stop_unit(&self, unit: &str, mode: &str) -> fdo::Result<OwnedObjectPath> {
        self.note(format!("stop {unit}, {mode}"));
        self.machine.detach();
        self.object(unit)
    }

    fn start_unit(&self, unit: &str, mode: &str) -> fdo::Result<OwnedObjectPath> {
        self.note(format!("start {unit}, {mode}"));
        run(&self.machine, unit);
        self.object(unit)
    }
}

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl Unit {
    #[zbus(property)]
    fn transient(&self) -> bool {
        self.is_transient
    }

    #[zbus(property)]
    fn can_start(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn can_stop(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn active_state(&self) -> String {
        if self.machine.attached() == "disabled" { "inactive" } else { "active" }.to_owned()
    }
}
