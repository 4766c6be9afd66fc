//! Who beside the family carries the game's marks: reading an environment is dear, so each is asked once a program.

use std::collections::HashMap;
use std::collections::HashSet;

use procfs::process::Stat;

use crate::game::lineage::Search;
use crate::game::proc::ProcFs;
use crate::game::tree::Identity;
use crate::game::tree::is_alive;

/// Where a process has its environment: at another place after each exec, at the same in a child. Nowhere in the midst of
/// an exec, and for who may not read it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Environment {
    start: u64,
    end: u64,
}

impl Environment {
    fn of(stat: &Stat) -> Option<Self> {
        Some(Self { start: stat.env_start?, end: stat.env_end.filter(|end| *end > 0)? })
    }
}

/// Processes that were asked.
#[derive(Debug, Default)]
pub struct Neighbours {
    /// Who has no marks, in which environment.
    unmarked: HashMap<Identity, Environment>,
}

impl Neighbours {
    /// Those of our user outside of `kin`, younger than the search, that carry its marks. Who can't be asked now may be later.
    pub fn marked(
        &mut self,
        procfs: &ProcFs,
        stats: &[Stat],
        kin: &HashSet<Identity>,
        search: &Search,
    ) -> Vec<Identity> {
        if search.marks.is_empty() {
            return Vec::new();
        }
        let (own_pid, own_uid) = (std::process::id().cast_signed(), nix::unistd::getuid().as_raw());
        let is_worth_asking = |stat: &&Stat| {
            stat.starttime >= search.since_ticks
                && !kin.contains(&Identity::from(*stat))
                && ![stat.pid, stat.ppid].contains(&own_pid)
                && is_alive(stat)
        };
        let mut marked = Vec::new();
        let mut unmarked = HashMap::new();
        for stat in stats.iter().filter(is_worth_asking) {
            let Some(environment) = Environment::of(stat) else { continue };
            let id = Identity::from(stat);
            if self.unmarked.get(&id) == Some(&environment) || procfs.uid(id.pid) != Some(own_uid) {
                unmarked.insert(id, environment);
                continue;
            }
            match procfs.environ(id.pid) {
                Some(environ) if search.marks.are_on(&environ) => marked.push(id),
                Some(_) => drop(unmarked.insert(id, environment)),
                None => {}
            }
        }
        self.unmarked = unmarked;
        marked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::game::fake_proc::FakeProc;
    use crate::game::fake_proc::born;
    use crate::game::lineage::Root;
    use crate::game::marks::Marks;
    use std::fs;

    const MARK: &str = "SteamAppId=7\0";

    /// PIDs of those that carry the mark, where 10 is the family; older than the search is who has a PID below 10.
    fn marked(neighbours: &mut Neighbours, proc: &FakeProc) -> Vec<i32> {
        let marks = Marks::of(|name| (name == "SteamAppId").then(|| "7".into()));
        let search = Search { root: Root::Game(born(10)), marks, since_ticks: born(10).start_ticks };
        let stats = proc.fs().stats().expect("read the directory");
        let found = neighbours.marked(&proc.fs(), &stats, &HashSet::from([born(10)]), &search);
        let mut pids: Vec<i32> = found.into_iter().map(|id| id.pid).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn whoever_becomes_another_program_is_asked_again_and_nobody_else() {
        let (mut neighbours, proc) = (Neighbours::default(), FakeProc::new());
        proc.marked(20, 1, 4096, "HOME=/\0");
        assert_eq!(marked(&mut neighbours, &proc), [0; 0]);
        proc.marked(20, 1, 4096, MARK);
        assert_eq!(marked(&mut neighbours, &proc), [0; 0], "the same program was asked twice");
        proc.marked(20, 1, 8192, MARK);
        assert_eq!(marked(&mut neighbours, &proc), [20]);
    }

    #[test]
    fn who_cannot_be_asked_yet_is_asked_later() {
        let (mut neighbours, proc) = (Neighbours::default(), FakeProc::new());
        proc.marked(20, 1, 0, MARK);
        proc.marked(21, 1, 4096, MARK);
        let unreadable = proc.path().join("21/environ");
        fs::remove_file(unreadable).expect("an environment that can't be read");
        assert_eq!(marked(&mut neighbours, &proc), [0; 0]);
        proc.marked(20, 1, 4096, MARK);
        proc.marked(21, 1, 4096, MARK);
        assert_eq!(marked(&mut neighbours, &proc), [20, 21]);
    }

    #[test]
    fn neither_the_family_nor_we_nor_who_is_older_is_asked() {
        let (mut neighbours, proc) = (Neighbours::default(), FakeProc::new());
        let own_pid = std::process::id().cast_signed();
        for (pid, parent_pid) in [(9, 1), (10, 1), (own_pid, 1), (20, own_pid), (21, 1)] {
            proc.marked(pid, parent_pid, 4096, MARK);
        }
        assert_eq!(marked(&mut neighbours, &proc), [21]);
    }
}
