//! What a command line and the files beside it make of a run.

use super::*;
use clap::CommandFactory;
use std::os::unix::ffi::OsStringExt;

fn job(words: &[&str]) -> Result<Job, Refusal> {
    job_with(words, &Surroundings::default())
}

fn job_with(words: &[&str], surroundings: &Surroundings) -> Result<Job, Refusal> {
    parse(["scx-gamer-run"].iter().chain(words).map(OsString::from), surroundings)
}

fn play(words: &[&str], surroundings: &Surroundings) -> Result<Play, Refusal> {
    match job_with(words, surroundings)? {
        Job::Play(play) => Ok(play),
        other => panic!("{other:?}"),
    }
}

fn parsed(words: &[&str]) -> Result<Options, Refusal> {
    parsed_with(words, &Surroundings::default())
}

fn parsed_with(words: &[&str], surroundings: &Surroundings) -> Result<Options, Refusal> {
    play(words, surroundings).map(|play| play.options)
}

fn command(words: &[&str]) -> Vec<String> {
    let play = play(words, &Surroundings::default()).expect("a command line with a command");
    [play.program].iter().chain(&play.arguments).map(|word| word.to_string_lossy().into_owned()).collect()
}

fn mistake(words: &[&str]) -> String {
    match job(words) {
        Err(Refusal::Mistake(sentence)) => sentence,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn everything_after_the_command_belongs_to_it() {
    assert_eq!(command(&["game", "--help", "-v", "--require"]), ["game", "--help", "-v", "--require"]);
    assert_eq!(command(&["-v", "game", "-v"]), ["game", "-v"]);
    assert_eq!(command(&["game", "--", "-x", "--"]), ["game", "--", "-x", "--"]);
    assert_eq!(command(&["--", "game", "--", "--require"]), ["game", "--", "--require"]);
    assert_eq!(command(&["--", "--game"]), ["--game"]);
    assert_eq!(command(&["game", "", "a b"]), ["game", "", "a b"]);
}

#[test]
fn words_that_are_no_text_reach_the_game() {
    let word = OsString::from_vec(b"\xff\xfe".to_vec());
    let words = ["scx-gamer-run".into(), "game".into(), word.clone()];
    let job = parse(words, &Surroundings::default()).expect("command line");
    assert!(matches!(job, Job::Play(play) if play.arguments == [word]));
}

#[test]
fn what_hides_the_command_is_a_mistake_in_one_sentence() {
    assert_eq!(mistake(&[]), "no command given");
    assert_eq!(mistake(&["-v", "--"]), "no command given");
    assert_eq!(mistake(&["--bogus", "game"]), "unexpected argument '--bogus' found");
    for words in [&["-x", "game"][..], &["--exe"]] {
        assert_eq!(mistake(words).lines().count(), 1, "{words:?}");
    }
}

#[test]
fn a_question_is_a_job_without_a_command_and_its_answer_may_be_json() {
    assert!(matches!(job(&["--doctor"]), Ok(Job::Doctor { is_json: false })));
    assert!(matches!(job(&["--doctor", "--json"]), Ok(Job::Doctor { is_json: true })));
    assert!(matches!(job(&["--status"]), Ok(Job::Status { is_json: false })));
    assert!(matches!(job(&["--json", "--status"]), Ok(Job::Status { is_json: true })));
    assert_eq!(command(&["game", "--doctor"]), ["game", "--doctor"]);
    assert_eq!(command(&["--", "--status", "--json"]), ["--status", "--json"]);
}

#[test]
fn a_question_stands_alone_and_json_needs_one() {
    assert_eq!(mistake(&["--json"]), "--json needs --doctor or --status");
    assert_eq!(mistake(&["--json", "game"]), "--json needs --doctor or --status");
    let flags = [
        "--status",
        "--require",
        "--wait-attach",
        "--wait-family",
        "--hold",
        "--hook=stop",
        "--exe=x",
        "--foreground-pid=1",
        "--log=x",
        "-v",
        "game",
    ];
    for word in flags {
        let said = mistake(&["--doctor", word]);
        assert!(said.contains("cannot be used with"), "{word}: {said}");
    }
    assert!(mistake(&["--status", "game"]).contains("cannot be used with"));
}

#[test]
fn a_bad_value_is_a_complaint_and_the_game_is_still_known() {
    for words in [["--foreground-pid", "0", "game"], ["--foreground-pid", "me", "game"], ["--exe", "[a", "game"]] {
        let options = parsed(&words).expect("the command is known");
        assert_eq!(options.complaints.len(), 1, "{words:?}");
        assert!(options.complaints[0].starts_with(words[0]), "{:?}", options.complaints);
        assert!(matches!(options.finder, Finder::Family));
    }
}

#[test]
fn a_switch_or_path_that_is_none_is_a_complaint_and_not_given() {
    for words in [
        &["--require=yes", "game"][..],
        &["--wait-attach=1", "game"],
        &["--wait-family=no", "game"],
        &["--require=", "game"],
        &["--log", "", "game"],
        &["--log=", "game"],
        &["--socket", "", "game"],
    ] {
        let options = parsed(words).expect("the command is known");
        let flag = words[0].split('=').next().expect("a flag");
        assert_eq!(options.complaints.len(), 1, "{words:?}: {:?}", options.complaints);
        assert!(options.complaints[0].starts_with(&format!("{flag} takes ")), "{:?}", options.complaints);
        assert!(!options.require && !options.wait_attach && !options.wait_family, "{words:?}");
        assert!(options.log.is_none() && options.socket.is_none(), "{words:?}");
    }
    let word = OsString::from_vec(b"--tune=\xff".to_vec());
    assert!(matches!(parse(["scx-gamer-run".into(), word, "game".into()], &Surroundings::default()), Ok(Job::Play(_))));
}

#[test]
fn who_names_the_game_twice_is_told_which_counts() {
    for pid in ["12", "none"] {
        let options = parsed(&["--exe", "boss", "--foreground-pid", pid, "game"]).expect("command line");
        assert_eq!(options.complaints, ["--exe names a game beside --foreground-pid, which decides"]);
        assert!(matches!(options.finder, Finder::Process(12) | Finder::Nobody));
    }
}

#[test]
fn the_end_of_a_holder_names_what_it_has_no_use_for() {
    let stop = |words: &[&str]| match job(&[&["--hook", "stop"], words].concat()) {
        Ok(Job::StopHook(options)) => options.complaints,
        other => panic!("{other:?}"),
    };
    for words in [["--exe", "boss"], ["--tune", "avoid-smt"], ["--socket", "/s"], ["--foreground-pid", "7"]] {
        assert_eq!(stop(&words), [format!("--hook stop has no use for {}", words[0])]);
    }
    assert!(stop(&["-v", "--log", "/l"]).is_empty());
}

#[test]
fn the_last_of_a_repeated_flag_counts() {
    let options = parsed(&["--foreground-pid", "7", "--foreground-pid", "none", "--require", "--require", "game"]);
    assert!(matches!(options.expect("command line").finder, Finder::Nobody));
    assert_eq!(parsed(&["-vv", "-v", "game"]).expect("command line").verbosity, 3);
}

#[test]
fn flags_win_over_the_file_also_where_they_say_no() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("config.toml");
    let text = "wait-attach = true\nrequire = true\nverbose = 2\n[game.7]\nexe = 'boss'\nlog = '/tmp/log'";
    std::fs::write(&file, text).expect("write");
    let surroundings = Surroundings { files: vec![file], environment: vec![("SteamAppId".into(), "7".into())] };
    let parsed = |words: &[&str]| parsed_with(words, &surroundings).expect("command line");

    let by_file = parsed(&["game"]);
    assert!(by_file.wait_attach && by_file.require && by_file.complaints.is_empty());
    assert_eq!((by_file.verbosity, by_file.log), (2, Some(PathBuf::from("/tmp/log"))));
    assert!(matches!(&by_file.finder, Finder::Matching(pattern) if pattern.as_str() == "boss"));

    let by_flags = parsed(&["--wait-attach=false", "-v", "--require", "--log", "/l", "--exe", "other", "game"]);
    assert!(!by_flags.wait_attach && by_flags.require);
    assert_eq!((by_flags.verbosity, by_flags.log), (1, Some(PathBuf::from("/l"))));
    assert!(matches!(&by_flags.finder, Finder::Matching(pattern) if pattern.as_str() == "other"));
    assert!(matches!(parsed(&["--foreground-pid", "12", "game"]).finder, Finder::Process(12)));
}

#[test]
fn a_family_without_a_game_is_not_waited_for() {
    let options = parsed(&["--wait-family", "--foreground-pid", "none", "game"]).expect("command line");
    assert!(!options.wait_family);
    assert_eq!(options.complaints.len(), 1);
}

#[test]
fn a_lease_without_a_game_of_ours_needs_no_command_and_takes_none() {
    assert!(matches!(job(&["--hold", "--exe", "boss"]), Ok(Job::Hold(options)) if !options.wait_family));
    assert!(matches!(job(&["--hook", "start"]), Ok(Job::StartHook(options)) if options.wait_family));
    assert!(matches!(job(&["--hook", "stop"]), Ok(Job::StopHook(_))));
    for words in [&["--hold", "game"][..], &["--hook", "start", "game"], &["--hook", "later"], &["--hold", "--require"]]
    {
        assert_eq!(mistake(words).lines().count(), 1, "{words:?}");
    }
}
