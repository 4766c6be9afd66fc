//! How much of our time looks at the family may take, whatever happens in it.

use std::time::Duration;

/// A look is paid for by so many times its cost in time that passes: 20 for 5 %.
const TIMES: u32 = 20;

/// How far ahead of its payment a look may begin: a game's start is a handful of programs in a row, each worth a look.
const CREDIT: Duration = Duration::from_secs(1);

/// Time that looks may take, as a generic cell rate algorithm (ITU-T I.371): one number says until when all looks so far
/// are paid for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Budget {
    paid_until: Duration,
}

impl Budget {
    /// A look that ended at `now` has taken `cost` of CPU time.
    pub fn spend(&mut self, cost: Duration, now: Duration) {
        self.paid_until = self.paid_until.max(now) + cost * TIMES;
    }

    /// When the next look may begin if it is asked for at `now`.
    #[must_use]
    pub fn next_look(&self, now: Duration) -> Duration {
        now.max(self.paid_until.saturating_sub(CREDIT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Looks at every chance for `seconds`; how many, and the share of time that they took.
    fn look_all_the_time(cost: Duration, seconds: u64) -> (u32, f64) {
        let mut budget = Budget::default();
        let (mut now, mut looks) = (Duration::ZERO, 0);
        while now < ms(seconds * 1000) {
            now = budget.next_look(now) + cost;
            budget.spend(cost, now);
            looks += 1;
        }
        (looks, (cost * looks).as_secs_f64() / budget.next_look(now).as_secs_f64())
    }

    #[test]
    fn a_storm_gets_a_twentieth_of_the_time_however_dear_a_look_is() {
        for cost in [ms(1), ms(4), ms(20), ms(500)] {
            let (_, share) = look_all_the_time(cost, 60);
            assert!((0.04..0.06).contains(&share), "{cost:?}: {share}");
        }
        let (looks, _) = look_all_the_time(ms(4), 60);
        assert!(looks > 600, "only {looks} looks in a minute");
    }

    #[test]
    fn after_a_quiet_time_the_first_looks_come_at_once() {
        let mut budget = Budget::default();
        let mut now = ms(10_000);
        for _ in 0..10 {
            assert_eq!(budget.next_look(now), now);
            now += ms(4);
            budget.spend(ms(4), now);
        }
    }

    #[test]
    fn a_dear_look_is_paid_for_before_the_next() {
        let mut budget = Budget::default();
        budget.spend(ms(500), ms(500));
        assert_eq!(budget.next_look(ms(500)), ms(9500));
        assert_eq!(budget.next_look(ms(11_000)), ms(11_000));
    }
}
