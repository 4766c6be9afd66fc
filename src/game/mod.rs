//! Which process is the game: a snapshot of the family, names that are never it, a pure choice, when to look again.
//!
//! Limit: the family is followed by parent links. A process whose parent left before we saw it is not found here.

pub mod names;
pub mod score;
pub mod tree;
#[cfg(test)]
mod trees;
pub mod watch;
