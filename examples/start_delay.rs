//! What a game waits for because of us: `start_delay [REPEATS]`, as root on a kernel with sched_ext.
//!
//! Starts a service of its own, and through it a game that notes the time of its first instruction, beside one that is
//! started without us: medians and the worst. Then how long the lease took to be attached, and the memory of service and
//! wrapper.

use std::env;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use nix::time::ClockId;
use nix::time::clock_gettime;
use procfs::process::Process;
use scx_gamer_run::session::transport::Transport;
use tempfile::TempDir;

const NR_REPEATS: usize = 20;

/// How long a scheduler may take to come or go.
const PATIENCE: Duration = Duration::from_secs(60);

const STATE: &str = "/sys/kernel/sched_ext/state";

fn main() -> anyhow::Result<()> {
    match env::args().nth(1).as_deref() {
        Some("game") => play(),
        Some(number) => measure(number.parse().context("how often?")?),
        None => measure(NR_REPEATS),
    }
}

/// The game: prints when it began, and plays until it is told to end.
fn play() -> anyhow::Result<()> {
    println!("{}", now()?.as_nanos());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn now() -> anyhow::Result<Duration> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?))
}

fn measure(nr_repeats: usize) -> anyhow::Result<()> {
    ensure!(nr_repeats > 0, "at least one repeat");
    let service = Service::start()?;
    let (mut alone, mut through_us, mut attached) = (Vec::new(), Vec::new(), Vec::new());
    let idle_before = memory_of(&service.process)?;
    let mut held = (String::new(), String::new());
    for _ in 0..nr_repeats {
        let game = Game::start(Command::new(env::current_exe()?))?;
        alone.push(game.delay);
        game.end()?;
        let game = Game::start(service.wrapper()?)?;
        through_us.push(game.delay);
        wait_for_state("enabled")?;
        attached.push(service.wait_for_attach()?);
        held = (memory_of(&service.process)?, memory_of(&game.process)?);
        game.end()?;
        wait_for_state("disabled")?;
    }
    println!("first instruction: {} alone, {} through the service", spread(&mut alone), spread(&mut through_us));
    println!("attached: {} after the lease was asked for", spread(&mut attached));
    println!(
        "service: {idle_before} before the first game, {} while one is played, {} after",
        held.0,
        memory_of(&service.process)?
    );
    println!("wrapper: {} while attached", held.1);
    Ok(())
}

/// Median and worst.
fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    format!("{:.1} ms (worst {:.1})", ms(times[times.len() / 2]), ms(times[times.len() - 1]))
}

fn memory_of(process: &Child) -> anyhow::Result<String> {
    let status = Process::new(process.id().cast_signed())?.status()?;
    let mib = |kb: Option<u64>| kb.map_or(f64::NAN, |kb| kb as f64 / 1024.0);
    Ok(format!("{:.1} MiB ({:.1} anonymous)", mib(status.vmrss), mib(status.rssanon)))
}

fn wait_for_state(wanted: &str) -> anyhow::Result<()> {
    wait_until(&format!("sched_ext is {wanted}"), || Ok(fs::read_to_string(STATE)?.trim() == wanted))
}

fn wait_until(what: &str, mut condition: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !condition()? {
        ensure!(Instant::now() < deadline, "waited in vain until {what}");
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Beside the directory of the examples.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = env::current_exe()?;
    let directory = own.parent().and_then(Path::parent).context("our own directory")?;
    Ok(directory.join(name))
}

/// A process that ends with its owner.
struct Service {
    process: Child,
    directory: TempDir,
}

impl Service {
    fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("socket");
        let mut command = Command::new(program("scx_gamer")?);
        command.args(["--serve", "--group", "root", "--socket"]).arg(&path).stderr(Stdio::null());
        let service = Self { process: command.spawn().context("start scx_gamer")?, directory };
        wait_until("the service listens", || Ok(Transport::connect(&path).is_ok()))?;
        Ok(service)
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn wrapper(&self) -> anyhow::Result<Command> {
        let _ = fs::remove_file(self.log()); // that of the game before
        let mut command = Command::new(program("scx-gamer-run")?);
        command.arg(format!("--socket={}", self.directory.path().join("socket").display()));
        command.arg(format!("--log={}", self.log().display())).arg("--").arg(env::current_exe()?);
        Ok(command)
    }

    /// How long it took, as the wrapper tells.
    fn wait_for_attach(&self) -> anyhow::Result<Duration> {
        let mut took = None;
        wait_until("the wrapper tells of the attach", || {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            let words = log.split_once("scheduled by ").and_then(|(_, rest)| rest.split_once(" after "));
            took = words.and_then(|(_, rest)| rest.split_once(" ms")).and_then(|(ms, _)| ms.parse().ok());
            Ok(took.is_some())
        })?;
        Ok(Duration::from_millis(took.unwrap_or_default()))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What was started: the game, or the wrapper that plays it.
struct Game {
    process: Child,
    /// From before it was started to its first instruction.
    delay: Duration,
}

impl Game {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        command.arg("game").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let before = now()?;
        let mut process = command.spawn().with_context(|| format!("start {command:?}"))?;
        let mut stdout = process.stdout.take().context("its output")?;
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            stdout.read_exact(&mut byte).context("it has ended without a word")?;
            line.push(byte[0]);
        }
        let began = String::from_utf8(line)?.trim().parse().context("a time")?;
        Ok(Self { process, delay: Duration::from_nanos(began).saturating_sub(before) })
    }

    fn end(mut self) -> anyhow::Result<()> {
        drop(self.process.stdin.take());
        let status = self.process.wait()?;
        ensure!(status.success(), "the game or its wrapper: {status}");
        Ok(())
    }
}
