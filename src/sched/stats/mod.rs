//! Metrics: one table of them, and what fills it.
//!
//! The kernel part only ever counts up. [`Totals`] are its counts at one moment, [`Gauges`] what has no total; two
//! moments make an [`Interval`], from which the rows of the table ([`metrics`]) take their values.

mod counters;
mod histogram;
mod interval;
mod table;

pub use self::counters::COUNTERS;
pub use self::counters::Counts;
pub use self::histogram::Histogram;
pub use self::histogram::WAIT_BUCKETS;
pub use self::interval::CLASSES;
pub use self::interval::Foreground;
pub use self::interval::Gauges;
pub use self::interval::Interval;
pub use self::interval::Sample;
pub use self::interval::Sources;
pub use self::interval::Totals;
pub use self::interval::WAITERS;
pub use self::table::Metric;
pub use self::table::Unit;
pub use self::table::Value;
pub use self::table::metrics;
