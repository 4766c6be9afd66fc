//! `scx_gamer`: owns the BPF scheduler. See [`scx_gamer_run::service`].

use std::path::Path;
use std::process::ExitCode;

use scx_gamer_run::service;
use scx_gamer_run::service::Roots;
use scx_gamer_run::service::cli::Options;

fn main() -> ExitCode {
    let options = Options::from_args();
    service::log_to_stderr(&options);
    let roots = Roots {
        sysfs: Path::new("/sys"),
        procfs: Path::new("/proc"),
        dev: Path::new("/dev"),
        run: Path::new("/run"),
        metrics: Path::new("/var/run/scx/root/stats"),
        state: Path::new("/var/lib/scx-gamer"),
    };
    service::run(&options, roots)
}
