//! Who descends from whom: which processes are of the family, as far as their parents and the kernel tell.

use std::collections::HashMap;
use std::collections::HashSet;

use procfs::process::Stat;

use crate::game::marks::Marks;
use crate::game::tree::Identity;

/// Where the game is to be found.
#[derive(Clone, Debug)]
pub struct Search {
    /// Below this process.
    pub root: Root,
    /// With these in its environment.
    pub marks: Marks,
    /// Not before this time, in clock ticks since boot: what lived before us is nobody's game.
    pub since_ticks: u64,
}

/// The process below which everybody is of the family; who gets its PID later is nobody.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Root {
    /// Our child, which belongs to it. The child and not we, who may have children of before our own exec (`exec
    /// scx-gamer-run` in a script).
    Game(Identity),
    /// The launcher of a script, which does not, and of its descendants only those that are younger than the search.
    Launcher(Identity),
}

/// What lineage needs of a process.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Who it is.
    pub id: Identity,
    /// PID of its parent.
    pub parent_pid: i32,
}

impl From<&Stat> for Link {
    fn from(stat: &Stat) -> Self {
        Self { id: stat.into(), parent_pid: stat.ppid }
    }
}

/// The root, the known members that still live, and everyone below them.
#[must_use]
pub fn kin(links: &[Link], search: &Search, known: &HashSet<Identity>) -> HashSet<Identity> {
    let mut children: HashMap<i32, Vec<Identity>> = HashMap::new();
    for link in links {
        children.entry(link.parent_pid).or_default().push(link.id);
    }
    let (Root::Game(root) | Root::Launcher(root)) = search.root;
    let is_launcher = matches!(search.root, Root::Launcher(_));
    let is_known = |id: &Identity| (*id == root && !is_launcher) || known.contains(id);
    let mut found: HashSet<Identity> = links.iter().map(|link| link.id).filter(is_known).collect();
    let mut to_visit: Vec<i32> = found.iter().map(|id| id.pid).collect();
    let mut visited: HashSet<i32> = to_visit.iter().copied().collect();
    if is_launcher && links.iter().any(|link| link.id == root) && visited.insert(root.pid) {
        to_visit.push(root.pid);
    }
    while let Some(pid) = to_visit.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            if !is_launcher || child.start_ticks >= search.since_ticks {
                found.insert(*child);
            }
            // Below an old process of the launcher's the game may be young.
            if visited.insert(child.pid) {
                to_visit.push(child.pid);
            }
        }
    }
    found
}

/// The uppermost members of each branch that is neither below the game's first process nor `told` of by the kernel.
#[must_use]
pub fn outsiders(links: &[Link], kin: &HashSet<Identity>, search: &Search, told: &HashSet<Identity>) -> Vec<Identity> {
    let member_pids: HashSet<i32> = kin.iter().map(|id| id.pid).collect();
    let is_outside = |link: &&Link| {
        kin.contains(&link.id)
            && !member_pids.contains(&link.parent_pid)
            && !told.contains(&link.id)
            && search.root != Root::Game(link.id)
    };
    links.iter().filter(is_outside).map(|link| link.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(pid: i32, parent_pid: i32) -> Link {
        Link { id: Identity { pid, start_ticks: 1000 + pid as u64 }, parent_pid }
    }

    /// Links of the tests are born at 1000 and their PID; the search begins at 1015.
    fn search(root: Root) -> Search {
        Search { root, marks: Marks::default(), since_ticks: 1015 }
    }

    fn pids(links: &[Link], remembered: &[i32]) -> Vec<i32> {
        pids_below(links, Root::Game(link(10, 0).id), remembered)
    }

    fn pids_below(links: &[Link], root: Root, known: &[i32]) -> Vec<i32> {
        let known = known.iter().map(|pid| link(*pid, 0).id).collect();
        let mut pids: Vec<i32> = kin(links, &search(root), &known).into_iter().map(|id| id.pid).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn the_family_is_everyone_below_the_root_and_no_neighbour() {
        let links = [link(1, 0), link(10, 1), link(11, 10), link(12, 11), link(20, 1), link(21, 20)];
        assert_eq!(pids(&links, &[]), [10, 11, 12]);
    }

    #[test]
    fn an_orphan_that_was_seen_stays_with_its_children() {
        let links = [link(1, 0), link(10, 1), link(12, 1), link(13, 12), link(20, 1)];
        assert_eq!(pids(&links, &[11, 12]), [10, 12, 13]);
    }

    #[test]
    fn a_pid_that_was_used_again_is_no_member() {
        let links = [link(1, 0), link(10, 1), link(12, 1)];
        let remembered = HashSet::from([Identity { pid: 12, start_ticks: 5 }]);
        assert_eq!(kin(&links, &search(Root::Game(links[1].id)), &remembered), HashSet::from([links[1].id]));
    }

    #[test]
    fn who_gets_the_pid_of_the_first_process_after_its_end_is_a_stranger_with_all_its_children() {
        let links = [link(1, 0), link(10, 1), link(16, 10), link(17, 1), link(18, 17)];
        let earlier = Identity { pid: 10, start_ticks: 5 };
        let known = HashSet::from([links[3].id]);
        let below_known = HashSet::from([links[3].id, links[4].id]);
        assert_eq!(kin(&links, &search(Root::Game(earlier)), &known), below_known);
        assert_eq!(kin(&links, &search(Root::Launcher(earlier)), &known), below_known);
    }

    #[test]
    fn of_a_launcher_only_what_is_younger_than_the_search_belongs() {
        let links = [link(1, 0), link(10, 1), link(12, 10), link(16, 12), link(17, 10), link(18, 17), link(20, 1)];
        assert_eq!(pids_below(&links, Root::Launcher(link(10, 0).id), &[]), [16, 17, 18]);
        assert_eq!(pids_below(&links, Root::Launcher(link(10, 0).id), &[20]), [16, 17, 18, 20]);
    }

    #[test]
    fn who_is_outside_of_the_kernels_family_is_told_by_its_uppermost_process() {
        let links = [link(10, 1), link(11, 10), link(12, 1), link(13, 12), link(14, 1)];
        let known = HashSet::from([links[2].id, links[4].id]);
        let kin = kin(&links, &search(Root::Game(links[0].id)), &known);
        let told = HashSet::from([links[4].id]);
        assert_eq!(outsiders(&links, &kin, &search(Root::Game(links[0].id)), &told), [links[2].id]);
    }

    #[test]
    fn a_loop_of_parents_ends() {
        assert_eq!(pids(&[link(10, 11), link(11, 10)], &[]), [10, 11]);
    }
}
