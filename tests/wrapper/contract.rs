//! What a wrapper owes its child: the world as it was.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::process::Stdio;
use std::ptr::null;

use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;

use crate::rig::Rig;
use crate::rig::Running;
use crate::rig::text;

const RIGS: [&str; 3] = ["attaches", "fails", "is mute"];

#[test]
fn the_environment_arrives_byte_for_byte() {
    for behaviour in RIGS {
        let rig = Rig::where_scx_gamer(behaviour);
        let fake = format!("FAKE_SCX_GAMER={behaviour}");
        let variables: [&[u8]; 8] = [
            b"TWICE=1",
            b"LD_PRELOAD=",
            b"EMPTY=",
            b"no equals sign",
            b"\xff\xfe=\x80\n",
            b"TWICE=2",
            b"LD_LIBRARY_PATH=/no/such/directory",
            fake.as_bytes(),
        ];
        let words = [
            rig.path("scx-gamer-run").as_os_str().as_bytes().to_vec(),
            b"/bin/cat".into(),
            b"/proc/self/environ".into(),
        ];
        let words: Vec<CString> = words.into_iter().map(|word| CString::new(word).expect("no NUL")).collect();
        let environ: Vec<CString> = variables.iter().map(|pair| CString::new(*pair).expect("no NUL")).collect();
        // Plain exec, since std's Command can neither repeat a variable nor leave its '=' out.
        let mut command = Command::new("/bin/false");
        let exec = move || {
            let argv: [*const libc::c_char; 4] = [words[0].as_ptr(), words[1].as_ptr(), words[2].as_ptr(), null()];
            let mut envp = [null(); 9];
            for (slot, pair) in envp.iter_mut().zip(&environ) {
                *slot = pair.as_ptr();
            }
            // SAFETY: both arrays end in null and their strings live until the exec.
            unsafe { libc::execve(argv[0], argv.as_ptr(), envp.as_ptr()) };
            Err(std::io::Error::last_os_error())
        };
        // SAFETY: only execve is called between fork and exec, on memory prepared before.
        let output = unsafe { command.pre_exec(exec) }.output().expect("run the wrapper");
        let expected: Vec<u8> = variables.iter().flat_map(|pair| [*pair, b"\0"].concat()).collect();
        assert_eq!(output.stdout, expected, "{}", text(&output.stdout));
    }
}

/// One line of `/proc/self/status` as the game sees it.
fn mask(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
    u64::from_str_radix(line.trim_start_matches(':').trim(), 16).expect("hexadecimal digits")
}

fn bits(signals: &[i32]) -> u64 {
    signals.iter().map(|signal| 1 << (signal - 1)).sum()
}

#[test]
fn the_signal_mask_is_the_callers_and_sigpipe_is_default() {
    for behaviour in RIGS {
        let rig = Rig::where_scx_gamer(behaviour);
        let mut command = rig.command(&["/bin/cat", "/proc/self/status"]);
        let block = || {
            let set = SigSet::from_iter([Signal::SIGUSR1, Signal::SIGALRM, Signal::SIGTERM]);
            Ok(set.thread_set_mask()?)
        };
        // SAFETY: one system call between fork and exec.
        let output = unsafe { command.pre_exec(block) }.output().expect("run the wrapper");
        let status = text(&output.stdout);
        assert_eq!(mask(&status, "SigBlk"), bits(&[libc::SIGUSR1, libc::SIGALRM, libc::SIGTERM]));
        assert_eq!(mask(&status, "SigIgn") & bits(&[libc::SIGPIPE]), 0);
    }
}

