//! What is heard of the scheduler, and what the player is told of it.

use std::time::Duration;

use crate::game::tree::Identity;
use crate::wrapper::report::Failure;
use crate::wrapper::report::Message;
use crate::wrapper::report::Report;

/// What was heard.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum News {
    /// The scheduler stands.
    Attached {
        /// Its name in the kernel.
        scheduler: String,
        /// How long it took.
        after: Duration,
        /// Who sees what the player and the display do, in words; empty: scx_gamer does not say.
        sources: String,
    },
    /// Who sees frames from now on, in words.
    FrameSource(String),
    /// It will not stand.
    Failed(Failure),
    /// It stood and is gone.
    Lost(Failure),
    /// A request was refused.
    Refused(Failure),
    /// What was asked of the scheduler can't be had, and is no longer asked for.
    Untuned(String),
    /// Who is pinned now.
    Foreground(Option<i32>),
    /// These have joined the family or have become other programs; none: somebody has.
    Family(Vec<Identity>),
}

/// Tells `news`, as far as they need no more than words; returns at once.
pub fn tell(news: News, is_required: bool, report: &Report) {
    match news {
        News::Attached { scheduler, after, sources } => report.say(&Message::Attached { scheduler, after, sources }),
        News::FrameSource(source) => report.say(&Message::FrameSource(source)),
        News::Failed(why) if is_required => report.say(&Message::Required(why)),
        News::Failed(why) => report.say(&Message::NotScheduled(why)),
        News::Lost(why) => report.say(&Message::SchedulerLost(why)),
        News::Refused(why) => report.say(&Message::Refused(why)),
        News::Untuned(why) => report.say(&Message::BadValue(why)),
        News::Foreground(_) | News::Family(_) => {}
    }
}
