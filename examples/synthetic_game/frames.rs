//! The frame loops: one for each shape of game.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use nix::time::ClockId;

use crate::bulk::Bulk;
use crate::handover::Handover;
use crate::input::InputReader;
use crate::jobs::JobPool;
use crate::policy::become_real_time;
use crate::process::available_cpus;
use crate::report::GameConfig;
use crate::report::Shape;
use crate::screen::Parts;
use crate::screen::Presented;
use crate::screen::Screen;
use crate::server::Server;
use crate::spin::spin;
use crate::spin_lock::SpinLock;
use crate::wakeups::FrameCpu;
use crate::wakeups::WakeUps;

/// Real-time priority of frame threads.
pub const FRAME_PRIORITY: i32 = 1;
/// Requests to the server in each frame.
const SERVER_REQUESTS: u64 = 4;
const JOBS_PER_THREAD: usize = 2;
/// Length of a loading screen's job, unless given.
const LOADING_JOB_US: u64 = 40_000;
/// Sections of a frame that need the lock, in a game that spins for it.
const LOCKED_SECTIONS: u64 = 20;
/// Work on one input report.
const INPUT_WORK_US: u64 = 20;
/// Wake-ups in a frame besides those of job threads: two for each request, and a few hand-overs.
const WAKES_PER_FRAME: usize = 16;
/// Most wake-ups that are kept: 8 MB.
const WAKES_MAX: usize = 1 << 20;

/// What was measured while the counted frames were played.
pub struct Played {
    pub presented: Presented,
    pub input_delays_ns: Vec<u64>,
    pub waits_ns: Vec<u64>,
    pub net_waits_ns: Vec<u64>,
}

/// What the frames of every shape need.
struct Stage<'a> {
    config: &'a GameConfig,
    work: FrameWork,
    wakeups: &'a Arc<WakeUps>,
    /// Frames with those of the warm-up.
    total: usize,
}

/// How a frame's work is divided, in spins.
///
/// The critical path (server, simulation, jobs on all CPUs) is about two thirds of the whole, so
/// two CPUs are some 80 % busy: enough that a bad choice hurts, not so much that none is good.
struct FrameWork {
    whole: u64,
    per_request: u64,
    simulation: u64,
    per_job: u64,
    jobs: usize,
    render: u64,
}

impl FrameWork {
    fn of(config: &GameConfig) -> Self {
        let spins = |us: u64| us * config.spins_per_ms / 1000;
        let whole = spins(config.work_us);
        let jobs = config.job_threads * JOBS_PER_THREAD;
        let share_of_job = match config.shape {
            Shape::Loading => spins(LOADING_JOB_US),
            _ => whole * 20 / 100 / jobs as u64,
        };
        Self {
            whole,
            per_request: whole * 4 / 100 / SERVER_REQUESTS,
            simulation: whole * 46 / 100,
            per_job: config.job_us.map_or(share_of_job, spins),
            jobs,
            render: whole * 30 / 100,
        }
    }
}

/// Plays the warm-up and then `frames` frames. A browser engine's pages are played by a child, which gets its socket to
/// the process that started it.
pub fn play(config: &GameConfig, frames: usize, browser: Option<UnixStream>) -> Result<Played> {
    let bulk = Bulk::start(&config.bulk, config.spins_per_ms)?;
    if config.real_time_frames {
        // Frame threads and processes start later and inherit it.
        become_real_time(FRAME_PRIORITY).context("make the frame threads real-time: needs root")?;
    }
    let mut servers = start_servers(config.shape, browser)?;
    let frame_cpu = (available_cpus() == 1).then(|| FrameCpu {
        servers: servers.iter().filter_map(Server::cpu_clock).collect::<Vec<ClockId>>(),
        bulk: bulk.cpu_clocks(),
    });
    let capacity = (frames * (WAKES_PER_FRAME + config.job_threads)).min(WAKES_MAX);
    let wakeups = Arc::new(WakeUps::new(capacity, frame_cpu));
    let input = match config.input_hz {
        0 => None,
        hz => Some(InputReader::start(config.input_device, hz, INPUT_WORK_US * config.spins_per_ms / 1000)?),
    };
    let screen = Screen::new(config, frames, Parts { input: input.as_ref(), bulk: &bulk, wakeups: &wakeups });
    let total = config.warmup_frames + frames;
    let stage = Stage { config, work: FrameWork::of(config), wakeups: &wakeups, total };
    let presented = stage.play(&mut servers, screen)?.context("no frame was counted")?;
    let input_delays_ns = input.map(InputReader::stop).unwrap_or_default();
    let wakeups = Arc::into_inner(wakeups).context("BUG: a frame thread still runs")?;
    let [waits_ns, net_waits_ns] = wakeups.into_values();
    Ok(Played { presented, input_delays_ns, waits_ns, net_waits_ns })
}

