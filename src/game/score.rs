//! The choice: a pure function of a snapshot, of what was chosen before, and of the time.
//!
//! Pin early, change late. The first candidate is pinned at once; while it lives another takes its place only if it is
//! clearly stronger at every look for a while, and each such take-over doubles that while. An exit costs nothing.

use std::cmp::Ordering;
use std::time::Duration;

use crate::game::names;
use crate::game::names::ExePattern;
use crate::game::names::Role;
use crate::game::tree::Identity;
use crate::game::tree::Process;
use crate::game::tree::Snapshot;

/// How long a challenger must stay clearly stronger: loading screens and shader compilation are shorter.
const PROOF: Duration = Duration::from_secs(3);

/// Where the doubling of [`PROOF`] ends.
const PROOF_DOUBLINGS_MAX: u32 = 5;

/// "Clearly stronger" is this many times the pinned one's score ...
const STRONGER_TIMES: f64 = 1.5;

/// ... plus this much, so that two idle processes never compete.
const STRONGER_BY: f64 = 20.0;

/// What a launcher, crash handler or anti-cheat keeps of its score.
const HELPER_SHARE: f64 = 0.2;

/// What is pinned, and who may follow.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Choice {
    /// The game.
    pub pinned: Option<Identity>,
    /// Who is clearly stronger, and since when.
    pub challenger: Option<(Identity, Duration)>,
    /// How often a living game was replaced.
    pub takeovers: u32,
}

/// Chooses the game among `snapshot`; with `wanted`, among those that match it, whatever else their names say.
#[must_use]
pub fn choose(snapshot: &Snapshot, previous: &Choice, wanted: Option<&ExePattern>, now: Duration) -> Choice {
    let stands = |process: &&Process| match wanted {
        Some(pattern) => pattern.matches(process),
        None => can_be_the_game(process),
    };
    let candidates: Vec<&Process> = snapshot.processes.iter().filter(stands).collect();
    let takeovers = previous.takeovers;
    let Some(best) = strongest(&candidates) else { return Choice { takeovers, ..Choice::default() } };
    let pinned = candidates.iter().find(|process| Some(process.id) == previous.pinned);
    let Some(pinned) = pinned else { return Choice { pinned: Some(best.id), challenger: None, takeovers } };

    let keep = |challenger| Choice { pinned: Some(pinned.id), challenger, takeovers };
    let is_stronger = |process: &Process| score(process) >= score(pinned) * STRONGER_TIMES + STRONGER_BY;
    // Who has begun to prove itself goes on, although another looks best now: of two that take turns neither would ever
    // come to its end.
    let proving = previous.challenger.filter(|(id, _)| candidates.iter().any(|p| p.id == *id && is_stronger(p)));
    let Some((challenger, since)) = proving.or_else(|| is_stronger(best).then_some((best.id, now))) else {
        return keep(None);
    };
    if now.saturating_sub(since) < PROOF * 2u32.pow(takeovers.min(PROOF_DOUBLINGS_MAX)) {
        return keep(Some((challenger, since)));
    }
    Choice { pinned: Some(challenger), challenger: None, takeovers: takeovers + 1 }
}

/// Whether nobody in `snapshot` is a game, or a launcher with a window: an agent or a crash handler stays for ever.
#[must_use]
pub fn has_only_helpers(snapshot: &Snapshot) -> bool {
    !snapshot.processes.iter().any(|process| process.gpu_descriptors > 0 || names::role(process) == Role::Candidate)
}

fn can_be_the_game(process: &Process) -> bool {
    match names::role(process) {
        Role::Infrastructure => false,
        Role::Interpreter => process.gpu_descriptors > 0,
        Role::Helper | Role::Candidate => true,
    }
}

/// The best score; among equals the eldest, because a helper of the game's own name is started by the game.
fn strongest<'a>(candidates: &[&'a Process]) -> Option<&'a Process> {
    let better = |a: &&&Process, b: &&&Process| {
        score(a).partial_cmp(&score(b)).unwrap_or(Ordering::Equal).then_with(|| b.id.start_ticks.cmp(&a.id.start_ticks))
    };
    candidates.iter().max_by(better).copied()
}

