//! Schedulers that systemd runs.

use std::time::Duration;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::ensure;
use zbus::zvariant::OwnedObjectPath;

use super::bus::Bus;
use super::bus::Object;
use super::bus::Peer;
use super::bus::property;
use super::patience::until;

const NAME: &str = "org.freedesktop.systemd1";

const MANAGER: Object<'static> =
    Object { path: "/org/freedesktop/systemd1", interface: "org.freedesktop.systemd1.Manager" };

/// The service in which scx's packages run a scheduler without scx_loader.
pub const SCX_SERVICE: &str = "scx.service";

/// The service in which they run scx_loader.
pub const LOADER_SERVICE: &str = "scx_loader.service";

/// How long a service may take to stop once its scheduler has gone.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// The system's service whose cgroup this is, `None` for a user's session, a container and the like.
///
/// `cgroup` is a line of `/proc/PID/cgroup`: `0::/system.slice/scx.service`.
pub fn service_of(cgroup: &str) -> Option<&str> {
    let path = cgroup.trim().strip_prefix("0::/")?;
    // Slices are the system's folders; below a service are folders of its own, a user's services are below user@.
    let first = path.split('/').find(|part| !part.ends_with(".slice"))?;
    (first.ends_with(".service") && !first.starts_with("user@")).then_some(first)
}

/// systemd, asked over the bus.
pub struct Systemd<'a> {
    bus: &'a Bus,
    peer: Peer,
}

impl<'a> Systemd<'a> {
    /// systemd, which has to run.
    ///
    /// # Errors
    /// It does not, or the bus does not answer.
    pub fn find(bus: &'a Bus) -> Result<Self> {
        let peer = bus.find(NAME)?.context("systemd is not on the system bus")?;
        Ok(Self { bus, peer })
    }

    /// Whether a service that is stopped can be started again as it is.
    ///
    /// # Errors
    /// It can't, and why.
    pub fn check_comes_back(&self, unit: &str) -> Result<()> {
        let path: OwnedObjectPath = self.bus.call(&self.peer, MANAGER, "GetUnit", &unit)?;
        let object = Object { path: path.as_str(), interface: "org.freedesktop.systemd1.Unit" };
        let mut properties = self.bus.properties(&self.peer, object)?;
        ensure!(!property::<bool>(&mut properties, "Transient")?, "{unit} is transient and gone once it is stopped");
        for (name, word) in [("CanStop", "stopped"), ("CanStart", "started")] {
            ensure!(property::<bool>(&mut properties, name)?, "{unit} can't be {word} by hand");
        }
        Ok(())
    }

    /// Stops a service and waits until it has stopped.
    ///
    /// # Errors
    /// systemd refuses, or does not answer, or the service stays.
    pub fn stop(&self, unit: &str) -> Result<()> {
        let _job: OwnedObjectPath = self.bus.call(&self.peer, MANAGER, "StopUnit", &(unit, "replace"))?;
        let mut state = String::new();
        let has_stopped = until(STOP_LIMIT, || {
            state = self.active_state(unit).unwrap_or_else(|why| format!("{why:#}"));
            matches!(state.as_str(), "inactive" | "failed")
        });
        ensure!(has_stopped, "{unit} is {state} {} s after it was told to stop", STOP_LIMIT.as_secs());
        Ok(())
    }

    /// Starts a service; it need not have started when this returns.
    ///
    /// # Errors
    /// systemd refuses, or does not answer.
    pub fn start(&self, unit: &str) -> Result<()> {
        let _job: OwnedObjectPath = self.bus.call(&self.peer, MANAGER, "StartUnit", &(unit, "replace"))?;
        Ok(())
    }

    fn active_state(&self, unit: &str) -> Result<String> {
        // Loads it where a service that has stopped is forgotten.
        let path: OwnedObjectPath = self.bus.call(&self.peer, MANAGER, "LoadUnit", &unit)?;
        let object = Object { path: path.as_str(), interface: "org.freedesktop.systemd1.Unit" };
        property(&mut self.bus.properties(&self.peer, object)?, "ActiveState")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_services_are_told_from_sessions_containers_and_services_of_users() {
        for (cgroup, service) in [
            ("0::/system.slice/scx.service\n", Some("scx.service")),
            ("0::/system.slice/system-scx.slice/scx@lavd.service", Some("scx@lavd.service")),
            ("0::/system.slice/scx.service/payload", Some("scx.service")),
            ("0::/user.slice/user-1000.slice/session-2.scope", None),
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/mine.service", None),
            ("0::/system.slice/docker-0123.scope", None),
            ("0::/init.scope", None),
            ("0::/", None),
            ("4:cpu:/system.slice/scx.service", None),
            ("", None),
        ] {
            assert_eq!(service_of(cgroup), service, "{cgroup}");
        }
    }
}