/// The processes that take part in a frame: none, one that answers requests, or in a browser engine also one that draws.
fn start_servers(shape: Shape, browser: Option<UnixStream>) -> Result<Vec<Server>> {
    match (shape, browser) {
        (Shape::Pipeline, _) => Ok(vec![Server::start()?]),
        (Shape::Family, Some(browser)) => Ok(vec![Server::parent(browser), Server::start()?]),
        _ => Ok(Vec::new()),
    }
}

impl Stage<'_> {
    fn play(&self, servers: &mut [Server], screen: Screen<'_>) -> Result<Option<Presented>> {
        let (work, wakeups) = (&self.work, self.wakeups);
        match (self.config.shape, servers) {
            (Shape::Pipeline | Shape::Family, [server, gpu @ ..]) => {
                let jobs = self.start_jobs()?;
                let simulate = || self.simulate(server, &jobs);
                let mut gpu = gpu.first_mut();
                let draw = || match &mut gpu {
                    Some(gpu) => gpu.request(work.render, wakeups),
                    None => spin_well(work.render),
                };
                self.in_two_threads(simulate, draw, screen)
            }
            (Shape::BusyMain, _) => {
                self.in_two_threads(|| spin_well(work.whole), || spin_well(work.whole / 10), screen)
            }
            (Shape::HandOver, _) => {
                self.in_two_threads(|| spin_well(work.whole / 2), || spin_well(work.whole / 2), screen)
            }
            (Shape::SingleThread, _) => Ok(self.in_one_thread(|| spin(work.whole), screen)),
            (Shape::Loading, _) => {
                let jobs = self.start_jobs()?;
                Ok(self.in_one_thread(|| jobs.run(work.jobs, work.per_job), screen))
            }
            (Shape::SpinLock, _) => self.beside_physics(screen),
            (Shape::Pipeline | Shape::Family, []) => anyhow::bail!("BUG: no process answers requests"),
        }
    }

    fn start_jobs(&self) -> Result<JobPool> {
        JobPool::start(self.config.job_threads, self.wakeups).context("start the job threads")
    }

    fn simulate(&self, server: &mut Server, jobs: &JobPool) -> io::Result<()> {
        for _ in 0..SERVER_REQUESTS {
            server.request(self.work.per_request, self.wakeups)?;
        }
        spin(self.work.simulation);
        jobs.run(self.work.jobs, self.work.per_job);
        Ok(())
    }

    /// The main thread prepares each frame and hands it over to a thread that draws and presents it.
    fn in_two_threads(
        &self,
        mut prepare: impl FnMut() -> io::Result<()>,
        draw: impl FnMut() -> io::Result<()> + Send,
        screen: Screen<'_>,
    ) -> Result<Option<Presented>> {
        let handover = Handover::new(self.wakeups);
        std::thread::scope(|threads| {
            let renderer = std::thread::Builder::new()
                .name("render".into())
                .spawn_scoped(threads, || render(&handover, draw, screen))
                .context("start the render thread")?;
            let prepared = (0..self.total).try_for_each(|frame| {
                prepare()?;
                handover.put(frame);
                self.wait_for_gpu();
                Ok::<_, io::Error>(())
            });
            handover.close();
            let presented = renderer.join().expect("BUG: the render thread panicked");
            prepared.context("talk to the server process")?;
            presented.context("talk to the process that draws")
        })
    }

    fn in_one_thread(&self, mut work: impl FnMut(), mut screen: Screen<'_>) -> Option<Presented> {
        for _ in 0..self.total {
            work();
            screen.present();
            self.wait_for_gpu();
        }
        screen.finish()
    }

    /// Half of a frame's work needs a lock that another thread takes as often. Both spin until they have it.
    fn beside_physics(&self, screen: Screen<'_>) -> Result<Option<Presented>> {
        let lock = SpinLock::default();
        let section = self.work.whole / LOCKED_SECTIONS / 2;
        let one_section = || {
            lock.with(|| spin(section));
            spin(section);
        };
        std::thread::scope(|threads| {
            let _end = EndPhysics(&lock);
            std::thread::Builder::new()
                .name("physics".into())
                .spawn_scoped(threads, || {
                    while !lock.is_closed() {
                        one_section();
                    }
                })
                .context("start the physics thread")?;
            Ok(self.in_one_thread(|| (0..LOCKED_SECTIONS).for_each(|_| one_section()), screen))
        })
    }

    fn wait_for_gpu(&self) {
        if self.config.gpu_us > 0 {
            sleep(Duration::from_micros(self.config.gpu_us));
        }
    }
}

