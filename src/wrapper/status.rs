//! `--status`: is a lease on the scheduler held, by whom, for which game, since when?

use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use serde::Serialize;

use crate::kernel::SchedExtDir;
use crate::kernel::is_ours;
use crate::session::protocol::LeaseStatus;
use crate::wrapper::Roots;
use crate::wrapper::ask;
use crate::wrapper::ask::NoAnswer;
use crate::wrapper::report::Failure;
use crate::wrapper::report::Message;
use crate::wrapper::report::Report;
use crate::wrapper::report::Span;

/// Who holds the scheduler.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Status {
    /// The attached scheduler's name, whoever's it is.
    pub scheduler: Option<String>,
    /// What the kernel says of sched_ext; `None`: it has none.
    pub state: Option<String>,
    /// Every lease that is held.
    pub leases: Vec<LeaseStatus>,
}

/// Answers `--status`; returns our exit status.
#[must_use]
pub fn run(roots: &Roots<'_>, is_json: bool) -> u8 {
    match find_out(roots) {
        Ok(status) => {
            let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
            Report::answer(&if is_json { status.json() } else { status.text(now_s) });
            0
        }
        Err(why) => {
            Report::new(0, None).say(&Message::NoStatus(why));
            1
        }
    }
}

/// Asks the service, and where it knows of no lease the scx_gamer that is attached.
///
/// # Errors
/// A scheduler of ours is attached, and nobody tells who holds it.
pub fn find_out(roots: &Roots<'_>) -> Result<Status, Failure> {
    let sched_ext = SchedExtDir::at(roots.sysfs);
    let (scheduler, state) = (sched_ext.scheduler(), sched_ext.state());
    let served = ask::leases_of_service(roots.service);
    let leases = match (&scheduler, served) {
        (Some(name), Ok(leases)) if leases.is_empty() && is_ours(name) => leases_of_scheduler(name, true, roots)?,
        (Some(name), Err(_)) if is_ours(name) => leases_of_scheduler(name, false, roots)?,
        // Where none is attached nobody can hold it, whatever is wrong with the service.
        (_, served) => served.unwrap_or_default(),
    };
    Ok(Status { scheduler, state, leases })
}

/// Who holds a scheduler that the service knows nothing of, or that was attached without one.
fn leases_of_scheduler(name: &str, is_served: bool, roots: &Roots<'_>) -> Result<Vec<LeaseStatus>, Failure> {
    let socket = roots.metrics.display();
    match ask::leases_of_scheduler(roots.metrics) {
        Ok(leases) => Ok(leases),
        Err(NoAnswer::Absent) if is_served => Ok(Vec::new()),
        Err(NoAnswer::Absent) => Err(Failure::new(
            format!("{name} is attached, but nobody answers at {socket}"),
            "`pgrep -a scx_gamer` tells what has attached it",
        )),
        Err(NoAnswer::Denied | NoAnswer::Refused { .. }) => Err(Failure::new(
            format!("{name} is attached, and who holds it is for root to ask"),
            "sudo scx-gamer-run --status",
        )),
        Err(NoAnswer::Failed(why)) => Err(Failure::new(
            format!("{name} is attached, but the scx_gamer at {socket} {why}"),
            "end that scx_gamer and start it again, from the package that scx-gamer-run is from",
        )),
    }
}

impl Status {
    /// For programs.
    fn json(&self) -> String {
        serde_json::to_string(self).expect("BUG: strings and numbers are JSON") + "\n"
    }

    /// For people, who look at `now_s` seconds after the epoch.
    fn text(&self, now_s: u64) -> String {
        let mut lines = match self.scheduler.as_deref() {
            Some(name) if is_ours(name) => vec![format!("{name} is attached")],
            _ => vec!["no scheduler of ours is attached".to_owned()],
        };
        if self.leases.is_empty() && self.scheduler.as_deref().is_some_and(is_ours) {
            lines.push("nobody holds a lease: no game is known to it".to_owned());
        }
        lines.extend(self.leases.iter().map(|lease| line(lease, now_s)));
        lines.into_iter().map(|line| line + "\n").collect()
    }
}

fn line(lease: &LeaseStatus, now_s: u64) -> String {
    let LeaseStatus { pid, uid, foreground_tgid, foreground_comm, since } = lease;
    let held = Span(Duration::from_secs(now_s.saturating_sub(*since)));
    let game = match (foreground_tgid, foreground_comm) {
        (Some(tgid), Some(comm)) => format!("its game is {comm} (TGID {tgid})"),
        (Some(tgid), None) => format!("its game is TGID {tgid}, which has ended"),
        (None, _) => "no game is pinned".to_owned(),
    };
    format!("process {pid} of user {uid} has held a lease for {held}; {game}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(foreground_tgid: Option<i32>, foreground_comm: Option<&str>) -> LeaseStatus {
        let foreground_comm = foreground_comm.map(str::to_owned);
        LeaseStatus { pid: 70, uid: 1000, foreground_tgid, foreground_comm, since: 1_790_000_000 }
    }

    fn status(scheduler: Option<&str>, leases: Vec<LeaseStatus>) -> Status {
        let state = scheduler.map_or("disabled", |_| "enabled").to_owned();
        Status { scheduler: scheduler.map(str::to_owned), state: Some(state), leases }
    }

    fn text(scheduler: Option<&str>, leases: Vec<LeaseStatus>) -> String {
        status(scheduler, leases).text(1_790_000_749)
    }

    #[test]
    fn without_a_scheduler_of_ours_one_line_says_so() {
        let none = "no scheduler of ours is attached\n";
        assert_eq!(text(None, vec![]), none);
        assert_eq!(text(Some("lavd_1.1.4"), vec![]), none);
    }

    #[test]
    fn each_lease_is_one_line_with_who_how_long_and_which_game() {
        let leases = vec![lease(Some(90), Some("eldenring.exe")), lease(Some(90), None), lease(None, None)];
        assert_eq!(
            text(Some("gamer_0.1.0"), leases),
            "gamer_0.1.0 is attached\n\
             process 70 of user 1000 has held a lease for 12 min; its game is eldenring.exe (TGID 90)\n\
             process 70 of user 1000 has held a lease for 12 min; its game is TGID 90, which has ended\n\
             process 70 of user 1000 has held a lease for 12 min; no game is pinned\n"
        );
        let without = "gamer_0.1.0 is attached\nnobody holds a lease: no game is known to it\n";
        assert_eq!(text(Some("gamer_0.1.0"), vec![]), without);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_lease_older_than_time() {
        let line = line(&lease(None, None), 5);
        assert_eq!(line, "process 70 of user 1000 has held a lease for 0 s; no game is pinned");
    }

    #[test]
    fn json_names_scheduler_state_and_leases_whether_there_are_any_or_not() {
        assert_eq!(
            status(Some("gamer"), vec![lease(Some(90), Some("game"))]).json(),
            "{\"scheduler\":\"gamer\",\"state\":\"enabled\",\"leases\":[{\"pid\":70,\"uid\":1000,\
             \"foreground_tgid\":90,\"foreground_comm\":\"game\",\"since\":1790000000}]}\n"
        );
        let without_sched_ext = Status { scheduler: None, state: None, leases: vec![] };
        assert_eq!(without_sched_ext.json(), "{\"scheduler\":null,\"state\":null,\"leases\":[]}\n");
    }
}
