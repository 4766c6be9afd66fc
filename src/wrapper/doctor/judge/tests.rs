use super::*;
use crate::events::frame::CrtcId;
use crate::wrapper::doctor::facts::Privilege;
use crate::wrapper::doctor::place::Place;
use std::collections::BTreeSet;
use std::path::PathBuf;

const KEYBOARD: Kind = Kind { has_keys: true, is_relative: false, is_absolute: false, is_accelerometer: false };
const LID: Kind = Kind { has_keys: false, ..KEYBOARD };

/// A player's machine on which everything is as it should be.
fn healthy() -> Facts {
    Facts {
        release: "7.3.4-amd64".to_owned(),
        state: Some("disabled".to_owned()),
        scheduler: None,
        btf: KernelBtf::Sound { sees_input: true },
        privilege: Ok(Privilege { is_root: false, missing: vec!["CAP_SYS_ADMIN", "CAP_PERFMON", "CAP_BPF"] }),
        service_socket: PathBuf::from("/run/scx-gamer.sock"),
        service: Ok(()),
        place: Place {
            wrapper: Some(PathBuf::from("/usr/bin/scx-gamer-run")),
            is_found_by_steam: true,
            is_secure_exec: false,
            owner: Program::Found(PathBuf::from("/usr/bin/scx_gamer")),
        },
        cards: vec![card(1, &[lit(1, 0, 143.9)])],
        has_vblank_tracepoint: Some(true),
        input: vec![Some(KEYBOARD), Some(LID), None],
        governors: BTreeSet::from(["schedutil".to_owned()]),
    }
}

fn lit(card: u32, crtc: u32, mode_hz: f64) -> Lit {
    Lit { id: CrtcId { card, crtc }, mode_hz, has_vblanks: true }
}

fn card(number: u32, crtcs: &[Lit]) -> CardFacts {
    CardFacts { number, crtcs: Ok(crtcs.to_vec()) }
}

fn unseen(number: u32, why: Unseen) -> CardFacts {
    CardFacts { number, crtcs: Err(why) }
}

fn root() -> Result<Privilege, String> {
    Ok(Privilege { is_root: true, missing: vec![] })
}

/// The check called `name` on the healthy machine after `change`.
fn after(name: &str, change: impl FnOnce(&mut Facts)) -> Check {
    let mut facts = healthy();
    change(&mut facts);
    judge(&facts).into_iter().find(|check| check.name == name).unwrap_or_else(|| panic!("no check is called {name}"))
}

#[test]
fn a_healthy_machine_is_ok_in_all_with_these_words() {
    let expected = [
        ok("kernel", "Linux 7.3.4-amd64 has sched_ext"),
        ok("btf", "the kernel's type information (BTF) is sound"),
        ok("scheduler", "no sched_ext scheduler is attached"),
        ok("program", "scx_gamer is /usr/bin/scx_gamer"),
        ok("service", "it answers at /run/scx-gamer.sock"),
        ok("permission", "we may not load a scheduler, and need not: the service does"),
        ok("path", "Steam finds scx-gamer-run by its name"),
        ok("preload", "LD_PRELOAD reaches the game, so overlays work"),
        ok("display", "card1 can be asked"),
        ok("vblank", "source: vblanks of 1:0 seen in the kernel, 143.9 Hz"),
        ok("input", "1 of 3 input devices open windows, seen in the kernel"),
        ok("cpufreq", "governor schedutil, which listens to the scheduler"),
    ];
    assert_eq!(judge(&healthy()), expected);
}

#[test]
fn a_kernel_without_sched_ext_fails_by_its_release_and_says_nothing_of_schedulers() {
    let mut facts = healthy();
    facts.state = None;
    facts.release = "7.2.12".to_owned();
    let checks = judge(&facts);
    let hint = "boot a kernel with CONFIG_SCHED_CLASS_EXT=y, 6.16 or later";
    assert_eq!(checks[0], fail("kernel", "this kernel (7.2.12) has no sched_ext", hint));
    assert!(checks.iter().all(|check| check.name != "scheduler"));
}

