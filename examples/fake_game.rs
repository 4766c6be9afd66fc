//! A game for tests: traps the signals that a wrapper passes on and prints each as it comes.
//!
//! `fake_game LAST` prints `ready PID`, then one name a line, and ends with status 0 after the signal LAST.

use std::io::Write;

use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;

fn main() -> anyhow::Result<()> {
    let last: Signal = std::env::args().nth(1).unwrap_or_else(|| "SIGTERM".to_owned()).parse()?;
    let trapped = SigSet::from_iter([
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGCONT,
    ]);
    trapped.thread_block()?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "ready {}", std::process::id())?;
    loop {
        let signal = trapped.wait()?;
        // Nobody may listen any more once the terminal is gone.
        let _ = writeln!(stdout, "{signal}");
        if signal == last {
            return Ok(());
        }
    }
}
