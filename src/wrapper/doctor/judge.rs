//! What the facts mean for a game that wants to be scheduled: a pure function.

use std::path::Path;

use super::Check;
use super::Verdict;
use super::facts::CardFacts;
use super::facts::Facts;
use super::facts::Lit;
use super::facts::Unseen;
use super::place::Program;
use crate::events::frame;
use crate::events::frame::Heard;
use crate::events::frame::Source;
use crate::events::input::Kind;
use crate::kernel::KernelBtf;
use crate::kernel::NotReady;
use crate::kernel::OLDEST_KERNEL;
use crate::kernel::is_ours;
use crate::wrapper::ask::NoAnswer;

/// Judges everything, what the others rest on first.
pub fn judge(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![kernel(facts), btf(facts)];
    checks.extend(scheduler(facts));
    checks.extend([program(facts), service(facts), permission(facts), path(facts), preload(facts)]);
    checks.extend([display(facts), vblank(facts), input(facts), cpufreq(facts)]);
    checks
}

fn ok(name: &'static str, says: impl Into<String>) -> Check {
    Check { name, verdict: Verdict::Ok, says: says.into(), hint: None }
}

fn warn(name: &'static str, says: impl Into<String>, hint: impl Into<String>) -> Check {
    Check { name, verdict: Verdict::Warn, says: says.into(), hint: Some(hint.into()) }
}

fn fail(name: &'static str, says: impl Into<String>, hint: impl Into<String>) -> Check {
    Check { name, verdict: Verdict::Fail, says: says.into(), hint: Some(hint.into()) }
}

/// In the words that the scheduler itself would have.
fn refused(name: &'static str, why: &NotReady) -> Check {
    Check { name, verdict: Verdict::Fail, says: why.to_string(), hint: why.hint() }
}

fn kernel(facts: &Facts) -> Check {
    let release = &facts.release;
    match (&facts.state, version(release)) {
        (None, _) => refused("kernel", &NotReady::NoSchedExt { release: release.clone() }),
        (Some(_), Some(version)) if version < OLDEST_KERNEL => {
            let (major, minor) = OLDEST_KERNEL;
            let says =
                format!("Linux {release} has sched_ext, but is older than {major}.{minor}, the oldest tested kernel");
            warn("kernel", says, format!("boot a kernel of {major}.{minor} or later"))
        }
        (Some(_), _) => ok("kernel", format!("Linux {release} has sched_ext")),
    }
}

/// Major and minor version of a release such as `6.18.44-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn btf(facts: &Facts) -> Check {
    match &facts.btf {
        KernelBtf::Missing => fail(
            "btf",
            "the kernel has no type information (BTF), so no scheduler can be loaded",
            "boot a kernel with CONFIG_DEBUG_INFO_BTF=y",
        ),
        KernelBtf::Unreadable(why) => {
            fail("btf", format!("the kernel's type information (BTF) can't be read: {why}"), "boot another kernel")
        }
        KernelBtf::Broken => refused("btf", &NotReady::BrokenBtf { release: facts.release.clone() }),
        KernelBtf::Sound { .. } => ok("btf", "the kernel's type information (BTF) is sound"),
    }
}

/// Without sched_ext there is nothing to say.
fn scheduler(facts: &Facts) -> Option<Check> {
    Some(match (facts.state.as_deref()?, &facts.scheduler) {
        ("disabled", _) => ok("scheduler", "no sched_ext scheduler is attached"),
        (_, Some(name)) if is_ours(name) => warn(
            "scheduler",
            format!("{name} is attached: the game that it serves is scheduled, another one would not be"),
            "`scx-gamer-run --status` tells whose it is",
        ),
        (_, Some(name)) => refused("scheduler", &NotReady::OtherScheduler { name: name.clone(), why: None }),
        (state, None) => warn("scheduler", format!("sched_ext is {state}, without a scheduler's name"), "look again"),
    })
}