#[test]
fn kernel_older_than_the_oldest_tested_is_a_warning() {
    let with = |release: &str| after("kernel", |facts| facts.release = release.to_owned());
    let says = "Linux 6.12.9 has sched_ext, but is older than 6.16, the oldest tested kernel";
    assert_eq!(with("6.12.9"), warn("kernel", says, "boot a kernel of 6.16 or later"));
    for release in ["6.16.0", "6.16.12-valve5", "6.16-rc1", "10.0.0", "unknown", ""] {
        assert_eq!(with(release), ok("kernel", format!("Linux {release} has sched_ext")));
    }
    assert_eq!(with("6.9-rc1").verdict, Verdict::Warn);
}

#[test]
fn type_information_that_is_missing_unreadable_or_broken_fails() {
    let with = |btf: KernelBtf| after("btf", |facts| facts.btf = btf);
    let says = "the kernel has no type information (BTF), so no scheduler can be loaded";
    assert_eq!(with(KernelBtf::Missing), fail("btf", says, "boot a kernel with CONFIG_DEBUG_INFO_BTF=y"));
    let says = "the kernel's type information (BTF) can't be read: Invalid argument";
    let unreadable = KernelBtf::Unreadable("Invalid argument".to_owned());
    assert_eq!(with(unreadable), fail("btf", says, "boot another kernel"));
    let says = "this kernel (7.3.4-amd64) refuses every sched_ext scheduler because its BTF is broken";
    let hint = "boot another kernel: this one was built with a pahole before 1.26";
    assert_eq!(with(KernelBtf::Broken), fail("btf", says, hint));
}

#[test]
fn another_scheduler_fails_and_ours_is_a_warning() {
    let with = |state: &str, name: Option<&str>| {
        after("scheduler", |facts| {
            facts.state = Some(state.to_owned());
            facts.scheduler = name.map(str::to_owned);
        })
    };
    let hint = "stop it first: `scxctl stop`, `systemctl stop scx`, or Ctrl+C where it runs";
    let says = "another sched_ext scheduler is active (lavd_1.1.4)";
    assert_eq!(with("enabled", Some("lavd_1.1.4")), fail("scheduler", says, hint));
    let says = "gamer_0.1.0 is attached: the game that it serves is scheduled, another one would not be";
    let hint = "`scx-gamer-run --status` tells whose it is";
    assert_eq!(with("enabled", Some("gamer_0.1.0")), warn("scheduler", says, hint));
    let says = "sched_ext is enabling, without a scheduler's name";
    assert_eq!(with("enabling", None), warn("scheduler", says, "look again"));
}

#[test]
fn without_a_program_to_start_no_game_is_scheduled() {
    let with = |owner: Program| after("program", |facts| facts.place.owner = owner);
    let says = "scx_gamer was found neither beside scx-gamer-run nor in PATH";
    let hint = "put both programs into one directory, or scx_gamer into PATH";
    assert_eq!(with(Program::Missing), fail("program", says, hint));
    let path = PathBuf::from("/opt/scx_gamer");
    let expected = fail("program", "/opt/scx_gamer can't be executed", "chmod +x /opt/scx_gamer");
    assert_eq!(with(Program::NotExecutable(path)), expected);
}

#[test]
fn a_missing_service_is_a_warning_for_a_player_and_none_for_root() {
    let with = |why: NoAnswer| after("service", |facts| facts.service = Err(why));
    let says = "nobody listens at /run/scx-gamer.sock: a game has to run as root to be scheduled";
    assert_eq!(with(NoAnswer::Absent), warn("service", says, START_SERVICE));
    let (message, hint) = ("user 7 may not".to_owned(), "join the group".to_owned());
    assert_eq!(with(NoAnswer::Refused { message, hint }), warn("service", "user 7 may not", "join the group"));
    let for_root = after("service", |facts| (facts.privilege, facts.service) = (root(), Err(NoAnswer::Absent)));
    let says = "nobody listens at /run/scx-gamer.sock, and nobody needs to: we may load the scheduler ourselves";
    assert_eq!(for_root, ok("service", says));
    let says = "we may not connect to /run/scx-gamer.sock";
    assert_eq!(with(NoAnswer::Denied), warn("service", says, "`ls -l /run/scx-gamer.sock` tells who may"));
    let says = "what listens at /run/scx-gamer.sock has not answered within 2 s";
    let silent = NoAnswer::Failed("has not answered within 2 s".to_owned());
    assert_eq!(with(silent), warn("service", says, "end it and start it again"));
}

