//! What a list of measured durations says: quantiles, the slowest 1 %, frame rates.
//!
//! Exact, from the sorted samples themselves: a histogram would round the few slow frames that
//! are all we look at.

/// Durations of one kind, sorted; always at least one.
pub struct Samples {
    sorted_ns: Vec<u64>,
}

impl Samples {
    /// Sorts `durations_ns`; `None` if there are none.
    pub fn new(mut durations_ns: Vec<u64>) -> Option<Self> {
        durations_ns.sort_unstable();
        (!durations_ns.is_empty()).then_some(Self { sorted_ns: durations_ns })
    }

    pub fn count(&self) -> usize {
        self.sorted_ns.len()
    }

    /// The smallest sample that at least `per_mille` ‰ of all samples do not exceed (nearest rank).
    ///
    /// In whole ‰, because 99.9 % of 1000 in floating point is a little more than 999.
    pub fn quantile_ns(&self, per_mille: usize) -> u64 {
        let rank = (per_mille * self.count()).div_ceil(1000);
        self.sorted_ns[rank.clamp(1, self.count()) - 1]
    }

    pub fn max_ns(&self) -> u64 {
        self.sorted_ns[self.count() - 1]
    }

    pub fn mean_ns(&self) -> f64 {
        mean(&self.sorted_ns)
    }

    /// Mean of the slowest 1 % of the samples, at least of one.
    pub fn slowest_1pct_mean_ns(&self) -> f64 {
        let slow = self.count().div_ceil(100);
        mean(&self.sorted_ns[self.count() - slow..])
    }
}

/// Frames a second when each takes `frame_ns`.
pub fn fps(frame_ns: f64) -> f64 {
    1e9 / frame_ns
}

fn mean(values: &[u64]) -> f64 {
    values.iter().sum::<u64>() as f64 / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_to(last: u64) -> Samples {
        Samples::new((1..=last).rev().collect()).expect("not empty")
    }

    #[test]
    fn no_samples_have_no_statistics() {
        assert!(Samples::new(vec![]).is_none());
    }

    #[test]
    fn a_quantile_is_a_sample_that_was_measured() {
        let samples = one_to(1000);
        assert_eq!(samples.quantile_ns(500), 500);
        assert_eq!(samples.quantile_ns(990), 990);
        assert_eq!(samples.quantile_ns(999), 999);
        assert_eq!(samples.quantile_ns(1000), 1000);
        assert_eq!(samples.max_ns(), 1000);
    }

    #[test]
    fn quantiles_of_one_sample_are_that_sample() {
        let samples = Samples::new(vec![7]).expect("not empty");
        assert_eq!(samples.quantile_ns(0), 7);
        assert_eq!(samples.quantile_ns(500), 7);
        assert_eq!(samples.quantile_ns(999), 7);
    }

    #[test]
    fn the_slowest_percent_is_averaged_not_cut_off() {
        assert_eq!(one_to(1000).slowest_1pct_mean_ns(), 995.5);
        assert_eq!(one_to(50).slowest_1pct_mean_ns(), 50.0);
        assert_eq!(one_to(150).slowest_1pct_mean_ns(), 149.5);
    }

    #[test]
    fn a_frame_of_10_ms_is_100_fps() {
        assert_eq!(fps(10e6), 100.0);
    }
}
