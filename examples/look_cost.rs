//! What one look at the game's family costs, beside how many processes: `look_cost [PROCESSES...]`.
//!
//! Builds a directory that looks like `/proc`, in which one process in ten is of the family, and prints the median of
//! eleven looks; and of eleven first looks at which each of the others has to be asked for its environment. A real `/proc`
//! costs more, since the kernel makes each file as it is read: `look_cost real` looks at that.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use scx_gamer_run::game::lineage::Root;
use scx_gamer_run::game::lineage::Search;
use scx_gamer_run::game::marks::Marks;
use scx_gamer_run::game::proc::ProcFs;
use scx_gamer_run::game::tree::Family;
use scx_gamer_run::game::tree::Snapshot;

const NR_LOOKS: usize = 11;
const ROOT_PID: i32 = 100;

fn main() -> anyhow::Result<()> {
    let mut counts: Vec<String> = std::env::args().skip(1).collect();
    if counts.is_empty() {
        counts = vec!["1000".to_owned(), "20000".to_owned()];
    }
    for count in counts {
        let directory = tempfile::tempdir()?;
        let (proc_root, root_pid) = match count.as_str() {
            "real" => (Path::new("/proc"), std::process::id().cast_signed()),
            _ => (directory.path(), ROOT_PID),
        };
        if count != "real" {
            fill(proc_root, count.parse()?)?;
        }
        let procfs = ProcFs::at(proc_root);
        let root = procfs.identity(root_pid).context("the first process is missing")?;
        let family = |marks| Family::new(Search { root: Root::Game(root), marks, since_ticks: 0 });
        let mut known = family(Marks::default());
        let again = median_ms(|| known.look(&procfs, Duration::ZERO))?;
        let marks = Marks::of(|name| (name == "SteamAppId").then(|| "7".into()));
        let first = median_ms(|| family(marks.clone()).look(&procfs, Duration::ZERO))?;
        println!("{count} processes: {again:.1} ms; {first:.1} ms if all others are asked for their environment");
    }
    Ok(())
}

fn fill(proc_root: &Path, nr_processes: i32) -> anyhow::Result<()> {
    let environ = proc_root.join("environ");
    fs::write(&environ, (0..80).map(|n| format!("A_VARIABLE_{n}=/some/directory/or/other\0")).collect::<String>())?;
    for pid in ROOT_PID..ROOT_PID + nr_processes {
        let parent = if pid % 10 == 0 { ROOT_PID } else { 1 };
        let directory = proc_root.join(pid.to_string());
        fs::create_dir_all(directory.join("fd"))?;
        let stat = format!(
            "{pid} (process) S {parent} 1 1 0 -1 0 0 0 0 0 30 20 0 0 20 0 7 0 {} 4096 25 18446744073709551615 \
             0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 4096 8192 0\n",
            1000 + pid
        );
        fs::write(directory.join("stat"), stat)?;
        fs::write(directory.join("cmdline"), "/usr/bin/process\0--with\0arguments\0")?;
        fs::hard_link(&environ, directory.join("environ"))?;
    }
    Ok(())
}

/// Of several calls of `look`.
fn median_ms(mut look: impl FnMut() -> io::Result<Snapshot>) -> anyhow::Result<f64> {
    let mut costs = Vec::new();
    for _ in 0..NR_LOOKS {
        let began = Instant::now();
        look()?;
        costs.push(began.elapsed());
    }
    costs.sort_unstable();
    Ok(costs[NR_LOOKS / 2].as_secs_f64() * 1000.0)
}
