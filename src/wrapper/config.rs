//! The configuration file: what a player wants for every game, or for one, without typing it into launch options.
//!
//! ```toml
//! wait-attach = true           # for every game; keys are named as the flags are
//!
//! [game.1245620]               # this Steam AppId
//! exe = "eldenring.exe"
//!
//! [game."hl2_linux"]           # a command line that holds a program of this name
//! foreground-pid = "none"
//! ```
//!
//! The player's file wins over the system's, in one file an AppId over a name and a name over what is for every game;
//! flags win over all. A file that has a mistake is left out as a whole: half of what somebody asked for surprises more.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::io::Read as _;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use crate::game::names::ExePattern;
use crate::game::names::base_name;

const SYSTEM_DIRECTORY: &str = "/etc";
const FILE: &str = "scx-gamer/config.toml";

/// Most `-v` that make a difference.
const VERBOSE_MAX: u8 = 3;

/// No hand has written more.
const BYTES_MAX: u64 = 1 << 20;

/// What a file can set; `None`: it does not.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// As `--require`.
    pub require: Option<bool>,
    /// As `--wait-attach`.
    pub wait_attach: Option<bool>,
    /// As `--wait-family`.
    pub wait_family: Option<bool>,
    /// As `--exe`, checked.
    pub exe: Option<String>,
    /// As `--foreground-pid none`.
    pub pins_nobody: Option<bool>,
    /// As so many `--tune`.
    pub tune: Option<Vec<String>>,
    /// As `--log`.
    pub log: Option<PathBuf>,
    /// As so many `-v`.
    pub verbose: Option<u8>,
}

impl Settings {
    /// These, and where they say nothing `others`.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        // Both keys name the game: one of them in the stronger place silences both in the weaker.
        let names_game = self.exe.is_some() || self.pins_nobody.is_some();
        let (exe, pins_nobody) =
            if names_game { (self.exe, self.pins_nobody) } else { (others.exe, others.pins_nobody) };
        Self {
            require: self.require.or(others.require),
            wait_attach: self.wait_attach.or(others.wait_attach),
            wait_family: self.wait_family.or(others.wait_family),
            exe,
            pins_nobody,
            tune: self.tune.or(others.tune),
            log: self.log.or(others.log),
            verbose: self.verbose.or(others.verbose),
        }
    }
}

/// What is about to be played, as a section can name it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Names {
    /// What Steam calls it.
    app_ids: Vec<String>,
    /// Base names of the command line's words, in small letters, without `.exe`.
    programs: Vec<String>,
}

impl Names {
    /// Reads Steam's numbers from the environment, and every word of the command line, since the game's own program may
    /// stand behind a chain of wrappers.
    pub fn of<'a>(environment: impl Fn(&str) -> Option<OsString>, words: impl IntoIterator<Item = &'a OsStr>) -> Self {
        let app_id =
            |name| environment(name).and_then(|id| id.into_string().ok()).filter(|id| !id.is_empty() && id != "0");
        Self {
            app_ids: ["SteamAppId", "SteamGameId"].into_iter().filter_map(app_id).collect(),
            programs: words.into_iter().filter_map(OsStr::to_str).map(program_name).collect(),
        }
    }
}

fn program_name(path: &str) -> String {
    let name = base_name(path).to_ascii_lowercase();
    name.strip_suffix(".exe").map(str::to_owned).unwrap_or(name)
}

/// The files in order of rank, the player's first.
pub fn places(environment: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let directory = |name| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let own = directory("XDG_CONFIG_HOME").or_else(|| Some(directory("HOME")?.join(".config")));
    own.into_iter().chain([PathBuf::from(SYSTEM_DIRECTORY)]).map(|directory| directory.join(FILE)).collect()
}

/// What `files`, the strongest first, say for `names`; and a sentence for each that can't be used. One that does not exist
/// says nothing.
#[must_use]
pub fn read(files: &[PathBuf], names: &Names) -> (Settings, Vec<String>) {
    let mut settings = Settings::default();
    let mut complaints = Vec::new();
    for file in files {
        match read_text(file).map_err(|error| format!("{}: {error}", file.display())) {
            Ok(None) => {}
            Ok(Some(text)) => match parse(&text) {
                Ok(parsed) => settings = settings.or(parsed.settings_for(names)),
                Err(mistake) => complaints.push(format!("{}:{mistake}", file.display())),
            },
            Err(complaint) => complaints.push(complaint),
        }
    }
    (settings, complaints)
}

