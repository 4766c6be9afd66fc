//! The one table of metrics: `--help-stats`, `--stats`, `--monitor` and the metrics server come from it.

use serde::Serialize;

use super::COUNTERS;
use super::Histogram;
use super::Interval;
use crate::sched::Class;
use crate::sched::skel::intf;

/// One metric: its name, and where its value comes from.
#[derive(Debug)]
pub struct Metric {
    /// Name in blocks and in JSON; it ends with the unit's symbol.
    pub name: &'static str,
    /// What its value is counted in.
    pub unit: Unit,
    /// What it tells.
    pub meaning: &'static str,
    source: Source,
}

/// What a value is counted in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    /// Events in the interval.
    Count,
    /// Hundredths.
    Percent,
    /// Millionths of a second.
    Microseconds,
    /// Thousandths of a second.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Process numbers.
    Tgids,
    /// Process names.
    Names,
    /// A phrase.
    Words,
    /// Events a second.
    Hertz,
}

impl Unit {
    /// Its symbol; empty for what is counted.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Count | Self::Tgids | Self::Names | Self::Words => "",
            Self::Hertz => "Hz",
            Self::Percent => "%",
            Self::Microseconds => "us",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
        }
    }
}

/// A metric's value in one interval.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A whole number.
    Whole(u64),
    /// A fraction.
    Real(f64),
    /// Processes by number.
    Tgids(Vec<i32>),
    /// Processes by name.
    Names(Vec<String>),
    /// A phrase.
    Words(String),
}

#[derive(Debug)]
enum Source {
    /// Growth of the counter with this index in `enum gr_stat`.
    Counter(usize),
    /// Computed.
    Interval(fn(&Interval) -> Value),
}

impl Metric {
    /// Index in `enum gr_stat` of a metric that is a counter.
    pub fn index(&self) -> Option<usize> {
        match self.source {
            Source::Counter(index) => Some(index),
            Source::Interval(_) => None,
        }
    }

    /// Its value in `interval`.
    pub fn value_in(&self, interval: &Interval) -> Value {
        match self.source {
            Source::Counter(index) => Value::Whole(interval.counts.0[index]),
            Source::Interval(value) => value(interval),
        }
    }
}

/// Every metric, in the order of reading.
pub fn metrics() -> impl Iterator<Item = &'static Metric> {
    DERIVED.iter().chain(&COUNTERS)
}

/// A row for the counter `index` of `enum gr_stat`.
pub const fn counter(index: u32, name: &'static str, meaning: &'static str) -> Metric {
    Metric { name, unit: Unit::Count, meaning, source: Source::Counter(index as usize) }
}

const fn derived(name: &'static str, unit: Unit, meaning: &'static str, value: fn(&Interval) -> Value) -> Metric {
    Metric { name, unit, meaning, source: Source::Interval(value) }
}

