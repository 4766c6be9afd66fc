//! From files in sysfs to the table: `list_topology` on recorded trees, and `scx_gamer` refusing domains.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// A sysfs as the kernel would show it, below a directory of its own.
struct Sysfs(TempDir);

impl Sysfs {
    fn new(online: &str) -> Self {
        let sysfs = Self(TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("temporary directory"));
        sysfs.write("devices/system/cpu/online", online);
        sysfs
    }

    fn write(&self, path: &str, text: impl ToString) {
        let path = self.0.path().join("sys").join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("make a directory");
        fs::write(path, text.to_string()).expect("write a file");
    }

    fn cpu(&self, cpu: usize, path: &str, text: impl ToString) {
        self.write(&format!("devices/system/cpu/cpu{cpu}/{path}"), text);
    }

    fn core(&self, cpu: usize, core: usize) {
        self.cpu(cpu, "topology/core_id", core);
        self.cpu(cpu, "topology/physical_package_id", 0);
        self.cpu(cpu, "topology/cluster_id", 65535);
    }

    fn cache(&self, cpu: usize, level: usize, shared_cpu_list: &str, id: usize, size: &str) {
        self.cpu(cpu, &format!("cache/index{level}/shared_cpu_list"), shared_cpu_list);
        self.cpu(cpu, &format!("cache/index{level}/id"), id);
        self.cpu(cpu, &format!("cache/index{level}/size"), size);
    }

    fn max_freq_mhz(&self, cpu: usize, mhz: usize) {
        self.cpu(cpu, "cpufreq/scaling_max_freq", mhz * 1000);
        self.cpu(cpu, "cpufreq/cpuinfo_max_freq", mhz * 1000);
    }

    fn node(&self, node: usize, distance: &str, cpus: impl Iterator<Item = usize>) {
        self.write(&format!("devices/system/node/node{node}/distance"), distance);
        for cpu in cpus {
            self.write(&format!("devices/system/node/node{node}/cpu{cpu}/online"), 1);
        }
    }

    /// Runs `list_topology`; what it prints of each CPU, in the order of its table's columns, and its last line.
    fn list(&self, domain: &str) -> (BTreeMap<usize, Vec<String>>, String) {
        let output = Command::new(list_topology())
            .arg(domain)
            .env("SCX_SYSFS_PREFIX", self.0.path())
            .output()
            .expect("run list_topology");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        let cells = |row: &str| row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let rows = text.lines().filter(|line| line.starts_with('|')).skip(2).map(cells);
        let rows = rows.map(|row| (row[1].parse().expect("a CPU number"), row[2..row.len() - 1].to_vec()));
        (rows.collect(), text.lines().last().expect("a summary").to_owned())
    }
}

fn list_topology() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_scx_gamer")).with_file_name("examples").join("list_topology");
    assert!(path.is_file(), "{} is missing: run `cargo build --examples` in the same profile", path.display());
    path
}

/// 4 P cores with two threads (CPUs 0-7), 4 E cores (8-11) on the same L3, 2 LP-E cores (12-13) with an L2 only.
fn hybrid() -> Sysfs {
    let sysfs = Sysfs::new("0-13");
    sysfs.node(0, "10", 0..14);
    sysfs.write("devices/cpu_core/cpus", "0-7\n");
    sysfs.write("devices/cpu_atom/cpus", "8-13\n");
    for cpu in 0..8 {
        sysfs.core(cpu, cpu / 2 * 4);
        let siblings = format!("{}-{}\n", cpu / 2 * 2, cpu / 2 * 2 + 1);
        sysfs.cache(cpu, 2, &siblings, cpu / 2, "2048K\n");
        sysfs.max_freq_mhz(cpu, 4800);
    }
    for cpu in 8..14 {
        sysfs.core(cpu, cpu + 16);
        let is_low_power = cpu >= 12;
        sysfs.cache(cpu, 2, if is_low_power { "12-13\n" } else { "8-11\n" }, 4 + cpu / 4, "2048K\n");
        sysfs.max_freq_mhz(cpu, if is_low_power { 2500 } else { 3800 });
    }
    for cpu in 0..12 {
        sysfs.cache(cpu, 3, "0-11\n", 0, "24576K\n");
    }
    sysfs
}

