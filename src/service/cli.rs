//! The command line of `scx_gamer`, and its one typed form.

mod options;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

pub use self::options::Job;
pub use self::options::Options;
pub use self::options::Tuned;
use self::values::hertz;
use self::values::seconds;
use crate::events::frame::CrtcId;
use crate::sched::topology::PrimaryDomain;
use crate::service::rivals::OnConflict;

/// Attach the gaming scheduler until Ctrl+C
///
/// Runs the game that --foreground-pid names, or nobody in particular, under a sched_ext scheduler. Players use
/// scx-gamer-run, which starts this program and finds the game.
#[derive(Debug, Parser)]
#[command(name = "scx_gamer", version, max_term_width = 100, args_override_self = true)]
pub struct Cli {
    /// Keep this much of the kernel's dump when it fails us
    ///
    /// In bytes; 0 keeps the kernel's default of 32 KiB. The dump goes to stderr with -v.
    #[arg(long, value_name = "BYTES", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=16 << 20))]
    exit_dump_len: u32,

    /// Let a task run for at most this long at a stretch
    ///
    /// In microseconds. The kernel looks at its tick only, every 1 to 10 ms, so that less means one tick. Far less
    /// costs: whoever is interrupted has then used his slice up and is queued anew.
    #[arg(short, long, value_name = "USEC", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    slice_us: u64,

    /// Bound what a task may be owed or owe
    ///
    /// In microseconds of virtual time. More favours tasks that sleep a lot, less shares more evenly.
    #[arg(short = 'l', long, value_name = "USEC", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(0..=100_000))]
    slice_lag_us: u64,

    /// Call the machine busy above this utilisation
    ///
    /// In percent of all CPUs. A busy machine queues by deadline for all CPUs, others keep to their own CPU.
    #[arg(short, long, value_name = "PCT", default_value_t = 75, value_parser = clap::value_parser!(u32).range(0..=100))]
    cpu_busy_thresh: u32,

    /// Call it busy no longer below this utilisation
    ///
    /// In percent; by default 10 less than --cpu-busy-thresh, but not below 0.
    #[arg(long, value_name = "PCT", value_parser = clap::value_parser!(u32).range(0..=100))]
    cpu_busy_exit: Option<u32>,

    /// Keep tasks on their NUMA node
    ///
    /// A busy machine then queues by node, and a node's CPUs take from another one only what waits there in numbers
    /// or for long.
    #[arg(short = 'n', long)]
    enable_numa: bool,

    /// Ask for no CPU frequency
    ///
    /// Without it a CPU that runs the game asks for full speed, others for what their load needs. Heard by the
    /// schedutil governor.
    #[arg(short = 'f', long)]
    disable_cpufreq: bool,

    /// Look for idle CPUs by number
    ///
    /// The previous CPU, then the next ones: cheap where all share one cache.
    #[arg(short = 'i', long, conflicts_with = "preferred_idle_scan")]
    flat_idle_scan: bool,

    /// Look for idle CPUs among the strongest first
    #[arg(short = 'P', long)]
    preferred_idle_scan: bool,

    /// Treat hardware threads of a core as CPUs of their own
    ///
    /// The scan of -i or -P, which is needed, otherwise prefers a core that is idle as a whole.
    #[arg(long)]
    disable_smt: bool,

    /// Leave a shared core when another one is idle
    ///
    /// More migrations, steadier frames. A light pair of threads may share a core all the same.
    #[arg(short = 'S', long)]
    avoid_smt: bool,

    /// Hand no CPU over from a waker that is about to sleep
    #[arg(short = 'w', long)]
    no_wake_sync: bool,

    /// Wake an idle CPU at once for whatever is queued
    ///
    /// Otherwise tasks that are in no hurry wait for the wakeup timer, which saves interrupts.
    #[arg(short = 'd', long)]
    no_deferred_wakeup: bool,

    /// Run threads of one program near to each other
    ///
    /// A thread that another one of its address space wakes looks for an idle CPU from there, and waits there.
    #[arg(short = 'a', long)]
    mm_affinity: bool,

    /// Count migrations over this long
    ///
    /// In milliseconds; 0: there is no limit.
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    mig_window_ms: u64,

    /// Let a task migrate this often in --mig-window-ms
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    mig_max: u32,

    /// Favour the game for this long after an input event
    ///
    /// In microseconds; 0 turns it off.
    #[arg(long, value_name = "USEC", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(0..=100_000))]
    input_window_us: u64,

    /// Keep the game's threads where they are for this long after a vblank
    ///
    /// In microseconds; 0 turns it off.
    #[arg(long, value_name = "USEC", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=100_000))]
    frame_window_us: u64,

