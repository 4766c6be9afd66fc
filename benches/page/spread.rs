//! A few repeats of one figure: their median, and how far apart they were.

use std::fmt;

/// Median, smallest and largest of the repeats; always at least one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    pub count: usize,
}

impl Spread {
    /// `None` of nothing.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let (lower, upper) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Self { median: f64::midpoint(lower, upper), min, max, count: sorted.len() })
    }

    /// Every value times `factor`.
    pub fn scaled(self, factor: f64) -> Self {
        Self { median: self.median * factor, min: self.min * factor, max: self.max * factor, ..self }
    }

    /// `median (min–max)`, or the one value there is.
    pub fn with_digits(&self, digits: usize) -> String {
        match self.count {
            1 => format!("{:.digits$}", self.median),
            _ => format!("{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.min, self.max),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.with_digits(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_odd_number_is_the_middle_one() {
        let spread = Spread::of([9.0, 1.0, 2.0]).expect("not empty");
        assert_eq!((spread.median, spread.min, spread.max, spread.count), (2.0, 1.0, 9.0, 3));
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 100.0]).map(|spread| spread.median), Some(3.0));
    }

    #[test]
    fn nothing_has_no_median() {
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn one_value_has_no_range() {
        assert_eq!(Spread::of([1.25]).expect("not empty").with_digits(1), "1.2");
        assert_eq!(Spread::of([1.0, 3.0]).expect("not empty").to_string(), "2.00 (1.00–3.00)");
    }
}
