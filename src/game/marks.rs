//! What a launcher writes into the environment of everything that it starts for one game. Newer Steam clients start games
//! from another process, and scripts around a game are no part of its tree: such a game is known by these.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::ffi::OsString;

/// Names under which Heroic tells its scripts and its games which game it is.
const HEROIC: [&str; 2] = ["HEROIC_APP_NAME", "HEROIC_GAME_APP_NAME"];

/// Steam's word for "no game of mine", as shortcuts to other programs have it.
const NO_APP: &str = "0";

/// Ways to know a process of this game, each sufficient: variables of which one has to have the value, all sets of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Marks {
    ways: Vec<Vec<Mark>>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Mark {
    names: &'static [&'static str],
    value: OsString,
}

impl Mark {
    fn of(environment: &impl Fn(&str) -> Option<OsString>, names: &'static [&'static str]) -> Option<Self> {
        let value = names.iter().find_map(|name| environment(name).filter(|value| !value.is_empty()))?;
        Some(Self { names, value })
    }

    fn is_on(&self, environ: &HashMap<OsString, OsString>) -> bool {
        self.names.iter().any(|name| environ.get(OsStr::new(name)) == Some(&self.value))
    }
}

impl Marks {
    /// Those in an environment, which is our own: a game that was started for somebody else has other values.
    ///
    /// `SteamAppId` is that of the game alone, not of what Steam installs for it; the compatibility directory is one game's
    /// as well, and the only mark of a shortcut. (steam-runtime-tools, docs/steam-compat-tool-interface.md)
    #[must_use]
    pub fn of(environment: impl Fn(&str) -> Option<OsString>) -> Self {
        let mark = |names| Mark::of(&environment, names);
        let app = mark(&["SteamAppId"]).filter(|app| app.value != NO_APP);
        let steam: Vec<Mark> = [app, mark(&["STEAM_COMPAT_DATA_PATH"])].into_iter().flatten().collect();
        let others = [mark(&["WINEPREFIX"]), mark(&HEROIC), mark(&["LUTRIS_GAME_UUID"])];
        let ways = [steam].into_iter().chain(others.map(|mark| mark.into_iter().collect()));
        Self { ways: ways.filter(|way| !way.is_empty()).collect() }
    }

    /// There is nothing by which to know anybody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ways.is_empty()
    }

    /// Whether a process with this environment was started for our game.
    #[must_use]
    pub fn are_on(&self, environ: &HashMap<OsString, OsString>) -> bool {
        self.ways.iter().any(|way| way.iter().all(|mark| mark.is_on(environ)))
    }

    /// Whether two environments mark the same game.
    #[must_use]
    pub fn share_a_game_with(&self, other: &Self) -> bool {
        self.ways.iter().any(|way| other.ways.contains(way))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(set: &[(&str, &str)]) -> Marks {
        Marks::of(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    fn are_on(marks: &Marks, environ: &[(&str, &str)]) -> bool {
        marks.are_on(&environ.iter().map(|(key, value)| (key.into(), value.into())).collect())
    }

    #[test]
    fn a_game_of_steam_is_known_by_its_number_and_its_directory() {
        let ours = marks(&[("SteamAppId", "7"), ("STEAM_COMPAT_DATA_PATH", "/data/7")]);
        assert!(are_on(&ours, &[("SteamAppId", "7"), ("STEAM_COMPAT_DATA_PATH", "/data/7"), ("HOME", "/")]));
        assert!(!are_on(&ours, &[("SteamAppId", "7"), ("STEAM_COMPAT_DATA_PATH", "/data/8")]));
        assert!(!are_on(&ours, &[("STEAM_COMPAT_DATA_PATH", "/data/7")]), "an installer of Steam's for the game");
        assert!(!are_on(&ours, &[("SteamAppId", "70")]));
        let native = marks(&[("SteamAppId", "7")]);
        assert!(are_on(&native, &[("SteamAppId", "7"), ("STEAM_COMPAT_DATA_PATH", "/anything")]));
    }

    #[test]
    fn a_shortcut_is_known_by_its_directory_alone() {
        let ours = marks(&[("SteamAppId", "0"), ("STEAM_COMPAT_DATA_PATH", "/data/s")]);
        assert!(are_on(&ours, &[("SteamAppId", "0"), ("STEAM_COMPAT_DATA_PATH", "/data/s")]));
        assert!(!are_on(&ours, &[("SteamAppId", "0")]));
        assert!(marks(&[("SteamAppId", "0")]).is_empty());
    }

    #[test]
    fn a_script_of_heroics_and_the_game_call_it_by_different_names() {
        let script = marks(&[("HEROIC_GAME_APP_NAME", "Quail")]);
        assert!(are_on(&script, &[("HEROIC_APP_NAME", "Quail")]));
        assert!(!are_on(&script, &[("HEROIC_APP_NAME", "Partridge")]));
        assert!(script.share_a_game_with(&marks(&[("HEROIC_APP_NAME", "Quail")])));
        assert!(!script.share_a_game_with(&marks(&[("HEROIC_APP_NAME", "Partridge")])));
    }

    #[test]
    fn one_sufficient_mark_is_enough_and_an_empty_one_is_none() {
        let ours = marks(&[("WINEPREFIX", "/p"), ("LUTRIS_GAME_UUID", "u")]);
        assert!(are_on(&ours, &[("LUTRIS_GAME_UUID", "u")]));
        assert!(are_on(&ours, &[("WINEPREFIX", "/p")]));
        assert!(!are_on(&ours, &[("WINEPREFIX", "")]));
        assert!(marks(&[("WINEPREFIX", "")]).is_empty());
        assert!(!are_on(&Marks::default(), &[]));
        assert!(!Marks::default().share_a_game_with(&Marks::default()));
    }
}
