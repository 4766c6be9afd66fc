//! The system bus, asked for no longer than anybody can wait.

use std::collections::HashMap;
use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::anyhow;
use serde::Serialize;
use zbus::blocking::Connection;
use zbus::blocking::connection::Builder;
use zbus::zvariant::DynamicDeserialize;
use zbus::zvariant::DynamicType;
use zbus::zvariant::OwnedValue;

/// How long each question may take to be answered.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

const BUS_ERROR_NO_OWNER: &str = "org.freedesktop.DBus.Error.NameHasNoOwner";

/// A connection to the bus.
pub struct Bus {
    connection: Connection,
}

/// A program on the bus. Its unique name is used, so that asking it starts nobody in its place.
#[derive(Clone, Debug)]
pub struct Peer {
    unique_name: String,
    /// What it is called.
    name: &'static str,
}

/// An object of a program, and one of its interfaces.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// Where it is.
    pub path: &'a str,
    /// What it speaks.
    pub interface: &'a str,
}

const BUS_ITSELF: Object<'static> = Object { path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };

impl Bus {
    /// Connects to the bus at `address`, or to the system's.
    ///
    /// # Errors
    /// There is none, or it does not answer.
    pub fn connect(address: Option<&str>) -> Result<Self> {
        let address = address.map(str::to_owned);
        // zbus bounds its calls and not its handshake. A bus that hangs in it costs a thread.
        let (answer, answered) = mpsc::channel();
        let connect = move || {
            let builder = address.map_or_else(Builder::system, |address| Builder::address(address.as_str()));
            let _ = answer.send(builder.and_then(|builder| builder.method_timeout(ANSWER_LIMIT).build()));
        };
        thread::Builder::new().spawn(connect).context("connect to the system bus")?;
        let outcome = answered.recv_timeout(ANSWER_LIMIT).map_err(|_| anyhow!(silence()));
        let connection = outcome.and_then(|connected| Ok(connected?)).context("connect to the system bus")?;
        Ok(Self { connection })
    }

    /// Who is called `name`; nobody is started to be that.
    ///
    /// # Errors
    /// The bus does not answer.
    pub fn find(&self, name: &'static str) -> Result<Option<Peer>> {
        let bus = Peer { unique_name: "org.freedesktop.DBus".to_owned(), name: "the bus" };
        let reply = self.connection.call_method(
            Some(bus.unique_name.as_str()),
            BUS_ITSELF.path,
            Some(BUS_ITSELF.interface),
            "GetNameOwner",
            &name,
        );
        match reply {
            Ok(reply) => Ok(Some(Peer { unique_name: reply.body().deserialize()?, name })),
            Err(zbus::Error::MethodError(error, ..)) if error == BUS_ERROR_NO_OWNER => Ok(None),
            Err(error) => Err(explain(&bus, "GetNameOwner", error)),
        }
    }

    /// The process of a program.
    ///
    /// # Errors
    /// It has gone, or the bus does not answer.
    pub fn pid_of(&self, peer: &Peer) -> Result<i32> {
        let bus = Peer { unique_name: "org.freedesktop.DBus".to_owned(), name: "the bus" };
        let pid: u32 = self.call(&bus, BUS_ITSELF, "GetConnectionUnixProcessID", &peer.unique_name)?;
        i32::try_from(pid).context("read a process's number")
    }

    /// Calls a method of `peer`.
    ///
    /// # Errors
    /// It refuses, it has gone, or it does not answer.
    pub fn call<B, R>(&self, peer: &Peer, object: Object<'_>, method: &str, arguments: &B) -> Result<R>
    where
        B: Serialize + DynamicType,
        R: for<'a> DynamicDeserialize<'a>,
    {
        let destination = Some(peer.unique_name.as_str());
        let reply = self.connection.call_method(destination, object.path, Some(object.interface), method, arguments);
        let reply = reply.map_err(|error| explain(peer, method, error))?;
        reply.body().deserialize().with_context(|| format!("read the answer of {} to {method}", peer.name))
    }

    /// All properties of an object.
    ///
    /// # Errors
    /// As [`Bus::call`].
    pub fn properties(&self, peer: &Peer, object: Object<'_>) -> Result<HashMap<String, OwnedValue>> {
        let properties = Object { path: object.path, interface: "org.freedesktop.DBus.Properties" };
        self.call(peer, properties, "GetAll", &object.interface)
    }
}

/// One property out of all.
///
/// # Errors
/// It is missing or of another type.
pub fn property<T>(properties: &mut HashMap<String, OwnedValue>, name: &str) -> Result<T>
where
    T: TryFrom<OwnedValue>,
    T::Error: std::error::Error + Send + Sync + 'static,
{
    let value = properties.remove(name).with_context(|| format!("there is no property {name}"))?;
    T::try_from(value).with_context(|| format!("read the property {name}"))
}

/// Whether the bus could not be reached because there is none.
pub fn is_missing(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        Some(zbus::Error::Connection(error, _)) => {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
        }
        _ => false,
    }
}

fn explain(peer: &Peer, method: &str, error: zbus::Error) -> anyhow::Error {
    let is_silent = matches!(&error, zbus::Error::InputOutput(error) if error.kind() == io::ErrorKind::TimedOut);
    let why = if is_silent { anyhow!(silence()) } else { anyhow!(error) };
    why.context(format!("ask {} to {method}", peer.name))
}

fn silence() -> String {
    format!("no answer within {} s", ANSWER_LIMIT.as_secs())
}
