//! Starts a game, asks for its scheduler, and passes the game's exit status on.

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use scx_gamer_run::game::proc::ProcFs;
use scx_gamer_run::wrapper;
use scx_gamer_run::wrapper::Roots;
use scx_gamer_run::wrapper::cli;
use scx_gamer_run::wrapper::cli::Job;
use scx_gamer_run::wrapper::cli::Surroundings;
use scx_gamer_run::wrapper::doctor;
use scx_gamer_run::wrapper::hook;
use scx_gamer_run::wrapper::setup;
use scx_gamer_run::wrapper::status;

fn main() -> ExitCode {
    let roots = Roots {
        sysfs: Path::new("/sys"),
        procfs: Path::new("/proc"),
        dev: Path::new("/dev"),
        service: Path::new("/run/scx-gamer.sock"),
        metrics: Path::new("/var/run/scx/root/stats"),
    };
    let procfs = ProcFs::at(roots.procfs);
    ExitCode::from(match cli::parse(std::env::args_os(), &Surroundings::here()) {
        Ok(Job::Play(play)) => wrapper::run(&play, procfs, &roots),
        Ok(Job::Hold(options)) => hook::hold(&options, procfs, roots.service),
        Ok(Job::StartHook(options)) => hook::start(&options, procfs, roots.service),
        Ok(Job::StopHook(options)) => hook::stop(&options, &procfs),
        Ok(Job::Doctor { is_json }) => doctor::run(&roots, is_json),
        Ok(Job::Status { is_json }) => status::run(&roots, is_json),
        Ok(Job::SetUp(request)) => setup::run(&request, &roots_of_setup(procfs)),
        Err(refusal) => refusal.print(),
    })
}

fn roots_of_setup(procfs: ProcFs) -> setup::Roots {
    setup::Roots {
        home: std::env::home_dir(),
        procfs,
        searched_by_steam: ["/usr/bin", "/bin"].map(PathBuf::from).to_vec(),
        program: std::env::current_exe().ok(),
    }
}
