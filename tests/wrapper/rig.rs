//! A wrapper in a directory of its own, with or without an scx_gamer beside it.

use std::ffi::OsStr;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::SigHandler;
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// How long a condition may take on a busy machine before a test fails.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Returns once `condition` holds; panics with what is `missing` if it takes longer than [`LIMIT`].
pub fn wait_until(missing: impl Fn() -> String, condition: impl Fn() -> bool) {
    let until = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < until, "{}", missing());
        thread::sleep(Duration::from_millis(5));
    }
}

/// The directory, and how the fake behaves.
pub struct Rig {
    directory: TempDir,
    behaviour: &'static str,
}

impl Rig {
    /// An scx_gamer that behaves as told.
    pub fn where_scx_gamer(behaviour: &'static str) -> Self {
        let rig = Self::without_scx_gamer();
        symlink(example("fake_scx_gamer"), rig.path("scx_gamer")).expect("link to the fake");
        Self { behaviour, ..rig }
    }

    /// No scx_gamer at all.
    pub fn without_scx_gamer() -> Self {
        let service = Path::new("/run/scx-gamer.sock");
        assert!(
            !service.exists(),
            "these tests would play by way of this machine's service: stop scx-gamer.socket first"
        );
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("temporary directory");
        // A link and not a copy: a file that was just written can be "busy" when another test forks at that moment.
        std::fs::hard_link(env!("CARGO_BIN_EXE_scx-gamer-run"), directory.path().join("scx-gamer-run")).expect("link");
        Self { directory, behaviour: "" }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The wrapper with these arguments. PATH holds the system's programs; there is no scx_gamer in it.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(self.path("scx-gamer-run"));
        command.args(arguments).env("PATH", self.bin()).env("FAKE_SCX_GAMER", self.behaviour).stdin(Stdio::null());
        // SAFETY: runs between fork and exec; three system calls.
        unsafe { command.pre_exec(heed_signals) };
        command
    }

    /// A PATH of links to the few programs that tests name without a slash.
    fn bin(&self) -> PathBuf {
        let bin = self.path("bin");
        if std::fs::create_dir(&bin).is_ok() {
            for program in ["sh", "cat", "ls", "true"] {
                symlink(Path::new("/bin").join(program), bin.join(program)).expect("link to a program");
            }
        }
        bin
    }

    /// Runs the wrapper to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Output {
        self.command(arguments).output().expect("run the wrapper")
    }

    /// Starts the wrapper with its stdout, stderr and stdin held by us.
    pub fn start<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Running {
        Running::from(self.command(arguments).stdin(Stdio::piped()))
    }
}

/// A test run under nohup ignores SIGHUP, one in a script's background SIGINT and SIGQUIT, and a shell cannot trap what it
/// was born ignoring.
fn heed_signals() -> std::io::Result<()> {
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
        // SAFETY: the default action runs no code of ours.
        unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }?;
    }
    Ok(())
}

/// A program built beside the wrapper from `examples/`.
pub fn example(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_scx-gamer-run")).with_file_name("examples").join(name);
    assert!(path.is_file(), "{} is missing: run `cargo build --examples` in the same profile", path.display());
    path
}

/// The path of the fake game, as an argument.
pub fn fake_game() -> String {
    example("fake_game").to_str().expect("a path of text").to_owned()
}

/// A wrapper at work.
pub struct Running {
    pub child: Child,
    pub stdout: Lines,
    pub stderr: Lines,
}

impl From<&mut Command> for Running {
    fn from(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start the wrapper");
        let stdout = Lines::of(child.stdout.take().expect("stdout"));
        let stderr = Lines::of(child.stderr.take().expect("stderr"));
        Self { child, stdout, stderr }
    }
}

impl Running {
    pub fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(self.child.id() as i32)
    }

    /// PID that the fake game told when it was ready.
    pub fn game_ready(&self) -> nix::unistd::Pid {
        let line = self.stdout.wait_for("ready ");
        let pid = line.strip_prefix("ready ").and_then(|pid| pid.parse().ok()).expect("a PID");
        nix::unistd::Pid::from_raw(pid)
    }

    /// Lets a game that reads its stdin come to its end.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for the wrapper's end and returns its exit status.
    pub fn status(&mut self) -> Option<i32> {
        self.close_stdin();
        let until = Instant::now() + LIMIT;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status.code();
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.child.kill().expect("kill");
        panic!("the wrapper did not end");
    }
}

/// Lines of a stream as they come.
pub struct Lines(Receiver<String>);

impl Lines {
    pub fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    pub fn next(&self) -> String {
        self.0.recv_timeout(LIMIT).expect("another line")
    }

    /// The first line that holds `part`.
    pub fn wait_for(&self, part: &str) -> String {
        let mut before = Vec::new();
        loop {
            match self.0.recv_timeout(LIMIT) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => before.push(line),
                Err(error) => panic!("no line with '{part}' ({error}), only {before:?}"),
            }
        }
    }

    /// All that is left until the stream ends.
    pub fn rest(&self) -> Vec<String> {
        self.0.iter().collect()
    }
}

/// What was printed, as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
