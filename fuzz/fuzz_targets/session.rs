//! A client of the service that says anything, a datagram a line.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| scx_gamer_run::service::rehearse(bytes.split(|byte| *byte == b'\n')));
