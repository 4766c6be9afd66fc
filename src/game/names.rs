//! What names tell about a process: all quirks of Steam, Proton, wine and the stores live here.
//!
//! The kernel cuts its name (comm) at 15 bytes, wine shows Windows paths, and case differs from store to store.

use std::ffi::OsStr;

use crate::game::tree::Process;

/// Bytes of a name that the kernel keeps.
const COMM_BYTES_MAX: usize = 15;

/// What a process can be, judged by its names alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Part of the machinery below every game; never the game.
    Infrastructure,
    /// Runs somebody's script. The game only if it draws: shells and launch scripts open no GPU.
    Interpreter,
    /// A launcher, crash handler or anti-cheat. May be the game, since a game can have such a name.
    Helper,
    /// Anything else.
    Candidate,
}

/// Judges `process` by comm and by the base name of its first argument.
#[must_use]
pub fn role(process: &Process) -> Role {
    let argv0_name = process.argv0_name();
    let is_any = |list: &[&str]| list.iter().any(|entry| is_comm(&process.comm, entry) || is_same(argv0_name, entry));
    if LOADERS.iter().any(|entry| is_comm(&process.comm, entry)) || is_any(INFRASTRUCTURE) {
        Role::Infrastructure
    } else if is_any(INTERPRETERS) || is_versioned_python(argv0_name) {
        Role::Interpreter
    } else if is_any(HELPERS) || has_helper_word(&process.comm) || has_helper_word(argv0_name) {
        Role::Helper
    } else {
        Role::Candidate
    }
}

/// Last part of a Unix or a Windows path.
#[must_use]
pub fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

fn is_same(name: &str, entry: &str) -> bool {
    name.eq_ignore_ascii_case(entry)
}

fn is_comm(comm: &str, entry: &str) -> bool {
    is_same(comm, entry)
        || (comm.len() == COMM_BYTES_MAX && entry.get(..COMM_BYTES_MAX).is_some_and(|cut| is_same(comm, cut)))
}

fn is_versioned_python(name: &str) -> bool {
    name.strip_prefix("python").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

fn has_helper_word(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    HELPER_WORDS.iter().any(|word| name.contains(word))
}

/// A name or pattern given by the player, matched without case.
#[derive(Clone, Debug)]
pub struct ExePattern {
    given: String,
    pattern: glob::Pattern,
}

impl ExePattern {
    /// Takes a name (`Game.exe`, `game`), a path to one, or a pattern with `*` and `?`.
    ///
    /// # Errors
    /// One sentence when it is no pattern.
    pub fn parse(given: &OsStr) -> Result<Self, String> {
        let Some(text) = given.to_str().filter(|text| !base_name(text).is_empty()) else {
            return Err(format!("'{}' is no name of a program", given.to_string_lossy()));
        };
        let name = base_name(text);
        let is_pattern = name.contains(['*', '?', '[']);
        let source = if is_pattern { name.to_owned() } else { glob::Pattern::escape(name) };
        let pattern = glob::Pattern::new(&source).map_err(|error| format!("'{text}' is no pattern: {}", error.msg))?;
        Ok(Self { given: name.to_owned(), pattern })
    }

    /// As the player wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.given
    }

    /// Whether one of the names of `process` matches; a cut name matches its long form, `game` matches `game.exe`.
    #[must_use]
    pub fn matches(&self, process: &Process) -> bool {
        let options = glob::MatchOptions { case_sensitive: false, ..Default::default() };
        let names = [process.comm.as_str(), process.argv0_name()];
        names.into_iter().any(|name| {
            let stem = name.len().checked_sub(4).and_then(|end| name.split_at_checked(end));
            let stem = stem.filter(|(_, suffix)| is_same(suffix, ".exe")).map_or(name, |(stem, _)| stem);
            self.pattern.matches_with(name, options) || self.pattern.matches_with(stem, options)
        }) || is_comm(&process.comm, &self.given)
    }
}

/// Wine's loaders rename their comm late and may keep argv: comm alone decides.
const LOADERS: &[&str] = &["wine-preloader", "wine64-preloader", "wine", "wine64", "proton"];

const INTERPRETERS: &[&str] = &["sh", "bash", "dash", "zsh", "fish", "ksh", "busybox", "perl", "ruby", "node"];

