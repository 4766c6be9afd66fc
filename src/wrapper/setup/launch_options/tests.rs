use proptest::prelude::*;

use super::*;

fn added(options: &str) -> String {
    add(options, NAME).unwrap_or_else(|why| panic!("'{options}' is refused: they {why}"))
}

fn removed(options: &str) -> String {
    remove(options).unwrap_or_else(|why| panic!("'{options}' is refused: they {why}"))
}

/// Old options, and those with the wrapper.
const LINES: &[(&str, &str)] = &[
    ("", "scx-gamer-run %command%"),
    ("MANGOHUD=1 %command%", "MANGOHUD=1 scx-gamer-run %command%"),
    ("gamescope -f -- mangohud %command%", "scx-gamer-run gamescope -f -- mangohud %command%"),
    ("env A=1 x %command%", "scx-gamer-run env A=1 x %command%"),
    ("-novid", "scx-gamer-run %command% -novid"),
    ("-novid +exec \"my config\"", "scx-gamer-run %command% -novid +exec \"my config\""),
    (" -novid ", "scx-gamer-run %command%  -novid "),
    ("A=\"x y\" %command%", "A=\"x y\" scx-gamer-run %command%"),
    ("A='x;y' B=z\\ z  C=\"$HOME\" %command% -a", "A='x;y' B=z\\ z  C=\"$HOME\" scx-gamer-run %command% -a"),
    ("  %command%", "  scx-gamer-run %command%"),
    ("\"A=1\" %command%", "scx-gamer-run \"A=1\" %command%"),
    ("1A=1 %command%", "scx-gamer-run 1A=1 %command%"),
    ("bash -c 'exec \"${@/a/b}\"; true' -- %command%", "scx-gamer-run bash -c 'exec \"${@/a/b}\"; true' -- %command%"),
    ("LOG=/tmp/scx-gamer-run %command%", "LOG=/tmp/scx-gamer-run scx-gamer-run %command%"),
    ("mangohud %command% scx-gamer-run", "scx-gamer-run mangohud %command% scx-gamer-run"),
    ("~/bin/über %command%", "scx-gamer-run ~/bin/über %command%"),
];

#[test]
fn the_wrapper_goes_before_the_outermost_command() {
    for (old, new) in LINES {
        assert_eq!(added(old), *new);
    }
}

#[test]
fn what_was_added_is_taken_out_byte_for_byte() {
    for (old, new) in LINES {
        assert_eq!(removed(new), *old);
    }
}

#[test]
fn a_command_that_means_nothing_is_taken_out_with_the_wrapper() {
    assert_eq!(added("%command%"), "scx-gamer-run %command%");
    assert_eq!(removed("scx-gamer-run %command%"), "");
    assert_eq!(added("%command% -novid"), "scx-gamer-run %command% -novid");
    assert_eq!(removed("scx-gamer-run %command% -novid"), "-novid");
    assert_eq!(removed("scx-gamer-run %command% x %command%"), "%command% x %command%");
    assert_eq!(removed("scx-gamer-run %command% scx-gamer-run"), "%command% scx-gamer-run");
}

#[test]
fn a_wrapper_that_is_there_stays_as_it_is() {
    for line in [
        "scx-gamer-run %command%",
        "/usr/bin/scx-gamer-run %command%",
        "'/home/me/my games/scx-gamer-run' %command%",
        "A=1 \"$HOME/.local/bin/scx-gamer-run\" --exe foo -- gamescope -- %command%",
        "gamescope -f -- scx-gamer-run -v mangohud %command% -novid",
        "exec scx-gamer-run %command%",
    ] {
        assert_eq!(added(line), line);
    }
}

#[test]
fn the_wrappers_options_go_with_it() {
    assert_eq!(removed("scx-gamer-run --exe foo -- %command%"), "");
    assert_eq!(removed("A=1 /opt/scx-gamer-run --exe 'a b.exe' -vv --require=false %command% -x"), "A=1 %command% -x");
    assert_eq!(removed("scx-gamer-run --wait-family gamescope -f -- %command%"), "gamescope -f -- %command%");
    assert_eq!(removed("gamescope -- scx-gamer-run -- mangohud %command%"), "gamescope -- mangohud %command%");
    assert_eq!(removed("scx-gamer-run scx-gamer-run -v %command%"), "");
}

