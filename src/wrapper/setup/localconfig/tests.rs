use proptest::prelude::*;

use super::*;

/// A small file in Steam's own style.
const STEAM: &str = "\"UserLocalConfigStore\"\n{\n\t\"friends\"\n\t{\n\t\t\"name\"\t\t\"a } // \\\"b\\\"\"\n\t}\n\t\"Software\"\n\t{\n\
    \t\t\"Valve\"\n\t\t{\n\t\t\t\"Steam\"\n\t\t\t{\n\t\t\t\t\"apps\"\n\t\t\t\t{\n\
    \t\t\t\t\t\"570\"\n\t\t\t\t\t{\n\t\t\t\t\t\t\"LastPlayed\"\t\t\"1700000000\"\n\
    \t\t\t\t\t\t\"LaunchOptions\"\t\t\"-novid +name \\\"a \\\\\\\\ b\\\"\"\n\t\t\t\t\t\t\"cloud\"\n\t\t\t\t\t\t{\n\
    \t\t\t\t\t\t\t\"LaunchOptions\"\t\t\"not these\"\n\t\t\t\t\t\t}\n\t\t\t\t\t}\n\
    \t\t\t\t\t\"730\"\n\t\t\t\t\t{\n\t\t\t\t\t\t\"Playtime\"\t\t\"12\"\n\t\t\t\t\t}\n\
    \t\t\t\t\t\"440\"\n\t\t\t\t\t{\n\t\t\t\t\t}\n\t\t\t\t}\n\t\t\t}\n\t\t}\n\t}\n\
    \t\"apps\"\n\t{\n\t\t\"570\"\n\t\t{\n\t\t\t\"LaunchOptions\"\t\t\"nor these\"\n\t\t}\n\t}\n}\n";

fn read<'a>(text: &'a str, apps: &[u32]) -> LocalConfig<'a> {
    LocalConfig::read(text, apps).unwrap_or_else(|broken| panic!("{broken:?}"))
}

fn options(text: &str, app: u32) -> Option<String> {
    match read(text, &[app]).find(app) {
        Ok(Found::Listed(options)) => options,
        other => panic!("{other:?}"),
    }
}

fn with(text: &str, app: u32, options: &str) -> String {
    read(text, &[app]).with(&[(app, options.to_owned())]).expect("a place for them")
}

/// `text` without the part that is not in `new`, and that part of `new`.
fn difference<'a>(text: &'a str, new: &'a str) -> (&'a str, &'a str) {
    let same = |(a, b): &(u8, u8)| a == b;
    let start = text.bytes().zip(new.bytes()).take_while(same).count();
    let end = text[start..].bytes().rev().zip(new[start..].bytes().rev()).take_while(same).count();
    (&text[start..text.len() - end], &new[start..new.len() - end])
}

