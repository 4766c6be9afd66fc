//! One scheduler, three names: the kernel's (`bpfland_1.1.4_x86_64_unknown_linux_gnu`), its program's
//! (`scx_bpfland`), and its process's, which is the program's cut at 15 characters.

/// Where the kernel cuts a process's name.
const COMM_BYTES_MAX: usize = 15;

/// Whether the scheduler that the kernel calls `ops` is the one of the program, or process, called `program`.
pub fn is_called(ops: &str, program: &str) -> bool {
    let (scheduler, name) = (bare(ops), bare(program));
    if name.is_empty() {
        return false;
    }
    match scheduler.strip_prefix(name) {
        Some(rest) => program.len() == COMM_BYTES_MAX || !rest.starts_with(|next: char| next.is_ascii_alphanumeric()),
        None => false,
    }
}

/// Whether a process called `comm` may be one of `program`.
pub fn is_process_of(comm: &str, program: &str) -> bool {
    comm == program.get(..COMM_BYTES_MAX).unwrap_or(program)
}

/// Whether two names of the kernel's mean the same scheduler, be it of another version.
pub fn is_same(ops: &str, other: &str) -> bool {
    let word = |ops| bare(ops).split(|letter: char| !letter.is_ascii_alphanumeric()).next().map(str::to_owned);
    word(ops) == word(other)
}

fn bare(name: &str) -> &str {
    name.strip_prefix("scx_").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_the_kernels_name_for_its_scheduler() {
        for (ops, program) in [
            ("bpfland_1.1.4_x86_64_unknown_linux_gnu", "scx_bpfland"),
            ("bpfland", "scx_bpfland"),
            ("scx_simple", "scx_simple"),
            ("p2dq_1.0", "scx_p2dq"),
            ("pandemonium_5.9", "scx_pandemonium"),
            ("pandemonium_5.9", "scx_pandemonium".get(..15).expect("15 characters or more")),
        ] {
            assert!(is_called(ops, program), "{ops} {program}");
        }
        for (ops, program) in [
            ("rusty_1.0", "scx_rust"),
            ("rust", "scx_rusty"),
            ("lavd_1.1", "scx_bpfland"),
            ("lavd", "scx_"),
            ("lavd", ""),
        ] {
            assert!(!is_called(ops, program), "{ops} {program}");
        }
    }

    #[test]
    fn a_scheduler_of_another_version_is_the_same_one() {
        assert!(is_same("bpfland_1.1.4_x86_64", "bpfland_1.2.0_x86_64"));
        assert!(!is_same("rusty_1.1.4", "rustland_1.1.4"));
    }
}
