//! The frame clock: listens to all sources for a moment, follows the best one, and looks again when it falls silent.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use inotify::Inotify;
use inotify::WatchMask;
use nix::sys::epoll::Epoll;
use nix::sys::epoll::EpollEvent;
use nix::sys::epoll::EpollFlags;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::ClockId;
use nix::sys::timerfd::Expiration;
use nix::sys::timerfd::TimerFd;
use nix::sys::timerfd::TimerFlags;
use nix::sys::timerfd::TimerSetTimeFlags;

use super::Origin;
use super::card::Crtc;
use super::card::Purpose;
use super::cards::Cards;
use super::counter::Counters;
use super::frame;
use super::frame::CrtcId;
use super::frame::Heard;
use super::frame::Source;
use crate::sched::CRTCS_MAX;
use crate::sched::KernelEyes;
use crate::sched::Scheduler;
use crate::sched::Window;

/// How often a source that fires is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A source that has been silent for this long is replaced; where there is none it is also how often we look for one.
const SILENCE: Duration = Duration::from_secs(2);

/// What the player asks of the frame clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrameWish {
    /// A rate instead of any source.
    pub given_hz: Option<f64>,
    /// The only CRTC to listen to.
    pub crtc: Option<CrtcId>,
    /// For how long to listen before a source is chosen.
    pub sample: Duration,
}

/// The frame clock of an attached scheduler.
pub struct Clock {
    wish: FrameWish,
    debugfs: PathBuf,
    /// The kernel part's own view, where it has one.
    _eyes: Option<KernelEyes>,
    cards: Cards,
    counters: Option<Counters>,
    hotplug: Option<Inotify>,
    /// Ticks where a timer is the source.
    tick: TimerFd,
    /// Ends a sample, or is time for the next look.
    look: TimerFd,
    sample: Option<Sample>,
    source: Source,
    /// What was told last; `None`: that we are still looking.
    told: Option<Source>,
    /// Of the source, as of the last look.
    hz: f64,
    /// Beginnings of frames that we have seen ourselves.
    nr_frames: u64,
    seen: Seen,
}

/// What was heard since a sample began.
struct Sample {
    began: Instant,
    crtcs: Vec<Crtc>,
    vblanks_before: [u64; CRTCS_MAX],
    card_events: BTreeMap<CrtcId, u64>,
    counters: BTreeMap<CrtcId, u64>,
}

/// How far the source had got when it was last heard.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    nr_frames: u64,
}

