//! Serves sessions: the one that the wrapper hands to its child, or those of whoever connects to the service.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::time::Duration;
use std::time::Instant;

use super::access::Access;
use super::leases::Next;
use super::leases::Session;
use super::listen::Listener;
use super::owner::Owner;
use super::peer::Peer;
use super::wake::Wake;
use crate::kernel::NotReady;
use crate::session::protocol::ErrorKind;
use crate::session::transport::Transport;

/// Most connections at a time, with a lease or without.
const SESSIONS_MAX: usize = 128;

/// Most of them of one user.
const SESSIONS_OF_USER_MAX: usize = 16;

/// How many are let in before others have their turn.
const CLIENTS_PER_TURN: usize = 8;

/// How often to look for who is idle, while there is anybody without a lease.
const IDLE_LOOK: Duration = Duration::from_secs(10);

/// How long a client without a lease may be silent, and how long we stay without any.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Who is served.
pub struct Clients {
    /// Where more come from; without one there is the wrapper that started us, and we end with it.
    door: Option<Door>,
    sessions: BTreeMap<u32, Session>,
    nr_sessions_ever: u32,
    idle_since: Instant,
    is_idle_looked_for: bool,
}

struct Door {
    listener: Listener,
    access: Access,
    /// Not listened at for a moment, because no more could be let in.
    is_shut: bool,
}

impl Clients {
    /// The wrapper that has started us.
    pub fn parent(session: Session) -> Self {
        Self { sessions: BTreeMap::from([(0, session)]), ..Self::nobody(None) }
    }

    /// Whoever connects and may.
    pub fn of_service(listener: Listener, access: Access) -> Self {
        Self::nobody(Some(Door { listener, access, is_shut: false }))
    }

    fn nobody(door: Option<Door>) -> Self {
        let idle_since = Instant::now();
        Self { door, sessions: BTreeMap::new(), nr_sessions_ever: 0, idle_since, is_idle_looked_for: false }
    }

    /// Serves until a signal, until the wrapper that started us has gone, or until nobody comes any more.
    ///
    /// # Errors
    /// The wrapper has lost the scheduler for good, or the kernel does not give the machine back.
    pub fn serve(mut self, owner: &mut Owner<'_>) -> anyhow::Result<()> {
        if let Some(door) = &self.door {
            owner.wakes.add(door.listener.as_fd(), Wake::Client)?;
        }
        for (&id, session) in &self.sessions {
            owner.wakes.add(session.as_fd(), Wake::Session(id))?;
        }
        loop {
            self.look_for_idle(owner)?;
            match owner.wakes.wait()? {
                Wake::Signal => {
                    self.tell_end("scx_gamer was told to stop", None);
                    return owner.detach();
                }
                Wake::Client => self.let_in(owner)?,
                Wake::Session(id) => self.answer(id, owner)?,
                Wake::Idle => self.let_idle_go(owner)?,
                Wake::Kernel => {
                    if let Some(end) = owner.hear_kernel()? {
                        self.lose(end.is_wish, &format!("the kernel ended the scheduler: {}", end.reason), owner)?;
                    }
                }
                Wake::Watchdog => {
                    if let Err(why) = owner.check_progress() {
                        owner.clear_away()?;
                        self.lose(false, &why.to_string(), owner)?;
                    }
                }
                Wake::Retry => self.tell_back(owner.attach_again(), owner)?,
                Wake::Renew => self.tell_back(owner.renew(), owner)?,
                Wake::Locks => owner.watch_locks(),
                Wake::Print => owner.print_metrics(),
                Wake::Metrics => owner.serve_metrics(),
                Wake::Event => {
                    if owner.handle_events() {
                        let sources = owner.sources();
                        self.sessions.values().for_each(|session| session.tell_frame_source(&sources));
                    }
                }
                Wake::Family => {
                    let news = owner.family_news();
                    self.sessions.values().for_each(|session| session.tell_family(&news, owner.proc_root()));
                }
                Wake::Rested => {}
            }
            if self.is_over() {
                return owner.detach();
            }
        }
    }

    /// The wrapper that started us has gone, or nobody has come for a while and systemd starts us again for the next one.
    fn is_over(&self) -> bool {
        match &self.door {
            None => self.sessions.is_empty(),
            Some(door) => {
                door.listener.is_handed_over() && self.sessions.is_empty() && self.idle_since.elapsed() >= IDLE_MAX
            }
        }
    }

