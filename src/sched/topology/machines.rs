//! Machines for tests: what `lscpu -e` and sysfs show on them, with the numbers that their makers publish.

use super::describe::Cpu;
use super::describe::Description;

const MIB: usize = 1 << 20;

/// CPUs added group by group; what the kernel does not say is 0.
#[derive(Default)]
struct Builder {
    cpus: Vec<Cpu>,
}

impl Builder {
    /// CPUs of consecutive numbers that look like `like`; `core` tells of which core each number is a thread.
    fn cpus(mut self, ids: std::ops::Range<usize>, core: impl Fn(usize) -> usize, like: &Cpu) -> Self {
        self.cpus.extend(ids.map(|id| Cpu { id, core: core(id), ..like.clone() }));
        self
    }

    fn change(mut self, change: impl Fn(&mut Cpu)) -> Self {
        self.cpus.iter_mut().for_each(change);
        self
    }

    fn build(self) -> Description {
        Description { nr_cpu_ids: self.cpus.iter().map(|cpu| cpu.id + 1).max().unwrap_or(0), cpus: self.cpus }
    }
}

/// What scx_utils makes of frequencies: 1024 for the highest.
fn guess_from_frequency(cpu: &mut Cpu, highest_mhz: usize) {
    cpu.guessed_capacity = cpu.max_freq_khz / 1000 * 1024 / highest_mhz;
}

fn mhz(mhz: usize) -> Cpu {
    Cpu { max_freq_khz: mhz * 1000, ..Cpu::default() }
}

/// Intel i9-13900K, 8 P cores with two threads and 16 E cores on one L3 of 36 MiB. `lscpu -e`: CPUs 0-15 are P, two by two,
/// 5500 MHz but cores 4 and 5 with 5800; 16-31 are E, 4300. Firmware figures pinned at 255, as by overclocking boards.
pub fn i9_13900k() -> Description {
    let efficiency = Cpu { is_efficiency: true, ..mhz(4300) };
    Builder::default()
        .cpus(0..8, |id| id / 2, &mhz(5500))
        .cpus(8..12, |id| id / 2, &mhz(5800))
        .cpus(12..16, |id| id / 2, &mhz(5500))
        .cpus(16..32, |id| id - 8, &efficiency)
        .change(|cpu| cpu.llc_bytes = 36 * MIB)
        .change(|cpu| guess_from_frequency(cpu, 5800))
        .build()
}

/// Intel Core Ultra 9 285K: 8 P cores and 16 E cores without SMT, 36 MiB. 5500 MHz, two P cores 5700, E cores 4600.
pub fn core_ultra_285k() -> Description {
    let efficiency = Cpu { is_efficiency: true, ..mhz(4600) };
    Builder::default()
        .cpus(0..6, |id| id, &mhz(5500))
        .cpus(6..8, |id| id, &mhz(5700))
        .cpus(8..24, |id| id, &efficiency)
        .change(|cpu| cpu.llc_bytes = 36 * MIB)
        .change(|cpu| guess_from_frequency(cpu, 5700))
        .build()
}

/// Intel Core Ultra 7 155H (Meteor Lake): 6 P cores with two threads (CPUs 0-11, 4500 MHz and two of 4800), 8 E cores
/// (3800) on an L3 of 24 MiB; 2 LP-E cores (2500) on the SoC tile, whose last cache is an L2 of 2 MiB.
pub fn core_ultra_155h() -> Description {
    let efficiency = Cpu { is_efficiency: true, llc_bytes: 24 * MIB, ..mhz(3800) };
    let low_power = Cpu { is_efficiency: true, llc: 1, llc_bytes: 2 * MIB, ..mhz(2500) };
    let performance = |mhz_each| Cpu { llc_bytes: 24 * MIB, ..mhz(mhz_each) };
    Builder::default()
        .cpus(0..8, |id| id / 2, &performance(4500))
        .cpus(8..12, |id| id / 2, &performance(4800))
        .cpus(12..20, |id| id - 6, &efficiency)
        .cpus(20..22, |id| id - 6, &low_power)
        .change(|cpu| guess_from_frequency(cpu, 4800))
        .build()
}

/// Intel i7-1255U: 2 P cores with two threads (4700 MHz) and 8 E cores (3500), 12 MiB.
pub fn i7_1255u() -> Description {
    let efficiency = Cpu { is_efficiency: true, ..mhz(3500) };
    Builder::default()
        .cpus(0..4, |id| id / 2, &mhz(4700))
        .cpus(4..12, |id| id - 2, &efficiency)
        .change(|cpu| cpu.llc_bytes = 12 * MIB)
        .change(|cpu| guess_from_frequency(cpu, 4700))
        .build()
}

/// Rankings (`amd_pstate_prefcore_ranking`) of cores 0-15 of a 7950X3D whose driver prefers the CCD with more cache,
/// as reported in CachyOS/CachyOS-Settings issue 86. A plain 7950X spans the same.
const RANKINGS: [usize; 16] = [236, 236, 226, 216, 231, 221, 211, 206, 196, 201, 181, 191, 171, 186, 166, 176];