/// Everything but the counters.
static DERIVED: [Metric; 25] = [
    derived("interval_s", Unit::Seconds, "how long the interval was", |i| Value::Real(i.elapsed.as_secs_f64())),
    derived("foreground_tgids", Unit::Tgids, "the pinned games", |i| {
        Value::Tgids(i.gauges.foreground.iter().map(|game| game.tgid).collect())
    }),
    derived("foreground_comms", Unit::Names, "their names", |i| {
        Value::Names(i.gauges.foreground.iter().map(|game| game.comm.clone()).collect())
    }),
    derived("input_source", Unit::Words, "who sees keys, buttons and motions", |i| {
        Value::Words(i.gauges.sources.input.clone())
    }),
    derived("frame_source", Unit::Words, "who sees the beginnings of frames; cards and CRTCs by number", |i| {
        Value::Words(i.gauges.sources.frame.clone())
    }),
    derived("frame_source_hz", Unit::Hertz, "how often that one fires, as last measured", |i| {
        Value::Real(i.gauges.sources.frame_hz)
    }),
    derived("fps_hz", Unit::Hertz, "frames a second that it told of; 0 without --frame-window-us", |i| {
        Value::Real(i.fps())
    }),
    derived("cpu_util_pct", Unit::Percent, "CPUs that are not idle right now", |i| Value::Real(i.gauges.util_pct)),
    derived("cpu_util_ema_pct", Unit::Percent, "its average over 8 ms, which --cpu-busy-thresh looks at", |i| {
        Value::Real(i.gauges.util_ema_pct)
    }),
    derived("interactive_pct", Unit::Percent, "how often tasks leave their CPU by themselves, on average", |i| {
        Value::Real(i.gauges.interactive_pct)
    }),
    derived("idle_pct", Unit::Percent, "of all CPU time, what no task under this scheduler used", |i| {
        Value::Real(i.idle_pct())
    }),
    derived("foreground_pct", Unit::Percent, "of the CPU time used, that of the game's threads", |i| {
        Value::Real(i.class_pct(Class::Foreground))
    }),
    derived("critical_pct", Unit::Percent, "likewise, of sound, compositor and kernel threads", |i| {
        Value::Real(i.class_pct(Class::Critical))
    }),
    derived("family_pct", Unit::Percent, "likewise, of the rest of the game's process tree", |i| {
        Value::Real(i.class_pct(Class::Family))
    }),
    derived("normal_pct", Unit::Percent, "likewise, of everybody else", |i| Value::Real(i.class_pct(Class::Normal))),
    derived("background_pct", Unit::Percent, "likewise, of what burns CPU outside of the game", |i| {
        Value::Real(i.class_pct(Class::Background))
    }),
    derived("longest_wait_ms", Unit::Milliseconds, "how long the head of the slowest queue waits right now", |i| {
        Value::Real(i.gauges.longest_wait.as_secs_f64() * 1000.0)
    }),
    derived("foreground_waits", Unit::Count, "wake-ups of the game's threads that had to queue", |i| {
        Value::Whole(foreground_waits(i).total())
    }),
    derived("foreground_wait_p50_us", Unit::Microseconds, "half of them ran within this time", |i| {
        Value::Whole(foreground_waits(i).percentile_us(50))
    }),
    derived("foreground_wait_p99_us", Unit::Microseconds, "99 % of them ran within this time", |i| {
        Value::Whole(foreground_waits(i).percentile_us(99))
    }),
    derived("foreground_wait_max_us", Unit::Microseconds, "all of them did; 2097152 means 1.05 s or more", |i| {
        Value::Whole(foreground_waits(i).percentile_us(100))
    }),
    derived("other_waits", Unit::Count, "wake-ups of all other tasks that had to queue", |i| {
        Value::Whole(other_waits(i).total())
    }),
    derived("other_wait_p50_us", Unit::Microseconds, "half of those ran within this time", |i| {
        Value::Whole(other_waits(i).percentile_us(50))
    }),
    derived("other_wait_p99_us", Unit::Microseconds, "99 % of those ran within this time", |i| {
        Value::Whole(other_waits(i).percentile_us(99))
    }),
    derived("other_wait_max_us", Unit::Microseconds, "all of those did; 2097152 means 1.05 s or more", |i| {
        Value::Whole(other_waits(i).percentile_us(100))
    }),
];

fn foreground_waits(interval: &Interval) -> &Histogram {
    &interval.waits[intf::gr_waiter_GR_WAITER_FOREGROUND as usize]
}

