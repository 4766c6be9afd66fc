//! Tests that need a sched_ext kernel. They run in the test VM only, as root, one at a time: `tests/vm/ring`.
//! Those in `refused` run where sched_ext is missing or broken, all others where it works.

#[path = "../../../examples/support/game.rs"]
#[allow(dead_code, reason = "shared with the benchmark")]
mod game;

mod boost;
mod cost;
mod crowd;
mod direct;
mod family;
mod frames;
mod guards;
mod hotplug;
mod input;
mod kills;
mod load;
mod load_failures;
mod metrics;
mod pins;
mod place;
mod policy;
mod record;
mod refused;
mod rivals;
mod roles;
mod running;
mod service;
mod status;
mod support;
mod suspend;
mod system;
mod users;
mod windows;
mod wine;
mod workers;
mod wrapped;
