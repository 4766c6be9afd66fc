//! A target's limit, and the verdict on what was measured.

use std::fmt;

/// On which side of a limit it is good to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
    Below(f64),
}

/// Whether a limit was kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    Met,
    /// By so many percent of the limit.
    MissedBy(f64),
    NotMeasured,
}

impl Limit {
    /// Judges a median.
    pub fn judge(self, value: f64) -> Verdict {
        let (is_met, limit) = match self {
            Self::AtMost(limit) => (value <= limit, limit),
            Self::AtLeast(limit) => (value >= limit, limit),
            Self::Below(limit) => (value < limit, limit),
        };
        if is_met { Verdict::Met } else { Verdict::MissedBy(100.0 * (value - limit).abs() / limit) }
    }

    /// Whichever is further from being met.
    pub fn worse(self, a: f64, b: f64) -> bool {
        match self {
            Self::AtMost(_) | Self::Below(_) => a > b,
            Self::AtLeast(_) => a < b,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(out, "≤ {limit}"),
            Self::AtLeast(limit) => write!(out, "≥ {limit}"),
            Self::Below(limit) => write!(out, "< {limit}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Met => out.write_str("met"),
            Self::MissedBy(pct) if *pct < 0.1 => out.write_str("missed, just"),
            Self::MissedBy(pct) => write!(out, "missed by {pct:.1} %"),
            Self::NotMeasured => out.write_str("not measured"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_met_on_its_good_side_and_missed_by_the_share_it_lacks() {
        assert_eq!(Limit::AtMost(1.0).judge(1.0), Verdict::Met);
        assert_eq!(Limit::Below(1.0).judge(1.0), Verdict::MissedBy(0.0));
        assert_eq!(Limit::AtMost(2.0).judge(3.0), Verdict::MissedBy(50.0));
        assert_eq!(Limit::AtLeast(4.0).judge(3.0), Verdict::MissedBy(25.0));
        assert_eq!(Limit::AtLeast(4.0).judge(4.5), Verdict::Met);
    }
}
