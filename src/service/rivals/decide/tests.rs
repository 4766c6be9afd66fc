use super::*;

const OPS: &str = "bpfland_1.1.4_x86_64_unknown_linux_gnu";

const LOADER_PID: i32 = 50;

fn runner(parents: &[i32], args: &[&str], service: Option<&str>) -> Runner {
    Runner {
        pid: 60,
        comm: "scx_bpfland".to_owned(),
        parents: parents.to_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        service: service.map(str::to_owned),
    }
}

fn child_of_the_loader(args: &[&str]) -> Runner {
    runner(&[LOADER_PID, 1], args, Some(LOADER_SERVICE))
}

fn in_a_terminal() -> Runner {
    runner(&[40, 30, 1], &["-s", "3000"], None)
}

fn says(current: Option<&str>, mode: u32, args: &[&str]) -> Loader {
    Loader::Says(Says {
        pid: LOADER_PID,
        current: current.map(str::to_owned),
        mode,
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
    })
}

fn verdict(runner: Option<&Runner>, loader: &Loader, policy: OnConflict) -> Verdict {
    decide(&Facts { ops: OPS, runner, loader, policy })
}

fn taken(scheduler: &str, mode: u32, args: Option<&[&str]>) -> Verdict {
    Verdict::Take(Stopped::Loader {
        ops: OPS.to_owned(),
        scheduler: scheduler.to_owned(),
        mode,
        args: args.map(|args| args.iter().map(|arg| (*arg).to_owned()).collect()),
    })
}

fn why_left(verdict: Verdict) -> String {
    match verdict {
        Verdict::Leave(why) => why,
        Verdict::Take(stopped) => panic!("{stopped:?} would be stopped"),
    }
}

#[test]
fn what_scx_loader_runs_is_taken_with_its_mode_or_its_arguments() {
    let with_args = child_of_the_loader(&["-s", "3000"]);
    let loader = says(Some("scx_bpfland"), 0, &["-s", "3000"]);
    assert_eq!(verdict(Some(&with_args), &loader, OnConflict::Keep), taken("scx_bpfland", 0, Some(&["-s", "3000"])));
    let loader = says(Some("scx_bpfland"), 1, &[]);
    let by_mode = child_of_the_loader(&["-m", "all"]);
    assert_eq!(verdict(Some(&by_mode), &loader, OnConflict::Keep), taken("scx_bpfland", 1, None));
}

#[test]
fn no_arguments_are_told_from_those_that_mode_auto_decides() {
    let loader = says(Some("scx_bpfland"), MODE_AUTO, &[]);
    let verdict = |args: &[&str]| verdict(Some(&child_of_the_loader(args)), &loader, OnConflict::Keep);
    assert_eq!(verdict(&[]), taken("scx_bpfland", MODE_AUTO, Some(&[])));
    assert_eq!(verdict(&["-k"]), taken("scx_bpfland", MODE_AUTO, None));
}

#[test]
fn scx_loaders_word_is_taken_where_no_process_can_be_seen() {
    let loader = says(Some("scx_bpfland"), 2, &[]);
    assert_eq!(verdict(None, &loader, OnConflict::Keep), taken("scx_bpfland", 2, None));
    assert!(why_left(verdict(None, &says(Some("scx_lavd"), 0, &[]), OnConflict::Keep)).contains("can't be told who"));
}

#[test]
fn a_scheduler_of_a_terminals_is_left_though_scx_loader_says_that_it_runs_one_of_that_name() {
    for policy in [OnConflict::Keep, OnConflict::Replace] {
        let why = why_left(verdict(Some(&in_a_terminal()), &says(Some("scx_bpfland"), 0, &[]), policy));
        assert!(why.contains("process 60 (scx_bpfland)") && why.contains("nobody could start it again"), "{why}");
    }
}

#[test]
fn what_scx_loader_runs_and_calls_something_else_is_left() {
    for (current, named) in [(Some("scx_lavd"), "scx_lavd"), (None, "nothing")] {
        let child = child_of_the_loader(&[]);
        let why = why_left(verdict(Some(&child), &says(current, 0, &[]), OnConflict::Replace));
        assert!(why.ends_with(&format!("says that it runs {named}")), "{why}");
    }
}

#[test]
fn a_scheduler_with_a_name_of_its_own_is_known_by_the_process_that_scx_loader_started() {
    let child = child_of_the_loader(&["-k"]);
    let facts = |loader: Loader| {
        decide(&Facts { ops: "fancy", runner: Some(&child), loader: &loader, policy: OnConflict::Keep })
    };
    let stopped = match facts(says(Some("scx_bpfland"), 1, &[])) {
        Verdict::Take(stopped) => stopped,
        Verdict::Leave(why) => panic!("{why}"),
    };
    assert_eq!(stopped.ops(), "fancy");
    why_left(facts(says(Some("scx_lavd"), 1, &[])));
}

#[test]
fn where_scx_loader_does_not_answer_what_may_be_its_is_left() {
    let silent = Loader::Silent("no answer within 5 s".to_owned());
    for runner in [None, Some(&child_of_the_loader(&[])), Some(&in_a_terminal())] {
        let why = why_left(verdict(runner, &silent, OnConflict::Replace));
        assert!(why.contains("scx_loader may run it") && why.contains("no answer within 5 s"), "{why}");
    }
    let service = runner(&[1], &[], Some(SCX_SERVICE));
    assert!(matches!(verdict(Some(&service), &silent, OnConflict::Keep), Verdict::Take(Stopped::Service { .. })));
}

#[test]
fn scx_service_is_taken_and_other_services_where_that_was_asked_for() {
    let take = |unit: &str| Verdict::Take(Stopped::Service { ops: OPS.to_owned(), unit: unit.to_owned() });
    let of = |unit| runner(&[1], &[], Some(unit));
    assert_eq!(verdict(Some(&of("scx.service")), &Loader::Absent, OnConflict::Keep), take("scx.service"));
    assert_eq!(verdict(Some(&of("mine.service")), &Loader::Absent, OnConflict::Replace), take("mine.service"));
    let why = why_left(verdict(Some(&of("mine.service")), &Loader::Absent, OnConflict::Keep));
    assert!(why.contains("mine.service") && why.contains("--on-conflict replace"), "{why}");
}

#[test]
fn scx_loaders_own_service_is_never_stopped() {
    let why = why_left(verdict(Some(&child_of_the_loader(&[])), &Loader::Absent, OnConflict::Replace));
    assert!(why.contains(LOADER_SERVICE), "{why}");
}

#[test]
fn what_was_stopped_is_started_again_only_into_an_empty_place() {
    let stopped = Stopped::Service { ops: OPS.to_owned(), unit: SCX_SERVICE.to_owned() };
    let forgets = |attached, loader| matches!(next_step(&stopped, attached, loader), Step::Forget(_));
    assert_eq!(next_step(&stopped, None, None), Step::Start);
    assert_eq!(next_step(&stopped, Some("gamer_0.1.0"), None), Step::Later);
    assert!(forgets(Some("bpfland_1.2.0"), None), "it runs already");
    assert!(forgets(Some("lavd_1.1.4"), None), "the player has another one now");
    assert!(forgets(None, Some("scx_lavd")), "scx_loader was told to run another one");
}
