//! Where Steam keeps its accounts, and whether it runs.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use nix::unistd::getuid;

use crate::game::proc::ProcFs;
use crate::wrapper::report::Failure;

/// Steam's own sandbox, below the home directory.
const FLATPAK: &str = ".var/app/com.valvesoftware.Steam";

/// Where Steam can be, below the home directory; all or some of these lead to the same place.
const DIRECTORIES: [&str; 5] = [
    ".local/share/Steam",
    ".steam/steam",
    ".steam/root",
    ".var/app/com.valvesoftware.Steam/.local/share/Steam",
    ".var/app/com.valvesoftware.Steam/data/Steam",
];

/// Its process.
const COMM: &str = "steam";

/// Whose games are set up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Account {
    /// As Steam numbers it.
    pub number: u32,
    /// Where it keeps what it knows.
    pub localconfig: PathBuf,
    /// Its Steam sees the programs of a sandbox and not ours.
    pub is_in_flatpak: bool,
}

/// All accounts that have ever logged in.
///
/// # Errors
/// When there are none, or Steam's directory can't be read.
pub fn accounts(home: &Path) -> Result<Vec<Account>, Failure> {
    let mut accounts = Vec::new();
    let mut seen = BTreeSet::new();
    for directory in DIRECTORIES {
        let userdata = home.join(directory).join("userdata");
        let entries = numbered_directories(&userdata)
            .map_err(|error| Failure { message: format!("can't read {}: {error}", userdata.display()), hint: None })?;
        for number in entries {
            let localconfig = userdata.join(number.to_string()).join("config/localconfig.vdf");
            let is_there = !fs::symlink_metadata(&localconfig).is_err_and(|error| is_missing(&error));
            let real = fs::canonicalize(&localconfig).unwrap_or_else(|_| localconfig.clone());
            let is_in_flatpak = real.starts_with(fs::canonicalize(home).unwrap_or_default().join(FLATPAK));
            if is_there && seen.insert(real) {
                accounts.push(Account { number, localconfig, is_in_flatpak });
            }
        }
    }
    if accounts.is_empty() {
        let message = format!("no account of Steam's was found below {}", home.display());
        return Err(Failure::new(message, "start Steam, log in, and close it again"));
    }
    Ok(accounts)
}

/// Those of accounts whose games can start us: a sandbox hides the programs of the machine, and a game would not start.
///
/// # Errors
/// When there are only others.
pub fn that_see_our_programs(mut accounts: Vec<Account>) -> Result<Vec<Account>, Failure> {
    accounts.retain(|account| !account.is_in_flatpak);
    if accounts.is_empty() {
        let message = "Steam here is Flatpak's, whose games don't see our programs and would not start with them";
        return Err(Failure::new(message, "play with a Steam that was not installed from Flatpak"));
    }
    Ok(accounts)
}

/// Names that are accounts: 0 and `anonymous` are none.
fn numbered_directories(userdata: &Path) -> io::Result<BTreeSet<u32>> {
    let entries = match fs::read_dir(userdata) {
        Err(error) if is_missing(&error) => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    let mut numbers = BTreeSet::new();
    for entry in entries {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()).filter(|number| *number > 0));
    }
    Ok(numbers)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Refuses while Steam runs: it holds launch options in memory and writes them back when it ends.
///
/// # Errors
/// When it runs, or that can't be told.
pub fn must_not_run(home: &Path, procfs: &ProcFs) -> Result<(), Failure> {
    match running(home, procfs) {
        Ok(None) => Ok(()),
        Ok(Some(pid)) => Err(Failure::new(
            format!("Steam is running (PID {pid}) and would undo the change"),
            "end Steam (menu Steam, Exit) and try again; --dry-run shows the change beside it",
        )),
        Err(error) => Err(Failure { message: format!("can't tell whether Steam is running: {error}"), hint: None }),
    }
}

/// PID of a Steam of this user, or of the one that is noted in the home directory.
fn running(home: &Path, procfs: &ProcFs) -> io::Result<Option<i32>> {
    let user = getuid();
    let is_steam = |pid: &i32| procfs.comm(*pid).is_some_and(|comm| comm == COMM);
    let is_ours = |pid: &i32| user.is_root() || procfs.uid(*pid) == Some(user.as_raw());
    let of_this_user = procfs.pids()?.into_iter().find(|pid| is_steam(pid) && is_ours(pid));
    Ok(of_this_user.or_else(|| noted_pid(home).filter(is_steam)))
}

