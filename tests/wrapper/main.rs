//! Runs the real scx-gamer-run with a fake scx_gamer beside it: what a player and a launcher rely on, without a kernel
//! that could schedule anything.

mod contract;
mod family;
mod hook;
mod questions;
mod rig;
mod service;
mod session;
mod signals;
mod status;