fn program(facts: &Facts) -> Check {
    match &facts.place.owner {
        Program::Found(path) => ok("program", format!("scx_gamer is {}", path.display())),
        Program::NotExecutable(path) => {
            fail("program", format!("{} can't be executed", path.display()), format!("chmod +x {}", path.display()))
        }
        Program::Missing => fail(
            "program",
            "scx_gamer was found neither beside scx-gamer-run nor in PATH",
            "put both programs into one directory, or scx_gamer into PATH",
        ),
    }
}

const START_SERVICE: &str = "install the service, then `sudo systemctl enable --now scx-gamer.socket`";

fn service(facts: &Facts) -> Check {
    let socket = facts.service_socket.display();
    match &facts.service {
        Ok(()) => ok("service", format!("it answers at {socket}")),
        Err(NoAnswer::Absent) if facts.can_load() => ok(
            "service",
            format!("nobody listens at {socket}, and nobody needs to: we may load the scheduler ourselves"),
        ),
        Err(NoAnswer::Absent) => warn(
            "service",
            format!("nobody listens at {socket}: a game has to run as root to be scheduled"),
            START_SERVICE,
        ),
        Err(NoAnswer::Refused { message, hint }) => warn("service", message.clone(), hint.clone()),
        Err(NoAnswer::Denied) => {
            warn("service", format!("we may not connect to {socket}"), format!("`ls -l {socket}` tells who may"))
        }
        Err(NoAnswer::Failed(why)) => {
            warn("service", format!("what listens at {socket} {why}"), "end it and start it again")
        }
    }
}

fn permission(facts: &Facts) -> Check {
    match (&facts.privilege, &facts.service) {
        (Ok(privilege), _) if privilege.missing.is_empty() => ok("permission", "we may load a scheduler"),
        (_, Ok(())) => ok("permission", "we may not load a scheduler, and need not: the service does"),
        (Err(why), _) => {
            warn("permission", format!("whether we may load a scheduler can't be read: {why}"), "mount /proc")
        }
        (Ok(privilege), _) => {
            let missing = privilege.missing.join(", ");
            let says = format!("{}: {missing} missing", NotReady::Privilege);
            let hint = match &facts.service {
                _ if privilege.is_root => "this root is confined: give the container those capabilities",
                Err(NoAnswer::Refused { hint, .. }) => hint,
                _ => START_SERVICE,
            };
            fail("permission", says, hint.to_owned())
        }
    }
}