#[test]
fn permission_is_ours_or_the_services_or_missing() {
    let with = |privilege: Result<Privilege, String>| {
        after("permission", |facts| (facts.privilege, facts.service) = (privilege, Err(NoAnswer::Absent)))
    };
    assert_eq!(with(root()), ok("permission", "we may load a scheduler"));
    let says = "no permission to load a scheduler into the kernel: CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF missing";
    assert_eq!(with(healthy().privilege), fail("permission", says, START_SERVICE));
    let (message, hint) = ("user 7 may not".to_owned(), "join the group".to_owned());
    let refused = after("permission", |facts| facts.service = Err(NoAnswer::Refused { message, hint }));
    assert_eq!(refused, fail("permission", says, "join the group"));
    let confined = Privilege { is_root: true, missing: vec!["CAP_SYS_ADMIN"] };
    let says = "no permission to load a scheduler into the kernel: CAP_SYS_ADMIN missing";
    let hint = "this root is confined: give the container those capabilities";
    assert_eq!(with(Ok(confined)), fail("permission", says, hint));
    let says = "whether we may load a scheduler can't be read: no such file";
    assert_eq!(with(Err("no such file".to_owned())), warn("permission", says, "mount /proc"));
}

#[test]
fn a_wrapper_that_steam_does_not_find_is_a_warning_with_the_line_that_works() {
    let with = |wrapper: Option<&str>| {
        after("path", |facts| {
            facts.place.wrapper = wrapper.map(PathBuf::from);
            facts.place.is_found_by_steam = false;
        })
    };
    let says = "/home/me/bin is not where Steam's newer clients look";
    let hint = "write `/home/me/bin/scx-gamer-run %command%` into launch options, or install it to /usr/bin";
    assert_eq!(with(Some("/home/me/bin/scx-gamer-run")), warn("path", says, hint));
    let says = "where scx-gamer-run is can't be told";
    assert_eq!(with(None), warn("path", says, "give its full path in launch options"));
}

#[test]
fn a_wrapper_with_privileges_of_its_own_loses_overlays() {
    let says = "scx-gamer-run has file capabilities or a set-user-ID bit: LD_PRELOAD is dropped, and overlays are lost";
    let hint = "sudo setcap -r /usr/bin/scx-gamer-run; sudo chmod u-s /usr/bin/scx-gamer-run";
    assert_eq!(after("preload", |facts| facts.place.is_secure_exec = true), warn("preload", says, hint));
}

#[test]
fn a_card_that_is_roots_is_fine_and_one_that_cannot_be_asked_is_not() {
    let with = |cards: Vec<CardFacts>| after("display", |facts| facts.cards = cards);
    let says = "there is no graphics card with a display";
    assert_eq!(with(vec![]), warn("display", says, "`--frame-hz` of scx_gamer gives frames a rate"));
    assert_eq!(with(vec![card(0, &[]), card(1, &[])]), ok("display", "card0, card1 can be asked"));
    let says = "card0 not ours to open; scx_gamer opens it as root";
    assert_eq!(with(vec![unseen(0, Unseen::Denied)]), ok("display", says));
    let says = "card1 can be asked; card0 not ours to open, scx_gamer opens it as root";
    assert_eq!(with(vec![unseen(0, Unseen::Denied), card(1, &[])]), ok("display", says));
    let hint = "`dmesg` may tell what is wrong with its driver";
    let failed = unseen(2, Unseen::Failed("no such device".to_owned()));
    assert_eq!(with(vec![failed]), warn("display", "card2 can't be asked: no such device", hint));
    let denied_to_root = after("display", |facts| {
        facts.privilege = root();
        facts.cards = vec![unseen(0, Unseen::Denied)];
    });
    assert_eq!(denied_to_root, warn("display", "card0 is not even root's to open", hint));
}