    fn let_in(&mut self, owner: &mut Owner<'_>) -> anyhow::Result<()> {
        for _ in 0..CLIENTS_PER_TURN {
            let Some(door) = &mut self.door else { return Ok(()) };
            match door.listener.accept() {
                Ok(Some(transport)) => self.admit(transport, owner)?,
                Ok(None) => return Ok(()),
                Err(error) => {
                    log::warn!("nobody is let in for a while: {error}");
                    owner.wakes.remove(door.listener.as_fd());
                    door.is_shut = true;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Opens a session with who may have one; everybody else is told why not.
    fn admit(&mut self, transport: Transport, owner: &mut Owner<'_>) -> anyhow::Result<()> {
        let peer = match Peer::of(&transport) {
            Ok(peer) => peer,
            Err(why) => {
                log::debug!("{why:#}");
                return Ok(());
            }
        };
        let of_user = self.sessions.values().filter(|session| session.peer().uid == peer.uid).count();
        // Root finds room beside however many others.
        if of_user >= SESSIONS_OF_USER_MAX || (self.sessions.len() >= SESSIONS_MAX && peer.uid != 0) {
            let message =
                format!("there are {} connections, {of_user} of them user {}'s", self.sessions.len(), peer.uid);
            Session::new(transport, peer).refuse(ErrorKind::Limit, message, None);
            return Ok(());
        }
        if let Some(Door { access, .. }) = &self.door
            && !access.allows(peer, &transport)
        {
            let (message, hint) = access.refusal(peer);
            log::debug!("process {} is not served: {message}", peer.tgid); // debug: anybody may fill our log with these
            Session::new(transport, peer).refuse(ErrorKind::Denied, message, Some(hint));
            return Ok(());
        }
        let session = Session::new(transport, peer);
        self.nr_sessions_ever = self.nr_sessions_ever.wrapping_add(1);
        let id = self.nr_sessions_ever;
        owner.wakes.add(session.as_fd(), Wake::Session(id))?;
        self.sessions.insert(id, session);
        Ok(())
    }

    fn answer(&mut self, id: u32, owner: &mut Owner<'_>) -> anyhow::Result<()> {
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        match session.answer(owner) {
            Next::Go => Ok(()),
            next => self.end(id, next == Next::Released, owner),
        }
    }

    /// Ends a session and its lease, and with the last lease the scheduler.
    fn end(&mut self, id: u32, tell: bool, owner: &mut Owner<'_>) -> anyhow::Result<()> {
        let Some(mut session) = self.sessions.remove(&id) else { return Ok(()) };
        session.release(owner);
        owner.detach_unless_held()?;
        if tell {
            session.tell_released(owner.is_held());
        }
        self.idle_since = Instant::now();
        Ok(())
    }

    /// Tells everybody that the scheduler is gone, and plans for it to come back.
    fn lose(&mut self, is_wish: bool, why: &str, owner: &mut Owner<'_>) -> anyhow::Result<()> {
        let retry = owner.plan_retry(is_wish, why)?;
        match retry {
            Some(after) => log::error!("{why}; it is attached again in {} s", after.as_secs()),
            None => log::error!("{why}; it is not attached again for those who hold a lease now"),
        }
        self.tell_end(why, retry);
        // A child has nothing else to serve: its end, with the reason, is the wrapper's to tell.
        match (&self.door, retry) {
            (None, None) => Err(anyhow::anyhow!("{why}")),
            _ => Ok(()),
        }
    }

    /// Tells everybody that the scheduler is there again, or plans for another attempt.
    fn tell_back(&mut self, outcome: Result<Duration, NotReady>, owner: &mut Owner<'_>) -> anyhow::Result<()> {
        match outcome {
            Ok(took) => {
                let (name, sources) = (owner.scheduler_name().unwrap_or_default(), owner.sources());
                log::info!("attached {name} again in {} ms", took.as_millis());
                self.sessions.values().for_each(|session| session.tell_back(&name, took, &sources));
                Ok(())
            }
            Err(why) => {
                owner.detach()?;
                self.lose(false, &format!("it could not be attached again: {why}"), owner)
            }
        }
    }

    fn tell_end(&self, why: &str, retry: Option<Duration>) {
        self.sessions.values().for_each(|session| session.tell_end(why, retry));
    }

    /// Has a timer run while there is anybody who could be idle. Who holds a lease may be as silent as he likes.
    fn look_for_idle(&mut self, owner: &mut Owner<'_>) -> anyhow::Result<()> {
        let Some(door) = &self.door else { return Ok(()) };
        let may_be_idle = door.is_shut
            || self.sessions.values().any(|session| session.ticket().is_none())
            || self.sessions.is_empty() && door.listener.is_handed_over();
        if may_be_idle && !self.is_idle_looked_for {
            owner.wakes.once_after(Wake::Idle, IDLE_LOOK)?;
            self.is_idle_looked_for = true;
        }
        Ok(())
    }

    fn let_idle_go(&mut self, owner: &mut Owner<'_>) -> anyhow::Result<()> {
        self.is_idle_looked_for = false;
        let is_idle = |session: &Session| session.ticket().is_none() && session.heard().elapsed() >= IDLE_MAX;
        let idle: Vec<u32> = self.sessions.iter().filter(|(_, session)| is_idle(session)).map(|(&id, _)| id).collect();
        for id in idle {
            self.end(id, false, owner)?;
        }
        if let Some(door) = &mut self.door
            && door.is_shut
        {
            owner.wakes.add(door.listener.as_fd(), Wake::Client)?;
            door.is_shut = false;
        }
        Ok(())
    }
}