fn path(facts: &Facts) -> Check {
    match &facts.place.wrapper {
        None => warn("path", "where scx-gamer-run is can't be told", "give its full path in launch options"),
        Some(_) if facts.place.is_found_by_steam => ok("path", "Steam finds scx-gamer-run by its name"),
        Some(own) => warn(
            "path",
            format!("{} is not where Steam's newer clients look", parent(own).display()),
            format!("write `{} %command%` into launch options, or install it to /usr/bin", own.display()),
        ),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

fn preload(facts: &Facts) -> Check {
    if !facts.place.is_secure_exec {
        return ok("preload", "LD_PRELOAD reaches the game, so overlays work");
    }
    let own = facts.place.wrapper.as_deref().unwrap_or(Path::new("scx-gamer-run")).display();
    warn(
        "preload",
        "scx-gamer-run has file capabilities or a set-user-ID bit: LD_PRELOAD is dropped, and overlays are lost",
        format!("sudo setcap -r {own}; sudo chmod u-s {own}"),
    )
}

fn display(facts: &Facts) -> Check {
    if facts.cards.is_empty() {
        return warn(
            "display",
            "there is no graphics card with a display",
            "`--frame-hz` of scx_gamer gives frames a rate",
        );
    }
    let failed = facts.cards.iter().find_map(|card| match &card.crtcs {
        Err(Unseen::Failed(why)) => Some(format!("card{} can't be asked: {why}", card.number)),
        Err(Unseen::Denied) if facts.is_root() => Some(format!("card{} is not even root's to open", card.number)),
        _ => None,
    });
    if let Some(says) = failed {
        return warn("display", says, "`dmesg` may tell what is wrong with its driver");
    }
    let names = |is_wanted: fn(&CardFacts) -> bool| {
        let wanted = facts.cards.iter().filter(|card| is_wanted(card));
        wanted.map(|card| format!("card{}", card.number)).collect::<Vec<_>>().join(", ")
    };
    let (ours, roots) = (names(|card| card.crtcs.is_ok()), names(|card| card.crtcs.is_err()));
    ok(
        "display",
        match (ours.as_str(), roots.as_str()) {
            (_, "") => format!("{ours} can be asked"),
            ("", _) => format!("{roots} not ours to open; scx_gamer opens it as root"),
            _ => format!("{ours} can be asked; {roots} not ours to open, scx_gamer opens it as root"),
        },
    )
}

/// The frame clock's own choice, were everything that can fire to fire at the mode's rate.
fn vblank(facts: &Facts) -> Check {
    let lit: Vec<Lit> = facts.cards.iter().flat_map(|card| card.crtcs.clone().unwrap_or_default()).collect();
    let is_hidden = facts.cards.iter().any(|card| card.crtcs == Err(Unseen::Denied)) && !facts.is_root();
    if lit.is_empty() && is_hidden {
        let check = ok("vblank", "source and rate are unknown without root");
        return Check { hint: Some("sudo scx-gamer-run --doctor".to_owned()), ..check };
    }
    let candidates = match facts.has_vblank_tracepoint {
        Some(has_tracepoint) => vec![expected(&lit, has_tracepoint)],
        None => vec![expected(&lit, true), expected(&lit, false)],
    };
    match candidates[..] {
        [seen, other] if seen != other => ok(
            "vblank",
            format!(
                "source: {}, or else {}; which of them is unknown without root",
                told(seen, &lit),
                told(other, &lit)
            ),
        ),
        _ => ok("vblank", format!("source: {}", told(candidates[0], &lit))),
    }
}

fn expected(lit: &[Lit], has_tracepoint: bool) -> Source {
    let heard = |crtc: &Lit| {
        // A second's worth; that a mode whose rate makes no sense is not heard is the clock's own rule.
        let vblanks = if crtc.has_vblanks { crtc.mode_hz.round().max(1.0) as u64 } else { 0 };
        let tracepoint = if has_tracepoint { vblanks } else { 0 };
        Heard { crtc: crtc.id, mode_hz: crtc.mode_hz, tracepoint, card_events: vblanks, counter: 0 }
    };
    frame::choose(&lit.iter().map(heard).collect::<Vec<_>>())
}

fn told(source: Source, lit: &[Lit]) -> String {
    let crtc = match source {
        Source::Tracepoint(crtc) | Source::CardEvents(crtc) | Source::ModeTimer { crtc, .. } => Some(crtc),
        Source::Given { .. } | Source::Counter(_) | Source::Nothing => None,
    };
    match lit.iter().find(|lit| Some(lit.id) == crtc) {
        Some(lit) => format!("{source}, {:.1} Hz", lit.mode_hz),
        None => source.to_string(),
    }
}

fn input(facts: &Facts) -> Check {
    let nr_devices = facts.input.len();
    let nr_by_hand = facts.input.iter().flatten().filter(|kind: &&Kind| kind.is_by_hand()).count();
    if nr_by_hand == 0 {
        let says = match nr_devices {
            0 => "there is no input device".to_owned(),
            _ => format!("none of {nr_devices} input devices has keys or is moved, so none opens windows"),
        };
        return warn("input", says, "plug a mouse, keyboard or pad in; while a game runs is soon enough");
    }
    let how = match facts.btf {
        KernelBtf::Sound { sees_input: true } => ", seen in the kernel",
        KernelBtf::Sound { sees_input: false } => ", seen through their device files",
        _ => "",
    };
    ok("input", format!("{nr_by_hand} of {nr_devices} input devices open windows{how}"))
}

fn cpufreq(facts: &Facts) -> Check {
    let governors = facts.governors.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    ok(
        "cpufreq",
        match governors.as_str() {
            "" => "the kernel does not choose the CPUs' frequencies".to_owned(),
            "schedutil" => "governor schedutil, which listens to the scheduler".to_owned(),
            _ => format!("governor {governors}; schedutil alone listens to the scheduler"),
        },
    )
}

#[cfg(test)]
mod tests;
