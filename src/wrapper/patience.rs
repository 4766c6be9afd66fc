//! How long a wait goes on without a game: when a holder ends, and a wrapper under `--wait-family`.
//!
//! Pure: it is told who is pinned and what time it is. All times are since the spawn, or since a holder's start.

use std::time::Duration;

use crate::game::watch::Finder;
use crate::wrapper::follow::Released;

/// How long a game may take to appear once the first process and the last game have ended.
const FAMILY_PATIENCE: Duration = Duration::from_secs(3);

/// How long a holder that was left behind waits for a game.
const GAME_PATIENCE: Duration = Duration::from_secs(120);

/// Who was pinned for less was no game: scripts run programs for seconds (sleep, xrandr, ldconfig), and a game that ends so
/// soon has crashed and is started once more.
const GAME_LASTS: Duration = Duration::from_secs(10);

/// Who is pinned, as a look has found it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pinned {
    /// Its TGID.
    pub pid: i32,
    /// The family is nothing but helpers without a window, such as an updater or a crash handler that stays behind.
    pub is_helper: bool,
}

/// What the looks at the family have done and will do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Looks {
    /// When the last one began.
    pub last: Duration,
    /// There will be another one.
    pub go_on: bool,
}

impl Looks {
    /// One was after `time`, or none ever will be.
    fn are_since(self, time: Duration) -> bool {
        !self.go_on || self.last > time
    }
}

/// What was pinned so far.
#[derive(Debug, Default)]
pub struct Patience {
    /// `--foreground-pid none`: who is not looked for is not missed.
    expects_nobody: bool,
    /// Who is, and since when.
    pinned: Option<(Pinned, Duration)>,
    /// Somebody was for long enough to be a game.
    has_seen_game: bool,
    /// And that was more than a helper.
    has_seen_more_than_helpers: bool,
    /// Since when there is nobody to be waited for.
    lonely_since: Option<Duration>,
}

impl Patience {
    /// Nobody was pinned yet.
    #[must_use]
    pub fn new(finder: &Finder) -> Self {
        Self { expects_nobody: matches!(finder, Finder::Nobody), ..Self::default() }
    }

    /// At `now` this one is pinned.
    pub fn note(&mut self, pinned: Option<Pinned>, now: Duration) {
        let before = self.pinned;
        if let Some((before, since)) = before
            && now.saturating_sub(since) >= GAME_LASTS
        {
            self.has_seen_game = true;
            self.has_seen_more_than_helpers |= !before.is_helper;
        }
        let since = |pid| before.filter(|(before, _)| before.pid == pid).map_or(now, |(_, since)| since);
        self.pinned = pinned.map(|pinned| (pinned, since(pinned.pid)));
    }

    /// Whether somebody is to be waited for, or may yet appear. A look must have shown that nobody has: looks are
    /// within a budget, and after a dear one the next comes late.
    pub fn awaits_family(&mut self, now: Duration, looks: Looks) -> bool {
        if self.pinned.is_some_and(|(pinned, _)| !pinned.is_helper || !self.has_seen_more_than_helpers) {
            self.lonely_since = None;
            return true;
        }
        let since = *self.lonely_since.get_or_insert(now);
        now < since + FAMILY_PATIENCE || !looks.are_since(since)
    }

    /// Why nobody needs a holder's lease any more, if so.
    pub fn over(&mut self, now: Duration, looks: Looks) -> Option<Released> {
        if self.expects_nobody || self.awaits_family(now, looks) {
            return None;
        }
        match self.has_seen_game {
            true => Some(Released::GameEnded),
            false => (now >= GAME_PATIENCE).then_some(Released::NoGame),
        }
    }

    /// When to ask again if nothing happens, while somebody is missed; not before a look has missed him.
    #[must_use]
    pub fn due(&self, looks: Looks) -> Option<Duration> {
        self.lonely_since.filter(|since| looks.are_since(*since)).map(|since| since + FAMILY_PATIENCE)
    }

