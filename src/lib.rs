//! Gives a game its own sched_ext scheduler while it runs, and the machine its old one back afterwards.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`game`] | which process is the game |
//! | [`session`] | the wire between the player's side and root's side |
//! | [`wrapper`] | the player's side: lease, game, exit status |

pub mod game;
pub mod session;
pub mod wrapper;
