//! What the checks are about, read where it stands. What can't be read is kept as that.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use procfs::FromRead as _;
use procfs::process::Status;

use super::place::Place;
use crate::events::card;
use crate::events::card::Card;
use crate::events::card::Purpose;
use crate::events::frame::CrtcId;
use crate::events::input::Kind;
use crate::files;
use crate::kernel::KernelBtf;
use crate::kernel::SchedExtDir;
use crate::kernel::kernel_release;
use crate::wrapper::Roots;
use crate::wrapper::ask;
use crate::wrapper::ask::NoAnswer;

/// What loading a scheduler takes, by name and number (`include/uapi/linux/capability.h`).
const NEEDED_CAPABILITIES: [(&str, u8); 3] = [("CAP_SYS_ADMIN", 21), ("CAP_PERFMON", 38), ("CAP_BPF", 39)];

/// Everything that is judged.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Release of the kernel.
    pub release: String,
    /// What it says of sched_ext; `None`: it has none.
    pub state: Option<String>,
    /// The scheduler that is attached.
    pub scheduler: Option<String>,
    /// Its type information.
    pub btf: KernelBtf,
    /// Who we are.
    pub privilege: Result<Privilege, String>,
    /// Where the service listens.
    pub service_socket: PathBuf,
    /// Whether it answers.
    pub service: Result<(), NoAnswer>,
    /// Where our programs are.
    pub place: Place,
    /// Cards in `/dev/dri`.
    pub cards: Vec<CardFacts>,
    /// The kernel has the tracepoint of vblanks; `None`: that is for root to know.
    pub has_vblank_tracepoint: Option<bool>,
    /// What kinds of input devices there are; `None`: one that is not described.
    pub input: Vec<Option<Kind>>,
    /// Who chooses the CPUs' frequencies.
    pub governors: BTreeSet<String>,
}

/// What we may do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Privilege {
    /// By user.
    pub is_root: bool,
    /// Capabilities that loading a scheduler takes and we have not.
    pub missing: Vec<&'static str>,
}

/// A graphics card.
#[derive(Clone, Debug, PartialEq)]
pub struct CardFacts {
    /// As in `card0`.
    pub number: u32,
    /// Its CRTCs that are on.
    pub crtcs: Result<Vec<Lit>, Unseen>,
}

/// Why a card can't be asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unseen {
    /// It is not ours to open.
    Denied,
    /// Something else.
    Failed(String),
}

/// A CRTC that is on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lit {
    /// Which.
    pub id: CrtcId,
    /// Refresh rate of its mode.
    pub mode_hz: f64,
    /// The card can tell of its vblanks.
    pub has_vblanks: bool,
}

impl Facts {
    /// Looks at the machine and at ourselves.
    pub fn gather(roots: &Roots<'_>) -> Self {
        let sched_ext = SchedExtDir::at(roots.sysfs);
        Self {
            release: kernel_release(),
            state: sched_ext.state(),
            scheduler: sched_ext.scheduler(),
            btf: KernelBtf::at(roots.sysfs),
            privilege: privilege(roots.procfs),
            service_socket: roots.service.to_owned(),
            service: ask::greet_service(roots.service),
            place: Place::of_us(),
            cards: cards(&roots.dev.join("dri")),
            has_vblank_tracepoint: has_vblank_tracepoint(roots.sysfs),
            input: input(&roots.sysfs.join("class/input")),
            governors: governors(&roots.sysfs.join("devices/system/cpu/cpufreq")),
        }
    }

    /// We may load a scheduler ourselves.
    pub fn can_load(&self) -> bool {
        self.privilege.as_ref().is_ok_and(|privilege| privilege.missing.is_empty())
    }

    /// By user, as far as that is known.
    pub fn is_root(&self) -> bool {
        self.privilege.as_ref().is_ok_and(|privilege| privilege.is_root)
    }
}

