//! Process trees over time, as launchers make them: whom do we take for the game, second by second?
//!
//! Each file of `tests/data/trees/` becomes a directory that looks like `/proc`, anew for each second, and the real code
//! reads it. It expects exactly the changes of the pinned process that the file lists: a flapping choice is a failure.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use scx_gamer_run::game::lineage::Root;
use scx_gamer_run::game::lineage::Search;
use scx_gamer_run::game::marks::Marks;
use scx_gamer_run::game::proc::ProcFs;
use scx_gamer_run::game::score::Choice;
use scx_gamer_run::game::score::choose;
use scx_gamer_run::game::score::has_only_helpers;
use scx_gamer_run::game::tree::Family;
use scx_gamer_run::game::tree::Identity;
use serde::Deserialize;

/// Clock ticks before the first second: a time of birth of 0 would be no time.
const BEGAN_TICKS: u64 = 100_000;

/// A recorded or rebuilt run of a game.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recording {
    /// Where it comes from.
    source: String,
    /// The wrapper's child; without it, `launcher` has scripts.
    root: Option<i32>,
    launcher: Option<i32>,
    /// What the wrapper itself was given.
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// The last second that is looked at.
    ends: u64,
    process: Vec<Recorded>,
    /// Changes of the pinned process: at which second, to whom; 0 is nobody.
    pins: Vec<(u64, i32)>,
    /// In the last second there are only helpers without a window, for which nobody waits.
    #[serde(default)]
    is_left_to_helpers: bool,
    /// Processes that are no family.
    #[serde(default)]
    strangers: Vec<i32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    pid: i32,
    /// From this second on it has gone.
    ends: Option<u64>,
    /// The kernel part has told of it at its birth.
    #[serde(default)]
    told: bool,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// The first one is its birth; what a later one does not name stays.
    phases: Vec<Phase>,
}

/// What a process is from a second on.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Phase {
    at: i64,
    parent: Option<i32>,
    name: Option<String>,
    argv0: Option<String>,
    threads: Option<u32>,
    busy: Option<f64>,
    rss_mib: Option<u64>,
    gpu: Option<usize>,
}

impl Recorded {
    fn born_ticks(&self) -> u64 {
        BEGAN_TICKS.saturating_add_signed(self.phases[0].at * 100)
    }

    fn identity(&self) -> Identity {
        Identity { pid: self.pid, start_ticks: self.born_ticks() }
    }

    fn lives_at(&self, second: u64) -> bool {
        self.phases[0].at <= second as i64 && self.ends.is_none_or(|ends| second < ends)
    }

    fn at(&self, second: u64) -> Phase {
        let begun = self.phases.iter().take_while(|phase| phase.at <= second as i64);
        begun.fold(Phase::default(), |so_far, phase| Phase {
            at: phase.at,
            parent: phase.parent.or(so_far.parent),
            name: phase.name.clone().or(so_far.name),
            argv0: phase.argv0.clone().or(so_far.argv0),
            threads: phase.threads.or(so_far.threads),
            busy: phase.busy.or(so_far.busy),
            rss_mib: phase.rss_mib.or(so_far.rss_mib),
            gpu: phase.gpu.or(so_far.gpu),
        })
    }

    /// CPU time so far, in clock ticks.
    fn cpu_ticks(&self, second: u64) -> u64 {
        let seconds = 0..second;
        let busy = seconds.filter(|past| self.lives_at(*past)).map(|past| self.at(past).busy.unwrap_or(0.0));
        (busy.sum::<f64>() * 100.0) as u64
    }

