//! `prometheus`: an instant query to the HTTP API of Prometheus. Each series of the answer is a sample, with the time at which
//! Prometheus answered.

use super::{Around, Look, Looked, Seen, http};
use crate::sources::{Kept, budget::SERIES_MAX};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt::Write as _, time::Duration};
use unship_rollback::{
    neutralise,
    signal::{Millis, Sample},
};

/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: u64 = 8 << 20;

/// Asks one question.
pub struct Query {
    pub url: String,
    pub timeout: Duration,
    pub query: String,
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Row>),
    Scalar(Point),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Row {
    metric: BTreeMap<String, String>,
    /// Not there when it is a native histogram.
    value: Option<Point>,
}

/// Seconds since 1970, and the value as text.
#[derive(Deserialize)]
struct Point(f64, String);

impl Point {
    #[expect(clippy::cast_possible_truncation, reason = "a cast saturates, and a time that cannot be is refused")]
    fn sample(&self) -> Result<Sample, String> {
        let value = self.1.parse().map_err(|_| format!("\"{}\" is no number", neutralise(&self.1)))?;
        Ok(Sample { at: Millis((self.0 * 1000.0).round() as i64), value })
    }
}

impl Look for Query {
    fn look(&mut self, _: Around<'_>, _: Option<&Kept>) -> Looked {
        let url = format!("{}/api/v1/query?query={}", self.url.trim_end_matches('/'), escaped(&self.query));
        let samples = http::get_whole(&url, "application/json", self.timeout, ANSWER_BYTES_MAX)
            .and_then(|(status, body)| samples(status, &body));
        match samples {
            Ok(samples) => Looked { samples, ..Looked::default() },
            Err(why) => Looked::nothing(format!("Prometheus at {}: {why}", self.url)),
        }
    }
}

fn samples(status: u16, body: &[u8]) -> Result<Vec<Seen>, String> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|e| format!("status {status}, and no answer of its API: {}", neutralise(&e.to_string())))?;
    if answer.status != "success" {
        let why = answer.error.unwrap_or_default();
        return Err(format!("it answers {}: {}", neutralise(&answer.status), neutralise(&why)));
    }
    match answer.data {
        Some(Data::Scalar(point)) => Ok(vec![Seen { feed: 0, labels: BTreeMap::new(), sample: point.sample()? }]),
        Some(Data::Vector(rows)) if rows.len() > SERIES_MAX => {
            Err(format!("the answer has {} series; at most {SERIES_MAX}", rows.len()))
        }
        Some(Data::Vector(rows)) => rows.into_iter().map(Row::seen).collect(),
        Some(Data::Matrix(_) | Data::String(_)) => Err("the query is for no vector and no scalar".to_owned()),
        None => Err("the answer has no data".to_owned()),
    }
}

impl Row {
    fn seen(mut self) -> Result<Seen, String> {
        let point = self.value.ok_or("a series is a native histogram, which is no number")?;
        self.metric.remove("__name__");
        Ok(Seen { feed: 0, labels: self.metric, sample: point.sample()? })
    }
}

/// As a part of a URL.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut url, b| {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            url.push(char::from(b));
        } else {
            let _ = write!(url, "%{b:02X}");
        }
        url
    })
}
