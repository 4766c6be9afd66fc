//! Prints what we make of this machine: a table to put into a bug report.
//!
//! `list_topology [DOMAIN]`, where DOMAIN is what `--primary-domain` takes. The machine recorded below a directory, as
//! `SCX_SYSFS_PREFIX=DIRECTORY` names it, is read instead of this one.

use std::path::Path;

use anyhow::Context as _;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use scx_gamer_run::sched::topology::Machine;
use scx_gamer_run::sched::topology::PrimaryDomain;

fn main() -> anyhow::Result<()> {
    let domain = std::env::args().nth(1).map_or(Ok(PrimaryDomain::All), |domain| domain.parse())?;
    let sysfs = format!("{}/sys", *scx_utils::ROOT_PREFIX);
    let machine = Machine::read(&domain, Path::new(&sysfs)).context("read this machine")?;
    println!("{}\n{}", table_of(&machine), summary_of(&machine));
    Ok(())
}

fn table_of(machine: &Machine) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["CPU", "sibling", "LLC", "node", "capacity", "primary", "strong", "rank"]);
    for (rank, &cpu) in machine.scan_order.iter().enumerate() {
        let place = &machine.places[usize::from(cpu)];
        let sibling = if place.sibling == u32::from(cpu) { "-".to_owned() } else { place.sibling.to_string() };
        table.add_row([
            cpu.to_string(),
            sibling,
            place.llc.to_string(),
            place.node.to_string(),
            place.capacity.to_string(),
            yes_or_no(place.is_primary).to_owned(),
            yes_or_no(place.is_strong).to_owned(),
            rank.to_string(),
        ]);
    }
    table
}

fn summary_of(machine: &Machine) -> String {
    format!(
        "nodes: {}, last-level caches: {}, SMT: {}, strong and weak CPUs: {}",
        machine.nr_nodes,
        machine.nr_llcs,
        yes_or_no(machine.has_smt),
        yes_or_no(machine.is_asymmetric)
    )
}

fn yes_or_no(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}
