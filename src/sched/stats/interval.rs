//! From two moments to what happened between them.

use std::time::Duration;
use std::time::Instant;

use super::Counts;
use super::Histogram;
use crate::sched::Class;
use crate::sched::skel::intf;

/// How many classes of tasks there are.
pub const CLASSES: usize = intf::gr_class_GR_NR_CLASSES as usize;

/// How many kinds of waiters are told apart.
pub const WAITERS: usize = intf::gr_waiter_GR_NR_WAITERS as usize;

/// Everything that only grows, summed over CPUs, at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Totals {
    /// When.
    pub at: Instant,
    /// Counters of events.
    pub counts: Counts,
    /// CPU time by class, in ns.
    pub class_ns: [u64; CLASSES],
    /// Wake-ups that had to queue, by how long they did.
    pub waits: [Histogram; WAITERS],
}

impl Totals {
    /// Nothing yet.
    pub fn zero(at: Instant) -> Self {
        Self { at, counts: Counts([0; _]), class_ns: [0; CLASSES], waits: Default::default() }
    }
}

/// Everything that has a value now and no total.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gauges {
    /// CPUs that are online.
    pub nr_cpus: u32,
    /// Share of them that is not idle, in percent.
    pub util_pct: f64,
    /// Its average, by which the regime is chosen, in percent.
    pub util_ema_pct: f64,
    /// How often tasks give up their CPU by themselves, in percent.
    pub interactive_pct: f64,
    /// How long the head of the slowest queue waits.
    pub longest_wait: Duration,
    /// The pinned games.
    pub foreground: Vec<Foreground>,
    /// Who sees events.
    pub sources: Sources,
}

/// Who sees what the player and the display do, in words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sources {
    /// Keys, buttons and motions.
    pub input: String,
    /// Beginnings of frames.
    pub frame: String,
    /// How often the latter fires, as of its last second; 0: unknown, or it does not.
    pub frame_hz: f64,
}

/// A pinned game.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Foreground {
    /// Its TGID (initial PID namespace).
    pub tgid: i32,
    /// Its name, at most 15 characters; empty when it has gone.
    pub comm: String,
}

/// All that can be known at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What grows.
    pub totals: Totals,
    /// What does not.
    pub gauges: Gauges,
}

/// What happened between two moments, and how things stand at the second one.
#[derive(Clone, Debug, PartialEq)]
pub struct Interval {
    /// How long it was.
    pub elapsed: Duration,
    /// Events.
    pub counts: Counts,
    /// CPU time by class, in ns.
    pub class_ns: [u64; CLASSES],
    /// Wake-ups that had to queue, by how long they did.
    pub waits: [Histogram; WAITERS],
    /// How things stand at its end.
    pub gauges: Gauges,
}

impl Interval {
    /// From `before` to `now`.
    pub fn between(before: &Totals, now: &Sample) -> Self {
        let Sample { totals, gauges } = now;
        Self {
            elapsed: totals.at.saturating_duration_since(before.at),
            counts: totals.counts.since(&before.counts),
            class_ns: std::array::from_fn(|class| totals.class_ns[class].saturating_sub(before.class_ns[class])),
            waits: std::array::from_fn(|waiter| totals.waits[waiter].since(&before.waits[waiter])),
            gauges: gauges.clone(),
        }
    }

    /// Share of a class in the CPU time that was used, in percent; 0 when none was.
    pub fn class_pct(&self, class: Class) -> f64 {
        percent(self.class_ns[class as usize] as f64, self.used_ns() as f64)
    }

    /// CPU time that nobody under this scheduler used, in percent of all there was.
    pub fn idle_pct(&self) -> f64 {
        let all_ns = self.elapsed.as_nanos() as f64 * f64::from(self.gauges.nr_cpus);
        percent((all_ns - self.used_ns() as f64).max(0.0), all_ns)
    }

    /// Beginnings of frames in a second.
    pub fn fps(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        let frames = self.counts.0[intf::gr_stat_GR_STAT_FRAME_EVENT as usize];
        if seconds > 0.0 { frames as f64 / seconds } else { 0.0 }
    }

    fn used_ns(&self) -> u64 {
        self.class_ns.iter().sum()
    }
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { 100.0 * part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One second on two CPUs in which each class used this much, in ms.
    fn second(class_ms: [u64; CLASSES]) -> Interval {
        let before = Totals { class_ns: [7; CLASSES], ..Totals::zero(Instant::now()) };
        let totals = Totals {
            class_ns: class_ms.map(|ms| ms * 1_000_000 + 7),
            ..Totals::zero(before.at + Duration::from_secs(1))
        };
        Interval::between(&before, &Sample { totals, gauges: Gauges { nr_cpus: 2, ..Gauges::default() } })
    }

    #[test]
    fn shares_are_of_the_time_that_was_used_and_idle_of_all_there_was() {
        let interval = second([900, 10, 40, 30, 20]);
        assert_eq!(interval.elapsed, Duration::from_secs(1));
        assert_eq!(interval.class_pct(Class::Foreground), 90.0);
        assert_eq!(interval.class_pct(Class::Background), 2.0);
        assert_eq!(interval.idle_pct(), 50.0);
    }

    #[test]
    fn classes_stand_in_the_order_of_the_enum() {
        let classes = [Class::Foreground, Class::Critical, Class::Family, Class::Normal, Class::Background];
        let interval = second([1, 2, 3, 4, 10]);
        assert_eq!(classes.map(|class| interval.class_pct(class)), [5.0, 10.0, 15.0, 20.0, 50.0]);
        let of_kernel = [
            intf::gr_class_GR_FOREGROUND,
            intf::gr_class_GR_CRITICAL,
            intf::gr_class_GR_FAMILY,
            intf::gr_class_GR_NORMAL,
            intf::gr_class_GR_BACKGROUND,
        ];
        assert_eq!(classes.map(|class| class as u32), of_kernel);
    }

    #[test]
    fn an_idle_machine_has_no_shares_and_is_all_idle() {
        let interval = second([0; CLASSES]);
        assert_eq!((interval.class_pct(Class::Normal), interval.idle_pct()), (0.0, 100.0));
    }

    #[test]
    fn time_that_was_booked_late_makes_idle_zero_and_not_less() {
        // A run that began before the interval is booked as it ends.
        assert_eq!(second([5000, 0, 0, 0, 0]).idle_pct(), 0.0);
    }

    #[test]
    fn an_interval_without_length_divides_by_nothing() {
        let totals = Totals::zero(Instant::now());
        let now = Sample { totals: totals.clone(), gauges: Gauges { nr_cpus: 4, ..Gauges::default() } };
        assert_eq!(Interval::between(&totals, &now).idle_pct(), 0.0);
    }
}