const INFRASTRUCTURE: &[&str] = &[
    // what wraps a command
    "env",
    "nohup",
    "nice",
    "taskset",
    "timeout",
    "setsid",
    "time",
    "strace",
    "sudo",
    "gamemoderun",
    "mangohud",
    "game-performance",
    "prime-run",
    "reaper",
    "gamescope",
    "gamescope-wl",
    "gamescopereaper",
    "mangoapp",
    "xwayland",
    "xwayland-satellite",
    "xephyr",
    "xvfb",
    "xvfb-run",
    "cage",
    "scx-gamer-run",
    "scx_gamer",
    "dbus-run-session",
    "dbus-daemon",
    "dbus-launch",
    "systemd-run",
    "flatpak",
    "xdg-dbus-proxy",
    // Steam and its runtime
    "steam",
    "steamwebhelper",
    "gameoverlayui",
    "steam-launch-wrapper",
    "steam-runtime-launch-client",
    "steam-runtime-launcher-interface-0",
    "_v2-entry-point",
    "pv-bwrap",
    "srt-bwrap",
    "bwrap",
    "pv-adverb",
    "pressure-vessel-adverb",
    "pressure-vessel-wrap",
    "pv-locale-gen",
    "localedef",
    "srt-logger",
    "fossilize_replay",
    "fossilize-replay",
    "steamservice.exe",
    "iscriptevaluator.exe",
    "d3ddriverquery64.exe",
    "vulkandriverquery",
    "gldriverquery",
    // other launchers' plumbing
    "umu-run",
    "lutris-wrapper",
    "lutris-wrapper:",
    "legendary",
    "gogdl",
    "nile",
    // wine's own services
    "wineserver",
    "wineserver32",
    "wineserver64",
    "steam.exe",
    "services.exe",
    "winedevice.exe",
    "plugplay.exe",
    "svchost.exe",
    "explorer.exe",
    "rpcss.exe",
    "tabtip.exe",
    "wineboot.exe",
    "winemenubuilder.exe",
    "wineconsole",
    "conhost.exe",
    "rundll32.exe",
    "regsvr32.exe",
    "mscorsvw.exe",
    "iexplore.exe",
    "winedbg.exe",
    "winedbg",
    "start.exe",
    "cmd.exe",
    "xalia.exe",
    "msiexec.exe",
    "vc_redist.x64.exe",
    "vc_redist.x86.exe",
    // what reports crashes and never plays
    "crashpad_handler.exe",
    "crashpad_handler",
    "chrome_crashpad_handler",
];

const HELPERS: &[&str] = &[
    "crashreportclient.exe",
    "unitycrashhandler64.exe",
    "unitycrashhandler32.exe",
    "redengineerrorreporter.exe",
    "redprelauncher.exe",
    "redlauncher.exe",
    "battle.net.exe",
    "agent.exe",
    "epicwebhelper.exe",
    "epicgameslauncher.exe",
    "eadesktop.exe",
    "eabackgroundservice.exe",
    "origin.exe",
    "uplaywebcore.exe",
    "upc.exe",
    "uplay.exe",
    "socialclubhelper.exe",
    "leagueclient.exe",
    "leagueclientux.exe",
    "steelseriesgg.exe",
    "galaxyclient.exe",
    "start_protected_game.exe",
    "beservice.exe",
    "beservice_x64.exe",
    "heroic",
    "lutris",
    "bottles",
];

/// Part of a name that marks a helper.
const HELPER_WORDS: &[&str] = &[
    "crash",
    "launcher",
    "anticheat",
    "anti-cheat",
    "battleye",
    "webhelper",
    "updater",
    "errorreport",
    "installer",
    "redist",
    "cefprocess",
    "cefsharp",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn named(comm: &str, argv0: &str) -> Process {
        Process { comm: comm.to_owned(), argv0: argv0.to_owned(), ..Process::default() }
    }

    #[test]
    fn a_name_that_the_kernel_cut_is_known() {
        assert_eq!(role(&named("steam-runtime-l", "")), Role::Infrastructure);
        assert_eq!(role(&named("UnityCrashHandl", "")), Role::Helper);
    }

    #[test]
    fn a_windows_path_is_known_by_its_last_part_without_case() {
        assert_eq!(role(&named("main", r"C:\windows\system32\Services.EXE")), Role::Infrastructure);
    }

    #[test]
    fn a_script_is_known_by_the_shell_that_runs_it() {
        assert_eq!(role(&named("hl2.sh", "/bin/bash")), Role::Interpreter);
        assert_eq!(role(&named("game", "python3.11")), Role::Interpreter);
    }

    #[test]
    fn wine_is_a_loader_until_it_renames_itself() {
        assert_eq!(role(&named("wine64-preloade", "/usr/lib/wine/wine64-preloader")), Role::Infrastructure);
        assert_eq!(role(&named("game.exe", "/usr/lib/wine/wine64-preloader")), Role::Candidate);
    }

    #[test]
    fn a_game_is_a_candidate() {
        for name in ["hl2_linux", "eldenring.exe", "shapez", "shooter", "javaw", "pythonesque"] {
            assert_eq!(role(&named(name, name)), Role::Candidate, "{name}");
        }
    }

    #[test]
    fn every_listed_name_is_judged_as_listed() {
        for name in INFRASTRUCTURE {
            assert_eq!(role(&named(name.get(..15).unwrap_or(name), name)), Role::Infrastructure, "{name}");
        }
        for name in HELPERS {
            assert_eq!(role(&named(name.get(..15).unwrap_or(name), name)), Role::Helper, "{name}");
        }
    }

    fn matches(pattern: &str, comm: &str, argv0: &str) -> bool {
        ExePattern::parse(OsStr::new(pattern)).expect("pattern").matches(&named(comm, argv0))
    }

    #[test]
    fn a_pattern_without_wildcards_is_a_whole_name() {
        assert!(matches("Game.exe", "game.exe", ""));
        assert!(matches("game", "main", r"Z:\games\GAME.EXE"));
        assert!(matches("/opt/game/averylongnameofagame", "averylongnameof", ""));
        assert!(!matches("game", "gamehelper", "/usr/bin/gamehelper"));
    }

    #[test]
    fn a_pattern_with_wildcards_matches_any_of_the_names() {
        assert!(matches("elden*", "eldenring.exe", ""));
        assert!(matches("g?me.exe", "main", r"c:\Game.exe"));
        assert!(!matches("elden*", "golden", ""));
    }

    #[test]
    fn what_is_no_pattern_is_refused_in_words() {
        assert!(ExePattern::parse(OsStr::new("[a")).is_err());
        assert!(ExePattern::parse(OsStr::new("")).is_err());
    }
}