fn privilege(procfs: &Path) -> Result<Privilege, String> {
    let text = files::read_text(&procfs.join("self/status")).map_err(|error| error.to_string())?;
    let status = Status::from_read(text.as_bytes()).map_err(|error| error.to_string())?;
    let is_missing = |(_, number): &(&str, u8)| status.capeff & (1 << number) == 0;
    let missing = NEEDED_CAPABILITIES.into_iter().filter(is_missing).map(|(name, _)| name).collect();
    Ok(Privilege { is_root: status.euid == 0, missing })
}

fn cards(dev_dri: &Path) -> Vec<CardFacts> {
    let numbers = card::numbers(dev_dri).unwrap_or_default();
    numbers.into_iter().map(|number| CardFacts { number, crtcs: lit_crtcs(dev_dri, number) }).collect()
}

/// Opens the card as the frame clock does. What is asked of it is void when it is closed at the end.
fn lit_crtcs(dev_dri: &Path, number: u32) -> Result<Vec<Lit>, Unseen> {
    let unseen = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => Unseen::Denied,
        _ => Unseen::Failed(error.to_string()),
    };
    let card = Card::open(dev_dri, number).map_err(unseen)?;
    let lit = card.crtcs().map_err(unseen)?.into_iter().filter_map(|crtc| {
        let has_vblanks = card.ask(crtc.id.crtc, Purpose::Next).is_ok();
        Some(Lit { id: crtc.id, mode_hz: crtc.mode_hz?, has_vblanks })
    });
    Ok(lit.collect())
}

