//! Proof of the scheduler that something was measured under: what sched_ext has to say, and what it said.

use std::fmt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use anyhow::bail;

use crate::sched_ext::SchedExt;

/// Detaching waits for the kernel to move every task of the machine.
const DETACH_LIMIT: Duration = Duration::from_secs(10);

/// Who is to schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The kernel's own scheduler.
    Disabled,
    /// A sched_ext scheduler whose name begins so.
    Enabled(&'static str),
}

impl Claim {
    /// Whether one look at the kernel agrees.
    pub fn holds(self, seen: &SchedExt) -> bool {
        match self {
            Self::Disabled => seen.is_disabled(),
            Self::Enabled(name) => seen.is_enabled() && seen.ops.as_ref().is_some_and(|ops| ops.starts_with(name)),
        }
    }

    /// Fails, saying `when`, if the kernel disagrees.
    pub fn expect(self, seen: &SchedExt, when: &str) -> Result<()> {
        if !self.holds(seen) {
            bail!("sched_ext is to be {self} {when}, but it is {seen}");
        }
        Ok(())
    }

    /// Fails unless it held at the first and after the last counted frame, by the same attach: a scheduler that was
    /// thrown out half-way must not be measured.
    pub fn expect_throughout(self, seen: &[SchedExt; 2]) -> Result<()> {
        let [first, last] = seen;
        if !self.holds(first) || !self.holds(last) || first.ops != last.ops || first.enable_seq != last.enable_seq {
            bail!(
                "sched_ext is to be {self} for all counted frames, but it was {first} at the first \
                 and {last} after the last one"
            );
        }
        Ok(())
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => out.write_str("disabled"),
            Self::Enabled(name) => write!(out, "enabled ({name})"),
        }
    }
}

/// The kernel's state once it is `disabled`, or ten seconds later whatever it is.
pub fn read_once_detached(sched_ext: &Path) -> SchedExt {
    let start = Instant::now();
    loop {
        let seen = SchedExt::read(sched_ext);
        if seen.is_disabled() || start.elapsed() > DETACH_LIMIT {
            return seen;
        }
        sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Claim = Claim::Enabled("gamer");

    fn state(state: &str, ops: Option<&str>, enable_seq: u64) -> SchedExt {
        SchedExt { state: Some(state.into()), ops: ops.map(String::from), enable_seq: Some(enable_seq) }
    }

    #[test]
    fn a_scheduler_that_stayed_is_accepted() {
        let gamer = state("enabled", Some("gamer_0.1.0"), 1);
        assert!(OURS.expect_throughout(&[gamer.clone(), gamer]).is_ok());
    }

    #[test]
    fn a_scheduler_thrown_out_half_way_is_refused() {
        let seen = [state("enabled", Some("gamer"), 1), state("disabled", None, 1)];
        let why = OURS.expect_throughout(&seen).expect_err("refused").to_string();
        assert!(why.contains("enabled (gamer) at the first and disabled after"), "{why}");
    }

    #[test]
    fn a_scheduler_that_came_back_is_refused() {
        let seen = [1, 2].map(|seq| state("enabled", Some("gamer"), seq));
        assert!(OURS.expect_throughout(&seen).is_err());
    }

    #[test]
    fn another_scheduler_is_refused() {
        let lavd = state("enabled", Some("lavd"), 1);
        assert!(OURS.expect_throughout(&[lavd.clone(), lavd.clone()]).is_err());
        assert!(Claim::Disabled.expect_throughout(&[lavd.clone(), lavd.clone()]).is_err());
        assert!(Claim::Disabled.expect(&lavd, "now").is_err());
    }

    #[test]
    fn the_kernels_own_scheduler_is_accepted_where_it_is_claimed() {
        let none = state("disabled", None, 0);
        assert!(Claim::Disabled.expect_throughout(&[none.clone(), none]).is_ok());
    }
}
