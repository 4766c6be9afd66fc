//! The machine as arrays for the BPF side: who shares what, who is strong, in which order to look for an idle CPU.
//!
//! [`describe`](self::describe) reads the kernel's view, everything after it is a function of that view.

mod cpu_list;
mod describe;
#[cfg(test)]
mod machines;
mod primary;
mod strength;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;

pub use self::describe::Cpu;
pub use self::describe::Description;
pub use self::primary::BadPrimaryDomain;
pub use self::primary::PrimaryDomain;
use super::skel::RawPlace;

/// Capacity of the machine's strongest CPU.
pub const CAPACITY_MAX: u32 = 1024;

/// Where a CPU stands in the machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// Another hardware thread of the same core; the CPU itself where there is none.
    pub sibling: u32,
    /// Index of its last-level cache.
    pub llc: u32,
    /// Index of its NUMA node.
    pub node: u32,
    /// Order of preference, of [`CAPACITY_MAX`]; on AMD it is a ranking and no speed.
    pub capacity: u32,
    /// In `--primary-domain`.
    pub is_primary: bool,
    /// Where the game belongs; every CPU where all are alike.
    pub is_strong: bool,
    /// Online when the machine was read; otherwise all of this is a guess.
    pub is_known: bool,
}

impl From<Place> for RawPlace {
    fn from(place: Place) -> Self {
        Self {
            sibling: place.sibling,
            llc: place.llc,
            node: place.node,
            capacity: place.capacity,
            is_primary: place.is_primary.into(),
            is_strong: place.is_strong.into(),
            is_known: place.is_known.into(),
            pad: 0,
        }
    }
}

/// What the BPF side is told about the machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Machine {
    /// By CPU number. Numbers without a CPU, and CPUs that are offline, have a place alone in the first cache.
    pub places: Vec<Place>,
    /// Every CPU number once, in the order to look for an idle CPU; see [`Machine::new`].
    pub scan_order: Vec<u16>,
    /// NUMA nodes that have CPUs.
    pub nr_nodes: usize,
    /// Last-level caches.
    pub nr_llcs: usize,
    /// Some CPUs are strong and others are not.
    pub is_asymmetric: bool,
    /// Some core has more than one hardware thread online.
    pub has_smt: bool,
}

impl Machine {
    /// Reads the machine as it is now: CPUs that come or go later are not in it.
    ///
    /// # Errors
    /// sysfs lacks what every kernel has, or [`BadPrimaryDomain`].
    pub fn read(primary: &PrimaryDomain, sysfs: &Path) -> anyhow::Result<Self> {
        Ok(Self::new(&Description::read(sysfs)?, primary)?)
    }

    /// CPUs where the game does not belong; none where all are alike.
    pub fn weak_cpus(&self) -> Vec<usize> {
        (0..self.places.len()).filter(|&cpu| !self.places[cpu].is_strong).collect()
    }

    /// The machine that `description` describes.
    ///
    /// Scan order: one thread of every core before any second thread, because an idle core beats half a busy one, be it
    /// a weaker core; among those the strong before the others, then by capacity, then by number. Keeping only the strong
    /// of them yields the game's order. CPUs that are offline come last.
    ///
    /// # Errors
    /// The domain names a CPU that does not exist, or none that is online.
    pub fn new(description: &Description, primary: &PrimaryDomain) -> Result<Self, BadPrimaryDomain> {
        let cpus = &description.cpus;
        let tiers = strength::tiers(cpus);
        let is_primary = primary.resolve(description, &tiers)?;
        let strong = strength::strong(cpus, &tiers, |cpu| is_primary[cpu.id]);
        let is_asymmetric = strong.contains(&false);
        let capacities = strength::capacities(cpus);
        let weakest = capacities.iter().copied().min().unwrap_or(CAPACITY_MAX);

        let absent = |id: usize| Place {
            sibling: id as u32,
            llc: 0,
            node: 0,
            capacity: weakest,
            is_primary: is_primary[id],
            is_strong: !is_asymmetric,
            is_known: false,
        };
        let mut places: Vec<Place> = (0..description.nr_cpu_ids).map(absent).collect();
        for (index, cpu) in cpus.iter().enumerate() {
            places[cpu.id] = Place {
                sibling: sibling_of(cpu, cpus),
                llc: cpu.llc as u32,
                node: cpu.node as u32,
                capacity: capacities[index],
                is_primary: is_primary[cpu.id],
                is_strong: strong[index],
                is_known: true,
            };
        }
        let threads = thread_indices(cpus);
        Ok(Self {
            scan_order: scan_order(&places, &threads),
            nr_nodes: cpus.iter().map(|cpu| cpu.node + 1).max().unwrap_or(1),
            nr_llcs: cpus.iter().map(|cpu| cpu.llc + 1).max().unwrap_or(1),
            is_asymmetric,
            has_smt: threads.values().any(|&thread| thread > 0),
            places,
        })
    }
}

/// The next thread of the core, and after the last one the first: with four threads a core all are reached.
fn sibling_of(cpu: &Cpu, cpus: &[Cpu]) -> u32 {
    let threads = || cpus.iter().filter(|other| other.core == cpu.core).map(|other| other.id);
    let next = threads().filter(|&id| id > cpu.id).min().or_else(|| threads().min());
    next.unwrap_or(cpu.id) as u32
}

/// The how-many-th thread of its core each CPU is.
fn thread_indices(cpus: &[Cpu]) -> BTreeMap<usize, usize> {
    let index = |cpu: &Cpu| cpus.iter().filter(|other| other.core == cpu.core && other.id < cpu.id).count();
    cpus.iter().map(|cpu| (cpu.id, index(cpu))).collect()
}

fn scan_order(places: &[Place], threads: &BTreeMap<usize, usize>) -> Vec<u16> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|&id| {
        let place = &places[id];
        (threads.get(&id).copied().unwrap_or(usize::MAX), !place.is_strong, Reverse(place.capacity), id)
    });
    order.into_iter().map(|id| id as u16).collect()
}