/// Ends the physics thread when dropped, also by a panic.
struct EndPhysics<'a>(&'a SpinLock);

impl Drop for EndPhysics<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn spin_well(spins: u64) -> io::Result<()> {
    spin(spins);
    Ok(())
}

/// Draws and presents every frame. After an error it still takes them, since the main thread waits for that.
fn render(
    handover: &Handover,
    mut draw: impl FnMut() -> io::Result<()>,
    mut screen: Screen<'_>,
) -> io::Result<Option<Presented>> {
    let mut outcome = Ok(());
    while handover.take().is_some() {
        outcome = outcome.and_then(|()| draw());
        if outcome.is_ok() {
            screen.present();
        }
    }
    outcome.map(|()| screen.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> GameConfig {
        GameConfig {
            shape: Shape::Pipeline,
            fps: 0,
            warmup_frames: 1,
            work_us: 10_000,
            job_us: None,
            job_threads: 2,
            gpu_us: 0,
            spins_per_ms: 100_000,
            input_hz: 0,
            input_device: false,
            real_time_frames: false,
            bulk: Vec::new(),
            cpus: 2,
        }
    }

    #[test]
    fn the_shares_of_a_frame_add_up_to_its_work() {
        let work = FrameWork::of(&config());
        let sum = work.per_request * SERVER_REQUESTS + work.simulation + work.per_job * work.jobs as u64 + work.render;
        assert_eq!((sum, work.whole), (1_000_000, 1_000_000));
    }

    #[test]
    fn jobs_have_the_length_that_is_given() {
        let given = GameConfig { job_us: Some(10_000), ..config() };
        assert_eq!(FrameWork::of(&given).per_job, 1_000_000);
        let loading = GameConfig { shape: Shape::Loading, ..config() };
        assert_eq!(FrameWork::of(&loading).per_job, 4_000_000);
    }

    #[test]
    fn every_shape_in_one_process_counts_as_many_frames_as_asked() {
        for shape in [Shape::SingleThread, Shape::BusyMain, Shape::HandOver, Shape::SpinLock, Shape::Loading] {
            let config = GameConfig { shape, spins_per_ms: 1000, ..config() };
            let played = play(&config, 5, None).expect("played");
            assert_eq!(played.presented.frames_ns.len(), 5, "{shape:?}");
        }
    }
}
