//! The scheduler while somebody holds a lease on it: attached, watched, attached once more when the kernel has ended it
//! or has new CPUs, and given back.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;

use super::Roots;
use super::attached::Attached;
use super::check_domain;
use super::cli::Options;
use super::cli::Tuned;
use super::holders::Holders;
use super::holders::Ticket;
use super::leases;
use super::leases::Begun;
use super::leases::Wish;
use super::peer;
use super::peer::Peer;
use super::rivals::Rivals;
use super::wake::Wake;
use super::wake::Wakes;
use crate::kernel::NotReady;
use crate::sched::End;
use crate::sched::Machine;
use crate::sched::Member;
use crate::sched::Scheduler;
use crate::sched::stats::Sources;
use crate::session::protocol::LeaseStatus;

/// How long to wait before each attempt to attach once more. What has stalled or failed twice fails a third time.
const RETRY_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// How long to wait for more CPUs after one has come: they come one by one.
const RENEW_AFTER: Duration = Duration::from_secs(1);

/// Who owns the scheduler, and what wakes it. Dropping it detaches.
pub struct Owner<'a> {
    options: &'a Options,
    roots: Roots,
    /// What wakes us: the scheduler's own descriptors come and go with it.
    pub wakes: Wakes,
    attached: Option<Attached>,
    /// After the scheduler, whose place they take.
    rivals: Rivals,
    holders: Holders,
    /// How often the kernel has ended the scheduler while the same people held it.
    nr_ends: usize,
    /// Why it is not attached again for them.
    given_up: Option<String>,
    /// As the first of those who hold it wanted it, also after that one has gone.
    tuned: Option<Tuned>,
}

