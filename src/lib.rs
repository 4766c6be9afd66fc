//! Gives a game its own sched_ext scheduler while it runs, and the machine its old one back afterwards.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`events`] | what the player and the display do, as it reaches the scheduler |
//! | [`files`] | small files, read without waiting |
//! | [`game`] | which process is the game |
//! | [`kernel`] | what the running kernel says of sched_ext, for both sides |
//! | [`sched`] | the BPF scheduler as one Rust value: attaching makes it, dropping it detaches |
//! | [`service`] | root's side: who holds the scheduler, and for how long |
//! | [`session`] | the wire between the player's side and root's side |
//! | [`wrapper`] | the player's side: lease, game, exit status |

pub mod events;
pub mod files;
pub mod game;
pub mod kernel;
pub mod sched;
pub mod service;
pub mod session;
pub mod wrapper;