    /// Begin a frame so often, whatever the display does
    ///
    /// In hertz. Without it the display's vblanks are looked for. Needs --frame-window-us.
    #[arg(long, value_name = "HZ", value_parser = hertz, conflicts_with_all = ["drm_debugfs", "vblank_sample_ms"])]
    frame_hz: Option<f64>,

    /// Listen to the vblanks of this display only
    ///
    /// A card and one of its CRTCs by number, 0:0 for instance. Without it the most active one is followed. Needs
    /// --frame-window-us.
    #[arg(long, alias = "drm", value_name = "CARD:CRTC")]
    drm_debugfs: Option<CrtcId>,

    /// Listen so long before a source of frames is chosen
    ///
    /// In milliseconds, by default 200. Needs --frame-window-us.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..=1000))]
    vblank_sample_ms: Option<u64>,

    /// Do this with a scheduler that neither scx_loader nor scx.service runs
    ///
    /// Those two stop theirs and start it again afterwards. What was started in a terminal is left in any case, since
    /// nobody could start it again.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    on_conflict: OnConflict,

    /// Run our own event loop on this CPU
    ///
    /// Without it, where the machine has weaker CPUs, on those; else anywhere.
    #[arg(long, value_name = "CPU")]
    event_loop_cpu: Option<u32>,

    /// Prefer the CPU that has just received packets during an input window
    #[arg(long)]
    prefer_napi_on_input: bool,

    /// Remember where each program last ran
    ///
    /// A thread whose own CPU is taken looks for an idle one from there.
    #[arg(long)]
    enable_mm_hint: bool,

    /// Remember this many programs
    ///
    /// The least recent is forgotten first. By default 4096; needs --enable-mm-hint.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(128..=65_536), requires = "enable_mm_hint")]
    mm_hint_size: Option<u32>,

    /// Do nothing (deprecated; the scheduler does not poll)
    #[arg(short, long, value_name = "MS")]
    polling_ms: Option<u64>,

    /// Try these CPUs first
    ///
    /// A list such as 0-3,8 or a keyword. turbo: those that boost highest; performance: all but the weaker kind of a
    /// hybrid machine; powersave: that kind. Where a keyword tells no two CPUs apart it means all of them.
    #[arg(short = 'm', long, value_name = "CPUS", default_value_t)]
    primary_domain: PrimaryDomain,

    /// Treat this process as the game
    ///
    /// Its threads go first and its descendants belong to the game. 0: there is no game.
    #[arg(long, value_name = "TGID", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..=4_194_304))]
    foreground_pid: i32,

    /// Detach and exit when a queued task has waited this long
    ///
    /// In seconds; 0 turns it off. The kernel's own watchdog takes the machine back after 5 s in any case.
    #[arg(long, value_name = "SEC", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=3600))]
    watchdog_secs: u64,

    /// Look for forgotten tasks this often while any are queued
    ///
    /// In microseconds, 250 or more; 0: as long as a slice, but not less than 250.
    #[arg(long, value_name = "USEC", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    wakeup_timer_us: u64,

    /// Print metrics this often
    ///
    /// In seconds, 0.1 to 3600. Each block on stdout tells what has happened since the one before.
    #[arg(long, value_name = "SEC", value_parser = seconds)]
    stats: Option<Duration>,

    /// Print the metrics of the scx_gamer that runs, and attach nothing
    ///
    /// In seconds, 0.1 to 3600. Ends with Ctrl+C, or when the other one does.
    #[arg(long, value_name = "SEC", value_parser = seconds, exclusive = true)]
    monitor: Option<Duration>,

    /// Print what each metric means
    #[arg(long, exclusive = true)]
    help_stats: bool,

    /// Serve players, attached while any of them plays
    ///
    /// Listens on the socket that systemd hands over, or on --socket. Attaches with the first lease, detaches with the
    /// last, and ends after half a minute without anybody if systemd starts it again by itself.
    #[arg(long, conflicts_with_all = ["foreground_pid", "child"])]
    serve: bool,

    /// Listen at this path
    ///
    /// With --serve, where systemd has handed over no socket. Everybody may connect; who may do more is decided by
    /// who they are.
    #[arg(long, value_name = "PATH", requires = "serve")]
    socket: Option<PathBuf>,

    /// Serve the members of this group, wherever they have logged in
    ///
    /// With --serve, beside root and the users who sit at this machine. By default scx-gamer.
    #[arg(long, value_name = "NAME", requires = "serve")]
    group: Option<String>,

    /// Say more (can be repeated)
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,

    /// Serve the session on standard input and end with it; scx-gamer-run starts us so
    #[arg(long, hide = true, conflicts_with = "foreground_pid")]
    child: bool,
}

#[cfg(test)]
mod tests;
