//! Starts a game, asks for its scheduler, and passes the game's exit status on.

use std::process::ExitCode;

use scx_gamer_run::game::tree::ProcFs;
use scx_gamer_run::wrapper;
use scx_gamer_run::wrapper::cli;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(options) => ExitCode::from(wrapper::run(&options, ProcFs::at("/proc"))),
        Err(refusal) => ExitCode::from(refusal.print()),
    }
}