    /// The same for a holder, which waits longer for its first game.
    #[must_use]
    pub fn due_of_holder(&self, looks: Looks) -> Option<Duration> {
        let due = self.due(looks).filter(|_| !self.expects_nobody)?;
        Some(if self.has_seen_game { due } else { due.max(GAME_PATIENCE) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAME: Pinned = Pinned { pid: 7, is_helper: false };
    const HELPER: Pinned = Pinned { pid: 8, is_helper: true };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Each is pinned from its second on.
    fn after(pins: &[(u64, Option<Pinned>)]) -> Patience {
        let mut patience = Patience::default();
        pins.iter().for_each(|(second, pinned)| patience.note(*pinned, at(*second)));
        patience
    }

    fn looked_at(second: u64) -> Looks {
        Looks { last: at(second), go_on: true }
    }

    #[test]
    fn what_a_script_runs_for_a_moment_was_no_game() {
        let mut holder = after(&[(1, Some(GAME)), (4, None)]);
        assert_eq!(holder.over(at(20), looked_at(20)), None);
        assert_eq!(holder.due_of_holder(looked_at(21)), Some(at(120)));
        assert_eq!(holder.over(at(120), looked_at(119)), Some(Released::NoGame));
    }

    #[test]
    fn a_game_that_comes_late_is_not_left_because_it_came_late() {
        let mut holder = after(&[(119, Some(GAME))]);
        assert_eq!(holder.over(at(121), looked_at(120)), None);
        assert_eq!(holder.due_of_holder(looked_at(120)), None);
        // What it starts may be the game.
        holder.note(None, at(122));
        assert_eq!(holder.over(at(122), looked_at(122)), None);
        assert_eq!(holder.due_of_holder(looked_at(123)), Some(at(125)));
        assert_eq!(holder.over(at(125), looked_at(124)), Some(Released::NoGame));
    }

    #[test]
    fn a_holder_that_looks_for_nobody_misses_nobody() {
        let mut holder = Patience::new(&Finder::Nobody);
        holder.note(None, at(1));
        let none = Looks { last: at(0), go_on: false };
        assert_eq!((holder.over(at(500), none), holder.due_of_holder(none)), (None, None));
    }

    #[test]
    fn a_holder_ends_three_seconds_after_a_game() {
        let mut holder = after(&[(1, Some(GAME)), (60, None)]);
        assert_eq!(holder.over(at(60), looked_at(60)), None);
        assert_eq!(holder.due_of_holder(looked_at(61)), Some(at(63)));
        assert_eq!(holder.over(at(63), looked_at(62)), Some(Released::GameEnded));
    }

    #[test]
    fn a_family_is_given_up_only_after_a_look_at_it() {
        let mut patience = after(&[(1, Some(GAME)), (2, None)]);
        assert!(patience.awaits_family(at(2), looked_at(2)));
        assert!(patience.awaits_family(at(9), looked_at(2)), "nobody has looked since");
        assert_eq!(patience.due(looked_at(2)), None, "the look is what it waits for");
        assert!(!patience.awaits_family(at(11), looked_at(10)));
        let no_more = Looks { last: at(2), go_on: false };
        assert!(!patience.awaits_family(at(11), no_more), "nobody ever will");
    }

    #[test]
    fn helpers_that_stay_behind_after_the_game_are_not_waited_for() {
        let mut patience = after(&[(1, Some(GAME)), (60, Some(HELPER))]);
        assert!(patience.awaits_family(at(60), looked_at(60)), "another game may follow");
        assert!(!patience.awaits_family(at(63), looked_at(62)));
    }

    #[test]
    fn a_launcher_that_has_opened_no_window_yet_is_waited_for() {
        let mut patience = after(&[(1, Some(HELPER)), (60, Some(HELPER))]);
        assert!(patience.awaits_family(at(80), looked_at(80)));
        let mut patience = after(&[(1, Some(GAME)), (2, Some(HELPER)), (60, Some(HELPER))]);
        assert!(patience.awaits_family(at(80), looked_at(80)), "a program that ran for a second was no game");
    }
}