impl<'a> Owner<'a> {
    /// Nothing attached, nobody who wants that.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn new(options: &'a Options, roots: Roots) -> anyhow::Result<Self> {
        let rivals = Rivals::new(roots.sysfs, roots.procfs, roots.state, options.on_conflict);
        Ok(Self {
            options,
            roots,
            wakes: Wakes::new()?,
            attached: None,
            rivals,
            holders: Holders::default(),
            nr_ends: 0,
            given_up: None,
            tuned: None,
        })
    }

    /// Puts back what an earlier scx_gamer that has died had stopped.
    pub fn recover(&mut self) {
        self.rivals.recover();
    }

    /// Attaches if need be, and if `is_wanted` at the beginning and when everything is loaded. Returns how long that took.
    ///
    /// # Errors
    /// Why not, in words for the player; nothing stays behind.
    pub fn attach(&mut self, tuned: Tuned, is_wanted: impl Fn() -> bool) -> Result<Duration, NotReady> {
        let started = Instant::now();
        if self.attached.is_none() {
            if !is_wanted() {
                return Err(NotReady::Unwanted);
            }
            let attached = self.take_over(&tuned, is_wanted).inspect_err(|_| self.put_rivals_back())?;
            (self.attached, self.tuned) = (Some(attached), Some(tuned));
        }
        Ok(started.elapsed())
    }

    /// Stops who is there, and attaches. What has failed leaves the former stopped.
    fn take_over(&mut self, tuned: &Tuned, is_wanted: impl Fn() -> bool) -> Result<Attached, NotReady> {
        let started = Instant::now();
        let machine = Machine::read(&tuned.tunables.primary_domain, self.roots.sysfs)?;
        self.rivals.recover();
        self.rivals.make_room()?;
        let scheduler = Scheduler::attach_while(&machine, &tuned.tunables, self.roots.sysfs, is_wanted)?;
        Ok(Attached::watch(scheduler, &tuned.events, self.options, &self.roots, &mut self.wakes, started)?)
    }

    /// Makes a process that was named in a terminal the game, and a family of its own.
    ///
    /// # Errors
    /// It is gone, or the kernel part refuses.
    pub fn play(&mut self, tgid: i32) -> anyhow::Result<()> {
        let uid = peer::uid_of(tgid, self.roots.procfs)?;
        let attached = self.attached.as_mut().context("BUG: no scheduler to play with")?;
        let ticket = self.holders.begin(&mut attached.scheduler, Peer { tgid, uid }, 0, self.roots.procfs)?;
        self.holders.set_foreground(&mut attached.scheduler, ticket, Some(tgid), self.roots.procfs);
        attached.scheduler.watch_locks();
        Ok(())
    }

    /// The kernel's name of the scheduler; `None` while there is none.
    pub fn scheduler_name(&self) -> Option<String> {
        self.attached.as_ref().map(|attached| attached.scheduler.name())
    }

    /// Who sees events.
    pub fn sources(&self) -> Sources {
        self.attached.as_ref().map(Attached::sources).unwrap_or_default()
    }

    /// Whether a lease is held, with a scheduler or without.
    pub fn is_held(&self) -> bool {
        !self.holders.is_empty()
    }

    /// Where /proc is.
    pub fn proc_root(&self) -> &Path {
        self.roots.procfs
    }

    /// Who has joined which holder's family since the last time.
    pub fn family_news(&self) -> Vec<(Ticket, Member)> {
        let Some(attached) = &self.attached else { return Vec::new() };
        let news = attached.scheduler.take_family_news();
        news.into_iter().filter_map(|member| Some((self.holders.ticket_of(member.lease)?, member))).collect()
    }

    /// Prints what has happened since the last time.
    pub fn print_metrics(&mut self) {
        if let Some(attached) = &mut self.attached {
            attached.print_metrics(self.roots.procfs);
        }
    }

    /// Answers who has asked for metrics or leases.
    pub fn serve_metrics(&mut self) {
        if let Some(attached) = &mut self.attached {
            attached.serve_metrics(self.roots.procfs, || self.holders.status(self.roots.procfs));
        }
    }

    /// Opens windows for what has happened. True if another source of frames is used from now on, which is logged.
    pub fn handle_events(&mut self) -> bool {
        self.attached.as_mut().is_some_and(Attached::handle_events)
    }

    /// Fails when a queued task has waited longer than the watchdog allows.
    ///
    /// # Errors
    /// That, in one sentence.
    pub fn check_progress(&self) -> anyhow::Result<()> {
        match (&self.attached, self.options.watchdog_secs) {
            (Some(attached), Some(limit_secs)) => attached.check_progress(limit_secs),
            _ => Ok(()),
        }
    }

    /// Watches the locks that a game waits for while there is one.
    pub fn watch_locks(&mut self) {
        if let Some(attached) = &mut self.attached {
            attached.scheduler.watch_locks();
        }
    }

    /// The same once whoever has asked for something has his answer.
    fn watch_locks_soon(&mut self) {
        if self.attached.is_some()
            && let Err(why) = self.wakes.once_after(Wake::Locks, Duration::from_nanos(1))
        {
            log::debug!("{why:#}");
            self.watch_locks();
        }
    }

    /// Hears what the kernel has to say. For new CPUs [`Wake::Renew`] follows; an end is returned, with what is left of
    /// the scheduler taken out.
    ///
    /// # Errors
    /// The kernel still reports a scheduler, or the process is out of descriptors.
    pub fn hear_kernel(&mut self) -> anyhow::Result<Option<End>> {
        let Some(attached) = &self.attached else { return Ok(None) };
        attached.scheduler.take_kernel_events();
        if attached.scheduler.end().is_none() {
            self.wakes.once_after(Wake::Renew, RENEW_AFTER)?;
            return Ok(None);
        }
        self.clear_away().map(Some)
    }

    /// Takes out what is left of a scheduler that the kernel has ended; returns why it has.
    ///
    /// # Errors
    /// The kernel still reports a scheduler.
    pub fn clear_away(&mut self) -> anyhow::Result<End> {
        let scheduler = self.attached.as_ref().map(|attached| &attached.scheduler);
        let end = scheduler.and_then(Scheduler::end).unwrap_or_else(End::without_reason);
        if let Some(scheduler) = scheduler {
            if self.options.verbosity > 0 {
                scheduler.print_dump();
            }
            self.holders.remember(scheduler, self.roots.procfs);
        }
        self.take_out()?;
        Ok(end)
    }

    /// Plans to attach once more for those who hold a lease, unless `end` is somebody's wish or it has happened too often.
    /// Returns in how long, or `None` when this is final.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn plan_retry(&mut self, is_wish: bool, why: &str) -> anyhow::Result<Option<Duration>> {
        let after = (!is_wish && self.is_held()).then(|| RETRY_AFTER.get(self.nr_ends).copied()).flatten();
        self.nr_ends += 1;
        match after {
            Some(after) => self.wakes.once_after(Wake::Retry, after)?,
            None => {
                self.given_up = Some(why.to_owned());
                self.put_rivals_back();
            }
        }
        Ok(after)
    }

    /// Attaches anew, to the machine as it is now, with everybody's family as it was.
    ///
    /// # Errors
    /// Why not; nothing is attached then.
    pub fn renew(&mut self) -> Result<Duration, NotReady> {
        if let Some(attached) = &self.attached {
            log::info!("the machine has CPUs that it had not when we attached; attaching anew");
            self.holders.remember(&attached.scheduler, self.roots.procfs);
            self.take_out()?;
        }
        self.attach_again()
    }

    /// Attaches once more for those who hold a lease, as it was tuned and with their families as they were, unless that
    /// has been done.
    ///
    /// # Errors
    /// Why not; nothing is attached then.
    pub fn attach_again(&mut self) -> Result<Duration, NotReady> {
        if let Some(Attached { took, .. }) = &self.attached {
            return Ok(*took);
        }
        let tuned = self.tuned.clone().unwrap_or_else(|| self.options.untuned());
        let took = self.attach(tuned, || true)?;
        let resumed =
            self.attached.as_mut().map(|attached| self.holders.resume(&mut attached.scheduler, self.roots.procfs));
        if let Some(Err(why)) = resumed {
            self.detach()?;
            return Err(why.into());
        }
        Ok(took)
    }

    /// Gives the machine back, if we have it, to who had it before.
    ///
    /// # Errors
    /// The kernel still reports a scheduler.
    pub fn detach(&mut self) -> anyhow::Result<()> {
        let had_it = self.attached.is_some() || self.rivals.has_stopped_one();
        self.take_out()?;
        if had_it {
            self.put_rivals_back();
        }
        Ok(())
    }

    /// What fails is told: it changes nothing about our own end.
    fn put_rivals_back(&mut self) {
        if let Err(why) = self.rivals.restore() {
            log::warn!("{why:#}");
        }
    }

    fn take_out(&mut self) -> anyhow::Result<()> {
        for timer in [Wake::Watchdog, Wake::Print, Wake::Retry, Wake::Renew, Wake::Locks] {
            self.wakes.cancel(timer);
        }
        self.wakes.forget_family();
        self.attached.take().map_or(Ok(()), Attached::detach)
    }

    /// Gives the machine back if nobody holds a lease any more.
    ///
    /// # Errors
    /// The kernel still reports a scheduler.
    pub fn detach_unless_held(&mut self) -> anyhow::Result<()> {
        if self.is_held() {
            return Ok(());
        }
        (self.nr_ends, self.given_up, self.tuned) = (0, None, None);
        self.detach()
    }
}

