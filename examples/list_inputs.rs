//! Prints every input device and whether its events would open a window: a table to put into a bug report.
//!
//! Opens the device files, which root and the group `input` may, and reads none of them.

use std::path::Path;

use anyhow::Context as _;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use evdev::raw_stream::RawDevice;
use scx_gamer_run::events::input::Kind;
use scx_gamer_run::events::input::device_files;

fn main() -> anyhow::Result<()> {
    let files = device_files(Path::new("/dev/input")).context("list /dev/input")?;
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["device", "name", "keys", "relative", "absolute", "sensor", "opens windows"]);
    for file in files {
        let path = file.display().to_string();
        match RawDevice::open(&file) {
            Ok(device) => table.add_row(row(path, &device)),
            Err(why) => table.add_row([path, why.to_string()]),
        };
    }
    println!("{table}");
    Ok(())
}

fn row(path: String, device: &RawDevice) -> [String; 7] {
    let kind = Kind::of(device);
    let yes_or_no = |is_so: bool| if is_so { "yes" } else { "no" }.to_owned();
    [
        path,
        device.name().unwrap_or("-").to_owned(),
        yes_or_no(kind.has_keys),
        yes_or_no(kind.is_relative),
        yes_or_no(kind.is_absolute),
        yes_or_no(kind.is_accelerometer),
        yes_or_no(kind.is_by_hand()),
    ]
}
