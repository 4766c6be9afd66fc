//! Waiting for a condition, and not for ever.

use std::thread;
use std::time::Duration;
use std::time::Instant;

const MOMENT: Duration = Duration::from_millis(20);

/// Whether `condition` comes true within `limit`.
pub fn until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(MOMENT);
    }
}
