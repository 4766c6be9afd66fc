use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

const FIRST: &str = include_str!("../../../tests/data/steam/11111111.vdf");
const SECOND: &str = include_str!("../../../tests/data/steam/22222222.vdf");
const FLATPAK: &str = ".var/app/com.valvesoftware.Steam/.local/share/Steam";
const NATIVE: &str = ".local/share/Steam";

/// A home with these accounts, and no Steam that runs.
struct Player {
    home: TempDir,
    procfs: TempDir,
}

impl Player {
    fn with(accounts: &[(&str, u32, &str)]) -> Self {
        let player = Self { home: TempDir::new().expect("home"), procfs: TempDir::new().expect("proc") };
        for (steam, number, text) in accounts {
            let directory = player.home.path().join(steam).join(format!("userdata/{number}/config"));
            fs::create_dir_all(&directory).expect("directories");
            fs::write(directory.join("localconfig.vdf"), text).expect("write");
        }
        player
    }

    fn roots(&self) -> Roots {
        let bin = self.home.path().join("bin");
        fs::create_dir_all(&bin).expect("directory");
        fs::write(bin.join(NAME), "").expect("program");
        Roots {
            home: Some(self.home.path().to_owned()),
            procfs: ProcFs::at(self.procfs.path()),
            searched_by_steam: vec![bin],
            program: None,
        }
    }

    fn set_up(&self, request: &Request) -> Outcome {
        set_up(request, &self.roots()).unwrap_or_else(Outcome::from)
    }

    fn add(&self, apps: &[u32]) -> Outcome {
        self.set_up(&Request { apps: apps.to_vec(), remove: false, dry_run: false })
    }

    fn remove(&self, apps: &[u32]) -> Outcome {
        self.set_up(&Request { apps: apps.to_vec(), remove: true, dry_run: false })
    }

    fn path(&self, number: u32) -> PathBuf {
        self.home.path().join(NATIVE).join(format!("userdata/{number}/config/localconfig.vdf"))
    }

    fn text(&self, number: u32) -> String {
        fs::read_to_string(self.path(number)).expect("read")
    }

