//! `--doctor`: gather facts, judge them, tell. Attaches nothing, and what can't be read is a finding.

mod facts;
mod judge;
mod place;

use serde::Serialize;

use self::facts::Facts;
use crate::wrapper::Roots;
use crate::wrapper::report::Report;

/// How well one thing stands.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should.
    Ok,
    /// Games are scheduled, or may be; something is less than it could be.
    Warn,
    /// No game is scheduled.
    Fail,
}

/// What was looked at, and what came of it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Check {
    /// One word.
    pub name: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// One sentence without a full stop.
    pub says: String,
    /// What to do, where something can be done.
    pub hint: Option<String>,
}

/// Everything that was looked at, for programs.
#[derive(Serialize)]
struct Findings<'a> {
    checks: &'a [Check],
    verdict: Verdict,
}

/// Answers `--doctor`; returns our exit status.
#[must_use]
pub fn run(roots: &Roots<'_>, is_json: bool) -> u8 {
    let checks = examine(roots);
    Report::answer(&if is_json { json(&checks) } else { text(&checks) });
    u8::from(worst(&checks) == Verdict::Fail)
}

/// Looks at everything that a scheduled game needs.
#[must_use]
pub fn examine(roots: &Roots<'_>) -> Vec<Check> {
    judge::judge(&Facts::gather(roots))
}

fn worst(checks: &[Check]) -> Verdict {
    checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Ok)
}

fn json(checks: &[Check]) -> String {
    let findings = Findings { checks, verdict: worst(checks) };
    serde_json::to_string(&findings).expect("BUG: strings are JSON") + "\n"
}

/// One line a check, and its hint below.
fn text(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let line = |check: &Check| {
        let verdict = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        let hint = check.hint.as_ref().map_or_else(String::new, |hint| format!("      Hint: {hint}\n"));
        format!("{verdict:<4}  {:<width$}  {}\n{hint}", check.name, check.says)
    };
    checks.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &'static str, verdict: Verdict, hint: Option<&str>) -> Check {
        Check { name, verdict, says: format!("{name} was looked at"), hint: hint.map(str::to_owned) }
    }

    #[test]
    fn text_is_one_aligned_line_a_check_with_its_hint_below() {
        let checks = [
            check("kernel", Verdict::Ok, None),
            check("btf", Verdict::Fail, Some("boot")),
            check("x", Verdict::Warn, None),
        ];
        assert_eq!(
            text(&checks),
            "ok    kernel  kernel was looked at\n\
             fail  btf     btf was looked at\n      Hint: boot\n\
             warn  x       x was looked at\n"
        );
    }

    #[test]
    fn json_is_one_object_with_every_check_and_the_worst_verdict() {
        let checks = [check("kernel", Verdict::Ok, None), check("btf", Verdict::Warn, Some("boot"))];
        assert_eq!(
            json(&checks),
            "{\"checks\":[\
             {\"name\":\"kernel\",\"verdict\":\"ok\",\"says\":\"kernel was looked at\",\"hint\":null},\
             {\"name\":\"btf\",\"verdict\":\"warn\",\"says\":\"btf was looked at\",\"hint\":\"boot\"}\
             ],\"verdict\":\"warn\"}\n"
        );
    }

    #[test]
    fn the_worst_of_all_counts() {
        let (ok, warn, fail) =
            (check("a", Verdict::Ok, None), check("b", Verdict::Warn, None), check("c", Verdict::Fail, None));
        assert_eq!(worst(&[ok.clone(), fail.clone(), warn.clone()]), Verdict::Fail);
        assert_eq!(worst(&[ok.clone(), warn]), Verdict::Warn);
        assert_eq!((worst(&[ok]), worst(&[])), (Verdict::Ok, Verdict::Ok));
    }
}
