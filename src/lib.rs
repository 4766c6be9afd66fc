//! Gives a game its own sched_ext scheduler while it runs, and the machine its old one back afterwards.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`game`] | which process is the game |
//! | [`session`] | the wire between the player's side and root's side |

pub mod game;
pub mod session;