    fn names(&self, number: u32) -> Vec<String> {
        let entries = fs::read_dir(self.path(number).parent().expect("parent")).expect("list");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn steam_starts(&self) {
        let directory = self.procfs.path().join("4711");
        fs::create_dir(&directory).expect("process directory");
        let rest = "S 1 1 1 0 -1 0 0 0 0 0 30 20 0 0 20 0 7 0 1000 4096 25 18446744073709551615 \
                    0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0";
        fs::write(directory.join("stat"), format!("4711 (steam) {rest}\n")).expect("stat");
    }
}

fn messages(failures: &[Failure]) -> Vec<&str> {
    failures.iter().map(|failure| failure.message.as_str()).collect()
}

#[test]
fn games_are_changed_where_they_are_listed_and_nothing_else_is() {
    let player = Player::with(&[(NATIVE, 11111111, FIRST), (NATIVE, 22222222, SECOND)]);
    let outcome = player.add(&[440, 570, 730]);
    assert_eq!(messages(&outcome.failures), [""; 0]);
    let expected = FIRST
        .replace("MANGOHUD=1 %command%", "MANGOHUD=1 scx-gamer-run %command%")
        .replace("\\\"x11\\\" %command%", "\\\"x11\\\" scx-gamer-run %command%")
        .replace(
            "\"730_eula_0\"\t\t\"0\"\n",
            "\"730_eula_0\"\t\t\"0\"\n\t\t\t\t\t\t\"LaunchOptions\"\t\t\"scx-gamer-run %command%\"\n",
        );
    assert_eq!(player.text(11111111), expected);
    let options = |options: &str| format!("\"LaunchOptions\"\t\t\"{options}\"");
    assert_eq!(player.text(22222222), SECOND.replace(&options(""), &options("scx-gamer-run %command%")));
    assert!(outcome.told.contains("  440: changed\n    old: SDL_VIDEODRIVER=\"x11\" %command% +name \"a \\ b\"\n"));
}

#[test]
fn what_was_added_comes_out_again_but_for_an_empty_key() {
    let player = Player::with(&[(NATIVE, 11111111, FIRST)]);
    player.add(&[440, 570]);
    player.remove(&[440, 570]);
    assert_eq!(player.text(11111111), FIRST);
    player.add(&[730]);
    player.remove(&[730]);
    assert_eq!(player.text(11111111).replace("\t\t\t\t\t\t\"LaunchOptions\"\t\t\"\"\n", ""), FIRST);
}

#[test]
fn adding_twice_changes_nothing_the_second_time() {
    let player = Player::with(&[(NATIVE, 11111111, FIRST)]);
    player.add(&[570]);
    let backup = fs::metadata(player.path(11111111).with_extension("vdf.scx-gamer-backup")).expect("backup");
    let once = player.text(11111111);
    let outcome = player.add(&[570, 620]);
    assert_eq!(player.text(11111111), once);
    assert!(outcome.told.contains("  570: unchanged, scx-gamer-run is there\n"), "{}", outcome.told);
    assert!(outcome.told.contains("  620: unchanged, scx-gamer-run is there\n"), "{}", outcome.told);
    let now = fs::metadata(player.path(11111111).with_extension("vdf.scx-gamer-backup")).expect("backup");
    assert_eq!(now.modified().expect("time"), backup.modified().expect("time"));
}

#[test]
fn a_line_that_is_not_understood_is_told_and_the_others_are_changed() {
    let player = Player::with(&[(NATIVE, 11111111, FIRST)]);
    let outcome = player.add(&[570, 1245620]);
    let sentence = "app 1245620 of account 11111111 is left alone: its launch options hold ';', beside which no place is safe \
                    (sleep 1; %command%)";
    assert_eq!(messages(&outcome.failures), [sentence]);
    assert_eq!(player.text(11111111), FIRST.replace("MANGOHUD=1 %", "MANGOHUD=1 scx-gamer-run %"));

    let long = "é".repeat(10_000);
    let failures = Player::with(&[(NATIVE, 11111111, &FIRST.replace("sleep 1;", &long))]).add(&[1245620]).failures;
    assert!(failures.len() == 1 && failures[0].message.chars().count() < 400, "{failures:?}");
}

#[test]
fn an_unlisted_game_is_added_to_the_only_account_and_to_none_of_several() {
    let alone = Player::with(&[(NATIVE, 11111111, FIRST)]);
    assert!(alone.add(&[10]).failures.is_empty());
    assert!(alone.text(11111111).contains("\t\t\t\t\t\"10\"\n\t\t\t\t\t{\n\t\t\t\t\t\t\"LaunchOptions\"\t\t\"scx-g"));

    let several = Player::with(&[(NATIVE, 11111111, FIRST), (NATIVE, 22222222, SECOND)]);
    assert_eq!(messages(&several.add(&[10]).failures), ["app 10 is listed by none of the accounts 11111111, 22222222"]);
    let outcome = several.remove(&[10]);
    assert_eq!(messages(&outcome.failures), [""; 0]);
    assert_eq!(outcome.told.matches("  10: unchanged, scx-gamer-run is not there\n").count(), 2);
    assert_eq!((several.text(11111111), several.text(22222222)), (FIRST.to_owned(), SECOND.to_owned()));

    let one_broken = Player::with(&[(NATIVE, 11111111, FIRST), (NATIVE, 22222222, "\"")]);
    assert_eq!(one_broken.add(&[10]).failures.len(), 2);
    assert_eq!(one_broken.text(11111111), FIRST);
    assert_eq!(Player::with(&[(NATIVE, 11111111, "\"")]).add(&[10]).failures.len(), 1);
}

#[test]
fn nothing_is_written_while_steam_runs_and_a_dry_run_tells_all_the_same() {
    let player = Player::with(&[(NATIVE, 11111111, FIRST)]);
    player.steam_starts();
    let outcome = player.add(&[570]);
    assert_eq!(messages(&outcome.failures), ["Steam is running (PID 4711) and would undo the change"]);
    let outcome = player.set_up(&Request { apps: vec![570], remove: false, dry_run: true });
    assert!(outcome.failures.is_empty());
    let told = format!(
        "{}\n  570: would change\n    old: MANGOHUD=1 %command% -novid\n    new: MANGOHUD=1 scx-gamer-run %command% -novid\n",
        player.path(11111111).display()
    );
    assert_eq!(outcome.told, told);
    assert_eq!(player.text(11111111), FIRST);
    assert_eq!(player.names(11111111), ["localconfig.vdf"]);
}

#[test]
fn a_broken_file_is_named_and_left_as_it_is_and_the_others_are_changed() {
    let half = &FIRST[..FIRST.len() / 2];
    let player = Player::with(&[(NATIVE, 11111111, half), (NATIVE, 22222222, SECOND)]);
    let outcome = player.add(&[570]);
    let [failure] = &outcome.failures[..] else { panic!("{:?}", outcome.failures) };
    let place = format!("{}:", player.path(11111111).display());
    assert!(failure.message.starts_with(&place), "{failure:?}");
    assert_eq!(failure.message.lines().count(), 1);
    assert_eq!(player.text(11111111), half);
    assert_eq!(player.names(11111111), ["localconfig.vdf"]);
    assert!(player.text(22222222).contains("\"scx-gamer-run %command%\""));
}

#[test]
fn a_directory_that_cannot_be_written_changes_nothing() {
    if nix::unistd::getuid().is_root() {
        // Root may write everywhere but where a file is in the way.
        let player = Player::with(&[(NATIVE, 11111111, FIRST)]);
        fs::create_dir(player.path(11111111).with_extension("vdf.scx-gamer-backup")).expect("in the way");
        assert_eq!(player.add(&[570]).failures.len(), 1);
        assert_eq!(player.text(11111111), FIRST);
        return;
    }
    let player = Player::with(&[(NATIVE, 11111111, FIRST)]);
    let directory = player.path(11111111).parent().expect("parent").to_owned();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o500)).expect("make it read-only");
    let outcome = player.add(&[570]);
    assert_eq!(outcome.failures.len(), 1);
    assert!(outcome.told.is_empty());
    assert_eq!(player.text(11111111), FIRST);
    assert_eq!(player.names(11111111), ["localconfig.vdf"]);
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).expect("make it writable");
}