#[test]
fn the_source_of_frames_is_the_one_that_the_frame_clock_would_choose() {
    let with = |tracepoint: Option<bool>, crtcs: &[Lit]| {
        after("vblank", |facts| {
            facts.has_vblank_tracepoint = tracepoint;
            facts.cards = vec![card(0, crtcs)];
        })
    };
    let (slow, fast) = (lit(0, 0, 60.0), lit(0, 1, 143.9));
    let says = "source: vblanks of 0:1 seen in the kernel, 143.9 Hz";
    assert_eq!(with(Some(true), &[slow, fast]), ok("vblank", says));
    assert_eq!(with(Some(false), &[slow]), ok("vblank", "source: vblank events of 0:0, 60.0 Hz"));
    let without_vblanks = Lit { has_vblanks: false, ..slow };
    let timer = ok("vblank", "source: timer at the mode of 0:0, which has no vblanks, 60.0 Hz");
    for tracepoint in [None, Some(true), Some(false)] {
        assert_eq!(with(tracepoint, &[without_vblanks]), timer);
        assert_eq!(with(tracepoint, &[]), ok("vblank", "source: none, as no display is on"));
    }
}

#[test]
fn what_only_root_can_know_of_the_source_of_frames_is_said_to_be_unknown() {
    let says = "source: vblanks of 1:0 seen in the kernel, 143.9 Hz, or else vblank events of 1:0, 143.9 Hz; which of \
                them is unknown without root";
    assert_eq!(after("vblank", |facts| facts.has_vblank_tracepoint = None), ok("vblank", says));
    let hidden = after("vblank", |facts| facts.cards = vec![unseen(0, Unseen::Denied), card(1, &[])]);
    let expected = Check {
        hint: Some("sudo scx-gamer-run --doctor".to_owned()),
        ..ok("vblank", "source and rate are unknown without root")
    };
    assert_eq!(hidden, expected);
}

#[test]
fn two_cards_with_a_display_of_the_same_number_are_heard_by_their_own_events() {
    let both = after("vblank", |facts| facts.cards = vec![card(0, &[lit(0, 0, 60.0)]), card(1, &[lit(1, 0, 144.0)])]);
    assert_eq!(both, ok("vblank", "source: vblank events of 1:0, 144.0 Hz"));
}

#[test]
fn input_is_told_by_who_sees_it_and_without_a_hand_on_any_it_is_a_warning() {
    let with = |btf: KernelBtf| after("input", |facts| facts.btf = btf);
    let says = "1 of 3 input devices open windows, seen through their device files";
    assert_eq!(with(KernelBtf::Sound { sees_input: false }), ok("input", says));
    assert_eq!(with(KernelBtf::Missing), ok("input", "1 of 3 input devices open windows"));
    let hint = "plug a mouse, keyboard or pad in; while a game runs is soon enough";
    for (kinds, says) in [
        (vec![], "there is no input device"),
        (vec![Some(LID), None], "none of 2 input devices has keys or is moved, so none opens windows"),
    ] {
        assert_eq!(after("input", |facts| facts.input = kinds), warn("input", says, hint));
    }
}

#[test]
fn the_governor_is_told_and_never_a_fault() {
    let with = |governors: &[&str]| {
        after("cpufreq", |facts| facts.governors = governors.iter().map(|&name| name.to_owned()).collect())
    };
    assert_eq!(with(&[]), ok("cpufreq", "the kernel does not choose the CPUs' frequencies"));
    let says = "governor performance; schedutil alone listens to the scheduler";
    assert_eq!(with(&["performance"]), ok("cpufreq", says));
    let says = "governor performance, schedutil; schedutil alone listens to the scheduler";
    assert_eq!(with(&["schedutil", "performance"]), ok("cpufreq", says));
}
