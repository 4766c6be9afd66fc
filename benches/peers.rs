//! The peers' programs: built from the registry at pinned versions, once, into the cache.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;

use crate::contestant::Contestant;
use crate::contestant::Peer;

/// What builds a peer's BPF side where BPF_CLANG does not say.
const CLANG: &str = "tools/clang";

/// Where all of them are kept.
pub fn root() -> Result<PathBuf> {
    let cache = match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) if !cache.is_empty() => PathBuf::from(cache),
        _ => PathBuf::from(std::env::var_os("HOME").context("find the cache: neither XDG_CACHE_HOME nor HOME is set")?)
            .join(".cache"),
    };
    Ok(cache.join("scx-gamer/peers"))
}

/// A peer's program below `root`.
pub fn program(root: &Path, peer: Peer) -> PathBuf {
    directory(root, peer).join("bin").join(peer.name)
}

fn directory(root: &Path, peer: Peer) -> PathBuf {
    root.join(format!("{}-{}", peer.name, peer.version))
}

/// Builds every peer among `contestants` that is not there yet.
pub fn fetch(contestants: &[Contestant], repository: &Path) -> Result<()> {
    let root = root()?;
    for peer in contestants.iter().filter_map(|contestant| contestant.peer()) {
        if program(&root, peer).exists() {
            continue;
        }
        eprintln!("bench: building {} {} (once, some minutes)", peer.name, peer.version);
        let mut install = Command::new("cargo");
        install.args(["install", "--locked", "--quiet", "--version", peer.version, "--root"]);
        install.arg(directory(&root, peer)).arg(peer.name);
        // Programs from the registry do not see the project's own .cargo/config.toml.
        if std::env::var_os("BPF_CLANG").is_none() {
            install.env("BPF_CLANG", repository.join(CLANG));
        }
        let status = install.status().context("start cargo")?;
        ensure!(
            status.success(),
            "{} {} could not be built (cargo ended with {status})\n\
             Hint: `make deps` installs what it needs; --schedulers measures without it",
            peer.name,
            peer.version
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_another_program() {
        let peer = |version| Peer { name: "scx_flash", version };
        let root = Path::new("/cache");
        assert_eq!(program(root, peer("1.1.4")), Path::new("/cache/scx_flash-1.1.4/bin/scx_flash"));
        assert_ne!(program(root, peer("1.1.4")), program(root, peer("1.1.5")));
    }
}