/// Two CCDs of 4 cores, CPU n and n+8 are one core. The second CCD clocks and ranks higher, the first has the larger cache.
/// CPU 9 is offline, and memory makes a node of its own.
fn two_ccds() -> Sysfs {
    let sysfs = Sysfs::new("0-8,10-15");
    sysfs.node(0, "10 20", 0..16);
    sysfs.node(1, "20 10", std::iter::empty());
    for cpu in 0..16 {
        let core = cpu % 8;
        let is_first = core < 4;
        sysfs.core(cpu, core);
        sysfs.cache(cpu, 2, &format!("{core},{}", core + 8), core, "1024K\n");
        let (list, size) = if is_first { ("0-3,8,10-11\n", "98304K\n") } else { ("4-7,12-15\n", "32768K\n") };
        sysfs.cache(cpu, 3, list, usize::from(!is_first), size);
        sysfs.max_freq_mhz(cpu, if is_first { 5250 } else { 5760 });
        sysfs.cpu(cpu, "cpufreq/amd_pstate_prefcore_ranking", if is_first { 181 } else { 201 } + core % 4 * 5);
    }
    sysfs
}

#[test]
fn a_hybrid_laptop_in_sysfs_becomes_three_kinds_of_cores() {
    let (rows, summary) = hybrid().list("performance");
    assert_eq!(rows.len(), 14);
    // sibling, LLC, node, capacity, primary, strong, rank
    assert_eq!(rows[&0], ["1", "0", "0", "1024", "yes", "yes", "0"]);
    assert_eq!(rows[&7], ["6", "0", "0", "1024", "yes", "yes", "13"]);
    assert_eq!(rows[&8], ["-", "0", "0", "810", "no", "no", "4"]);
    assert_eq!(rows[&13], ["-", "1", "0", "533", "no", "no", "9"]);
    assert_eq!(summary, "nodes: 1, last-level caches: 2, SMT: yes, strong and weak CPUs: yes");
}

#[test]
fn two_ccds_in_sysfs_are_told_apart_by_their_caches() {
    let (rows, summary) = two_ccds().list("0-9");
    assert_eq!(rows.len(), 16);
    assert_eq!(rows[&3], ["11", "0", "0", "929", "yes", "yes", "0"]);
    assert_eq!(rows[&1], ["-", "0", "0", "881", "yes", "yes", "2"], "its sibling is offline");
    assert_eq!(rows[&7], ["15", "1", "0", "1024", "yes", "no", "4"]);
    assert_eq!(rows[&9], ["-", "0", "0", "858", "yes", "no", "15"]);
    assert_eq!(rows[&11][4..6], ["no", "yes"], "strong, though the list ends before it");
    assert_eq!(summary, "nodes: 1, last-level caches: 2, SMT: yes, strong and weak CPUs: yes");
}

#[test]
fn this_machine_has_a_table() {
    let output = Command::new(list_topology()).output().expect("run list_topology");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.lines().filter(|line| line.starts_with('|')).count() >= 3, "{text}");
}

#[test]
fn a_domain_that_is_none_here_ends_with_status_2_before_anything_is_attached() {
    for (domain, complaint) in [
        ("1023", "--primary-domain 1023: CPU 1023 does not exist, this machine has 0"),
        ("3-1", "invalid value '3-1' for '--primary-domain <CPUS>': the range 3-1 is reversed, give 1-3"),
        ("", "invalid value '' for '--primary-domain <CPUS>': a CPU number is missing"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_scx_gamer")).args(["-m", domain]).output().expect("run");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{domain}: {stderr}");
        assert!(stderr.contains(complaint), "{domain}: {stderr}");
    }
}
