//! Who serves every frame, by its name, and who only says so.

use std::process::Command;

use nix::sys::signal::Signal;
use scx_gamer_run::sched::Class;
use scx_gamer_run::sched::Scheduler;

use crate::support::Kept;
use crate::support::attach;
use crate::support::class_of;
use crate::support::cpu_ns;
use crate::support::one_hog;
use crate::support::shell;
use crate::support::tell;
use crate::support::wait_for_process;
use crate::support::wait_until;

/// Its arguments can be read before its exec is over; in nanosleep it has run code of its own.
fn wait_until_it_sleeps(pid: i32) {
    let sleeps =
        || std::fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|place| place.contains("nanosleep"));
    wait_until("the program sleeps of its own accord", sleeps);
}

#[test]
fn a_sound_server_is_critical_by_name_from_its_exec_on() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let server = directory.path().join("pipewire");
    std::fs::copy("/bin/sleep", &server).expect("copy sleep");
    let scheduler = attach();
    let mut running = Kept::spawn(Command::new(&server).arg("66666"));
    wait_until_it_sleeps(wait_for_process("66666"));
    assert_eq!(class_of(&scheduler, running.pid()), Class::Critical);
    running.signal(Signal::SIGKILL);
    running.wait().expect("wait");
    // Started anew it is known again, without a list of processes that somebody would have to refresh.
    let restarted = Kept::spawn(Command::new(&server).arg("77777"));
    wait_until_it_sleeps(wait_for_process("77777"));
    assert_eq!(class_of(&scheduler, restarted.pid()), Class::Critical);
}

/// Kernel threads whose names, as `ps` shows them, begin so; kthreadd is number 2 and makes the others.
fn kernel_threads(prefix: &str) -> Vec<i32> {
    let stats = procfs::process::all_processes().expect("list processes").flatten().flat_map(|process| process.stat());
    stats
        .filter(|stat| (stat.pid == 2 || stat.ppid == 2) && stat.comm.starts_with(prefix))
        .map(|stat| stat.pid)
        .collect()
}

/// The classes of those that are still there.
fn classes_of(scheduler: &Scheduler, threads: &[i32]) -> Vec<Class> {
    let roles = threads.iter().filter_map(|&thread| scheduler.role_of(thread).expect("ask the kernel part"));
    roles.map(|role| role.class).collect()
}

#[test]
fn kernel_threads_are_critical_where_a_frame_waits_for_them_and_normal_elsewhere() {
    let scheduler = attach();
    for (prefix, class) in [
        ("kworker/u", Class::Critical),
        ("ksoftirqd/", Class::Critical),
        ("rcu_preempt", Class::Critical),
        ("kthreadd", Class::Critical),
        ("kworker/0:", Class::Normal),
        ("kworker/R-", Class::Normal),
        ("kswapd", Class::Normal),
        ("kcompactd", Class::Normal),
        ("khugepaged", Class::Normal),
    ] {
        let classes = classes_of(&scheduler, &kernel_threads(prefix));
        assert!(!classes.is_empty(), "there is no {prefix} here");
        assert!(classes.iter().all(|found| *found == class), "{prefix}: {classes:?}");
    }
}

/// Starts and stops the kernel's huge-page thread.
fn use_huge_pages(mode: &str) {
    std::fs::write("/sys/kernel/mm/transparent_hugepage/enabled", mode).expect("write to sysfs");
}

#[test]
fn a_kernel_thread_made_under_us_goes_by_its_own_name_and_not_by_kthreadds() {
    let mut scheduler = attach();
    let wrapper = shell();
    scheduler.begin_lease(wrapper.pid(), 0).expect("begin a lease"); // from then on births are told
    let before = kernel_threads("khugepaged");
    use_huge_pages("never");
    wait_until("the old thread has gone", || kernel_threads("khugepaged").is_empty());
    use_huge_pages("always");
    wait_until("there is a new one", || kernel_threads("khugepaged").len() == 1);
    let after = kernel_threads("khugepaged");
    assert_ne!(after, before);
    assert_eq!(class_of(&scheduler, 2), Class::Critical, "kthreadd, which it was forked from");
    assert_eq!(classes_of(&scheduler, &after), [Class::Normal]);
}

/// Keeps the kernel's ksmd busy comparing pages of ours, until dropped.
struct BusyKsmd;

impl BusyKsmd {
    fn start() -> Self {
        const BYTES: usize = 64 << 20;
        let pages = vec![1u8; BYTES].leak();
        // SAFETY: the range belongs to a leaked allocation; merging equal pages changes none of their bytes.
        let outcome = unsafe { libc::madvise(page_align(pages).cast(), BYTES / 2, libc::MADV_MERGEABLE) };
        assert_eq!(outcome, 0, "offer pages: {}", std::io::Error::last_os_error());
        Self::set("sleep_millisecs", "1");
        Self::set("pages_to_scan", "5000");
        Self::set("run", "1");
        Self
    }

    fn set(name: &str, value: &str) {
        std::fs::write(format!("/sys/kernel/mm/ksm/{name}"), value).expect("write to sysfs");
    }
}

impl Drop for BusyKsmd {
    fn drop(&mut self) {
        Self::set("run", "0");
    }
}

/// The first byte of `pages` that begins a page of any size.
fn page_align(pages: &mut [u8]) -> *mut u8 {
    let offset = pages.as_ptr().align_offset(1 << 16);
    pages[offset..].as_mut_ptr()
}

#[test]
fn a_kernel_thread_that_burns_cpu_beside_a_game_is_no_background_work() {
    let mut scheduler = attach();
    let game = shell();
    scheduler.begin_lease(game.pid(), 0).expect("begin a lease");
    let _busy = BusyKsmd::start();
    let hog = one_hog();
    let threads = kernel_threads("ksmd");
    assert_eq!(threads.len(), 1);
    let before_ns = cpu_ns(threads[0]);
    wait_until("it has burnt half a second", || cpu_ns(threads[0]) - before_ns > 500_000_000);
    assert_eq!(class_of(&scheduler, threads[0]), Class::Normal);
    wait_until("a process that does so is", || class_of(&scheduler, hog.pid()) == Class::Background);
}

#[test]
fn a_process_that_takes_a_kernel_threads_name_gains_nothing() {
    let scheduler = attach();
    let mut pretender = shell();
    for name in ["irq/9-foo", "kworker/u8:1", "pipewire"] {
        tell(&mut pretender, &format!("echo {name} > /proc/$$/comm"));
        let comm = format!("/proc/{}/comm", pretender.pid());
        wait_until("it has the name", || std::fs::read_to_string(&comm).is_ok_and(|comm| comm.trim() == name));
        assert_eq!(class_of(&scheduler, pretender.pid()), Class::Normal, "{name}");
    }
}
