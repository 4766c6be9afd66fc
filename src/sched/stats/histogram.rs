//! Waits, counted by powers of two.

use crate::sched::skel::intf;

/// How many buckets the BPF side keeps: 0 counts waits of less than 1 µs, n those of less than 2^n µs that are not in
/// a lower one, the last one everything longer.
pub const WAIT_BUCKETS: usize = intf::gr_wait_buckets_GR_NR_WAIT_BUCKETS as usize;

/// How many waits were how long.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Histogram(pub [u64; WAIT_BUCKETS]);

impl Histogram {
    /// What has come since `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self(std::array::from_fn(|bucket| self.0[bucket].saturating_sub(before.0[bucket])))
    }

    /// How many waits it holds.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Upper end, in µs, of the bucket below or in which `percent` of all waits lie; 0 when there was none.
    ///
    /// That is up to twice the true value, and never less than it, unless the wait fell into the last bucket.
    pub fn percentile_us(&self, percent: u64) -> u64 {
        let rank = (self.total() * percent).div_ceil(100);
        let mut seen = 0;
        let bucket = self.0.iter().position(|&count| {
            seen += count;
            count > 0 && seen >= rank
        });
        bucket.map_or(0, |bucket| 1 << bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(counts: &[(usize, u64)]) -> Histogram {
        let mut histogram = Histogram::default();
        for &(bucket, count) in counts {
            histogram.0[bucket] = count;
        }
        histogram
    }

    #[test]
    fn nobody_waited_is_zero_at_every_percentile() {
        for percent in [0, 50, 99, 100] {
            assert_eq!(Histogram::default().percentile_us(percent), 0);
        }
    }

    #[test]
    fn a_percentile_is_the_upper_end_of_the_bucket_that_holds_it() {
        // 99 of less than 8 us, one of less than 1024 us.
        let histogram = waits(&[(3, 99), (10, 1)]);
        assert_eq!(histogram.total(), 100);
        assert_eq!(histogram.percentile_us(50), 8);
        assert_eq!(histogram.percentile_us(99), 8);
        assert_eq!(histogram.percentile_us(100), 1024);
        // One more long wait, and the 99th of the 101 is no longer the last of the short ones.
        assert_eq!(waits(&[(3, 99), (10, 2)]).percentile_us(99), 1024);
    }

    #[test]
    fn a_single_wait_is_every_percentile() {
        for percent in [0, 1, 50, 100] {
            assert_eq!(waits(&[(0, 1)]).percentile_us(percent), 1);
        }
    }

    #[test]
    fn the_last_bucket_has_the_end_that_the_next_would_begin_with() {
        assert_eq!(waits(&[(WAIT_BUCKETS - 1, 1)]).percentile_us(50), 1 << (WAIT_BUCKETS - 1));
    }

    #[test]
    fn an_interval_holds_only_what_came_in_it() {
        assert_eq!(waits(&[(3, 9), (5, 2)]).since(&waits(&[(3, 4), (5, 2)])), waits(&[(3, 5)]));
    }
}