#[test]
fn flatpaks_steam_whose_games_would_not_start_is_left_alone_and_can_be_cleaned() {
    let path = |player: &Player| player.home.path().join(FLATPAK).join("userdata/22222222/config/localconfig.vdf");
    let player = Player::with(&[(FLATPAK, 22222222, SECOND)]);
    let outcome = player.add(&[570]);
    assert!(messages(&outcome.failures)[0].starts_with("Steam here is Flatpak's"), "{:?}", outcome.failures);
    assert_eq!(fs::read_to_string(path(&player)).expect("read"), SECOND);

    // Written by hand, perhaps.
    let set = SECOND.replace("\"LaunchOptions\"\t\t\"\"", "\"LaunchOptions\"\t\t\"scx-gamer-run %command%\"");
    assert_ne!(set, SECOND);
    fs::write(path(&player), set).expect("write");
    assert!(player.remove(&[570]).failures.is_empty());
    assert_eq!(fs::read_to_string(path(&player)).expect("read"), SECOND);

    let both = Player::with(&[(NATIVE, 11111111, FIRST), (FLATPAK, 22222222, SECOND)]);
    assert!(both.add(&[570]).failures.is_empty());
    assert!(both.text(11111111).contains("MANGOHUD=1 scx-gamer-run %command%"));
    assert_eq!(fs::read_to_string(path(&both)).expect("read"), SECOND);
}

#[test]
fn a_program_that_steam_would_not_find_is_named_by_its_path() {
    let player = Player::with(&[]);
    let roots = |program: Option<&str>| {
        let path = program.map(|program| player.home.path().join(program));
        if let Some(path) = &path {
            fs::create_dir_all(path.parent().expect("parent")).expect("directories");
            fs::write(path, "").expect("program");
        }
        Roots { searched_by_steam: Vec::new(), program: path, ..player.roots() }
    };
    let home = player.home.path().display();
    assert_eq!(wrapper_for_steam(&roots(Some("scx-gamer-run"))), Ok(format!("{home}/scx-gamer-run")));
    assert_eq!(
        wrapper_for_steam(&roots(Some("my games/scx-gamer-run"))),
        Ok(format!("'{home}/my games/scx-gamer-run'"))
    );
    assert!(wrapper_for_steam(&roots(Some("renamed"))).is_err());
    assert!(wrapper_for_steam(&roots(None)).is_err());
    assert_eq!(wrapper_for_steam(&player.roots()), Ok(NAME.to_owned()));
}

#[test]
fn what_a_file_says_does_not_steer_the_terminal() {
    let text = FIRST.replace("MANGOHUD=1 %", "A='\u{1b}[31m' %");
    let outcome = Player::with(&[(NATIVE, 11111111, &text)]).add(&[570]);
    assert!(outcome.told.contains("old: A=' [31m' %command%"), "{}", outcome.told);
}
