//! Which CPUs are the strong ones: pure decisions about cores that are not alike.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::CAPACITY_MAX;
use super::describe::Cpu;

/// For each CPU of a description the kind of its core: 0 is the strongest.
pub type Tiers = Vec<usize>;

/// A core is of a weaker kind when the next stronger one is at least this much faster, in percent.
///
/// Cores of one kind form a gradient: preferred cores of Intel boost 3 to 6 % higher (i9-13900K: 5.8 to 5.5 GHz), the
/// plain CCD of a Ryzen 7950X3D 10 % higher than the one with more cache. Kinds differ by a step: 28 % between P and
/// E cores of that i9 (5.5 to 4.3 GHz), 52 % between E and LP-E cores of a Core Ultra 155H (3.8 to 2.5), 55 % between
/// Zen 5 and Zen 5c of a Ryzen HX 370 (5.1 to 3.3). Only neighbours are compared: small differences do not add up.
const STEP_PCT: usize = 120;

/// A cache counts as larger from this much on, in percent. Where CCDs differ it is by twice (Ryzen HX 370: 16 to 8 MiB)
/// or three times (X3D: 96 to 32); a way that was fused off is no reason to crowd the game onto one of them.
const LARGER_CACHE_PCT: usize = 150;

/// The game is not confined to fewer cores than this: its main thread, its render thread, the driver's and one worker
/// run at the same time, and two threads of one core are no substitute. Where the strongest kind has fewer, such as
/// two P cores beside eight E cores, the next kind counts as strong too.
const STRONG_CORES_MIN: usize = 4;

/// Sorts the cores into kinds.
///
/// The kernel's capacity is believed if it tells CPUs apart, else frequencies are compared. The guess of scx_utils is
/// not: on AMD it is the ranking of preferred cores, which spans 236 to 166 on a 7950X whose cores are all the same.
/// Intel's efficiency cores are known by name and always a kind of their own: where a board pins the firmware's figures,
/// as overclocking does, frequencies are all there is, and a Core Ultra 285K's E cores come within 20 % of its P cores.
pub fn tiers(cpus: &[Cpu]) -> Tiers {
    let speeds = speeds(cpus);
    let mut fastest: BTreeMap<usize, (bool, Reverse<usize>)> = BTreeMap::new();
    for (cpu, &speed) in cpus.iter().zip(&speeds) {
        let key = (cpu.is_efficiency, Reverse(speed));
        fastest.entry(cpu.core).and_modify(|core| *core = key.min(*core)).or_insert(key);
    }
    let mut cores: Vec<_> = fastest.into_iter().map(|(core, key)| (key, core)).collect();
    cores.sort_unstable();

    let mut tier = 0;
    let mut tier_of = BTreeMap::new();
    for (index, &((is_efficiency, Reverse(speed)), core)) in cores.iter().enumerate() {
        if let Some(&((stronger_is_efficiency, Reverse(stronger)), _)) =
            index.checked_sub(1).map(|before| &cores[before])
            && (stronger_is_efficiency != is_efficiency || stronger * 100 >= speed * STEP_PCT)
        {
            tier += 1;
        }
        tier_of.insert(core, tier);
    }
    cpus.iter().map(|cpu| tier_of[&cpu.core]).collect()
}

/// Whether each CPU is of the stronger kinds: as many kinds as it takes to have [`STRONG_CORES_MIN`] cores.
pub fn is_big(cpus: &[Cpu], tiers: &Tiers) -> Vec<bool> {
    strong_kinds(cpus, tiers, &vec![true; cpus.len()])
}

/// Where the game belongs: of the stronger kinds of cores those with the largest cache; all where there is no difference.
///
/// The kind comes first: a fast core gains every thread, a large cache those that miss. A primary domain that leaves out
/// too many of them has the last word, and the choice is made among its own CPUs.
pub fn strong(cpus: &[Cpu], tiers: &Tiers, is_primary: impl Fn(&Cpu) -> bool) -> Vec<bool> {
    let choose = |admitted: &[bool]| with_largest_cache(cpus, strong_kinds(cpus, tiers, admitted));
    let strong = choose(&vec![true; cpus.len()]);
    let primary: Vec<bool> = cpus.iter().map(is_primary).collect();
    let common: Vec<bool> = strong.iter().zip(&primary).map(|(strong, primary)| strong & primary).collect();
    let is_left_enough = !strong.contains(&false) || nr_cores(cpus, &common) >= STRONG_CORES_MIN;
    if is_left_enough { strong } else { choose(&primary) }
}

fn strong_kinds(cpus: &[Cpu], tiers: &Tiers, admitted: &[bool]) -> Vec<bool> {
    let weakest = tiers.iter().copied().max().unwrap_or(0);
    let up_to = |last: usize| -> Vec<bool> {
        tiers.iter().zip(admitted).map(|(tier, is_in)| *is_in && *tier <= last).collect()
    };
    let enough = (0..=weakest).map(up_to).find(|chosen| nr_cores(cpus, chosen) >= STRONG_CORES_MIN);
    enough.unwrap_or_else(|| admitted.to_vec())
}

/// Those of the chosen whose last-level cache is about the largest, if they are enough and all sizes are known.
fn with_largest_cache(cpus: &[Cpu], chosen: Vec<bool>) -> Vec<bool> {
    let sizes = || cpus.iter().zip(&chosen).filter(|(_, is_in)| **is_in).map(|(cpu, _)| cpu.llc_bytes);
    let largest = sizes().max().unwrap_or(0);
    if sizes().any(|bytes| bytes == 0) {
        return chosen;
    }
    let is_large = |cpu: &Cpu| largest * 100 < cpu.llc_bytes * LARGER_CACHE_PCT;
    let kept: Vec<bool> = cpus.iter().zip(&chosen).map(|(cpu, is_in)| *is_in && is_large(cpu)).collect();
    if nr_cores(cpus, &kept) >= STRONG_CORES_MIN { kept } else { chosen }
}

fn nr_cores(cpus: &[Cpu], chosen: &[bool]) -> usize {
    let cores = cpus.iter().zip(chosen).filter(|(_, is_in)| **is_in).map(|(cpu, _)| cpu.core);
    cores.collect::<BTreeSet<_>>().len()
}

/// In which order CPUs are preferred, the first at [`CAPACITY_MAX`]. What the kernel does not know counts as best.
pub fn capacities(cpus: &[Cpu]) -> Vec<u32> {
    let kernel: Vec<usize> = cpus.iter().map(|cpu| cpu.kernel_capacity).collect();
    let guessed: Vec<usize> = cpus.iter().map(|cpu| cpu.guessed_capacity).collect();
    let source = if tells_apart(&kernel) { kernel } else { guessed };
    let best = source.iter().copied().max().unwrap_or(0);
    let scale = |capacity: usize| match capacity {
        0 => CAPACITY_MAX,
        known => (known * CAPACITY_MAX as usize / best) as u32,
    };
    source.into_iter().map(scale).collect()
}

/// How fast each CPU is, in the unit of whichever source tells CPUs apart; all the same where none does.
fn speeds(cpus: &[Cpu]) -> Vec<usize> {
    let kernel: Vec<usize> = cpus.iter().map(|cpu| cpu.kernel_capacity).collect();
    let frequency: Vec<usize> = cpus.iter().map(|cpu| cpu.max_freq_khz).collect();
    [kernel, frequency].into_iter().find(|source| tells_apart(source)).unwrap_or_else(|| vec![1; cpus.len()])
}

fn tells_apart(values: &[usize]) -> bool {
    !values.contains(&0) && values.iter().any(|value| *value != values[0])
}