#[test]
fn what_the_caller_ignores_is_ignored_in_the_game() {
    let rig = Rig::where_scx_gamer("attaches");
    let mut command = rig.command(&["/bin/cat", "/proc/self/status"]);
    let ignored = [libc::SIGHUP, libc::SIGINT, libc::SIGCHLD, libc::SIGUSR2];
    let ignore = move || {
        for signal in ignored {
            // SAFETY: ignoring a signal runs no code.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
        Ok(())
    };
    // SAFETY: only signal(2) is called between fork and exec.
    let output = unsafe { command.pre_exec(ignore) }.output().expect("run the wrapper");
    assert!(output.status.success(), "the exit status was lost");
    assert_eq!(mask(&text(&output.stdout), "SigIgn") & bits(&ignored), bits(&ignored));
}

#[test]
fn no_descriptor_of_ours_leaks_into_the_game() {
    for behaviour in RIGS {
        let rig = Rig::where_scx_gamer(behaviour);
        let list = ["/bin/ls", "/proc/self/fd"];
        let direct = Command::new(list[0]).arg(list[1]).stdin(Stdio::null()).output().expect("run ls");
        let log = rig.path("log");
        let wrapped = rig.run(&["--log", log.to_str().expect("text"), "-vv", list[0], list[1]]);
        assert_eq!(text(&wrapped.stdout), text(&direct.stdout));
    }
}

#[test]
fn stdin_and_stdout_belong_to_the_game() {
    let rig = Rig::where_scx_gamer("attaches");
    let mut running =
        Running::from(rig.command(&["-vv", "cat"]).stdin(fs::File::open("/proc/self/maps").expect("open")));
    let expected = running.stdout.rest();
    assert_eq!(running.status(), Some(0));
    assert!(!expected.is_empty() && expected.iter().all(|line| !line.contains("scx-gamer-run: ")));
}

#[test]
fn a_closed_stderr_ends_nothing() {
    let rig = Rig::where_scx_gamer("fails");
    let mut command = rig.command(&["-vv", "/bin/sh", "-c", "exit 6"]);
    let close = || {
        // SAFETY: closes a descriptor that the child owns; the program that follows is what is tested.
        unsafe { libc::close(2) };
        Ok(())
    };
    // SAFETY: one system call between fork and exec.
    assert_eq!(unsafe { command.pre_exec(close) }.status().expect("run the wrapper").code(), Some(6));
}

#[test]
fn directory_niceness_limits_and_process_group_are_the_callers() {
    let rig = Rig::where_scx_gamer("attaches");
    let script = "pwd; cat /proc/self/stat; cat /proc/self/limits";
    let mut command = rig.command(&["/bin/sh", "-c", script]);
    let change = || {
        let limit = libc::rlimit { rlim_cur: 77, rlim_max: 78 };
        // SAFETY: two system calls on this process alone; limit lives across its call.
        unsafe {
            libc::nice(7);
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
        Ok(())
    };
    // SAFETY: only system calls between fork and exec.
    unsafe { command.pre_exec(change) };
    let child = command.current_dir("/proc").process_group(0).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let child = child.expect("start the wrapper");
    let wrapper_pid = child.id().to_string();
    let output = text(&child.wait_with_output().expect("wait").stdout);
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], "/proc");
    // After the name: state, parent, group, session, terminal ... nice is the seventeenth.
    let fields: Vec<&str> = lines[1].rsplit(')').next().expect("fields").split_whitespace().collect();
    assert_eq!(fields[2], wrapper_pid, "process group");
    assert_eq!(fields[16], "7", "niceness");
    let files = lines.iter().find(|line| line.starts_with("Max open files")).expect("the limit");
    assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["77", "78"]);
}

#[test]
fn a_log_gets_our_words_and_nothing_of_the_game() {
    let rig = Rig::where_scx_gamer("attaches");
    let log = rig.path("log");
    let output =
        rig.run(&["-v", "--wait-attach", "--log", log.to_str().expect("text"), "/bin/sh", "-c", "echo a game >&2"]);
    let logged = fs::read_to_string(&log).expect("read the log");
    assert_eq!(text(&output.stderr).replace("a game\n", ""), logged);
    assert!(logged.contains("scheduled by gamer after 812 ms ("), "{logged}");
}