    fn write(&self, proc_root: &Path, second: u64) {
        let now = self.at(second);
        let directory = proc_root.join(self.pid.to_string());
        let name = now.name.expect("a process has a name");
        fs::create_dir_all(directory.join("fd")).expect("make a process");
        let stat = format!(
            "{} ({}) S {} 1 1 0 -1 0 0 0 0 0 {} 0 0 0 20 0 {} 0 {} 4096 {} 18446744073709551615 \
             0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 4096 8192 0\n",
            self.pid,
            name.chars().take(15).collect::<String>(),
            now.parent.expect("a process has a parent"),
            self.cpu_ticks(second),
            now.threads.unwrap_or(1),
            self.born_ticks(),
            now.rss_mib.unwrap_or(8) * 256,
        );
        fs::write(directory.join("stat"), stat).expect("write stat");
        fs::write(directory.join("cmdline"), now.argv0.unwrap_or(name) + "\0").expect("write cmdline");
        let environ: String = self.environment.iter().map(|(name, value)| format!("{name}={value}\0")).collect();
        fs::write(directory.join("environ"), environ).expect("write environ");
        for descriptor in 0..now.gpu.unwrap_or(0) {
            symlink("/dev/dri/renderD128", directory.join("fd").join(descriptor.to_string())).expect("open a device");
        }
    }
}

/// What a replay has brought.
struct Seen {
    /// Who was pinned from when on.
    pins: Vec<(u64, i32)>,
    /// Everybody who was ever a member.
    members: HashSet<i32>,
    is_left_to_helpers: bool,
}

impl Recording {
    fn search(&self) -> Search {
        let identity = |pid: i32| {
            let recorded = self.process.iter().find(|process| process.pid == pid);
            recorded.map(Recorded::identity).unwrap_or_default()
        };
        let root = match (self.root, self.launcher) {
            (Some(pid), None) => Root::Game(identity(pid)),
            (None, Some(pid)) => Root::Launcher(identity(pid)),
            _ => panic!("a recording has a root or a launcher"),
        };
        let marks = Marks::of(|name| self.environment.get(name).map(OsString::from));
        Search { root, marks, since_ticks: BEGAN_TICKS }
    }

    /// Looks once a second.
    fn replay(&self) -> Seen {
        let mut family = Family::new(self.search());
        let mut choice = Choice::default();
        let mut seen = Seen { pins: Vec::new(), members: HashSet::new(), is_left_to_helpers: false };
        for second in 0..=self.ends {
            let proc_root = tempfile::tempdir().expect("temporary directory");
            for process in self.process.iter().filter(|process| process.lives_at(second)) {
                process.write(proc_root.path(), second);
                if process.told && process.phases[0].at == second as i64 {
                    family.remember([process.identity()]);
                }
            }
            let now = Duration::from_secs(second);
            let snapshot = family.look(&ProcFs::at(proc_root.path()), now).expect("look");
            seen.members.extend(snapshot.processes.iter().map(|process| process.id.pid));
            choice = choose(&snapshot, &choice, None, now);
            seen.is_left_to_helpers = choice.pinned.is_some() && has_only_helpers(&snapshot);
            let pinned = choice.pinned.map_or(0, |id| id.pid);
            if seen.pins.last().map_or(0, |(_, pid)| *pid) != pinned {
                seen.pins.push((second, pinned));
            }
        }
        seen
    }
}

#[test]
fn in_every_recorded_tree_the_game_is_pinned_and_stays_pinned() {
    let mut nr_recordings = 0;
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/trees");
    for entry in fs::read_dir(directory).expect("list the recordings") {
        let path = entry.expect("list the recordings").path();
        let text = fs::read_to_string(&path).expect("read a recording");
        let recording: Recording = toml::from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        assert!(!recording.source.is_empty(), "{}: where does it come from?", path.display());
        let seen = recording.replay();
        assert_eq!(seen.pins, recording.pins, "{}", path.display());
        assert_eq!(seen.is_left_to_helpers, recording.is_left_to_helpers, "{}: who is left", path.display());
        let all: HashSet<i32> = recording.process.iter().map(|process| process.pid).collect();
        let kin: HashSet<i32> = all.difference(&recording.strangers.iter().copied().collect()).copied().collect();
        assert_eq!(seen.members, kin, "{}: the family", path.display());
        nr_recordings += 1;
    }
    assert!(nr_recordings >= 12, "only {nr_recordings} recordings were found");
}