impl Clock {
    /// Starts to listen, or to tick if a rate was given.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn begin(
        wish: FrameWish,
        dev_dri: &Path,
        debugfs: &Path,
        scheduler: &mut Scheduler,
        epoll: &Epoll,
    ) -> anyhow::Result<Self> {
        let timer = || TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK);
        let mut clock = Self {
            wish,
            debugfs: debugfs.to_owned(),
            _eyes: None,
            cards: Cards::new(dev_dri, wish.crtc.map(|crtc| crtc.card)),
            counters: None,
            hotplug: None,
            tick: timer()?,
            look: timer()?,
            sample: None,
            source: Source::Nothing,
            told: None,
            hz: 0.0,
            nr_frames: 0,
            seen: Seen { at: Instant::now(), nr_frames: 0 },
        };
        epoll.add(&clock.tick, readable(Origin::Tick))?;
        epoll.add(&clock.look, readable(Origin::Look))?;
        if let Some(hz) = wish.given_hz {
            clock.follow(Source::Given { hz }, scheduler);
            clock.told = Some(clock.source);
            return Ok(clock);
        }
        clock._eyes = scheduler.see_vblanks().map_err(|why| log::debug!("{why:#}")).ok();
        clock.hotplug = watch_directory(dev_dri, epoll).map_err(|why| log::debug!("{why:#}")).ok();
        clock.begin_sample(scheduler, epoll);
        Ok(clock)
    }

    /// What it follows, and how often that fires, as of the last look.
    pub fn source(&self) -> (Source, f64) {
        (self.source, self.hz)
    }

    /// True until a source was told.
    pub fn is_new(&self) -> bool {
        self.told.is_none()
    }

    /// Deals with what `origin` has brought. True if another source is followed from now on.
    pub fn handle(&mut self, origin: Origin, scheduler: &mut Scheduler, epoll: &Epoll) -> bool {
        match origin {
            Origin::Tick => {
                let _ = self.tick.wait(); // only resets it
                self.frame_begins(scheduler);
            }
            Origin::Look => {
                let _ = self.look.wait();
                match self.sample.take() {
                    Some(sample) => self.end_sample(&sample, scheduler),
                    None => self.look_at_source(scheduler, epoll),
                }
            }
            Origin::Card(number) => self.take_card_events(number, scheduler),
            Origin::Counter => self.take_counter(scheduler),
            Origin::CardHotplug => {
                if let Some(hotplug) = &mut self.hotplug {
                    let _ = hotplug.read_events(&mut [0; 4096]);
                }
                if self.sample.is_none() {
                    self.begin_sample(scheduler, epoll);
                }
            }
            Origin::InputHotplug | Origin::InputDevice(_) => {}
        }
        let has_changed = self.sample.is_none() && self.told != Some(self.source);
        if has_changed {
            self.told = Some(self.source);
        }
        has_changed
    }

    fn frame_begins(&mut self, scheduler: &Scheduler) {
        self.nr_frames += 1;
        if let Err(why) = scheduler.open_window(Window::Frame, None) {
            log::debug!("no frame window: {why:#}");
        }
    }

    fn begin_sample(&mut self, scheduler: &Scheduler, epoll: &Epoll) {
        self.cards.find(epoll);
        let is_wanted = |crtc: &Crtc| self.wish.crtc.is_none_or(|wanted| wanted == crtc.id) && crtc.mode_hz.is_some();
        let crtcs: Vec<Crtc> = self.cards.crtcs().filter(is_wanted).collect();
        for crtc in &crtcs {
            self.cards.ask(crtc.id, Purpose::Next);
        }
        self.counters = Counters::watch(&self.debugfs, crtcs.iter().map(|crtc| crtc.id));
        if let Some(counters) = &self.counters {
            let _ = epoll.add(counters, readable(Origin::Counter));
        }
        self.sample = Some(Sample {
            began: Instant::now(),
            crtcs,
            vblanks_before: scheduler.vblanks(),
            card_events: BTreeMap::new(),
            counters: BTreeMap::new(),
        });
        set(&self.look, Expiration::OneShot(TimeSpec::from_duration(self.wish.sample)));
    }

    fn end_sample(&mut self, sample: &Sample, scheduler: &mut Scheduler) {
        let vblanks = scheduler.vblanks();
        let has_strangers = self.cards.has_strangers();
        let heard = sample.crtcs.iter().map(|crtc| {
            let index = crtc.id.crtc as usize % CRTCS_MAX;
            Heard {
                crtc: crtc.id,
                mode_hz: crtc.mode_hz.unwrap_or_default(),
                // A race between two CPUs may set a count back.
                tracepoint: if has_strangers { 0 } else { vblanks[index].saturating_sub(sample.vblanks_before[index]) },
                card_events: sample.card_events.get(&crtc.id).copied().unwrap_or_default(),
                counter: sample.counters.get(&crtc.id).copied().unwrap_or_default(),
            }
        });
        let heard: Vec<Heard> = heard.collect();
        log::debug!("heard in {} ms: {heard:?}", sample.began.elapsed().as_millis());
        let best = frame::choose(&heard);
        if best == self.source {
            self.look_again();
            return;
        }
        self.follow(best, scheduler);
        if let Source::Tracepoint(crtc) | Source::CardEvents(crtc) | Source::Counter(crtc) = best {
            let count = heard.iter().find(|one| one.crtc == crtc).map_or(0, |one| match best {
                Source::Tracepoint(_) => one.tracepoint,
                Source::CardEvents(_) => one.card_events,
                _ => one.counter,
            });
            self.hz = count as f64 / sample.began.elapsed().as_secs_f64();
        }
    }

    /// Lets `source` begin frames from now on, and nothing else.
    fn follow(&mut self, source: Source, scheduler: &mut Scheduler) {
        self.source = source;
        self.hz = match source {
            Source::Given { hz } | Source::ModeTimer { hz, .. } => hz,
            _ => 0.0,
        };
        if self.hz > 0.0 {
            set(&self.tick, Expiration::Interval(TimeSpec::from_duration(Duration::from_secs_f64(1.0 / self.hz))));
        } else {
            let _ = self.tick.unset();
        }
        if !matches!(source, Source::Counter(_)) {
            self.counters = None;
        }
        scheduler.frames_begin_at(match source {
            Source::Tracepoint(crtc) => Some(crtc.crtc),
            _ => None,
        });
        if let Source::Tracepoint(crtc) = source {
            // Vblanks stop a moment after the last one who wants them, and the tracepoint is not one who wants them.
            self.cards.ask(crtc, Purpose::KeepGoing);
        }
        self.seen = Seen { at: Instant::now(), nr_frames: self.nr_frames_of_source(scheduler) };
        self.look_again();
    }

    fn look_again(&self) {
        let after = match self.source {
            Source::Given { .. } => return,
            Source::ModeTimer { .. } | Source::Nothing => SILENCE,
            Source::Tracepoint(_) | Source::CardEvents(_) | Source::Counter(_) => LOOK,
        };
        set(&self.look, Expiration::OneShot(TimeSpec::from_duration(after)));
    }

    /// Measures the source, and replaces one that is silent or only a stand-in.
    fn look_at_source(&mut self, scheduler: &mut Scheduler, epoll: &Epoll) {
        if matches!(self.source, Source::ModeTimer { .. } | Source::Nothing) {
            self.begin_sample(scheduler, epoll);
            return;
        }
        let nr_frames = self.nr_frames_of_source(scheduler);
        let (new, elapsed) = (nr_frames.saturating_sub(self.seen.nr_frames), self.seen.at.elapsed());
        if new > 0 {
            self.hz = new as f64 / elapsed.as_secs_f64();
            self.seen = Seen { at: Instant::now(), nr_frames };
        } else if elapsed >= SILENCE {
            self.follow(Source::Nothing, scheduler);
            self.begin_sample(scheduler, epoll);
            return;
        }
        self.look_again();
    }

    fn nr_frames_of_source(&self, scheduler: &Scheduler) -> u64 {
        match self.source {
            Source::Tracepoint(crtc) => scheduler.vblanks()[crtc.crtc as usize % CRTCS_MAX],
            _ => self.nr_frames,
        }
    }

    fn take_card_events(&mut self, number: u32, scheduler: &Scheduler) {
        for (id, purpose) in self.cards.take(number) {
            let is_source = match purpose {
                Purpose::Next => self.source == Source::CardEvents(id),
                Purpose::KeepGoing => self.source == Source::Tracepoint(id),
            };
            if purpose == Purpose::Next
                && let Some(sample) = &mut self.sample
            {
                *sample.card_events.entry(id).or_default() += 1;
            }
            if is_source && purpose == Purpose::Next {
                self.frame_begins(scheduler);
            }
            if is_source || (self.sample.is_some() && purpose == Purpose::Next) {
                self.cards.ask(id, purpose);
            }
        }
    }

    fn take_counter(&mut self, scheduler: &Scheduler) {
        for crtc in self.counters.as_mut().map(Counters::take).unwrap_or_default() {
            if let Some(sample) = &mut self.sample {
                *sample.counters.entry(crtc).or_default() += 1;
            }
            if self.source == Source::Counter(crtc) {
                self.frame_begins(scheduler);
            }
        }
    }
}

fn readable(origin: Origin) -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN, origin.token())
}

fn set(timer: &TimerFd, expiration: Expiration) {
    timer.set(expiration, TimerSetTimeFlags::empty()).expect("BUG: a timer refuses its time");
}

fn watch_directory(dev_dri: &Path, epoll: &Epoll) -> anyhow::Result<Inotify> {
    let inotify = Inotify::init()?;
    inotify.watches().add(dev_dri, WatchMask::CREATE | WatchMask::ATTRIB | WatchMask::DELETE)?;
    epoll.add(inotify.as_fd(), readable(Origin::CardHotplug))?;
    Ok(inotify)
}
