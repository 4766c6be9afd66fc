//! Made-up results for tests.

use crate::contestant::Contestant;
use crate::page::results::Results;
use crate::plan::Cell;
use crate::plan::Plan;
use crate::plan::all_cells;
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

pub fn results(frames: Vec<Frames>) -> Results {
    use clap::ValueEnum;
    let boot = |rig, id: &str| Boot {
        id: id.into(),
        rig,
        kernel: "7.3.4".into(),
        cpus: 2,
        cpu: "QEMU TCG".into(),
        spins_per_ms: Some(1),
    };
    Results {
        run: Run {
            date: "2026-11-22".into(),
            commit: "0123456789ab".into(),
            command: "bench".into(),
            host: "2 CPUs (some model)".into(),
            emulator: "QEMU emulator version 10.0.2".into(),
            plan: Plan {
                contestants: Contestant::value_variants().to_vec(),
                cells: all_cells(&[0, 60], crate::load_kind::LoadKind::value_variants()),
                frames: 1000,
                repeats: 3,
                finished_repeats: 0,
                is_quick: false,
                is_partial: false,
            },
        },
        boots: vec![boot(Rig::Parallel, "first"), boot(Rig::Deterministic, "second")],
        frames,
        costs: Vec::new(),
        thrown_out: Vec::new(),
    }
}

/// Only `p99_ms` is of interest, or what the caller changes.
pub fn frames(contestant: Contestant, cell: Cell, repeat: u32, p99_ms: f64) -> Frames {
    Frames {
        boot: "first".into(),
        repeat,
        contestant,
        cell,
        game: GameReport {
            input_us: Some(InputTimes { reports: 5000, p50: 50.0, p99: 100.0 }),
            ..GameReport::sample(cell.fps, p99_ms)
        },
        load: LoadReport {
            kind: cell.load.to_string(),
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
        boot: "second".into(),
        contestant,
        attach_ms,
        pipe_ns,
        fan_out_ns: pipe_ns / 2.0,
        callbacks: vec![Callback { name: "some_enqueue".into(), runs: 10, run_time_ns: 5000 }],
    }
}
