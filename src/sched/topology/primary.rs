//! `--primary-domain`: the CPUs that are tried first.

use std::error::Error;
use std::fmt;
use std::fmt::Display;
use std::str::FromStr;

use super::cpu_list::CpuList;
use super::describe::Description;
use super::strength;
use super::strength::Tiers;

/// Which CPUs are tried first, as asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum PrimaryDomain {
    /// All of them.
    #[default]
    All,
    /// Those that boost highest.
    Turbo,
    /// All but the weaker kind of a hybrid machine.
    Performance,
    /// The weaker kind of a hybrid machine.
    Powersave,
    /// Those that are listed.
    Listed(CpuList),
}

/// A domain that is none, or none on this machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BadPrimaryDomain(String);

impl Display for BadPrimaryDomain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Error for BadPrimaryDomain {}

impl FromStr for PrimaryDomain {
    type Err = BadPrimaryDomain;

    fn from_str(domain: &str) -> Result<Self, BadPrimaryDomain> {
        match domain {
            "all" => Ok(Self::All),
            "turbo" => Ok(Self::Turbo),
            "performance" => Ok(Self::Performance),
            "powersave" => Ok(Self::Powersave),
            list => list.parse().map(Self::Listed).map_err(|complaint| {
                BadPrimaryDomain(format!("{complaint} or one of turbo, performance, powersave, all"))
            }),
        }
    }
}

impl Display for PrimaryDomain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => out.write_str("all"),
            Self::Turbo => out.write_str("turbo"),
            Self::Performance => out.write_str("performance"),
            Self::Powersave => out.write_str("powersave"),
            Self::Listed(list) => list.fmt(out),
        }
    }
}

impl PrimaryDomain {
    /// By CPU number, whether it is in the domain. A keyword that tells no two CPUs apart means all of them.
    ///
    /// An offline CPU may be listed, for ranges are written across those; only numbers that no CPU can have are
    /// refused, and a domain in which nobody is online.
    pub(super) fn resolve(&self, description: &Description, tiers: &Tiers) -> Result<Vec<bool>, BadPrimaryDomain> {
        let Description { nr_cpu_ids, cpus } = description;
        if let Self::Listed(list) = self {
            return resolve_list(list, description);
        }
        let is_big = strength::is_big(cpus, tiers);
        let capacities = strength::capacities(cpus);
        let is_in = |index: usize| match self {
            Self::Turbo => is_big[index] && capacities[index] == super::CAPACITY_MAX,
            Self::Performance => is_big[index],
            Self::Powersave => !is_big[index],
            Self::All | Self::Listed(_) => true,
        };
        let mut members = vec![false; *nr_cpu_ids];
        for (index, cpu) in cpus.iter().enumerate() {
            members[cpu.id] = is_in(index);
        }
        if *self == Self::All || cpus.iter().all(|cpu| members[cpu.id]) || !members.contains(&true) {
            if *self != Self::All {
                log::debug!("--primary-domain {self} is all CPUs: it tells none of them apart here");
            }
            return Ok(vec![true; *nr_cpu_ids]);
        }
        Ok(members)
    }
}

fn resolve_list(list: &CpuList, description: &Description) -> Result<Vec<bool>, BadPrimaryDomain> {
    let Description { nr_cpu_ids, cpus } = description;
    let online: CpuList = cpus.iter().map(|cpu| cpu.id).collect();
    let mut members = vec![false; *nr_cpu_ids];
    for id in list.iter() {
        let member = members.get_mut(id);
        *member.ok_or_else(|| BadPrimaryDomain(format!("CPU {id} does not exist, this machine has {online}")))? = true;
    }
    if !cpus.iter().any(|cpu| members[cpu.id]) {
        return Err(BadPrimaryDomain(format!("none of these CPUs is online, this machine has {online}")));
    }
    Ok(members)
}