/// 16 cores on two CCDs, CPU n and n+16 are one core.
fn ryzen_two_ccds(like_by_ccd: [Cpu; 2]) -> Description {
    let [first, second] = like_by_ccd;
    let second = Cpu { llc: 1, ..second };
    Builder::default()
        .cpus(0..8, |id| id, &first)
        .cpus(8..16, |id| id, &second)
        .cpus(16..24, |id| id - 16, &first)
        .cpus(24..32, |id| id - 16, &second)
        .change(|cpu| cpu.guessed_capacity = RANKINGS[cpu.core] * 1024 / 236)
        .build()
}

/// AMD Ryzen 9 7950X3D: 96 MiB and 5250 MHz on the first CCD, 32 MiB and 5760 MHz on the second.
pub fn ryzen_7950x3d() -> Description {
    ryzen_two_ccds([Cpu { llc_bytes: 96 * MIB, ..mhz(5250) }, Cpu { llc_bytes: 32 * MIB, ..mhz(5760) }])
}

/// The same with the driver's `amd_x3d_mode` at `frequency`: the second CCD has the higher rankings.
pub fn ryzen_7950x3d_preferring_frequency() -> Description {
    let mut description = ryzen_7950x3d();
    for cpu in &mut description.cpus {
        cpu.guessed_capacity = RANKINGS[(cpu.core + 8) % 16] * 1024 / 236;
    }
    description
}

/// AMD Ryzen 9 7950X: two equal CCDs of 32 MiB, 5880 MHz.
pub fn ryzen_7950x() -> Description {
    let ccd = Cpu { llc_bytes: 32 * MIB, ..mhz(5880) };
    ryzen_two_ccds([ccd.clone(), ccd])
}

/// AMD Ryzen AI 9 HX 370: 4 Zen 5 (16 MiB, 5100 MHz) and 8 Zen 5c cores (8 MiB, 3300 MHz), CPU n and n+12 are one core.
pub fn ryzen_hx_370() -> Description {
    let zen5 = Cpu { llc_bytes: 16 * MIB, ..mhz(5100) };
    let zen5c = Cpu { llc: 1, llc_bytes: 8 * MIB, ..mhz(3300) };
    Builder::default()
        .cpus(0..4, |id| id, &zen5)
        .cpus(4..12, |id| id, &zen5c)
        .cpus(12..16, |id| id - 12, &zen5)
        .cpus(16..24, |id| id - 12, &zen5c)
        .change(|cpu| guess_from_frequency(cpu, 5100))
        .build()
}

/// Steam Deck: 4 Zen 2 cores with two threads, two by two, one L3 of 4 MiB, 3500 MHz.
pub fn steam_deck() -> Description {
    let like = Cpu { llc_bytes: 4 * MIB, guessed_capacity: 1024, ..mhz(3500) };
    Builder::default().cpus(0..8, |id| id / 2, &like).build()
}

/// Two AMD EPYC 7543: 32 cores each, eight L3 of 32 MiB each, CPU n and n+64 are one core.
pub fn server() -> Description {
    let like = Cpu { llc_bytes: 32 * MIB, guessed_capacity: 1024, ..mhz(3737) };
    Builder::default()
        .cpus(0..128, |id| id % 64, &like)
        .change(|cpu| (cpu.llc, cpu.node) = (cpu.core / 4, cpu.core / 32))
        .build()
}

/// Snapdragon 8 Gen 2, whose kernel tells capacities: one X3, four A71x, three A510; 8 MiB.
pub fn snapdragon_8_gen_2() -> Description {
    let like = |kernel_capacity| Cpu { kernel_capacity, llc_bytes: 8 * MIB, guessed_capacity: 1024, ..Cpu::default() };
    Builder::default()
        .cpus(0..3, |id| id, &like(325))
        .cpus(3..7, |id| id, &like(832))
        .cpus(7..8, |id| id, &like(1024))
        .build()
}

/// QEMU without `-smp`: one CPU, about which the guest's kernel knows nothing.
pub fn uniprocessor() -> Description {
    Builder::default().cpus(0..1, |id| id, &Cpu::default()).build()
}

/// QEMU `-smp 2`: an L3 of 16 MiB for each vCPU, no frequencies.
pub fn vm_of_two() -> Description {
    let like = Cpu { llc_bytes: 16 * MIB, guessed_capacity: 1024, kernel_capacity: 1024, ..Cpu::default() };
    Builder::default().cpus(0..2, |id| id, &like).change(|cpu| cpu.llc = cpu.id).build()
}

/// QEMU `-smp 8,sockets=2,cores=2,threads=2` with a node for each socket.
pub fn vm_of_two_nodes() -> Description {
    let like = Cpu { llc_bytes: 16 * MIB, guessed_capacity: 1024, kernel_capacity: 1024, ..Cpu::default() };
    Builder::default()
        .cpus(0..8, |id| id / 2, &like)
        .change(|cpu| (cpu.llc, cpu.node) = (cpu.id / 4, cpu.id / 4))
        .build()
}

/// A Steam Deck with holes: CPUs 1 and 4 were taken offline, and the firmware announced numbers up to 9.
pub fn steam_deck_with_holes() -> Description {
    let mut description = steam_deck();
    description.cpus.retain(|cpu| ![1, 4].contains(&cpu.id));
    Description { nr_cpu_ids: 10, ..description }
}