/// The text of a file, without waiting for one that is no regular file.
fn read_text(path: &Path) -> io::Result<Option<String>> {
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("this is no file"));
    }
    let mut bytes = Vec::new();
    if file.take(BYTES_MAX + 1).read_to_end(&mut bytes)? as u64 > BYTES_MAX {
        return Err(io::Error::other(format!("longer than {BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let line =
            1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        io::Error::other(format!("line {line} is no UTF-8 text"))
    })
}

/// A mistake in a file, as `LINE:COLUMN: sentence`.
type Mistake = String;

fn parse(text: &str) -> Result<Parsed, Mistake> {
    let at = |span: Range<usize>| {
        let before = &text[..text.floor_char_boundary(span.start)];
        let (line, column) =
            (before.matches('\n').count() + 1, before.chars().rev().take_while(|c| *c != '\n').count() + 1);
        format!("{line}:{column}")
    };
    let file: Section = toml::from_str(text).map_err(|error| {
        let first_line = error.message().lines().next().unwrap_or("this is no TOML").to_owned();
        format!("{}: {first_line}", at(error.span().unwrap_or_default()))
    })?;
    let check = |section: &Section| section.check().map_err(|(span, why)| format!("{}: {why}", at(span)));
    let mut games = BTreeMap::new();
    for (name, section) in file.game.iter().flat_map(|games| games.get_ref()) {
        if let Some(inner) = &section.game {
            return Err(format!("{}: a game has no games of its own", at(inner.span())));
        }
        games.insert(name.clone(), check(section)?);
    }
    Ok(Parsed { every_game: check(&file)?, games })
}

/// A file without mistakes.
struct Parsed {
    every_game: Settings,
    games: BTreeMap<String, Settings>,
}

impl Parsed {
    fn settings_for(&self, names: &Names) -> Settings {
        let by_app_id = names.app_ids.iter().find_map(|id| self.games.get(id));
        let is_named = |section: &&String| names.programs.contains(&program_name(section));
        let by_name = self.games.iter().find(|(section, _)| is_named(section)).map(|(_, settings)| settings);
        let of = |settings: Option<&Settings>| settings.cloned().unwrap_or_default();
        of(by_app_id).or(of(by_name)).or(self.every_game.clone())
    }
}

/// The file, or one game's part of it, as it is written. No `flatten`: serde would lose the places of mistakes.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Section {
    require: Option<bool>,
    wait_attach: Option<bool>,
    wait_family: Option<bool>,
    exe: Option<Spanned<String>>,
    foreground_pid: Option<Spanned<String>>,
    tune: Option<Vec<String>>,
    log: Option<Spanned<PathBuf>>,
    verbose: Option<Spanned<u8>>,
    game: Option<Spanned<BTreeMap<String, Section>>>,
}

