//! What the kernel says about each CPU: the edge of this module, nothing is decided here.

use std::path::Path;

use anyhow::Context as _;
use scx_utils::Topology;
use scx_utils::misc::read_file_byte;
use scx_utils::read_cpulist;

/// An id of scx_utils that means: the kernel does not say.
const UNKNOWN_CACHE: usize = usize::MAX;

/// Performance counters of the efficiency cores; a hybrid Intel machine lists those cores below them.
const EFFICIENCY_PMUS: [&str; 2] = ["cpu_atom", "cpu_lowpower"];

/// An online CPU. Zero stands for what the kernel does not say, as in most virtual machines.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cpu {
    /// Its number.
    pub id: usize,
    /// Which core it is a thread of; different in the whole machine.
    pub core: usize,
    /// Which last-level cache it uses, from 0 without gaps.
    pub llc: usize,
    /// Which NUMA node it is in, from 0 without gaps.
    pub node: usize,
    /// The kernel's own capacity, which is a speed: Arm, and Intel hybrids without SMT.
    pub kernel_capacity: usize,
    /// scx_utils' best guess: on AMD the ranking of preferred cores, else firmware's figure or a frequency.
    pub guessed_capacity: usize,
    /// Highest frequency.
    pub max_freq_khz: usize,
    /// Size of its last-level cache.
    pub llc_bytes: usize,
    /// An Intel E or LP-E core.
    pub is_efficiency: bool,
}

/// All CPUs of a machine.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Description {
    /// Highest CPU number, present or not, plus one.
    pub nr_cpu_ids: usize,
    /// Those that are online, by number.
    pub cpus: Vec<Cpu>,
}

impl Description {
    /// Asks the kernel.
    pub fn read(sysfs: &Path) -> anyhow::Result<Self> {
        let topology = Topology::new().context("read the machine's topology")?;
        let mut cpus = describe(&topology, |cpu| llc_bytes(cpu, sysfs));
        for cpu in efficiency_cpus(sysfs) {
            cpus.iter_mut().filter(|other| other.id == cpu).for_each(|other| other.is_efficiency = true);
        }
        Ok(Self { nr_cpu_ids: *scx_utils::NR_CPU_IDS, cpus })
    }
}

/// The ids of scx_utils have gaps where nodes have memory only and where CPUs are offline.
fn describe(topology: &Topology, llc_bytes: impl Fn(&scx_utils::Cpu) -> usize) -> Vec<Cpu> {
    let mut cpus = Vec::new();
    let (mut nr_llcs, mut nr_cores) = (0, 0);
    let nodes = topology.nodes.values().filter(|node| !node.llcs.is_empty());
    for (node, found) in nodes.enumerate() {
        for llc in found.llcs.values() {
            for core in llc.cores.values() {
                cpus.extend(core.cpus.values().map(|cpu| Cpu {
                    id: cpu.id,
                    core: nr_cores,
                    llc: nr_llcs,
                    node,
                    kernel_capacity: cpu.kernel_cpu_capacity.unwrap_or(0),
                    guessed_capacity: cpu.cpu_capacity,
                    max_freq_khz: cpu.max_freq,
                    llc_bytes: llc_bytes(cpu),
                    is_efficiency: false,
                }));
                nr_cores += 1;
            }
            nr_llcs += 1;
        }
    }
    cpus.sort_by_key(|cpu| cpu.id);
    cpus
}

/// Size of the cache that scx_utils takes for the last one. It knows sizes by CPU only, all levels added up.
fn llc_bytes(cpu: &scx_utils::Cpu, sysfs: &Path) -> usize {
    let index = match (cpu.l3_id, cpu.l2_id) {
        (UNKNOWN_CACHE, UNKNOWN_CACHE) => return 0,
        (UNKNOWN_CACHE, _) => 2,
        _ => 3,
    };
    let path = format!("devices/system/cpu/cpu{}/cache/index{index}/size", cpu.id);
    read_file_byte(&sysfs.join(path)).unwrap_or(0)
}

fn efficiency_cpus(sysfs: &Path) -> impl Iterator<Item = usize> {
    let lists = EFFICIENCY_PMUS.map(|pmu| std::fs::read_to_string(sysfs.join("devices").join(pmu).join("cpus")));
    lists.into_iter().flatten().filter_map(|list| read_cpulist(&list).ok()).flatten()
}
