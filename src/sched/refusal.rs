//! Why a load or an attach failed. libbpf returns only an errno. The warnings that it prints before that name the program
//! and contain the verifier's log.

use std::mem;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use libbpf_rs::PrintCallback;
use libbpf_rs::PrintLevel;

/// Longest text that is kept of a warning or of a line of the verifier's log, in characters.
const TEXT_MAX: usize = 300;

/// A BPF program that the kernel's verifier has refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// Name of the program.
    pub program: String,
    /// The last line of the verifier's log that is not about its own work.
    pub verdict: String,
}

/// What the warnings have said so far.
#[derive(Debug, Default)]
struct Heard {
    refusal: Option<Refusal>,
    last: Option<String>,
}

impl Heard {
    const fn nothing() -> Self {
        Self { refusal: None, last: None }
    }

    fn hear(&mut self, warning: &str) {
        let warning = warning.trim().trim_start_matches("libbpf: ");
        if let Some(refusal) = refusal_in(warning) {
            self.refusal = Some(refusal);
        } else if !explains_nothing(warning) {
            self.last = warning.lines().next().map(shorten);
        }
    }
}

/// libbpf's callback is a plain function, so what it hears is kept here: a process loads one scheduler at a time.
static HEARD: Mutex<Heard> = Mutex::new(Heard::nothing());

/// The callback that was set before, and gets all messages as before.
static PREVIOUS: Mutex<Option<(PrintLevel, PrintCallback)>> = Mutex::new(None);

/// Hears libbpf's warnings from [`Warnings::listen`] until it is dropped.
pub struct Warnings(());

impl Warnings {
    /// Starts to listen. Nothing that was heard before counts.
    pub fn listen() -> Self {
        mem::take(&mut *lock(&HEARD));
        let previous = libbpf_rs::get_print();
        *lock(&PREVIOUS) = previous;
        let level = previous.map_or(PrintLevel::Warn, |(level, _)| level);
        libbpf_rs::set_print(Some((level, hear)));
        Self(())
    }

    /// The program that the verifier has refused, if it has refused one.
    pub fn refusal(&self) -> Option<Refusal> {
        lock(&HEARD).refusal.clone()
    }

    /// The last warning that explains anything.
    pub fn last(&self) -> Option<String> {
        lock(&HEARD).last.clone()
    }
}

impl Drop for Warnings {
    fn drop(&mut self) {
        libbpf_rs::set_print(*lock(&PREVIOUS));
    }
}

