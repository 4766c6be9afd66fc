//! What `make install` and `make deb` put where, on directories of the test's own: needs no root and no systemd.

mod deb;
mod install;
mod manuals;
mod rig;
mod units;
