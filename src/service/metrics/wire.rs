//! The conversation that scx's tools have with a scheduler: one JSON object a line, a request and its answer.
//!
//! `{"req":"stats"}` asks for values, `{"req":"stats_meta"}` for what they mean, and `{"req":"leases"}`, which is ours
//! alone, for who holds the scheduler. The types are those of the crate `scx_stats`, so that whatever reads other
//! schedulers' metrics reads ours.

use std::collections::BTreeMap;
use std::fmt;

use scx_stats::StatsData;
use scx_stats::StatsErrno;
use scx_stats::StatsField;
use scx_stats::StatsFieldAttrs;
use scx_stats::StatsKind;
use scx_stats::StatsMeta;
use scx_stats::StatsRequest;
use scx_stats::StatsResponse;
use scx_stats::StatsStructAttrs;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use crate::sched::stats::Interval;
use crate::sched::stats::Metric;
use crate::sched::stats::Sample;
use crate::sched::stats::Totals;
use crate::sched::stats::Unit;
use crate::sched::stats::metrics;
use crate::session::protocol::LeaseStatus;
use crate::session::protocol::Leases;

/// Name of the one set of metrics that we serve, as `stats_meta` tells it.
pub const META_NAME: &str = "scx_gamer";

/// What a client asks for that does not say what.
const DEFAULT_TARGET: &str = "top";

/// The values of all metrics by name.
pub type Report = Map<String, Value>;

/// All metrics in one interval.
pub fn report(interval: &Interval) -> Report {
    let value = |metric: &Metric| serde_json::to_value(metric.value_in(interval)).unwrap_or_default();
    metrics().map(|metric| (metric.name.to_owned(), value(metric))).collect()
}

/// One client, to whom each answer tells what has happened since the one before.
pub struct Dialogue {
    told: Totals,
}

impl Dialogue {
    /// With somebody whose first answer begins at `since`.
    pub fn new(since: Totals) -> Self {
        Self { told: since }
    }

    /// The answer to one line, which the client ends with a line feed as we do.
    pub fn answer(
        &mut self,
        line: &[u8],
        sample: impl FnOnce() -> anyhow::Result<Sample>,
        leases: impl FnOnce() -> Vec<LeaseStatus>,
    ) -> Vec<u8> {
        let answer = match self.value_for(line, sample, leases) {
            Ok(value) => response(0, value),
            Err(Refusal { errno, why }) => response(errno, Value::String(why)),
        };
        let mut bytes = serde_json::to_vec(&answer).expect("BUG: strings and numbers are JSON");
        bytes.push(b'\n');
        bytes
    }

    fn value_for(
        &mut self,
        line: &[u8],
        sample: impl FnOnce() -> anyhow::Result<Sample>,
        leases: impl FnOnce() -> Vec<LeaseStatus>,
    ) -> Result<Value, Refusal> {
        let request: StatsRequest = serde_json::from_slice(line).map_err(Refusal::of_request)?;
        let target = request.args.get("target").map_or(DEFAULT_TARGET, String::as_str);
        match request.req.as_str() {
            "stats" if target == DEFAULT_TARGET => {
                let now = sample().map_err(|why| Refusal { errno: libc::EIO, why: format!("{why:#}") })?;
                let report = report(&Interval::between(&self.told, &now));
                self.told = now.totals;
                Ok(Value::Object(report))
            }
            "stats" => Err(Refusal::of_request(format!("unknown target {target:?}"))),
            "stats_meta" => Ok(json(&meta())),
            "leases" => Ok(json(&Leases { leases: leases() })),
            other => Err(Refusal::of_request(format!("unknown request {other:?}"))),
        }
    }
}

/// Why there is no value.
struct Refusal {
    errno: i32,
    why: String,
}

impl Refusal {
    fn of_request(why: impl fmt::Display) -> Self {
        Self { errno: libc::EINVAL, why: format!("{}: {why}", StatsErrno(libc::EINVAL)) }
    }
}

fn response(errno: i32, value: Value) -> StatsResponse {
    StatsResponse { errno, args: BTreeMap::from([("resp".to_owned(), value)]) }
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("BUG: strings and numbers are JSON")
}

/// What the metrics mean, for tools that know nothing of us.
pub fn meta() -> BTreeMap<String, StatsMeta> {
    let attrs = StatsStructAttrs {
        top: Some("true".to_owned()),
        desc: Some("what has happened since the previous request".to_owned()),
        user: user("_om_prefix", "gamer_"),
    };
    let fields = metrics().map(|metric| (metric.name.to_owned(), field(metric))).collect();
    BTreeMap::from([(META_NAME.to_owned(), StatsMeta { name: META_NAME.to_owned(), attrs, fields })])
}

fn field(metric: &Metric) -> StatsField {
    let (data, user) = match metric.unit {
        Unit::Count | Unit::Microseconds => (StatsData::Datum(StatsKind::U64), BTreeMap::new()),
        Unit::Percent | Unit::Milliseconds | Unit::Seconds | Unit::Hertz => {
            (StatsData::Datum(StatsKind::Float), BTreeMap::new())
        }
        // The bridge to OpenMetrics knows numbers alone.
        Unit::Tgids => (StatsData::Array(StatsKind::I64), user("_om_skip", "true")),
        Unit::Words => (StatsData::Datum(StatsKind::String), user("_om_skip", "true")),
        Unit::Names => (StatsData::Array(StatsKind::String), user("_om_skip", "true")),
    };
    StatsField { data, attrs: StatsFieldAttrs { desc: Some(metric.meaning.to_owned()), user } }
}