impl leases::Owner for Owner<'_> {
    fn tuned(&self, tuning: &BTreeMap<String, String>) -> Result<Tuned, String> {
        let tuned = self.options.tuned(tuning)?;
        check_domain(&tuned.tunables.primary_domain, self.roots.sysfs)?;
        Ok(tuned)
    }

    fn begin(&mut self, holder: Peer, wish: &Wish, is_wanted: &dyn Fn() -> bool) -> Result<Begun, NotReady> {
        self.holders.check_room(holder.uid)?;
        if let Some(why) = &self.given_up {
            return Err(NotReady::GivenUp { why: why.clone() });
        }
        if self.attached.is_none() && self.is_held() {
            // Others wait for it to come back: then it does so now, and they are told as if their time had come.
            self.attach_again()?;
            self.wakes.once_after(Wake::Retry, Duration::from_nanos(1))?;
        }
        let took = self.attach(wish.tuned.clone(), is_wanted)?;
        let attached = self.attached.as_mut().context("BUG: attached without a scheduler")?;
        let is_as_wished = self.tuned.as_ref() == Some(&wish.tuned);
        let begun = self.holders.begin(&mut attached.scheduler, holder, wish.since_boot_ns, self.roots.procfs);
        let ticket = match begun {
            Ok(ticket) => ticket,
            Err(why) => {
                self.detach_unless_held()?;
                return Err(why.into());
            }
        };
        let Sources { input, frame, .. } = self.sources();
        let scheduler = self.scheduler_name().unwrap_or_default();
        Ok(Begun { ticket, scheduler, took, input_source: input, frame_source: frame, is_as_wished })
    }

    fn end(&mut self, ticket: Ticket) {
        self.holders.end(ticket, self.attached.as_mut().map(|attached| &mut attached.scheduler));
        self.watch_locks_soon();
    }

    fn set_foreground(&mut self, ticket: Ticket, tgid: Option<i32>) -> bool {
        let Some(attached) = &mut self.attached else { return false };
        self.holders.set_foreground(&mut attached.scheduler, ticket, tgid, self.roots.procfs);
        self.watch_locks_soon();
        true
    }

    fn join(&mut self, ticket: Ticket, tgid: i32) {
        if let Some(attached) = &mut self.attached {
            self.holders.join(&mut attached.scheduler, ticket, tgid);
        }
    }

    fn leases(&self) -> Vec<LeaseStatus> {
        self.holders.status(self.roots.procfs)
    }

    fn proc_root(&self) -> &Path {
        self.roots.procfs
    }
}