fn hear(level: PrintLevel, message: String) {
    if level == PrintLevel::Warn {
        lock(&HEARD).hear(&message);
    }
    let previous = *lock(&PREVIOUS);
    if let Some((_, print)) = previous {
        print(level, message);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the warning in which libbpf prints the verifier's log of a program that was not loaded.
fn refusal_in(warning: &str) -> Option<Refusal> {
    let (program, log) = warning.strip_prefix("prog '")?.split_once("': -- BEGIN PROG LOAD LOG --\n")?;
    let log = log.rsplit_once("-- END PROG LOAD LOG --").map_or(log, |(log, _)| log);
    let verdict = log.lines().map(str::trim).rfind(|line| !line.is_empty() && !is_about_the_verifier(line))?;
    Some(Refusal { program: program.to_owned(), verdict: shorten(verdict) })
}

/// A line of the verifier's log that counts its own work (`print_verification_stats()` in `kernel/bpf/verifier.c`).
fn is_about_the_verifier(line: &str) -> bool {
    ["processed ", "verification time ", "stack depth "].iter().any(|start| line.starts_with(start))
}

/// Warnings about the object as a whole repeat the errno. The one about a link comes with every attach.
fn explains_nothing(warning: &str) -> bool {
    ["failed to load object ", "failed to load BPF skeleton "].iter().any(|start| warning.starts_with(start))
        || warning.ends_with(": BPF map skeleton link is uninitialized")
}

fn shorten(line: &str) -> String {
    line.chars().take(TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(warnings: &[&str]) -> Heard {
        let mut heard = Heard::default();
        warnings.iter().for_each(|warning| heard.hear(warning));
        heard
    }

    fn refusal(program: &str, verdict: &str) -> Option<Refusal> {
        Some(Refusal { program: program.to_owned(), verdict: verdict.to_owned() })
    }

    /// Seen on Linux 6.16.12, shortened in the middle.
    #[test]
    fn refusal_is_last_line_about_the_program() {
        let heard = heard(&[
            "libbpf: map 'gamer_ops': BPF map skeleton link is uninitialized\n",
            "libbpf: prog 'gamer_init': BPF program load failed: -EPROTO\n",
            "libbpf: prog 'gamer_init': -- BEGIN PROG LOAD LOG --\n\
             ; bpf_for_each(scx_dsq, p, dsq, 0) { @ hotplug.bpf.c:50\n\
             379: (bf) r1 = r7                     ; frame3: R1=fp-48 R7=fp-48 refs=22,37\n\
             380: (85) call bpf_iter_scx_dsq_next#60038\n\
             expected an RCU CS when using bpf_iter_scx_dsq_next\n\
             processed 514 insns (limit 1000000) max_states_per_insn 1 total_states 54 peak_states 54 mark_read 15\n\
             -- END PROG LOAD LOG --\n",
            "libbpf: prog 'gamer_init': failed to load: -EPROTO\n",
            "libbpf: failed to load object 'bpf_bpf'\n",
            "libbpf: failed to load BPF skeleton 'bpf_bpf': -EPROTO\n",
        ]);
        assert_eq!(heard.refusal, refusal("gamer_init", "expected an RCU CS when using bpf_iter_scx_dsq_next"));
    }

    /// Seen on Linux 7.3.4 with RLIMIT_NOFILE at 30: the verifier had no objection.
    #[test]
    fn log_without_an_objection_is_no_refusal() {
        let heard = heard(&[
            "libbpf: prog 'on_exec': BPF program load failed: -EMFILE\n",
            "libbpf: prog 'on_exec': -- BEGIN PROG LOAD LOG --\n\
             processed 139 insns (limit 1000000) max_states_per_insn 0 total_states 12 peak_states 12 mark_read 0\n\
             -- END PROG LOAD LOG --\n",
            "libbpf: prog 'on_exec': failed to load: -EMFILE\n",
            "libbpf: failed to load object 'bpf_bpf'\n",
            "libbpf: failed to load BPF skeleton 'bpf_bpf': -EMFILE\n",
        ]);
        assert_eq!(heard.refusal, None);
        assert_eq!(heard.last.as_deref(), Some("prog 'on_exec': failed to load: -EMFILE"));
    }

    #[test]
    fn warning_of_each_attach_explains_nothing() {
        assert_eq!(heard(&["libbpf: map 'gamer_ops': BPF map skeleton link is uninitialized\n"]).last, None);
    }

    #[test]
    fn verdict_is_cut_to_a_line_of_bounded_length() {
        let line = "ä".repeat(TEXT_MAX + 1);
        let heard = heard(&[&format!("prog 'a': -- BEGIN PROG LOAD LOG --\n{line}\n"), &format!("map 'b': {line}")]);
        assert_eq!(heard.refusal, refusal("a", &"ä".repeat(TEXT_MAX)));
        assert_eq!(heard.last.map(|last| last.chars().count()), Some(TEXT_MAX));
    }

    #[test]
    fn warnings_reach_the_callback_that_was_set_before() {
        static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let own: (PrintLevel, PrintCallback) = (PrintLevel::Warn, |_, message| lock(&SEEN).push(message));
        let before = libbpf_rs::set_print(Some(own));
        let warnings = Warnings::listen();
        hear(PrintLevel::Warn, "libbpf: map 'cpus': failed to create: -ENOMEM\n".to_owned());
        assert_eq!(warnings.last().as_deref(), Some("map 'cpus': failed to create: -ENOMEM"));
        assert_eq!(warnings.refusal(), None);
        assert_eq!(*lock(&SEEN), ["libbpf: map 'cpus': failed to create: -ENOMEM\n"]);
        drop(warnings);
        assert_eq!(libbpf_rs::set_print(before).map(|(level, _)| level), Some(PrintLevel::Warn));
    }
}
