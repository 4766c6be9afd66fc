//! Values of flags, with their bounds.

use std::time::Duration;

use crate::events::frame::RATES_HZ;

/// Bounds of `--stats` and `--monitor`, in seconds.
const INTERVAL_S_MIN: f64 = 0.1;
const INTERVAL_S_MAX: f64 = 3600.0;

/// A time between two outputs.
pub fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (INTERVAL_S_MIN..=INTERVAL_S_MAX).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("{text} is not in {INTERVAL_S_MIN}..={INTERVAL_S_MAX} seconds")),
    }
}

/// A rate of frames.
pub fn hertz(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(hz) if RATES_HZ.contains(&hz) => Ok(hz),
        _ => Err(format!("{text} is not in {}..={} Hz", RATES_HZ.start(), RATES_HZ.end())),
    }
}
