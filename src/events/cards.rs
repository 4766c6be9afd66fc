//! The cards that are listened to, as they come and go, and what was asked of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

use nix::sys::epoll::Epoll;
use nix::sys::epoll::EpollEvent;
use nix::sys::epoll::EpollFlags;

use super::Origin;
use super::card;
use super::card::Card;
use super::card::Crtc;
use super::card::Purpose;
use super::frame::CrtcId;

/// Open cards.
pub struct Cards {
    dev_dri: PathBuf,
    only: Option<u32>,
    open: Vec<Card>,
    /// What was asked and has not come: nothing is asked twice, or it would come twice for ever.
    asked: BTreeSet<(CrtcId, Purpose)>,
}

impl Cards {
    /// None yet; later those in `dev_dri`, or `only` the one with that number.
    pub fn new(dev_dri: &Path, only: Option<u32>) -> Self {
        Self { dev_dri: dev_dri.to_owned(), only, open: Vec::new(), asked: BTreeSet::new() }
    }

    /// Opens those that have come, and closes those that have gone.
    pub fn find(&mut self, epoll: &Epoll) {
        let there = card::numbers(&self.dev_dri).unwrap_or_default();
        while let Some(gone) = self.open.iter().position(|card| !there.contains(&card.number())) {
            self.close(gone);
        }
        let only = self.only;
        for number in there.into_iter().filter(|number| only.is_none_or(|only| only == *number)) {
            if self.open.iter().any(|card| card.number() == number) {
                continue;
            }
            match Card::open(&self.dev_dri, number) {
                Ok(card) => {
                    let _ = epoll.add(&card, EpollEvent::new(EpollFlags::EPOLLIN, Origin::Card(number).token()));
                    self.open.push(card);
                }
                Err(why) => log::debug!("card{number} is not listened to: {why}"),
            }
        }
    }

    /// True if there are cards that we were told not to listen to: the tracepoint would mix theirs with ours.
    pub fn has_strangers(&self) -> bool {
        self.only.is_some() && card::numbers(&self.dev_dri).is_ok_and(|numbers| numbers.len() > 1)
    }

    /// All CRTCs of all of them.
    pub fn crtcs(&self) -> impl Iterator<Item = Crtc> {
        self.open.iter().flat_map(|card| card.crtcs().unwrap_or_default())
    }

    /// Asks for a vblank. A CRTC that is off, or has none, refuses: it will not be heard then.
    pub fn ask(&mut self, crtc: CrtcId, purpose: Purpose) {
        if self.asked.contains(&(crtc, purpose)) {
            return;
        }
        let Some(card) = self.open.iter().find(|card| card.number() == crtc.card) else { return };
        match card.ask(crtc.crtc, purpose) {
            Ok(()) => {
                self.asked.insert((crtc, purpose));
            }
            Err(why) => log::trace!("{crtc} tells of no vblank: {why}"),
        }
    }

    /// What card `number` has to tell; one that is gone has nothing.
    pub fn take(&mut self, number: u32) -> Vec<(CrtcId, Purpose)> {
        let Some(position) = self.open.iter().position(|card| card.number() == number) else { return Vec::new() };
        let events = match self.open[position].take() {
            Ok(events) => events,
            Err(why) => {
                log::debug!("card{number} is gone: {why}");
                self.close(position);
                return Vec::new();
            }
        };
        let told: Vec<_> = events.into_iter().map(|(crtc, purpose)| (CrtcId { card: number, crtc }, purpose)).collect();
        for event in &told {
            self.asked.remove(event);
        }
        told
    }

    fn close(&mut self, position: usize) {
        let number = self.open.remove(position).number();
        self.asked.retain(|(crtc, _)| crtc.card != number);
    }
}
