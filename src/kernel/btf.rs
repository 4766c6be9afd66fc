//! The kernel's type information, without which no scheduler can be loaded.

use std::fs;
use std::io;
use std::path::Path;

use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::Func;

/// The function of the input core that the kernel part watches.
const INPUT_CORE: &str = "input_event";

/// What the kernel says of its own types.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KernelBtf {
    /// Nothing.
    Missing,
    /// Nothing that can be read, and why.
    Unreadable(String),
    /// It describes sched_ext's functions wrongly.
    Broken,
    /// What loading a scheduler needs.
    Sound {
        /// The kernel part can see input where it happens.
        sees_input: bool,
    },
}

impl KernelBtf {
    /// Looks below `sysfs`, which has to be the running kernel's if there is anything sound in it.
    #[must_use]
    pub fn at(sysfs: &Path) -> Self {
        Self::look(sysfs, is_broken)
    }

    fn look(sysfs: &Path, is_broken: impl FnOnce() -> bool) -> Self {
        let path = sysfs.join("kernel/btf/vmlinux");
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::Missing,
            Err(error) => return Self::Unreadable(error.to_string()),
            Ok(metadata) if !metadata.is_file() => return Self::Unreadable("it is no regular file".to_owned()),
            Ok(_) => {}
        }
        libbpf_rs::set_print(None); // what it would say of a bad file is ours to say
        match Btf::from_path(&path) {
            Err(error) => Self::Unreadable(format!("{error:#}")),
            Ok(_) if is_broken() => Self::Broken,
            Ok(btf) => Self::Sound { sees_input: btf.type_by_name::<Func>(INPUT_CORE).is_some() },
        }
    }
}

/// Whether the running kernel's type information makes it refuse every scheduler; there has to be some.
pub fn is_broken() -> bool {
    !scx_utils::compat::malformed_scx_kfuncs().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use tempfile::TempDir;

    /// Type information of a kernel with one function, in the format of `Documentation/bpf/btf.rst`.
    fn btf_with(function: &str) -> Vec<u8> {
        const FUNC: u32 = 12 << 24;
        const FUNC_PROTO: u32 = 13 << 24;
        const GLOBAL: u32 = 1;
        // Name, kind and number of parameters or linkage, type: first a prototype, then a function of that type.
        let types: [u32; 6] = [0, FUNC_PROTO, 0, 1, FUNC | GLOBAL, 1];
        let strings = format!("\0{function}\0");
        let nr_type_bytes = size_of_val(&types) as u32;
        let magic_version_flags: u32 = 0xeb9f | 1 << 16;
        let header: [u32; 6] = [magic_version_flags, 24, 0, nr_type_bytes, nr_type_bytes, strings.len() as u32];
        let words = header.into_iter().chain(types).flat_map(u32::to_ne_bytes);
        words.chain(strings.into_bytes()).collect()
    }

    fn sysfs(btf: Option<&[u8]>) -> TempDir {
        let root = tempfile::tempdir().expect("temporary directory");
        fs::create_dir_all(root.path().join("kernel/btf")).expect("make directories");
        if let Some(bytes) = btf {
            fs::write(root.path().join("kernel/btf/vmlinux"), bytes).expect("write");
        }
        root
    }

    #[test]
    fn sound_type_information_tells_whether_input_can_be_seen_in_the_kernel() {
        for (function, sees_input) in [("input_event", true), ("input_even", false)] {
            let root = sysfs(Some(&btf_with(function)));
            assert_eq!(KernelBtf::look(root.path(), || false), KernelBtf::Sound { sees_input });
            assert_eq!(KernelBtf::look(root.path(), || true), KernelBtf::Broken);
        }
    }

    #[test]
    fn what_is_missing_or_cannot_be_read_is_never_asked_what_is_in_there() {
        let never = || panic!("asked a kernel without type information");
        assert_eq!(KernelBtf::look(sysfs(None).path(), never), KernelBtf::Missing);
        for bytes in [&b""[..], b"\x7fELF", b"\xff\xfe no BTF", &btf_with("input_event")[..40]] {
            let found = KernelBtf::look(sysfs(Some(bytes)).path(), never);
            assert!(matches!(found, KernelBtf::Unreadable(_)), "{bytes:?}: {found:?}");
        }
        let root = sysfs(None);
        mkfifo(&root.path().join("kernel/btf/vmlinux"), Mode::S_IRWXU).expect("mkfifo");
        let unreadable = KernelBtf::Unreadable("it is no regular file".to_owned());
        assert_eq!(KernelBtf::look(root.path(), never), unreadable);
    }
}
