//! Which process is the game: a snapshot of the family, names that are never it, a pure choice, when to look again.
//!
//! The family is what descends from the wrapper's child, what the kernel part tells of it, and what carries the same marks
//! in its environment. Limit: without the kernel part a process whose parent left before we saw it is not found.

pub mod budget;
#[cfg(test)]
mod fake_proc;
pub mod lineage;
pub mod marks;
pub mod names;
mod neighbours;
pub mod proc;
pub mod score;
pub mod tree;
#[cfg(test)]
mod trees;
pub mod watch;
