//! Where our two programs are, and whether a launcher finds the one that it starts.

use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::path::PathBuf;

use nix::unistd::AccessFlags;
use nix::unistd::access;

use crate::wrapper::owner::program_of_owner;

/// Where Steam's newer clients look for a command without a slash.
const STEAM_SEARCHES: [&str; 2] = ["/usr/bin", "/bin"];

/// Our own name in those directories.
const WRAPPER: &str = "scx-gamer-run";

/// Where PATH leads that is not set.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Where our programs are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The wrapper; `None` where the kernel does not say.
    pub wrapper: Option<PathBuf>,
    /// It is what Steam's newer clients find by its name.
    pub is_found_by_steam: bool,
    /// The kernel has started us as a program of more privilege than who started it.
    pub is_secure_exec: bool,
    /// The other program.
    pub owner: Program,
}

/// A program that we would start.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Program {
    /// There.
    Found(PathBuf),
    /// There, and not for us to execute.
    NotExecutable(PathBuf),
    /// Nowhere.
    Missing,
}

impl Place {
    /// Of the running wrapper.
    pub fn of_us() -> Self {
        let wrapper = env::current_exe().ok();
        let path = env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
        Self {
            is_found_by_steam: wrapper.as_deref().is_some_and(|own| is_found_in(&STEAM_SEARCHES.map(Path::new), own)),
            wrapper,
            is_secure_exec: is_secure_exec(),
            owner: find(Path::new(&program_of_owner()), &path),
        }
    }
}

/// Whether our name leads to `own` in one of `directories`, through links too.
fn is_found_in(directories: &[&Path], own: &Path) -> bool {
    let Ok(own) = own.canonicalize() else { return false };
    directories.iter().any(|directory| directory.join(WRAPPER).canonicalize().is_ok_and(|found| found == own))
}

/// The program that executing `named` would start: looked up in `path` unless it holds a slash.
fn find(named: &Path, path: &OsStr) -> Program {
    let is_bare = named.components().count() == 1;
    let places =
        if is_bare { env::split_paths(path).map(|place| place.join(named)).collect() } else { vec![named.to_owned()] };
    let (executable, other): (Vec<PathBuf>, Vec<PathBuf>) =
        places.into_iter().filter(|place| place.is_file()).partition(|place| access(place, AccessFlags::X_OK).is_ok());
    let found = executable.into_iter().next().map(Program::Found);
    found.or_else(|| other.into_iter().next().map(Program::NotExecutable)).unwrap_or(Program::Missing)
}

/// File capabilities or a set-user-ID bit: the loader drops LD_PRELOAD then, for the game, too.
fn is_secure_exec() -> bool {
    // SAFETY: looks a number up in what the kernel gave this process at its start; touches no memory of ours.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::fs::symlink;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("temporary directory")
    }

    fn program(path: &Path, mode: u32) {
        fs::write(path, "").expect("write");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }

    #[test]
    fn the_first_executable_program_in_path_is_found_and_one_that_is_not_is_told() {
        let (first, second) = (directory(), directory());
        let path = env::join_paths([first.path(), second.path()]).expect("a PATH");
        let find = || find(Path::new("scx_gamer"), &path);
        assert_eq!(find(), Program::Missing);
        fs::create_dir(second.path().join("scx_gamer")).expect("make a directory");
        assert_eq!(find(), Program::Missing);
        program(&first.path().join("scx_gamer"), 0o644);
        assert_eq!(find(), Program::NotExecutable(first.path().join("scx_gamer")));
        fs::remove_dir(second.path().join("scx_gamer")).expect("remove the directory");
        program(&second.path().join("scx_gamer"), 0o755);
        assert_eq!(find(), Program::Found(second.path().join("scx_gamer")));
    }

    #[test]
    fn a_program_with_a_slash_is_looked_for_there_alone() {
        let (here, elsewhere) = (directory(), directory());
        program(&elsewhere.path().join("scx_gamer"), 0o755);
        let named = here.path().join("scx_gamer");
        assert_eq!(find(&named, elsewhere.path().as_os_str()), Program::Missing);
        program(&named, 0o755);
        assert_eq!(find(&named, elsewhere.path().as_os_str()), Program::Found(named));
    }

    #[test]
    fn steam_finds_us_by_our_name_in_its_directories_through_links_too() {
        let (bin, opt) = (directory(), directory());
        let own = opt.path().join("wrapper-1.0");
        program(&own, 0o755);
        let is_found = || is_found_in(&[Path::new("/no/such/directory"), bin.path()], &own);
        assert!(!is_found());
        symlink(&own, bin.path().join("scx-gamer-run")).expect("link");
        assert!(is_found());
        fs::remove_file(bin.path().join("scx-gamer-run")).expect("remove");
        program(&bin.path().join("scx-gamer-run"), 0o755);
        assert!(!is_found(), "another program of that name");
    }

    #[test]
    fn a_test_is_not_started_with_more_privilege_and_knows_where_it_is() {
        let place = Place::of_us();
        assert!(!place.is_secure_exec && !place.is_found_by_steam);
        assert_eq!(place.wrapper, env::current_exe().ok());
    }
}