/// Busy CPUs weigh most; memory, threads and an open GPU tell a game that idles in its menu from its helpers.
fn score(process: &Process) -> f64 {
    let rss_mib = process.rss_bytes as f64 / f64::from(1 << 20);
    let gpu = if process.gpu_descriptors > 0 { 40.0 } else { 0.0 };
    let sum =
        100.0 * process.busy_cpus.min(3.0) + gpu + f64::from(process.threads.min(50)) + 5.0 * (1.0 + rss_mib).log2();
    if names::role(process) == Role::Helper { sum * HELPER_SHARE } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::game::trees::tree;
    use std::ffi::OsStr;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn first_choice(snapshot: &Snapshot) -> Option<i32> {
        choose(snapshot, &Choice::default(), None, Duration::ZERO).pinned.map(|id| id.pid)
    }

    #[test]
    fn pins_the_game_and_not_the_shell() {
        let snapshot = tree().child("sh").busy(2.0).child("game").build();
        assert_eq!(first_choice(&snapshot), Some(snapshot.pid_of("game")));
    }

    #[test]
    fn pins_nothing_while_there_is_only_a_shell() {
        assert_eq!(first_choice(&tree().child("sh").busy(1.0).threads(3).build()), None);
        assert_eq!(first_choice(&tree().build()), None);
    }

    #[test]
    fn pins_an_interpreter_that_draws() {
        let snapshot = tree().child("sh").child("python3").gpu(2).build();
        assert_eq!(first_choice(&snapshot), Some(snapshot.pid_of("python3")));
    }

    #[test]
    fn pins_the_native_game_under_steam() {
        let snapshot = tree()
            .child("reaper")
            .child("steam-launch-wrapper")
            .child("_v2-entry-point")
            .child("pv-bwrap")
            .child("pv-adverb")
            .child("hl2.sh")
            .argv0("/bin/bash")
            .child("hl2_linux")
            .argv0("./hl2_linux")
            .build();
        assert_eq!(first_choice(&snapshot), Some(snapshot.pid_of("hl2_linux")));
    }

    #[test]
    fn pins_the_game_beside_proton_when_wine_has_renamed_it() {
        let proton = |comm: &str| {
            tree()
                .child("reaper")
                .child("srt-bwrap")
                .child("pv-adverb")
                .child("python3")
                .argv0("/usr/bin/python3")
                .child("steam.exe")
                .argv0(r"c:\windows\system32\steam.exe")
                .up(2)
                .leaf("wineserver")
                .leaf("services.exe")
                .leaf("winedevice.exe")
                .leaf("explorer.exe")
                .child(comm)
                .argv0(r"Z:\common\Game\Game-Win64.exe")
                .busy(0.3)
                .build()
        };
        assert_eq!(first_choice(&proton("wine64-preloade")), None);
        let renamed = proton("Game-Win64.exe");
        assert_eq!(first_choice(&renamed), Some(renamed.pid_of("Game-Win64.exe")));
    }

    #[test]
    fn pins_the_game_and_not_its_crash_handler() {
        let snapshot = tree()
            .child("Game.exe")
            .busy(0.2)
            .threads(20)
            .up(1)
            .child("GameCrashHandle")
            .argv0(r"C:\Game\GameCrashHandler64.exe")
            .busy(0.4)
            .threads(20)
            .build();
        assert_eq!(first_choice(&snapshot), Some(snapshot.pid_of("Game.exe")));
    }

    #[test]
    fn pins_the_parent_of_helpers_that_share_its_name() {
        let snapshot = tree().child("game").threads(8).child("game").threads(8).build();
        assert_eq!(first_choice(&snapshot), Some(snapshot.processes[0].id.pid));
    }

    #[test]
    fn a_launcher_that_exits_gives_way_at_once() {
        let both = tree().child("sh").child("Launcher").up(1).child("game").build();
        let launcher = Choice { pinned: Some(both.id_of("Launcher")), ..Choice::default() };
        let after = both.without("Launcher");
        assert_eq!(choose(&after, &launcher, None, at(1)).pinned, Some(both.id_of("game")));
        let gone = both.without("Launcher").without("game");
        assert_eq!(choose(&gone, &launcher, None, at(1)).pinned, None);
    }

    /// Looks once a second at trees that `at_second` makes and returns who was pinned each time.
    fn pinned_over(seconds: u64, at_second: impl Fn(u64) -> Snapshot) -> Vec<Option<i32>> {
        let mut choice = Choice::default();
        let mut pinned = Vec::new();
        for second in 0..seconds {
            choice = choose(&at_second(second), &choice, None, at(second));
            pinned.push(choice.pinned.map(|id| id.pid));
        }
        pinned
    }

    #[test]
    fn a_launcher_that_stays_gives_way_when_the_game_has_proved_itself() {
        let snapshots = |second: u64| {
            let launcher = tree().child("StoreFront").threads(30).rss_mib(400).gpu(1).busy(0.2);
            let game = |busy| launcher.clone().up(1).child("game").threads(40).rss_mib(2000).gpu(4).busy(busy).build();
            if second < 5 { launcher.clone().build() } else { game(1.8) }
        };
        let (first, last) = (snapshots(0).pid_of("StoreFront"), snapshots(5).pid_of("game"));
        let pinned = pinned_over(12, snapshots);
        assert_eq!(pinned[..8], vec![Some(first); 8]);
        assert_eq!(pinned[8..], vec![Some(last); 4]);
    }

    #[test]
    fn a_burst_of_a_helper_takes_nothing_away() {
        let pinned = pinned_over(20, |second| {
            let compiling = if second % 4 == 0 { 0.0 } else { 3.0 };
            tree().child("game").threads(30).busy(0.5).up(1).child("compiler").busy(compiling).build()
        });
        assert!(pinned.iter().all(|pid| *pid == pinned[0]), "{pinned:?}");
    }

    /// A page's renderer and the process that draws for it, below the first process of a browser that plays.
    #[test]
    fn the_first_one_gives_way_once_though_two_take_turns_at_being_the_strongest() {
        let pinned = pinned_over(60, |second| {
            let (renderer, drawer) = if second % 2 == 0 { (1.2, 0.9) } else { (0.9, 1.2) };
            let first = tree().child("first").up(1);
            if second == 0 {
                return first.build();
            }
            first.child("renderer").busy(renderer).up(1).child("drawer").busy(drawer).build()
        });
        let changes = pinned.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!((changes, pinned[3] == pinned[0], pinned[4] == pinned[0]), (1, true, false), "{pinned:?}");
    }

    #[test]
    fn two_processes_that_take_turns_settle() {
        let pinned = pinned_over(600, |second| {
            let (a, b) = if second % 20 < 10 { (3.0, 0.0) } else { (0.0, 3.0) };
            tree().child("a-game").busy(a).up(1).child("b-game").busy(b).build()
        });
        let changes = pinned.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes <= 3, "{changes} changes in ten minutes");
    }

    #[test]
    fn a_window_is_what_tells_a_launcher_from_a_helper_that_stays_behind() {
        let agent = tree().child("start.exe").leaf("Agent.exe").leaf("CrashReporter.exe");
        assert!(has_only_helpers(&agent.clone().build()));
        assert!(!has_only_helpers(&agent.clone().child("Battle.net.exe").gpu(2).build()));
        assert!(!has_only_helpers(&agent.child("game.exe").build()));
    }

    #[test]
    fn the_wanted_name_wins_whatever_it_is() {
        let snapshot = tree().child("python3").child("game").busy(3.0).build();
        let wanted = ExePattern::parse(OsStr::new("python3")).expect("pattern");
        let choice = choose(&snapshot, &Choice::default(), Some(&wanted), Duration::ZERO);
        assert_eq!(choice.pinned, Some(snapshot.id_of("python3")));
    }

    #[test]
    fn nothing_is_pinned_while_the_wanted_name_is_missing() {
        let snapshot = tree().child("game").busy(3.0).build();
        let wanted = ExePattern::parse(OsStr::new("other*")).expect("pattern");
        assert_eq!(choose(&snapshot, &Choice::default(), Some(&wanted), Duration::ZERO).pinned, None);
    }
}
