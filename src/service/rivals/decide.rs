//! Who runs the scheduler that is attached, and may it be stopped? A pure choice.

use super::OnConflict;
use super::loader::MODE_AUTO;
use super::loader::Says;
use super::names;
use super::record::Stopped;
use super::runner::Runner;
use super::unit::LOADER_SERVICE;
use super::unit::SCX_SERVICE;

/// scx_loader, as far as it can be asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Loader {
    /// It does not run.
    Absent,
    /// It does not answer, or there is no telling whether it runs.
    Silent(String),
    /// What it says.
    Says(Says),
}

/// What is known of the scheduler that is attached.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The kernel's name for it.
    pub ops: &'a str,
    /// Who keeps it attached.
    pub runner: Option<&'a Runner>,
    /// Whether scx_loader does.
    pub loader: &'a Loader,
    /// What to do with schedulers that are neither scx_loader's nor of `scx.service`.
    pub policy: OnConflict,
}

/// What becomes of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is stopped, and comes back so.
    Take(Stopped),
    /// It is left alone, for this reason.
    Leave(String),
}

/// Decides.
pub fn decide(facts: &Facts<'_>) -> Verdict {
    let service = facts.runner.and_then(|runner| runner.service.as_deref());
    match facts.loader {
        Loader::Says(says) => match judge_loader(facts, says) {
            Some(verdict) => return verdict,
            None => log::debug!("scx_loader, which says {says:?}, does not run {}", facts.ops),
        },
        Loader::Silent(why) if service.is_none() || service == Some(LOADER_SERVICE) => {
            return Verdict::Leave(format!("scx_loader may run it and can't be asked: {why}"));
        }
        Loader::Silent(_) | Loader::Absent => {}
    }
    let take = |unit: &str| Verdict::Take(Stopped::Service { ops: facts.ops.to_owned(), unit: unit.to_owned() });
    match (service, facts.policy) {
        // To start scx_loader again is not to start this scheduler again.
        (Some(LOADER_SERVICE), _) => Verdict::Leave(format!("{LOADER_SERVICE} runs it and does not say how")),
        (Some(SCX_SERVICE), _) => take(SCX_SERVICE),
        (Some(unit), OnConflict::Replace) => take(unit),
        (Some(unit), OnConflict::Keep) => Verdict::Leave(format!(
            "{unit} runs it; with `--on-conflict replace` that would be stopped and started again"
        )),
        (None, _) => Verdict::Leave(match facts.runner {
            Some(Runner { pid, comm, .. }) => format!(
                "process {pid} ({comm}) runs it, in a terminal or session and not in a service, so nobody could start it again"
            ),
            None => "it can't be told who runs it, so nobody could start it again".to_owned(),
        }),
    }
}

/// `None` where scx_loader has nothing to do with this scheduler, whatever it says.
fn judge_loader(facts: &Facts<'_>, says: &Says) -> Option<Verdict> {
    let is_its_child = facts.runner.map(|runner| runner.parents.contains(&says.pid));
    let has_its_name = |program: &&String| {
        names::is_called(facts.ops, program)
            // A scheduler may call itself something else: then its process tells.
            || is_its_child == Some(true) && facts.runner.is_some_and(|runner| names::is_process_of(&runner.comm, program))
    };
    match (says.current.as_ref().filter(has_its_name), is_its_child) {
        (_, Some(false)) | (None, None) => None,
        (None, Some(true)) => {
            let said = says.current.as_deref().unwrap_or("nothing");
            Some(Verdict::Leave(format!("scx_loader runs it and says that it runs {said}")))
        }
        (Some(scheduler), _) => Some(Verdict::Take(Stopped::Loader {
            ops: facts.ops.to_owned(),
            scheduler: scheduler.clone(),
            mode: says.mode,
            args: args_of(facts.runner, says),
        })),
    }
}

/// Arguments that it was given. Asked for them it says the same of none and of those that the mode decides, so look at
/// the program: without any in mode Auto it is started again without any.
fn args_of(runner: Option<&Runner>, says: &Says) -> Option<Vec<String>> {
    let is_bare = says.mode == MODE_AUTO && runner.is_some_and(|runner| runner.args.is_empty());
    (is_bare || !says.args.is_empty()).then(|| says.args.clone())
}

/// What to do about one that was stopped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Start it again.
    Start,
    /// Nothing, for good: it runs, or something else took its place.
    Forget(String),
    /// Nothing yet: the machine is ours, or another scx_gamer's.
    Later,
}

/// Decides by what is attached, if anything, and by what scx_loader means to run if it was the one that ran it.
pub fn next_step(stopped: &Stopped, attached: Option<&str>, loader_runs: Option<&str>) -> Step {
    match (attached, loader_runs) {
        (Some(name), _) if crate::kernel::is_ours(name) => Step::Later,
        (Some(name), _) if names::is_same(name, stopped.ops()) => Step::Forget(format!("{name} runs already")),
        (Some(name), _) => Step::Forget(format!("{stopped}: not started again, since {name} runs now")),
        (None, Some(program)) => {
            Step::Forget(format!("{stopped}: not started again, since scx_loader was told to run {program} meanwhile"))
        }
        (None, None) => Step::Start,
    }
}

#[cfg(test)]
mod tests;
