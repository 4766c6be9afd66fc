//! A scx_loader whose schedulers are files, and which need not be honest.

use std::future::pending;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;

use zbus::blocking::Connection;
use zbus::fdo;
use zbus::interface;

use crate::bus::Bus;
use crate::machine::Machine;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    /// Does what it is asked to, and says what it does.
    Honest,
    /// Never answers.
    Hung,
    /// Lets nobody do anything.
    Refusing,
    /// Says yes, and does nothing.
    Idle,
}

pub struct State {
    pub manner: Manner,
    pub current: Option<String>,
    pub mode: u32,
    pub args: Vec<String>,
    /// What it was asked to do, in words.
    pub asked: Vec<String>,
}

/// It is on the bus for as long as this lives.
pub struct FakeLoader {
    state: Arc<Mutex<State>>,
    _connection: Connection,
}

struct Interface {
    machine: Machine,
    state: Arc<Mutex<State>>,
}

impl FakeLoader {
    /// One that runs nothing.
    pub fn start(bus: &Bus, machine: &Machine, manner: Manner) -> Self {
        let state = State { manner, current: None, mode: 0, args: Vec::new(), asked: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let interface = Interface { machine: machine.clone(), state: Arc::clone(&state) };
        let builder = bus.builder().serve_at("/org/scx/Loader", interface).and_then(|it| it.name("org.scx.Loader"));
        let connection = builder.and_then(|builder| builder.build()).expect("join the bus");
        Self { state, _connection: connection }
    }

    /// One that runs bpfland.
    pub fn with_bpfland(bus: &Bus, machine: &Machine, manner: Manner, mode: u32, args: &[&str]) -> Self {
        let loader = Self::start(bus, machine, manner);
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        set(&mut loader.state(), "scx_bpfland", mode, &args);
        run(machine, "scx_bpfland", mode, &args);
        loader
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with it")
    }
}

fn set(state: &mut State, scheduler: &str, mode: u32, args: &[String]) {
    state.current = Some(scheduler.to_owned());
    state.mode = mode;
    state.args = args.to_owned();
}

/// As the real one: without arguments it has some for modes other than Auto.
fn run(machine: &Machine, scheduler: &str, mode: u32, args: &[String]) {
    machine.attach(&format!("{}_1.1.4_x86_64_unknown_linux_gnu", scheduler.trim_start_matches("scx_")));
    let mut command: Vec<&str> = [scheduler].into_iter().chain(args.iter().map(String::as_str)).collect();
    if args.is_empty() && mode != 0 {
        command.push("--of-the-mode");
    }
    machine.run(&command, std::process::id(), "/system.slice/scx_loader.service");
}

impl Interface {
    /// Notes what is asked; whether to do it.
    async fn may(&self, asked: String) -> fdo::Result<bool> {
        let manner = {
            let mut state = self.state.lock().expect("no test panics with it");
            state.asked.push(asked);
            state.manner
        };
        match manner {
            Manner::Honest => Ok(true),
            Manner::Idle => Ok(false),
            Manner::Refusing => Err(fdo::Error::Failed("Not allowed!".to_owned())),
            Manner::Hung => pending().await,
        }
    }

    async fn switch(&self, asked: String, scheduler: &str, mode: u32, args: &[String]) -> fdo::Result<()> {
        if self.may(asked).await? {
            set(&mut self.state.lock().expect("no test panics with it"), scheduler, mode, args);
            run(&self.machine, scheduler, mode, args);
        }
        Ok(())
    }

    async fn read<T>(&self, value: impl FnOnce(&State) -> T) -> T {
        if self.state.lock().expect("no test panics with it").manner == Manner::Hung {
            pending::<()>().await;
        }
        value(&self.state.lock().expect("no test panics with it"))
    }
}

#[interface(name = "org.scx.Loader")]
impl Interface {
    #[zbus(property)]
    async fn current_scheduler(&self) -> String {
        self.read(|state| state.current.clone().unwrap_or_else(|| "unknown".to_owned())).await
    }

    #[zbus(property)]
    async fn scheduler_mode(&self) -> u32 {
        self.read(|state| state.mode).await
    }

    #[zbus(property)]
    async fn current_scheduler_args(&self) -> Vec<String> {
        self.read(|state| state.args.clone()).await
    }

    async fn switch_scheduler(&self, scheduler: &str, mode: u32) -> fdo::Result<()> {
        self.switch(format!("start {scheduler} in mode {mode}"), scheduler, mode, &[]).await
    }

    async fn switch_scheduler_with_args(&self, scheduler: &str, args: Vec<String>) -> fdo::Result<()> {
        self.switch(format!("start {scheduler} with {args:?}"), scheduler, 0, &args).await
    }

    async fn stop_scheduler(&self) -> fdo::Result<()> {
        if self.may("stop".to_owned()).await? {
            let mut state = self.state.lock().expect("no test panics with it");
            state.current = None;
            state.args.clear();
            self.machine.detach();
        }
        Ok(())
    }
}
