//! `scx_gamer`: owns the BPF scheduler. See [`scx_gamer_run::service`].

use std::process::ExitCode;

use scx_gamer_run::service;
use scx_gamer_run::service::cli::Options;

fn main() -> ExitCode {
    let options = Options::from_args();
    service::log_to_stderr(&options);
    service::run(&options)
}
