//! Made-up results for tests.

use crate::contestant::Contestant;
use crate::game::Game;
use crate::page::results::Results;
use crate::plan::Cell;
use crate::plan::Plan;
use crate::plan::Scene;
use crate::plan::full_cells;
use crate::record::Boot;
use crate::record::Callback;
use crate::record::Cost;
use crate::record::Frames;
use crate::record::Rig;
use crate::record::Run;
use crate::record::Waits;
use crate::report::GameReport;
use crate::report::InputTimes;
use crate::report::LoadReport;
use crate::workload::Workload;

/// The results of a full run that has these frames, each scene from one boot.
pub fn results(frames: Vec<Frames>) -> Results {
    use clap::ValueEnum;
    let boot = |rig, id, scene| Boot {
        id,
        rig,
        scene,
        kernel: "7.3.4".into(),
        cpus: 2,
        cpu: "QEMU TCG".into(),
        spins_per_ms: Some(1),
    };
    let plan = Plan {
        contestants: Contestant::value_variants().to_vec(),
        baseline: None,
        cells: full_cells(),
        frames: 1000,
        repeats: 3,
        is_quick: false,
        is_partial: false,
    };
    let mut boots: Vec<Boot> =
        plan.scenes().into_iter().map(|scene| boot(Rig::Parallel, boot_of(scene), Some(scene))).collect();
    boots.push(boot(Rig::Deterministic, "costs".into(), None));
    Results {
        run: Run {
            date: "2026-11-22".into(),
            commit: "0123456789ab".into(),
            command: "bench".into(),
            host: "2 CPUs (some model)".into(),
            emulator: "QEMU emulator version 10.0.2".into(),
            plan,
            rig: None,
        },
        resumed: Vec::new(),
        boots,
        frames,
        costs: Vec::new(),
        thrown_out: Vec::new(),
    }
}

/// The boot in which the samples of a scene were made.
pub fn boot_of(scene: Scene) -> String {
    format!("boot of {scene}")
}

/// The usual game at its full rate.
pub const fn uncapped(load: Workload) -> Cell {
    Cell { game: Game::Usual, fps: 0, load }
}

/// A program of others that reached this rate.
pub fn program(contestant: Contestant, cell: Cell, repeat: u32, fps: f64) -> Frames {
    Frames { fps, game: None, ..frames(contestant, cell, repeat, 0.0) }
}

/// The game alone under the kernel's scheduler, in the boot of `beside`.
pub fn alone_beside(beside: Cell, repeat: u32, p99_ms: f64) -> Frames {
    Frames { boot: boot_of(beside.scene()), ..frames(Contestant::Eevdf, beside.alone(), repeat, p99_ms) }
}

/// Only `p99_ms` is of interest, or what the caller changes.
pub fn frames(contestant: Contestant, cell: Cell, repeat: u32, p99_ms: f64) -> Frames {
    Frames {
        boot: boot_of(cell.scene()),
        repeat,
        contestant,
        cell,
        fps: 100.0,
        game: Some(GameReport {
            input_us: Some(InputTimes { reports: 5000, p50: 50.0, p99: 100.0 }),
            ..GameReport::sample(cell.fps, p99_ms)
        }),
        load: LoadReport {
            kind: cell.load.outside().to_string(),
            wall_seconds: 10.0,
            spin_chunks: 1,
            build_steps: 0,
            cpu_seconds: 2.0,
            cpu_pct: 10.0,
            longest_wait_ms: None,
            longest_build_step_ms: None,
        },
        waits: Waits { longest_ms: 20.0, comm: "hog".into(), switches: 10_000 },
    }
}

pub fn cost(contestant: Contestant, pipe_ns: f64, attach_ms: Option<f64>) -> Cost {
    Cost {
        boot: "costs".into(),
        contestant,
        attach_ms,
        pipe_ns,
        fan_out_ns: pipe_ns / 2.0,
        callbacks: vec![Callback { name: "some_enqueue".into(), runs: 10, run_time_ns: 5000 }],
    }
}
