//! Whatever `/proc` holds, a look at it ends well, and only kin are members.

use std::collections::HashMap;
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use scx_gamer_run::game::lineage::Root;
use scx_gamer_run::game::lineage::Search;
use scx_gamer_run::game::marks::Marks;
use scx_gamer_run::game::proc::ProcFs;
use scx_gamer_run::game::score::Choice;
use scx_gamer_run::game::score::choose;
use scx_gamer_run::game::tree::Family;
use scx_gamer_run::game::tree::Identity;
use scx_gamer_run::game::tree::Snapshot;

/// Who has its PID but another time of birth is somebody else.
const ROOT: Identity = Identity { pid: 10, start_ticks: 1000 };
/// Few numbers, so that parents are found, lost, and used again.
const PIDS: std::ops::Range<i32> = 2..30;

#[derive(Clone, Debug)]
struct Fake {
    parent: i32,
    born_ticks: u64,
    comm: Vec<u8>,
    cmdline: Vec<u8>,
    environ: Vec<u8>,
    /// How much of `stat` is there: all of it, or what a reader found before the process went.
    stat_bytes: usize,
}

impl Fake {
    fn write(&self, proc_root: &Path, pid: i32) {
        let directory = proc_root.join(pid.to_string());
        fs::create_dir_all(&directory).expect("make a process");
        let mut stat = format!("{pid} (").into_bytes();
        stat.extend(&self.comm);
        let rest = format!(
            ") S {} 1 1 0 -1 0 0 0 0 0 30 20 0 0 20 0 7 0 {} 4096 25 18446744073709551615 \
             0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 4096 8192 0\n",
            self.parent, self.born_ticks
        );
        stat.extend(rest.as_bytes());
        stat.truncate(self.stat_bytes);
        fs::write(directory.join("stat"), stat).expect("write stat");
        fs::write(directory.join("cmdline"), &self.cmdline).expect("write cmdline");
        fs::write(directory.join("environ"), &self.environ).expect("write environ");
    }
}

fn fake() -> impl Strategy<Value = Fake> {
    let bytes = |longest| prop::collection::vec(any::<u8>(), 0..longest);
    let comm =
        prop_oneof![bytes(16), Just(b"a) S (1\n".to_vec()), Just(b"wine64-preloader".to_vec()), Just(b"game".to_vec())];
    let environ = prop_oneof![bytes(64), Just(b"SteamAppId=7\0".to_vec()), Just(b"SteamAppId=7".to_vec())];
    let stat_bytes = prop_oneof![4 => Just(usize::MAX), 1 => 0usize..120];
    let born_ticks = prop_oneof![Just(ROOT.start_ticks), 0u64..2000];
    (1i32..30, born_ticks, comm, bytes(40), environ, stat_bytes).prop_map(
        |(parent, born_ticks, comm, cmdline, environ, stat_bytes)| Fake {
            parent,
            born_ticks,
            comm,
            cmdline,
            environ,
            stat_bytes,
        },
    )
}

/// Somebody of whom the kernel tells.
fn identity() -> impl Strategy<Value = Identity> {
    PIDS.prop_map(|pid| Identity { pid, start_ticks: ROOT.start_ticks })
}

fn moment() -> impl Strategy<Value = HashMap<i32, Fake>> {
    prop::collection::hash_map(PIDS, fake(), 0..20)
}

fn search() -> Search {
    let marks = Marks::of(|name| (name == "SteamAppId").then(|| "7".into()));
    Search { root: Root::Game(ROOT), marks, since_ticks: 1000 }
}

fn look(family: &mut Family, moment: &HashMap<i32, Fake>, second: u64) -> Snapshot {
    let proc_root = tempfile::tempdir().expect("temporary directory");
    for (pid, fake) in moment {
        fake.write(proc_root.path(), *pid);
    }
    family.look(&ProcFs::at(proc_root.path()), Duration::from_secs(second)).expect("the directory can be read")
}

/// Whether `pid` is the root, was known, carries the mark, or descends from one of these, by what the files say.
fn is_kin(pid: i32, moment: &HashMap<i32, Fake>, known: &HashSet<Identity>) -> bool {
    let mut seen = HashSet::new();
    let mut at = pid;
    while seen.insert(at) {
        let Some(fake) = moment.get(&at) else { return false };
        let id = Identity { pid: at, start_ticks: fake.born_ticks };
        let is_marked = fake.born_ticks >= 1000 && fake.environ.starts_with(b"SteamAppId=7");
        if id == ROOT || known.contains(&id) || is_marked {
            return true;
        }
        at = fake.parent;
    }
    false
}

/// What the kernel never writes; each of them has made the parser of the procfs crate panic.
#[test]
fn a_stat_whose_brackets_are_not_where_they_belong_is_no_process() {
    for stat in
        ["10 (game)", "10 (game) ", "10 (game) \u{a0}", "(game) S 1", "10) (S 1", "\u{e9}(game) S 1", ")(", "()"]
    {
        let proc_root = tempfile::tempdir().expect("temporary directory");
        fs::create_dir(proc_root.path().join("10")).expect("make a process");
        fs::write(proc_root.path().join("10/stat"), stat).expect("write stat");
        assert_eq!(ProcFs::at(proc_root.path()).identity(10), None, "{stat:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn members_are_kin_and_all_of_it_and_the_game_is_a_living_one(
        moments in prop::collection::vec((moment(), prop::collection::vec(identity(), 0..4)), 1..4)
    ) {
        let mut family = Family::new(search());
        let (mut choice, mut known) = (Choice::default(), HashSet::new());
        for (second, (moment, told)) in moments.iter().enumerate() {
            family.remember(told.iter().copied());
            known.extend(told);
            let snapshot = look(&mut family, moment, second as u64);
            let members: HashSet<i32> = snapshot.processes.iter().map(|process| process.id.pid).collect();
            for pid in &members {
                prop_assert!(is_kin(*pid, moment, &known), "{pid} is no kin");
            }
            for (pid, fake) in moment.iter().filter(|(_, fake)| fake.stat_bytes == usize::MAX) {
                let is_left_out = members.contains(&fake.parent) && !members.contains(pid);
                prop_assert!(!is_left_out, "{pid} is no member, its parent {} is", fake.parent);
            }
            choice = choose(&snapshot, &choice, None, Duration::from_secs(second as u64));
            prop_assert!(choice.pinned.is_none_or(|id| snapshot.find(id).is_some()), "{choice:?}");
            known.extend(snapshot.processes.iter().map(|process| process.id));
        }
    }

    #[test]
    fn the_same_moments_lead_to_the_same_choice(moments in prop::collection::vec(moment(), 1..3)) {
        let run = || {
            let mut family = Family::new(search());
            moments.iter().enumerate().fold(Choice::default(), |choice, (second, moment)| {
                choose(&look(&mut family, moment, second as u64), &choice, None, Duration::from_secs(second as u64))
            })
        };
        prop_assert_eq!(run(), run());
    }
}