fn noted_pid(home: &Path) -> Option<i32> {
    const LONGEST_BYTES: u64 = 64;
    let note = home.join(".steam/steam.pid");
    fs::metadata(&note).ok().filter(|note| note.is_file() && note.len() <= LONGEST_BYTES)?;
    fs::read_to_string(note).ok()?.trim().parse().ok().filter(|pid| *pid > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    fn home_with(files: &[&str]) -> TempDir {
        let home = tempfile::tempdir().expect("temporary directory");
        for file in files {
            let path = home.path().join(file);
            fs::create_dir_all(path.parent().expect("parent")).expect("directories");
            fs::write(path, "").expect("file");
        }
        home
    }

    fn found(home: &TempDir) -> Vec<(u32, bool)> {
        let accounts = accounts(home.path()).expect("accounts");
        accounts.iter().map(|account| (account.number, account.is_in_flatpak)).collect()
    }

    #[test]
    fn every_account_is_found_once_whatever_leads_to_it() {
        let home = home_with(&[
            ".local/share/Steam/userdata/11/config/localconfig.vdf",
            ".local/share/Steam/userdata/22/config/localconfig.vdf",
            ".local/share/Steam/userdata/33/config/other.vdf",
            ".local/share/Steam/userdata/0/config/localconfig.vdf",
            ".local/share/Steam/userdata/anonymous/config/localconfig.vdf",
            ".local/share/Steam/userdata/ac/config/localconfig.vdf",
            ".var/app/com.valvesoftware.Steam/data/Steam/userdata/11/config/localconfig.vdf",
            ".steam/steam.pid",
        ]);
        for link in ["steam", "root"] {
            symlink(home.path().join(".local/share/Steam"), home.path().join(".steam").join(link)).expect("link");
        }
        assert_eq!(found(&home), [(11, false), (22, false), (11, true)]);
    }

    #[test]
    fn an_account_that_cannot_be_looked_into_is_not_passed_over() {
        let home = home_with(&[".local/share/Steam/userdata/11/config/localconfig.vdf"]);
        let directory = home.path().join(".local/share/Steam/userdata/22");
        fs::create_dir(&directory).expect("directory");
        symlink("config", directory.join("config")).expect("a link to itself");
        assert_eq!(found(&home), [(11, false), (22, false)]);
    }

    #[test]
    fn a_home_without_steam_is_named() {
        let home = home_with(&[".steam/steam"]);
        let failure = accounts(home.path()).expect_err("no account");
        assert!(failure.message.contains(&home.path().display().to_string()), "{failure:?}");
    }

    /// A directory that looks like `/proc` to us, with one process.
    fn proc_with(pid: i32, comm: &str) -> TempDir {
        let proc = tempfile::tempdir().expect("temporary directory");
        let directory = proc.path().join(pid.to_string());
        fs::create_dir(&directory).expect("process directory");
        let rest = "S 1 1 1 0 -1 0 0 0 0 0 30 20 0 0 20 0 7 0 1000 4096 25 18446744073709551615 \
                    0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0";
        fs::write(directory.join("stat"), format!("{pid} ({comm}) {rest}\n")).expect("stat");
        proc
    }

    #[test]
    fn steam_runs_if_a_process_of_ours_is_called_so() {
        let home = home_with(&[]);
        let failure = |proc: TempDir| must_not_run(home.path(), &ProcFs::at(proc.path())).err();
        assert!(failure(proc_with(77, "steam")).is_some_and(|failure| failure.message.contains("PID 77")));
        for other in ["steam.exe", "steamwebhelper", "bash"] {
            assert_eq!(failure(proc_with(77, other)), None);
        }
    }

    #[test]
    fn a_noted_pid_counts_only_while_a_steam_has_it() {
        let home = home_with(&[".steam/steam.pid"]);
        let proc = proc_with(77, "steam");
        for (note, pid) in [("77\n", Some(77)), ("78", None), ("-77", None), ("", None), ("7 7", None)] {
            fs::write(home.path().join(".steam/steam.pid"), note).expect("note");
            let noted = noted_pid(home.path());
            assert_eq!(noted.filter(|pid| ProcFs::at(proc.path()).comm(*pid).is_some()), pid, "{note}");
        }
    }

    #[test]
    fn where_processes_cannot_be_seen_nothing_is_believed() {
        let home = home_with(&[]);
        let failure = must_not_run(home.path(), &ProcFs::at(home.path().join("missing"))).expect_err("unknown");
        assert!(failure.message.starts_with("can't tell whether Steam is running"), "{failure:?}");
    }
}