#[test]
fn launch_options_are_found_where_steam_looks_for_them() {
    assert_eq!(options(STEAM, 570).as_deref(), Some(r#"-novid +name "a \\ b""#));
    assert_eq!(options(STEAM, 730), None);
    assert_eq!(read(STEAM, &[10]).find(10), Ok(Found::Unlisted));
    let other_case = STEAM.replace("\"apps\"", "\"APPS\"").replace("LaunchOptions", "launchoptions");
    assert_eq!(options(&other_case, 570), options(STEAM, 570));
}

#[test]
fn only_the_value_is_exchanged() {
    let new = with(STEAM, 570, r#"x "a \\ b""#);
    assert_eq!(difference(STEAM, &new), ("-novid +name", "x"));
    assert_eq!(with(&new, 570, r#"-novid +name "a \\ b""#), STEAM);
}

#[test]
fn a_game_without_options_gets_them_as_its_last_line() {
    let new = with(STEAM, 730, "a \"b\"");
    assert_eq!(difference(STEAM, &new).1.trim(), "\"LaunchOptions\"\t\t\"a \\\"b\\\"\"");
    assert!(new.contains(
        "\t\t\t\t\t\t\"Playtime\"\t\t\"12\"\n\t\t\t\t\t\t\"LaunchOptions\"\t\t\"a \\\"b\\\"\"\n\t\t\t\t\t}\n"
    ));
    assert!(with(STEAM, 440, "x").contains("\t\t\t\t\t{\n\t\t\t\t\t\t\"LaunchOptions\"\t\t\"x\"\n\t\t\t\t\t}\n"));
}

#[test]
fn a_game_that_is_not_listed_is_added_at_the_end_of_the_list() {
    let new = with(STEAM, 10, "x");
    let section =
        "\t\t\t\t\t\"10\"\n\t\t\t\t\t{\n\t\t\t\t\t\t\"LaunchOptions\"\t\t\"x\"\n\t\t\t\t\t}\n\t\t\t\t}\n\t\t\t}\n";
    assert!(new.contains(section), "{new}");
}

#[test]
fn line_ends_and_indentation_are_the_files_own() {
    let windows = STEAM.replace('\n', "\r\n");
    for app in [570, 730, 440, 10] {
        assert_eq!(with(&windows, app, "x"), with(STEAM, app, "x").replace('\n', "\r\n"));
    }
    let spaces = STEAM.replace('\t', "  ");
    assert!(with(&spaces, 10, "x").contains("\n          {\n            \"LaunchOptions\"\t\t\"x\"\n          }\n"));
}

#[test]
fn a_file_on_few_lines_still_reads_back() {
    let text = r#"userlocalconfigstore { software { valve { steam { apps { 570 { } 730 { a b } } } } } }"#;
    for app in [570, 730, 10] {
        let new = with(text, app, "x y");
        assert_eq!(options(&new, app).as_deref(), Some("x y"), "{new}");
    }
    let bare = "UserLocalConfigStore{Software{Valve{Steam{apps{570{LaunchOptions -novid\n}}}}}}";
    assert_eq!(with(bare, 570, "a"), bare.replace("-novid", "\"a\""));
}

#[test]
fn several_games_are_changed_at_once() {
    let apps = [10, 440, 570, 730, 20];
    let changes: Vec<(u32, String)> = apps.iter().map(|app| (*app, format!("x{app}"))).collect();
    let new = read(STEAM, &apps).with(&changes).expect("places for all");
    for (app, expected) in changes {
        assert_eq!(options(&new, app), Some(expected));
    }
}

#[test]
fn what_is_not_clear_is_left_alone() {
    let twice = STEAM.replace("\"440\"", "\"730\"");
    let two_options = STEAM.replace("\"LastPlayed\"", "\"launchoptions\"");
    let section = STEAM.replace("\"cloud\"", "\"LaunchOptions\"");
    let escape = STEAM.replace("+name", "\\t+name");
    let no_section = STEAM.replacen("\"570\"", "\"1\" \"2\"\n\"570\" \"3\"\n\"4\"", 1);
    for (text, app, part) in [
        (&twice, 730, "more than once"),
        (&two_options, 570, "more than once"),
        (&section, 570, "section"),
        (&escape, 570, "escape"),
        (&no_section, 570, "no section"),
    ] {
        let why = read(text, &[app]).find(app).expect_err("unclear");
        assert!(why.contains(part), "{why}");
        assert_eq!(read(text, &[app]).with(&[(app, String::new())]), Err(why));
    }
    let nowhere = STEAM.replacen("\"apps\"", "\"opps\"", 1);
    let why = read(&nowhere, &[570]).with(&[(570, String::new())]).expect_err("no list of games");
    assert!(why.ends_with("no section UserLocalConfigStore/Software/Valve/Steam/apps"), "{why}");
}

#[test]
fn a_broken_file_is_told_with_line_and_column() {
    let broken = |text: &str| {
        let Broken { line, column, what } = LocalConfig::read(text, &[570]).expect_err("broken");
        format!("{line}:{column}: {what}")
    };
    assert_eq!(broken("\"a\"\n{\n\t\"b\"\t\t\"c"), "3:7: a quote that is not closed, or no VDF at all");
    assert_eq!(broken("\"a\"\n{\n\t\"é\" \"b\" \"c\"\n}\n"), "3:10: more than a key and a value on a line");
    assert_eq!(broken("a\n{\n\t{\n\t}\n}\n"), "3:2: an unexpected start of group");
    assert_eq!(broken("a\n{\n}\n}\n"), "4:1: a closing brace too many");
    assert_eq!(broken("a\n{\n"), "3:1: the end of the file within a section");
    assert!(broken("a\n{\n\tb\n").ends_with("a key without a value at the end"));
    assert!(broken(&STEAM[..STEAM.len() / 2]).contains(':'));
}

#[test]
fn depth_and_length_cost_no_stack() {
    let deep = "a{".repeat(200_000) + &"}".repeat(200_000);
    assert_eq!(read(&deep, &[570]).find(570), Ok(Found::Unlisted));
}

/// Pieces of VDF in any order.
fn vdf() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "\"apps\"",
        "\"570\"",
        "{",
        "}",
        "\n",
        " ",
        "\t",
        "\r\n",
        "\"LaunchOptions\"",
        "\"",
        "\\",
        "//",
        "#x",
        "é",
        "a",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn any_options_read_back_and_go_without_a_trace(options_now in "[^\0]{0,40}", app in prop::sample::select(&[570u32, 730, 440, 10][..])) {
        let new = with(STEAM, app, &options_now);
        prop_assert_eq!(options(&new, app), Some(options_now));
        let (gone, _) = difference(STEAM, &new);
        prop_assert!(app == 570 || gone.is_empty());
        prop_assert!(app != 570 || with(&new, 570, &options(STEAM, 570).expect("old options")) == STEAM);
    }

    #[test]
    fn nothing_makes_the_reader_panic(text in prop_oneof![any::<String>(), vdf()]) {
        let before = STEAM.replace("\"440\"", &text);
        for text in [&text, &before] {
            if let Ok(config) = LocalConfig::read(text, &[570, 730]) {
                let _ = config.with(&[(570, "x".to_owned()), (730, "y".to_owned())]);
            }
        }
    }

    #[test]
    fn what_stands_between_is_never_touched(text in vdf()) {
        let text = STEAM.replace("\"Playtime\"\t\t\"12\"", &text);
        if let Ok(config) = LocalConfig::read(&text, &[570]) && let Ok(new) = config.with(&[(570, "x".to_owned())]) {
            prop_assert_eq!(new, text.replacen(r#"-novid +name \"a \\\\ b\""#, "x", 1));
        }
    }
}
