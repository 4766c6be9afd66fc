//! Other schedulers: a private bus with a fake scx_loader or systemd on it, whose schedulers are files. Needs no root,
//! no sched_ext, and nothing of this machine's but dbus-daemon.

mod bus;
mod fake_loader;
mod fake_systemd;
mod loaders;
mod machine;
mod others;
mod services;
