//! The BPF scheduler as one Rust value: [`Scheduler::attach`] puts it into the kernel, dropping it takes it out.

mod end;
mod family;
mod futex;
mod load;
mod refusal;
mod sample;
mod skel;
mod sources;
pub mod stats;
pub mod topology;
mod tunables;

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::ptr;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::anyhow;
use anyhow::ensure;
use libbpf_rs::Link;
use libbpf_rs::ProgramInput;
use libbpf_rs::RingBuffer;
use libbpf_rs::RingBufferBuilder;

pub use self::end::End;
pub use self::family::Member;
use self::skel::BpfSkel;
use self::skel::intf;
pub use self::sources::CRTCS_MAX;
pub use self::sources::KernelEyes;
pub use self::topology::Machine;
pub use self::tunables::IdleScan;
pub use self::tunables::Tunables;
pub use self::tunables::WAKEUP_TIMER_US_MIN;
use crate::kernel::NotReady;
use crate::kernel::SchedExtDir;
use crate::kernel::is_ours;

/// Most leases that the BPF side tells apart.
pub const LEASES_MAX: usize = intf::gr_limits_GR_LEASES_MAX as usize;

/// Most CPUs that the BPF side has room for.
const CPUS_MAX: usize = intf::gr_limits_GR_CPUS_MAX as usize;

/// How long the kernel may take to report `disabled` after the scheduler was taken out.
const DETACH_WAIT: Duration = Duration::from_secs(2);

/// A lease in the BPF side's table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeaseId(u32);

impl LeaseId {
    /// That of nobody.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(0)
    }

    fn slot(self) -> usize {
        self.0 as usize % LEASES_MAX
    }
}

/// What a task is to the game.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// A thread of the pinned TGID.
    Foreground,
    /// Audio, compositor, kernel threads, ourselves.
    Critical,
    /// The rest of a game's process tree.
    Family,
    /// Everybody else.
    Normal,
    /// Burns CPU outside the family while a game runs.
    Background,
}

/// What the BPF side takes a task for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TaskRole {
    /// Whose family it belongs to.
    pub lease: Option<LeaseId>,
    /// Its class.
    pub class: Class,
}

/// An event of the game's that opens a window; `bpf/windows.bpf.c` says what each does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Window {
    /// The player has done something.
    Input = intf::gr_window_GR_WINDOW_INPUT as isize,
    /// A frame begins.
    Frame = intf::gr_window_GR_WINDOW_FRAME as isize,
    /// A CPU has received packets.
    Napi = intf::gr_window_GR_WINDOW_NAPI as isize,
}

impl Window {
    /// All of them.
    pub const ALL: [Self; intf::gr_window_GR_NR_WINDOWS as usize] = [Self::Input, Self::Frame, Self::Napi];
}

/// What the BPF side knows of a CPU.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CpuState {
    /// Performance level asked for, of 1024; 0: none yet.
    pub perf: u32,
    /// How often tasks give the CPU up by themselves, of 1024.
    pub interactive_avg: u32,
    /// Windows that are open on it.
    pub open_windows: Vec<Window>,
}

/// An attached scheduler. Dropping it detaches.
pub struct Scheduler {
    // The order is the order of dropping: out of the kernel first, then its maps and programs.
    link: Option<Link>,
    kernel_events: RingBuffer<'static>,
    family_news: family::News,
    futex_watch: Option<futex::Watch>,
    skel: BpfSkel<'static>,
    sched_ext: SchedExtDir,
    nr_leases_ever: u32,
    nr_cpus: usize,
    weak_cpus: Vec<usize>,
}

impl Scheduler {
    /// Loads the scheduler, attaches it and reads the kernel's state back.
    ///
    /// # Errors
    /// [`NotReady`], in words for the player; nothing stays behind.
    pub fn attach(tunables: &Tunables, sysfs: &Path) -> Result<Self, NotReady> {
        Self::attach_to(&Machine::read(&tunables.primary_domain, sysfs)?, tunables, sysfs)
    }