fn has_vblank_tracepoint(sysfs: &Path) -> Option<bool> {
    match fs::metadata(sysfs.join("kernel/tracing/events/drm/drm_vblank_event")) {
        Ok(_) => Some(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(false),
        Err(_) => None,
    }
}

fn input(class_input: &Path) -> Vec<Option<Kind>> {
    let devices = entries(class_input, "event");
    devices.into_iter().map(|device| Kind::in_sysfs(&device.join("device")).ok()).collect()
}

fn governors(cpufreq: &Path) -> BTreeSet<String> {
    let policies = entries(cpufreq, "policy");
    policies.into_iter().filter_map(|policy| files::read_text(&policy.join("scaling_governor")).ok()).collect()
}

fn entries(directory: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use tempfile::TempDir;

    fn root(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().expect("temporary directory");
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("a file in a directory")).expect("make directories");
            fs::write(path, text).expect("write");
        }
        root
    }

    /// Our own status with other users and capabilities.
    fn status(euid: &str, capabilities: &str) -> String {
        let ours = fs::read_to_string("/proc/self/status").expect("read our status");
        let line = |line: &str| match line.split_once(':').map(|(key, _)| key) {
            Some("Uid") => format!("Uid:\t1000\t{euid}\t1000\t1000\n"),
            Some("CapEff") => format!("CapEff:\t{capabilities}\n"),
            _ => format!("{line}\n"),
        };
        ours.lines().map(line).collect()
    }

    #[test]
    fn who_we_are_is_told_by_user_and_by_what_is_missing() {
        let all = vec!["CAP_SYS_ADMIN", "CAP_PERFMON", "CAP_BPF"];
        for (euid, capabilities, is_root, missing) in [
            ("0", "000001ffffffffff", true, vec![]),
            ("1000", "0000000000000000", false, all),
            ("1000", "000000c000000000", false, vec!["CAP_SYS_ADMIN"]),
            ("1000", "000000c000200000", false, vec![]),
            ("0", "0000004000200000", true, vec!["CAP_BPF"]),
        ] {
            let procfs = root(&[("self/status", &status(euid, capabilities))]);
            assert_eq!(privilege(procfs.path()), Ok(Privilege { is_root, missing }), "{euid} {capabilities}");
        }
    }

    #[test]
    fn a_status_that_cannot_be_read_is_told_and_not_waited_for() {
        let cut = status("0", "000001ffffffffff").lines().take(5).collect::<Vec<_>>().join("\n");
        for text in ["", "\0\0\0", "CapEff: 0", &cut] {
            assert!(privilege(root(&[("self/status", text)]).path()).is_err(), "{text:?}");
        }
        let procfs = root(&[("self/other", "")]);
        assert!(privilege(procfs.path()).is_err());
        mkfifo(&procfs.path().join("self/status"), Mode::S_IRWXU).expect("mkfifo");
        assert_eq!(privilege(procfs.path()), Err("it is no regular file".to_owned()));
    }

    #[test]
    fn what_only_looks_like_a_card_is_told_by_its_number_and_never_waited_for() {
        let dev = root(&[("dri/card1", "no card"), ("dri/renderD128", "")]);
        mkfifo(&dev.path().join("dri/card0"), Mode::S_IRWXU).expect("mkfifo");
        let cards = cards(&dev.path().join("dri"));
        assert_eq!(cards.iter().map(|card| card.number).collect::<Vec<_>>(), [0, 1]);
        assert!(cards.iter().all(|card| matches!(card.crtcs, Err(Unseen::Failed(_)))), "{cards:?}");
        assert_eq!(self::cards(&dev.path().join("missing")), []);
    }

    #[test]
    fn the_tracepoint_is_there_or_not_or_not_ours_to_see() {
        let sysfs = root(&[("kernel/tracing/events/drm/drm_vblank_event/id", "7")]);
        assert_eq!(has_vblank_tracepoint(sysfs.path()), Some(true));
        assert_eq!(has_vblank_tracepoint(root(&[("kernel/tracing/README", "")]).path()), Some(false));
        assert_eq!(has_vblank_tracepoint(root(&[]).path()), Some(false));
        // Root may look into every directory, but nobody into a file.
        assert_eq!(has_vblank_tracepoint(root(&[("kernel/tracing", "")]).path()), None);
        fs::set_permissions(sysfs.path().join("kernel/tracing"), fs::Permissions::from_mode(0o000)).expect("chmod");
        let expected = if nix::unistd::geteuid().is_root() { Some(true) } else { None };
        assert_eq!(has_vblank_tracepoint(sysfs.path()), expected);
        fs::set_permissions(sysfs.path().join("kernel/tracing"), fs::Permissions::from_mode(0o700)).expect("chmod");
    }

    #[test]
    fn input_devices_are_those_with_events_and_one_without_description_counts_as_unknown() {
        let sysfs = root(&[
            ("event0/device/capabilities/ev", "120013"),
            ("event0/device/properties", "0"),
            ("event1/device/capabilities/ev", "many"),
            ("mouse0/device/capabilities/ev", "17"),
        ]);
        let mut found = input(sysfs.path());
        found.sort_by_key(Option::is_none);
        assert!(matches!(found[..], [Some(Kind { has_keys: true, .. }), None]), "{found:?}");
        assert_eq!(input(&sysfs.path().join("missing")), []);
    }

    #[test]
    fn governors_are_told_each_once() {
        let sysfs = root(&[
            ("policy0/scaling_governor", "schedutil\n"),
            ("policy4/scaling_governor", "schedutil\n"),
            ("policy8/scaling_governor", "performance\n"),
            ("boost", "1"),
        ]);
        assert!(governors(sysfs.path()).iter().eq(["performance", "schedutil"]));
        assert!(governors(&sysfs.path().join("missing")).is_empty());
    }

    #[test]
    fn a_machine_without_anything_has_facts_all_the_same() {
        let nothing = root(&[]);
        let path = nothing.path();
        let socket = path.join("scx-gamer.sock");
        let facts = Facts::gather(&Roots { sysfs: path, procfs: path, dev: path, service: &socket, metrics: path });
        assert_eq!((facts.state.as_ref(), facts.scheduler.as_ref()), (None, None));
        assert_eq!((&facts.btf, &facts.service), (&KernelBtf::Missing, &Err(NoAnswer::Absent)));
        assert!(facts.privilege.is_err() && !facts.can_load() && !facts.is_root());
        assert!(facts.cards.is_empty() && facts.input.is_empty() && facts.governors.is_empty());
        assert_eq!(facts.release, kernel_release());
    }
}
