//! The wire between the player's side and root's side: a connection *is* a lease on the scheduler.

pub mod protocol;
pub mod transport;
