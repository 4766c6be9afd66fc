//! CPU lists as people write them: `0-3,8`.

use std::fmt;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::sched::CPUS_MAX;

/// CPU numbers as given, below [`CPUS_MAX`] and not empty; they may overlap.
///
/// `scx_utils::read_cpulist` reads what the kernel prints. From a person it takes `3-1` for no CPU at all and expands
/// ranges of any length, so this one parses what comes from the command line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CpuList(Vec<RangeInclusive<usize>>);

impl CpuList {
    /// The numbers in the order given.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().cloned().flatten()
    }
}

impl FromIterator<usize> for CpuList {
    /// Of numbers in ascending order.
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> Self {
        let mut ranges: Vec<RangeInclusive<usize>> = Vec::new();
        for cpu in cpus {
            match ranges.last_mut() {
                Some(last) if last.end() + 1 == cpu => *last = *last.start()..=cpu,
                _ => ranges.push(cpu..=cpu),
            }
        }
        Self(ranges)
    }
}

impl FromStr for CpuList {
    type Err = String;

    fn from_str(list: &str) -> Result<Self, String> {
        list.split(',').map(|item| range(item.trim())).collect::<Result<_, _>>().map(Self)
    }
}

impl Display for CpuList {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(out, "{comma}{first}")?,
                (first, last) => write!(out, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

fn range(item: &str) -> Result<RangeInclusive<usize>, String> {
    let (first, last) = item.split_once('-').unwrap_or((item, item));
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(format!("the range {item} is reversed, give {last}-{first}"));
    }
    Ok(first..=last)
}

fn number(text: &str) -> Result<usize, String> {
    if text.is_empty() {
        return Err("a CPU number is missing, give a list such as 0-3,8".to_owned());
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{text:?} is no CPU number, give a list such as 0-3,8"));
    }
    match text.parse() {
        Ok(cpu) if cpu < CPUS_MAX => Ok(cpu),
        _ => Err(format!("CPU {text} is beyond {}, the last there is room for", CPUS_MAX - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(list: &str) -> Result<Vec<usize>, String> {
        list.parse::<CpuList>().map(|cpus| cpus.iter().collect())
    }

    #[test]
    fn numbers_and_ranges_are_taken_as_written() {
        assert_eq!(parse("0-3,8"), Ok(vec![0, 1, 2, 3, 8]));
        assert_eq!(parse("5"), Ok(vec![5]));
        assert_eq!(parse(" 7 , 2-2"), Ok(vec![7, 2]));
    }

    #[test]
    fn what_is_no_list_is_refused_with_what_is_wrong() {
        for (list, complaint) in [
            ("", "missing"),
            ("1,", "missing"),
            ("-3", "missing"),
            ("3-1", "give 1-3"),
            ("fast", "\"fast\""),
            ("0x3", "\"0x3\""),
            ("1-2-3", "\"2-3\""),
            ("+1", "\"+1\""),
            ("1024", "beyond 1023"),
            ("0-99999999999999999999999", "beyond 1023"),
        ] {
            let error = parse(list).expect_err(list);
            assert!(error.contains(complaint), "{list}: {error}");
        }
    }

    #[test]
    fn neighbours_are_written_as_a_range() {
        let list: CpuList = [0, 1, 2, 5, 7, 8].into_iter().collect();
        assert_eq!(list.to_string(), "0-2,5,7-8");
    }
}
