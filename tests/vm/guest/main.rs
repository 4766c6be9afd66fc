//! Tests that need a sched_ext kernel. They run in the test VM only, as root, one at a time: `tests/vm/ring`.
//! Those in `refused` run where sched_ext is missing or broken, all others where it works.

mod boost;
mod cost;
mod crowd;
mod direct;
mod family;
mod frames;
mod hotplug;
mod input;
mod load;
mod metrics;
mod place;
mod policy;
mod record;
mod refused;
mod running;
mod support;
mod windows;
mod workers;
mod wrapped;
