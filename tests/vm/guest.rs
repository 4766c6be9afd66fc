//! Tests that need a sched_ext kernel. They run in the test VM only, as root, one at a time:
//! `tests/vm/ring`. Those in `refused` run where sched_ext is missing or broken, all others where it works.

use std::fs;

const STATE: &str = "/sys/kernel/sched_ext/state";

#[test]
fn the_guest_starts_with_no_scheduler_attached() {
    assert_eq!(fs::read_to_string(STATE).unwrap().trim(), "disabled");
}

mod refused {
    use super::*;

    #[test]
    fn the_guest_has_no_scheduler_attached() {
        // Where the kernel was built without sched_ext the file does not exist.
        let state = fs::read_to_string(STATE).unwrap_or_default();
        assert_ne!(state.trim(), "enabled");
    }
}