fn other_waits(interval: &Interval) -> &Histogram {
    &interval.waits[intf::gr_waiter_GR_WAITER_OTHER as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::stats::Foreground;
    use crate::sched::stats::Gauges;
    use crate::sched::stats::Sample;
    use crate::sched::stats::Sources;
    use crate::sched::stats::Totals;
    use crate::sched::stats::WAIT_BUCKETS;
    use std::collections::BTreeSet;
    use std::time::Duration;
    use std::time::Instant;

    fn interval() -> Interval {
        let before = Totals::zero(Instant::now());
        let mut totals = Totals::zero(before.at + Duration::from_secs(2));
        totals.counts.0[intf::gr_stat_GR_STAT_PREEMPT as usize] = 12;
        totals.counts.0[intf::gr_stat_GR_STAT_FRAME_EVENT as usize] = 120;
        totals.class_ns[Class::Foreground as usize] = 3_000_000_000;
        totals.class_ns[Class::Normal as usize] = 1_000_000_000;
        totals.waits[intf::gr_waiter_GR_WAITER_FOREGROUND as usize].0[5] = 4;
        totals.waits[intf::gr_waiter_GR_WAITER_OTHER as usize].0[9] = 1;
        let gauges = Gauges {
            nr_cpus: 4,
            util_pct: 75.0,
            util_ema_pct: 60.0,
            interactive_pct: 30.0,
            longest_wait: Duration::from_micros(1500),
            foreground: vec![Foreground { tgid: 812, comm: "game.exe".to_owned() }],
            sources: Sources { input: "by hand".to_owned(), frame: "by eye".to_owned(), frame_hz: 59.9 },
        };
        Interval::between(&before, &Sample { totals, gauges })
    }

    fn value(name: &str) -> Value {
        let metric = metrics().find(|metric| metric.name == name);
        metric.unwrap_or_else(|| panic!("no metric is called {name}")).value_in(&interval())
    }

    #[test]
    fn every_row_takes_its_own_value() {
        for (name, expected) in [
            ("interval_s", Value::Real(2.0)),
            ("foreground_tgids", Value::Tgids(vec![812])),
            ("foreground_comms", Value::Names(vec!["game.exe".to_owned()])),
            ("input_source", Value::Words("by hand".to_owned())),
            ("frame_source", Value::Words("by eye".to_owned())),
            ("frame_source_hz", Value::Real(59.9)),
            ("fps_hz", Value::Real(60.0)),
            ("cpu_util_pct", Value::Real(75.0)),
            ("cpu_util_ema_pct", Value::Real(60.0)),
            ("interactive_pct", Value::Real(30.0)),
            ("idle_pct", Value::Real(50.0)),
            ("foreground_pct", Value::Real(75.0)),
            ("normal_pct", Value::Real(25.0)),
            ("family_pct", Value::Real(0.0)),
            ("longest_wait_ms", Value::Real(1.5)),
            ("foreground_waits", Value::Whole(4)),
            ("foreground_wait_p99_us", Value::Whole(32)),
            ("other_waits", Value::Whole(1)),
            ("other_wait_p50_us", Value::Whole(512)),
            ("preempt", Value::Whole(12)),
            ("rescue", Value::Whole(0)),
        ] {
            assert_eq!(value(name), expected, "{name}");
        }
    }

    #[test]
    fn names_are_unique_and_end_with_their_unit() {
        let mut seen = BTreeSet::new();
        for metric in metrics() {
            assert!(seen.insert(metric.name), "{} is there twice", metric.name);
            let suffix = match metric.unit {
                Unit::Count => continue,
                Unit::Percent => "_pct",
                Unit::Microseconds => "_us",
                Unit::Milliseconds => "_ms",
                Unit::Seconds => "_s",
                Unit::Tgids => "_tgids",
                Unit::Names => "_comms",
                Unit::Words => "_source",
                Unit::Hertz => "_hz",
            };
            assert!(metric.name.ends_with(suffix), "{} is counted in {:?}", metric.name, metric.unit);
        }
    }

    #[test]
    fn a_value_has_the_type_that_its_unit_promises() {
        for metric in metrics() {
            let fits = match metric.unit {
                Unit::Count | Unit::Microseconds => |value: &Value| matches!(value, Value::Whole(_)),
                Unit::Percent | Unit::Milliseconds | Unit::Seconds | Unit::Hertz => {
                    |value: &Value| matches!(value, Value::Real(_))
                }
                Unit::Words => |value: &Value| matches!(value, Value::Words(_)),
                Unit::Tgids => |value: &Value| matches!(value, Value::Tgids(_)),
                Unit::Names => |value: &Value| matches!(value, Value::Names(_)),
            };
            assert!(fits(&metric.value_in(&interval())), "{}", metric.name);
        }
    }

    #[test]
    fn the_longest_wait_that_the_table_names_is_that_of_the_last_bucket() {
        let longest = 1u64 << (WAIT_BUCKETS - 1);
        for metric in metrics().filter(|metric| metric.name.ends_with("_wait_max_us")) {
            assert!(metric.meaning.contains(&longest.to_string()), "{}: {}", metric.name, metric.meaning);
        }
    }
}