    /// As [`Scheduler::attach`], for a machine that the caller describes.
    ///
    /// # Errors
    /// The same.
    pub fn attach_to(machine: &Machine, tunables: &Tunables, sysfs: &Path) -> Result<Self, NotReady> {
        Self::attach_while(machine, tunables, sysfs, || true)
    }

    /// As [`Scheduler::attach_to`], unless `is_wanted` says no once everything is loaded, which takes a while: who asked
    /// may have gone, and a machine should not change hands for nobody.
    ///
    /// # Errors
    /// The same, and [`NotReady::Unwanted`].
    pub fn attach_while(
        machine: &Machine,
        tunables: &Tunables,
        sysfs: &Path,
        is_wanted: impl Fn() -> bool,
    ) -> Result<Self, NotReady> {
        let sched_ext = SchedExtDir::at(sysfs);
        sched_ext.check()?;
        let mut skel = load::load(tunables, machine, sysfs)?;
        let kernel_events = watch_kernel(&skel)?;
        let family_news = family::News::watch(&skel)?;
        if !is_wanted() {
            return Err(NotReady::Unwanted);
        }
        let link = load::attach(&mut skel, &sched_ext)?;
        let attached = Self {
            link: Some(link),
            kernel_events,
            family_news,
            futex_watch: None,
            skel,
            sched_ext,
            nr_leases_ever: 0,
            nr_cpus: machine.places.len(),
            weak_cpus: machine.weak_cpus(),
        };
        match attached.sched_ext.state().as_deref() {
            Some("enabled") => Ok(attached),
            Some(state) => {
                let why = attached.end().unwrap_or_else(End::without_reason).reason;
                Err(anyhow!("sched_ext is {state} after attaching: {why}").into())
            }
            None => Err(anyhow!("it is attached, but the state of sched_ext cannot be read").into()),
        }
    }

    /// Name under which the kernel lists us.
    pub fn name(&self) -> String {
        self.sched_ext.scheduler().unwrap_or_else(|| "gamer".to_owned())
    }

    /// CPUs where the game does not belong; none on a machine whose CPUs are alike.
    pub fn weak_cpus(&self) -> &[usize] {
        &self.weak_cpus
    }

    /// What the BPF side takes thread `pid` (initial PID namespace) for; `None` when there is no such thread.
    ///
    /// # Errors
    /// The kernel refuses to run the program.
    pub fn role_of(&self, pid: i32) -> anyhow::Result<Option<TaskRole>> {
        let mut explain = intf::gr_explain_task { pid, tgid: 0, lease_id: 0, class_: 0 };
        run_syscall(&self.skel.progs.explain_task, &mut explain).context("ask for a task's role")?;
        if explain.tgid == 0 {
            return Ok(None);
        }
        let class = match explain.class_ {
            intf::gr_class_GR_FOREGROUND => Class::Foreground,
            intf::gr_class_GR_CRITICAL => Class::Critical,
            intf::gr_class_GR_FAMILY => Class::Family,
            intf::gr_class_GR_BACKGROUND => Class::Background,
            _ => Class::Normal,
        };
        Ok(Some(TaskRole { lease: (explain.lease_id != 0).then_some(LeaseId(explain.lease_id)), class }))
    }

    /// Opens a window as if its event had come: on CPU `cpu`, or on all of them.
    ///
    /// # Errors
    /// There is no such CPU.
    pub fn open_window(&self, window: Window, cpu: Option<u32>) -> anyhow::Result<()> {
        let cpu = cpu.map_or(-1, u32::cast_signed);
        let mut event = intf::gr_open_window { window: window as u32, cpu };
        run_syscall(&self.skel.progs.open_window, &mut event).with_context(|| format!("open a window on CPU {cpu}"))
    }

