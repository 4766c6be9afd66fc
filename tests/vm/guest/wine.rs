//! A real Windows program in Debian's wine: found, never mistaken for one of wine's own, and left with all of its family.

use std::env;
use std::fs;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use procfs::process::all_processes;
use scx_gamer_run::sched::Class;

use crate::support::Kept;
use crate::support::attach;
use crate::support::is_alive;
use crate::support::scx_gamer_run;
use crate::support::state;

/// Wine starts some ten processes, in an emulated machine for half a minute and more.
const PATIENCE: Duration = Duration::from_secs(240);

/// Debian's loader; its start.exe runs a program that is named without a path, which loses its parent then, as under Proton.
const WINE: &str = "/usr/lib/wine/wine64";
const SERVER: &str = "/usr/lib/wine/wineserver64";
const DISPLAY: &str = ":77";
const GAME: &str = "winemine.exe";
/// What wine starts beside every program, by its name in the kernel. Not plugplay.exe, which was once missing after 240 s on
/// a host that four machines shared; why was not found out. Where it runs it has to be of the family as well.
const WINES_OWN: [&str; 4] = ["wineserver64", "services.exe", "winedevice.exe", "explorer.exe"];

/// An X server and the environment in which wine plays; wine's processes end with it.
struct Wine {
    _display: Kept,
    prefix: String,
}

impl Wine {
    fn ready() -> Self {
        let prefix = env::var("SCX_GAMER_WINE_PREFIX").expect("the ring makes a prefix and names it");
        // Wine wants its user to own it; here the user of this host does.
        std::os::unix::fs::chown(&prefix, Some(0), Some(0)).expect("own the prefix");
        // A server that still dies holds the prefix, and the next one would give up.
        wait("the wine of the test before has ended", has_no_wine);
        let display = Command::new("Xvfb").args([DISPLAY, "-nolisten", "tcp"]).stderr(Stdio::null()).spawn();
        let display = Kept::from(display.expect("start Xvfb"));
        // A socket alone proves nothing: the X server of the test before was killed and left its own.
        wait("the X server accepts", || UnixStream::connect("/tmp/.X11-unix/X77").is_ok());
        Self { _display: display, prefix }
    }

    /// `command` with what wine needs.
    fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("DISPLAY", DISPLAY).env("WINEPREFIX", &self.prefix).env("WINEDEBUG", "-all")
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        has_no_wine();
    }
}

/// True if no process of wine is left; kills those that are.
fn has_no_wine() -> bool {
    let left = wine_processes();
    for (pid, _) in &left {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    left.is_empty()
}

fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}; wine runs {:?}", wine_processes());
        sleep(Duration::from_millis(200));
    }
}

/// Everything that runs in wine, with its name in the kernel.
fn wine_processes() -> Vec<(i32, String)> {
    let stats = all_processes().expect("list processes").flatten().flat_map(|process| process.stat());
    let is_wines = |comm: &str| comm.ends_with(".exe") || comm.starts_with("wine");
    stats.filter(|stat| is_wines(&stat.comm) && stat.state != 'Z').map(|stat| (stat.pid, stat.comm)).collect()
}

fn pid_of(name: &str) -> Option<i32> {
    wine_processes().into_iter().find(|(_, comm)| comm == name).map(|(pid, _)| pid)
}

fn parent_of(pid: i32) -> i32 {
    procfs::process::Process::new(pid).and_then(|process| process.stat()).expect("stat").ppid
}

#[test]
fn the_windows_program_is_pinned_and_its_end_ends_the_wrapper_although_wine_stays() {
    let wine = Wine::ready();
    // Wine's own leave when the last program has, unless their server stays: that is the wine that outlives its game.
    let mut server = Command::new(SERVER);
    let server = wine.environment(&mut server).arg("--persistent").status();
    assert!(server.is_ok_and(|status| status.success()), "start wine's server");
    let directory = tempfile::tempdir().expect("temporary directory");
    let log = directory.path().join("log");
    // A file: wine's own inherit what stderr is, and keep a pipe open for as long as they live.
    let log_argument = log.display().to_string();
    let mut command = scx_gamer_run(&["--require", "-v", "--log", &log_argument, "--", WINE, GAME]);
    let mut wrapper = Kept::spawn(wine.environment(&mut command).stderr(Stdio::null()));
    let pins = || -> Vec<String> {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.lines().filter(|line| line.contains("foreground: ")).map(str::to_owned).collect()
    };
    wait("all of wine runs", || WINES_OWN.iter().chain([&GAME]).all(|name| pid_of(name).is_some()));
    wait("the game is selected", || pins().iter().any(|line| line.contains(GAME)));
    sleep(Duration::from_secs(10)); // a wrong second thought would come now
    let game = pid_of(GAME).expect("the game runs");
    assert_eq!(parent_of(game), 1, "it still has its parent: nothing was shown");
    let selected = pins();
    let is_game = |line: &String| line.ends_with(&format!("foreground: {GAME} (TGID {game})"));
    assert!(selected.last().is_some_and(is_game), "{selected:?}");
    // On a slow machine the loader that the wrapper starts is selected first: nothing else is there yet, and it ends.
    assert!(WINES_OWN.iter().all(|own| selected.iter().all(|line| !line.contains(own))), "{selected:?}");

    kill(Pid::from_raw(game), Signal::SIGKILL).expect("end the game");
    assert!(wrapper.wait().expect("wait").code().is_some());
    assert!(pins()[selected.len()..].iter().all(|line| line.contains("foreground: none")), "{:?}", pins());
    assert_eq!(state(), "disabled");
    assert!(pid_of("services.exe").is_some_and(is_alive), "wine has left, too: nothing was shown");
}

#[test]
fn everything_that_wine_starts_is_of_the_family_wherever_its_parent_went() {
    let wine = Wine::ready();
    let mut scheduler = attach();
    let mut shell = Command::new("sh");
    let shell = Kept::spawn(
        wine.environment(&mut shell).args(["-c", &format!("read go; {WINE} {GAME}; :")]).stdin(Stdio::piped()),
    );
    let lease = scheduler.begin_lease(shell.pid(), 0).expect("begin a lease");
    let mut shell = shell;
    drop(shell.stdin.take()); // go
    wait("the game and all of wine run", || WINES_OWN.iter().chain([&GAME]).all(|name| pid_of(name).is_some()));
    for (pid, comm) in wine_processes() {
        let Some(role) = scheduler.role_of(pid).expect("ask the kernel part") else { continue };
        assert_eq!((role.lease, role.class), (Some(lease), Class::Family), "{comm}");
    }
    let orphans = all_processes().expect("list processes").flatten().flat_map(|process| process.stat());
    let nr_orphans = orphans.filter(|stat| stat.ppid == 1 && WINES_OWN.contains(&stat.comm.as_str())).count();
    assert!(nr_orphans >= 4, "only {nr_orphans} have lost their parents: nothing was shown");
}