fn user(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::stats::Foreground;
    use crate::sched::stats::Gauges;
    use std::time::Duration;
    use std::time::Instant;

    /// `preempted` preemptions, a second after the epoch of the test for each.
    fn sample(epoch: &Totals, preempted: u64) -> Sample {
        let index = metrics().find(|metric| metric.name == "preempt").and_then(Metric::index).expect("a counter");
        let mut totals = Totals::zero(epoch.at + Duration::from_secs(preempted));
        totals.counts.0[index] = preempted;
        let foreground = vec![Foreground { tgid: 7, comm: "game".to_owned() }];
        Sample { totals, gauges: Gauges { nr_cpus: 2, foreground, ..Gauges::default() } }
    }

    fn ask(dialogue: &mut Dialogue, line: &str, sample: impl FnOnce() -> anyhow::Result<Sample>) -> StatsResponse {
        let bytes = dialogue.answer(line.as_bytes(), sample, || vec![lease()]);
        assert_eq!(bytes.last(), Some(&b'\n'));
        serde_json::from_slice(&bytes).expect("a response")
    }

    fn lease() -> LeaseStatus {
        let foreground_comm = Some("game".to_owned());
        LeaseStatus { pid: 7, uid: 1000, foreground_tgid: Some(8), foreground_comm, since: 1_790_000_000 }
    }

    fn never() -> anyhow::Result<Sample> {
        panic!("nobody asked for values")
    }

    #[test]
    fn each_answer_tells_what_has_happened_since_the_one_before() {
        let epoch = Totals::zero(Instant::now());
        let mut dialogue = Dialogue::new(epoch.clone());
        for (preempted, expected) in [(3, 3), (10, 7), (10, 0)] {
            let answer = ask(&mut dialogue, r#"{"req":"stats"}"#, || Ok(sample(&epoch, preempted)));
            assert_eq!(answer.errno, 0);
            assert_eq!(answer.args["resp"]["preempt"], expected);
            assert_eq!(answer.args["resp"]["interval_s"], expected as f64);
            assert_eq!(answer.args["resp"]["foreground_tgids"][0], 7);
        }
    }

    #[test]
    fn a_request_may_name_the_target_that_is_meant_anyway() {
        let epoch = Totals::zero(Instant::now());
        let mut dialogue = Dialogue::new(epoch.clone());
        let answer = ask(&mut dialogue, r#"{"req":"stats","args":{"target":"top"}}"#, || Ok(sample(&epoch, 1)));
        assert_eq!(answer.errno, 0);
    }

    #[test]
    fn who_holds_the_scheduler_is_told_without_a_look_at_its_metrics() {
        let answer = ask(&mut Dialogue::new(Totals::zero(Instant::now())), r#"{"req":"leases"}"#, never);
        let expected =
            r#"{"leases":[{"pid":7,"uid":1000,"foreground_tgid":8,"foreground_comm":"game","since":1790000000}]}"#;
        let expected: Value = serde_json::from_str(expected).expect("JSON");
        assert_eq!((answer.errno, &answer.args["resp"]), (0, &expected));
    }

    #[test]
    fn what_is_no_request_of_ours_is_refused_with_einval_and_the_conversation_goes_on() {
        let epoch = Totals::zero(Instant::now());
        let mut dialogue = Dialogue::new(epoch.clone());
        for line in ["", "hello", "{}", "[1,2", r#"{"req":"dance"}"#, r#"{"req":"stats","args":{"target":"bpf"}}"#] {
            let answer = ask(&mut dialogue, line, never);
            assert_eq!(answer.errno, libc::EINVAL, "{line}");
            assert!(answer.args["resp"].as_str().is_some_and(|why| why.starts_with("Invalid argument")), "{line}");
        }
        assert_eq!(ask(&mut dialogue, r#"{"req":"stats"}"#, || Ok(sample(&epoch, 2))).args["resp"]["preempt"], 2);
    }

    #[test]
    fn a_scheduler_that_cannot_be_asked_is_an_error_and_no_lost_interval() {
        let epoch = Totals::zero(Instant::now());
        let mut dialogue = Dialogue::new(epoch.clone());
        let answer = ask(&mut dialogue, r#"{"req":"stats"}"#, || anyhow::bail!("it is out"));
        assert_eq!((answer.errno, answer.args["resp"].as_str()), (libc::EIO, Some("it is out")));
        assert_eq!(ask(&mut dialogue, r#"{"req":"stats"}"#, || Ok(sample(&epoch, 4))).args["resp"]["preempt"], 4);
    }

    #[test]
    fn the_description_has_every_metric_with_its_sentence_and_the_type_of_its_value() {
        let epoch = Totals::zero(Instant::now());
        let meta = ask(&mut Dialogue::new(epoch.clone()), r#"{"req":"stats_meta"}"#, never);
        let described = &meta.args["resp"][META_NAME];
        assert_eq!((&described["name"], &described["top"]), (&Value::from(META_NAME), &Value::from("true")));
        let values = report(&Interval::between(&epoch, &sample(&epoch, 1)));
        assert_eq!(described["fields"].as_object().map(Map::len), Some(values.len()));
        for metric in metrics() {
            let (field, value) = (&described["fields"][metric.name], &values[metric.name]);
            assert_eq!(field["desc"], metric.meaning);
            let fits = match (field["datum"].as_str(), field["array"].as_str()) {
                (Some("u64"), None) => value.is_u64(),
                (Some("float"), None) => value.is_f64(),
                (Some("string"), None) => value.is_string(),
                (None, Some("i64")) => value[0].is_i64(),
                (None, Some("string")) => value[0].is_string(),
                other => panic!("{} is described as {other:?}", metric.name),
            };
            assert!(fits, "{} is {value}, described as {field}", metric.name);
        }
    }
}