    /// What the BPF side knows of a CPU.
    ///
    /// # Errors
    /// The kernel refuses to run the program.
    pub fn cpu_state(&self, cpu: u32) -> anyhow::Result<CpuState> {
        let mut explain = intf::gr_explain_cpu { cpu: cpu.cast_signed(), perf: 0, interactive_avg: 0, windows: 0 };
        run_syscall(&self.skel.progs.explain_cpu, &mut explain).context("ask for a CPU's state")?;
        Ok(CpuState {
            perf: explain.perf,
            interactive_avg: explain.interactive_avg,
            open_windows: Window::ALL
                .into_iter()
                .filter(|window| explain.windows & (1 << *window as u32) != 0)
                .collect(),
        })
    }

    /// Becomes readable when the kernel has disabled the scheduler, or has a CPU that was not there when we attached.
    pub fn kernel_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring buffer's epoll descriptor stays open for its life, which the borrow of self bounds.
        unsafe { BorrowedFd::borrow_raw(self.kernel_events.epoll_fd()) }
    }

    /// Takes what [`Scheduler::kernel_fd`] has told: an end is [`Scheduler::end`] from then on, all else are new CPUs.
    pub fn take_kernel_events(&self) {
        if let Err(why) = self.kernel_events.consume() {
            log::debug!("what the kernel says can't be heard: {why}");
        }
    }

    /// How the kernel has disabled the scheduler; `None` while it runs.
    pub fn end(&self) -> Option<End> {
        end::end(&self.skel.maps.data_data.as_deref().expect("BUG: no data after load").uei)
    }

    /// Prints the kernel's dump of the moment in which it failed us, if there is one, to stderr.
    pub fn print_dump(&self) {
        // Its one sentence is what end() tells.
        let _ = scx_utils::uei_read!(&self.skel, uei).report();
    }

    /// Takes the scheduler out and waits until the kernel says so, be it by another one in its place.
    ///
    /// # Errors
    /// The kernel still reports it two seconds later.
    pub fn detach(mut self) -> anyhow::Result<()> {
        drop(self.link.take());
        let deadline = Instant::now() + DETACH_WAIT;
        loop {
            match self.sched_ext.state().as_deref() {
                Some("disabled") => return Ok(()),
                _ if self.sched_ext.scheduler().is_some_and(|name| !is_ours(&name)) => return Ok(()),
                state => ensure!(Instant::now() < deadline, "the kernel still reports {state:?} after detaching"),
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn bss(&mut self) -> &mut skel::Bss {
        self.skel.maps.bss_data.as_deref_mut().expect("BUG: no bss after load")
    }
}

/// The events of `gamer_exit()` and `gamer_cpu_online()`, as something to wait for.
fn watch_kernel(skel: &BpfSkel<'_>) -> anyhow::Result<RingBuffer<'static>> {
    let mut builder = RingBufferBuilder::new();
    builder.add(&skel.maps.events, |_| 0).context("watch the scheduler's exit")?;
    builder.build().context("watch the scheduler's exit")
}

/// Runs a program of type syscall on `argument`, which it reads and writes.
fn run_syscall<T>(program: &libbpf_rs::ProgramMut<'_>, argument: &mut T) -> anyhow::Result<()> {
    // SAFETY: the types of bpf/intf.h are plain integers without padding (asserted there); the slice spans one.
    let bytes = unsafe { std::slice::from_raw_parts_mut(ptr::from_mut(argument).cast::<u8>(), size_of::<T>()) };
    let output = program.test_run(ProgramInput { context_in: Some(bytes), ..ProgramInput::default() })?;
    ensure!(output.return_value == 0, "the program returned {}", output.return_value.cast_signed());
    Ok(())
}

/// Writes a word that BPF programs on other CPUs read: not torn, and after what the caller wrote before.
fn publish<T: Copy>(word: &mut T, value: T) {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    // SAFETY: word is a valid, aligned, exclusive reference; volatile because the kernel reads it behind our back.
    unsafe { ptr::write_volatile(word, value) }
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}