#[test]
fn what_is_not_there_is_not_taken_out() {
    for line in ["", "%command%", "%command% -x", "-novid", "a; b %command%", "LOG=/tmp/scx-gamer-run %command%"] {
        assert_eq!(removed(line), line);
    }
}

fn refusal(options: &str) -> String {
    match add(options, NAME) {
        Ok(added) => panic!("'{options}' became '{added}'"),
        Err(why) => why.to_string(),
    }
}

#[test]
fn what_we_cannot_read_safely_is_refused() {
    for (line, part) in [
        ("sleep 1; %command%", "';'"),
        ("a && %command%", "'&'"),
        ("%command% | tee log", "'|'"),
        ("%command% > log 2>&1", "'>'"),
        ("A=$(date) %command%", "'$('"),
        ("A=\"$(date)\" %command%", "'$('"),
        ("A=\"`date`\" %command%", "'`'"),
        ("A=`date` %command%", "'`'"),
        ("A=${B:-x y} %command%", "'${'"),
        ("A=$'\\'' %command%", "'$''"),
        ("(%command%)", "'('"),
        ("%command% # fast", "'#'"),
        ("A=\"x %command%", "not closed"),
        ("A='x %command%", "not closed"),
        ("%command% \"x", "not closed"),
        ("%command% \\", "backslash"),
        ("a\n%command%", "control character"),
        ("exec mangohud %command%", "'exec'"),
        ("! %command%", "'!'"),
        ("-novid %command%", "'-novid'"),
        ("A=%command% x", "variable"),
        ("scx-gamer-run", "argument of the game"),
        ("/usr/bin/scx-gamer-run -novid", "argument of the game"),
    ] {
        let why = refusal(line);
        assert!(why.contains(part), "'{line}' is refused for another reason: they {why}");
    }
    assert!(refusal(&"x ".repeat(LINE_BYTES_MAX)).contains("16 KiB"));
}

#[test]
fn a_wrapper_within_what_we_cannot_read_is_not_taken_out() {
    for line in [
        "scx-gamer-run %command%; true",
        "scx-gamer-run --bogus %command%",
        "scx-gamer-run --exe %command% -x",
        "scx-gamer-run",
    ] {
        assert!(remove(line).is_err(), "{line}");
    }
}

#[test]
fn thousands_of_wrappers_are_taken_out_in_time() {
    let line = "scx-gamer-run ".repeat(1000) + COMMAND;
    assert_eq!(removed(&line), "");
}

/// Lines that players write, and what breaks their readers.
fn lines() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "%command%",
        "mangohud",
        "gamescope",
        "-f",
        "--",
        "A=1",
        "B=\"x y\"",
        "'q u'",
        "scx-gamer-run",
        "/usr/bin/scx-gamer-run",
        "--exe",
        "-v",
        "env",
        "exec",
        "$HOME",
        "\\ ",
        "\"",
        "'",
        ";",
        "é",
    ];
    let pieces = prop::collection::vec((prop::sample::select(PIECES), "[ \t]{0,2}"), 0..8);
    prop_oneof![
        pieces.prop_map(|pieces| pieces.into_iter().flat_map(|(piece, gap)| [piece.to_owned(), gap]).collect()),
        any::<String>()
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn adding_twice_is_adding_once(line in lines()) {
        if let Ok(once) = add(&line, NAME) {
            prop_assert_eq!(add(&once, NAME), Ok(once));
        }
    }

    #[test]
    fn what_was_added_can_be_removed(line in lines(), wrapper in prop::sample::select(&[NAME, "'/a b/scx-gamer-run'"][..])) {
        if let Ok(added) = add(&line, wrapper) && added != line {
            prop_assert_eq!(remove(&added), Ok(without_needless_command(&line).to_owned()));
        }
    }

    #[test]
    fn what_is_removed_is_gone(line in lines()) {
        if let Ok(rest) = remove(&line) {
            prop_assert_eq!(remove(&rest), Ok(rest));
        }
    }
}