impl Section {
    /// Its settings; or where a value stands that can't be used, and why not.
    fn check(&self) -> Result<Settings, (Range<usize>, String)> {
        if let Some(exe) = &self.exe {
            ExePattern::parse(OsStr::new(exe.get_ref())).map_err(|why| (exe.span(), format!("exe {why}")))?;
        }
        if let Some(pid) = self.foreground_pid.as_ref().filter(|pid| pid.get_ref() != "none") {
            return Err((pid.span(), "foreground-pid can only be \"none\" here".to_owned()));
        }
        if let (Some(exe), Some(_)) = (&self.exe, &self.foreground_pid) {
            return Err((exe.span(), "exe names a game and foreground-pid none".to_owned()));
        }
        if let Some(log) = self.log.as_ref().filter(|log| !log.get_ref().is_absolute()) {
            return Err((log.span(), "log takes a full path: games start in many directories".to_owned()));
        }
        if let Some(verbose) = self.verbose.as_ref().filter(|verbose| *verbose.get_ref() > VERBOSE_MAX) {
            return Err((verbose.span(), format!("verbose is 0 to {VERBOSE_MAX}")));
        }
        Ok(Settings {
            require: self.require,
            wait_attach: self.wait_attach,
            wait_family: self.wait_family,
            exe: self.exe.as_ref().map(|exe| exe.get_ref().clone()),
            pins_nobody: self.foreground_pid.as_ref().map(|_| true),
            tune: self.tune.clone(),
            log: self.log.as_ref().map(|log| log.get_ref().clone()),
            verbose: self.verbose.as_ref().map(|verbose| *verbose.get_ref()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(app_id: &str, words: &[&str]) -> Names {
        let environment = |name: &str| (name == "SteamAppId").then(|| OsString::from(app_id));
        Names::of(environment, words.iter().map(OsStr::new))
    }

    fn settings(text: &str, names: &Names) -> Settings {
        parse(text).unwrap_or_else(|mistake| panic!("{mistake}")).settings_for(names)
    }

    fn mistake(text: &str) -> String {
        parse(text).err().unwrap_or_else(|| panic!("no mistake in {text:?}"))
    }

    const FILE: &str = "
        verbose = 1
        wait-attach = true
        [game.1245620]
        verbose = 2
        [game.\"EldenRing.exe\"]
        verbose = 0
        exe = \"eldenring*\"
    ";

    #[test]
    fn an_app_id_wins_over_a_name_and_a_name_over_what_is_for_every_game() {
        let by_id = settings(FILE, &names("1245620", &["proton", "/games/eldenring.exe"]));
        assert_eq!((by_id.verbose, by_id.exe.as_deref(), by_id.wait_attach), (Some(2), Some("eldenring*"), Some(true)));
        let by_name = settings(FILE, &names("7", &["wine", r"Z:\games\ELDENRING.EXE", "-windowed"]));
        assert_eq!(by_name.verbose, Some(0));
        let other = settings(FILE, &names("7", &["./other"]));
        assert_eq!(other, Settings { verbose: Some(1), wait_attach: Some(true), ..Settings::default() });
    }

    #[test]
    fn a_number_that_says_that_there_is_none_names_no_game() {
        assert_eq!(names("0", &[]), Names::default());
        assert_eq!(settings("[game.0]\nrequire = true", &names("0", &["game"])), Settings::default());
    }

    #[test]
    fn who_names_the_game_in_the_stronger_place_is_the_only_one_who_does() {
        let file = "exe = 'other'\n[game.7]\nforeground-pid = 'none'";
        let settings = settings(file, &names("7", &[]));
        assert_eq!((settings.exe, settings.pins_nobody), (None, Some(true)));
    }

    #[test]
    fn a_mistake_is_told_with_line_and_column() {
        for (text, said) in [
            ("verbose = 1\nwait-atach = true", "2:1: unknown field `wait-atach`"),
            ("verbose = \"much\"", "1:11: invalid type"),
            ("[game.7]\nverbose = 9", "2:11: verbose is 0 to 3"),
            ("[game.7]\n  exe = '[a'", "2:9: exe '[a' is no pattern"),
            ("foreground-pid = '12'", "1:18: foreground-pid can only be"),
            ("log = 'here.log'", "1:7: log takes a full path"),
            ("exe = 'a'\nforeground-pid = 'none'", "1:7: exe names a game"),
            ("[game.7.game.8]", "1:9: a game has no games"),
            ("require = true\nrequire = false", "2:1: duplicate key"),
            ("require = ", "1:11: "),
            ("verbose = -1", "1:11: "),
            ("# \u{e9}\u{e9}\nx\u{e9} = [", "2:7: "),
        ] {
            let mistake = mistake(text);
            assert!(mistake.starts_with(said), "{text:?}: {mistake}");
            assert_eq!(mistake.lines().count(), 1, "{mistake}");
        }
    }

    #[test]
    fn the_players_file_wins_over_the_systems_and_a_broken_one_is_left_out_whole() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let file = |name: &str, text: &[u8]| {
            let path = directory.path().join(name);
            fs::write(&path, text).expect("write");
            path
        };
        let own = file("own", b"verbose = 2");
        let system = file("system", b"verbose = 1\nrequire = true");
        let missing = directory.path().join("missing/config.toml");
        let (settings, complaints) = read(&[own, missing, system.clone()], &Names::default());
        assert_eq!((settings.verbose, settings.require, complaints), (Some(2), Some(true), Vec::new()));

        let broken = file("broken", b"verbose = 2\nrequire = 1");
        let (settings, complaints) = read(&[broken.clone(), system], &Names::default());
        assert_eq!(settings.verbose, Some(1));
        assert!(complaints[0].starts_with(&format!("{}:2:11: invalid type", broken.display())), "{complaints:?}");
    }

    #[test]
    fn what_is_no_text_file_is_one_sentence_and_never_waited_for() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = |name: &str| directory.path().join(name);
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("make a fifo");
        fs::write(path("binary"), b"verbose = 1\n\xff\xfe").expect("write");
        fs::write(path("huge"), vec![b'#'; BYTES_MAX as usize + 1]).expect("write");
        for (name, said) in [("fifo", "no file"), ("binary", "line 2"), ("huge", "longer than"), ("", "no file")] {
            let (settings, complaints) = read(&[path(name)], &Names::default());
            assert_eq!(settings, Settings::default());
            assert!(complaints.len() == 1 && complaints[0].contains(said), "{name}: {complaints:?}");
        }
    }

    #[test]
    fn the_file_is_looked_for_where_the_player_keeps_such_files() {
        let places_with = |set: &[(&str, &str)]| {
            let environment = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
            places(environment)
        };
        let system = PathBuf::from("/etc/scx-gamer/config.toml");
        let home = ("HOME", "/home/me");
        assert_eq!(places_with(&[home])[0], PathBuf::from("/home/me/.config/scx-gamer/config.toml"));
        assert_eq!(places_with(&[home, ("XDG_CONFIG_HOME", "/cfg")])[0], PathBuf::from("/cfg/scx-gamer/config.toml"));
        assert_eq!(places_with(&[home, ("XDG_CONFIG_HOME", "cfg")])[0], places_with(&[home])[0]);
        assert_eq!(places_with(&[]), [system]);
    }
}
