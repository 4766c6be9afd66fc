//! How many requests one client may make: a flood costs the one who sends it.

use std::time::Instant;

/// So many at once. A wrapper that finds a large family tells of each member.
const BURST: u32 = 1000;

/// So many more each second.
const PER_SECOND: f64 = 100.0;

/// A bucket that requests are taken from and time fills.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    left: f64,
    filled: Instant,
}

impl Budget {
    /// Everything that may be asked at once.
    pub fn full(now: Instant) -> Self {
        Self { left: f64::from(BURST), filled: now }
    }

    /// Takes one request; false if there is none left.
    pub fn take(&mut self, now: Instant) -> bool {
        let more = now.saturating_duration_since(self.filled).as_secs_f64() * PER_SECOND;
        self.left = (self.left + more).min(f64::from(BURST));
        self.filled = now;
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_is_let_through_and_after_it_a_hundred_a_second() {
        let start = Instant::now();
        let mut budget = Budget::full(start);
        assert!((0..BURST).all(|_| budget.take(start)));
        assert!(!budget.take(start));
        let later = start + Duration::from_secs(1);
        assert_eq!((0..BURST).filter(|_| budget.take(later)).count(), 100);
        let much_later = later + Duration::from_secs(3600);
        assert_eq!((0..2 * BURST).filter(|_| budget.take(much_later)).count(), BURST as usize);
    }
}
