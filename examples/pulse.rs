//! One thread that wakes up regularly and works for a moment: the smallest interactive program.

#[path = "support/spin.rs"]
#[allow(dead_code)]
mod spin;

use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use clap::Parser;

/// Wake up regularly and work for a moment, until killed
#[derive(Parser)]
struct Options {
    /// Sleep this long between two pieces of work, in microseconds
    #[arg(long, value_name = "USEC", default_value_t = 5000)]
    sleep_us: u64,

    /// Work for about this long, in microseconds
    #[arg(long, value_name = "USEC", default_value_t = 100)]
    work_us: u64,
}

fn main() {
    let options = Options::parse();
    loop {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_micros(options.work_us) {
            spin::spin(1000);
        }
        sleep(Duration::from_micros(options.sleep_us));
    }
}
