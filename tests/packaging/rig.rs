//! What the tests share: the programs of this profile, their manuals, and a place to install into.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

use tempfile::TempDir;

/// A file of this repository.
pub fn ours(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

/// Whether this machine has a program that a test cannot do without. Where it has not, the test says so and is over; CI
/// has all of them.
pub fn has(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut directories = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = directories.any(|directory| directory.join(program).is_file());
    if !found {
        assert!(env::var_os("CI").is_none(), "{program} is missing: run `tools/deps test`");
        eprintln!("skipped: {program} is missing, `tools/deps test` installs it");
    }
    found
}

/// What the program says, which has to succeed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}:\n{}{}", told(&output.stdout), told(&output.stderr));
    told(&output.stdout)
}

/// Manuals and completions as the example writes them.
pub fn manuals() -> TempDir {
    let directory = tempfile::tempdir().expect("temporary directory");
    let program = built().join("examples/describe_commands");
    assert!(program.is_file(), "{} is missing: run `cargo build --examples` in the same profile", program.display());
    run(Command::new(program).arg(directory.path()));
    directory
}

/// Where both programs are.
fn built() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_scx_gamer")).parent().expect("a directory")
}

/// A system that nothing but our files is in.
pub struct System {
    root: TempDir,
    manuals: TempDir,
    variables: Vec<String>,
}

impl System {
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// With variables of make's.
    pub fn with(variables: &[&str]) -> Self {
        let root = tempfile::tempdir().expect("temporary directory");
        Self { root, manuals: manuals(), variables: variables.iter().map(|&variable| variable.to_owned()).collect() }
    }

    pub fn installed() -> Self {
        let system = Self::new();
        system.make("install");
        system
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    pub fn make(&self, target: &str) -> String {
        run(&mut self.make_command(target))
    }

    pub fn try_make(&self, target: &str) -> Output {
        self.make_command(target).output().expect("run make")
    }

    fn make_command(&self, target: &str) -> Command {
        let mut command = self.with_sources("make");
        // On every Debian or none: the list of files has to be the same.
        command.args(["--no-print-directory", target, "zshdir=/usr/share/zsh/site-functions"]);
        command.arg(format!("DESTDIR={}", self.root.path().display())).args(&self.variables);
        command
    }

    /// A program that takes what it installs from the programs and manuals of this test.
    pub fn with_sources(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        // The tests may run below a make of their own.
        for name in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PREFIX", "DESTDIR"] {
            command.env_remove(name);
        }
        command.env("BUILT", built()).env("MANUALS", self.manuals.path());
        command
    }

    /// Every file with its mode.
    pub fn files(&self) -> BTreeMap<String, u32> {
        files_below(self.root.path())
    }
}

pub fn files_below(root: &Path) -> BTreeMap<String, u32> {
    let mut files = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("read a directory") {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).expect("look at it");
            if metadata.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(root).expect("below the root").display().to_string();
                files.insert(format!("/{name}"), metadata.permissions().mode() & 0o7777);
            }
        }
    }
    files
}
