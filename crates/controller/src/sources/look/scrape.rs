//! `scrape`: a page of metrics in the text of OpenMetrics or Prometheus, read as it comes and taken as a whole or not at all.

use super::{Around, Look, Looked, Seen, http};
use crate::sources::{
    Kept,
    budget::{SAMPLES_AT_ONCE, SERIES_MAX},
};
use std::{collections::BTreeMap, time::Duration};
use unship_rollback::signal::{Dialect, ReadLimits, Refused, Sample, Series, Sink, TextReader};

/// Bytes of a page at most. What nobody asks for is passed over, and costs time alone.
const PAGE_BYTES_MAX: u64 = 256 << 20;
const ACCEPT: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

/// Looks at one page; each feed wants one metric of it.
pub struct Scrape {
    pub url: String,
    pub timeout: Duration,
    pub wanted: Vec<Wanted>,
}

/// What a feed wants of a page.
pub struct Wanted {
    pub select: String,
    pub labels: BTreeMap<String, String>,
}

impl Look for Scrape {
    fn look(&mut self, around: Around<'_>, _: Option<&Kept>) -> Looked {
        let limits = ReadLimits { series_max: SERIES_MAX, series_bytes_max: 32 << 20, ..ReadLimits::default() };
        let mut reader = None;
        let read = http::get(&self.url, ACCEPT, self.timeout, PAGE_BYTES_MAX, |head, piece| {
            if head.status != 200 {
                return Err(format!("the answer's status is {}", head.status));
            }
            let reader = reader.get_or_insert_with(|| {
                // The page says which of the two it is; their lines do not.
                let is_open = head.content_type.starts_with("application/openmetrics-text");
                let dialect = if is_open { Dialect::OpenMetrics } else { Dialect::Prometheus };
                TextReader::new(dialect, limits, Some(around.clock.now()), Page::new(&self.wanted))
            });
            reader.push(piece).map_err(|e| e.to_string())
        });
        let page = read.and_then(|()| reader.ok_or("there is no answer")?.finish().map_err(|e| e.to_string()));
        match page {
            Ok(page) => page.looked(),
            Err(why) => Looked::nothing(format!("{}: {why}", self.url)),
        }
    }
}

/// What was found on a page.
struct Page<'a> {
    wanted: &'a [Wanted],
    /// The feeds that want a series, and its labels.
    series: Vec<(Vec<usize>, BTreeMap<String, String>)>,
    samples: Vec<(usize, Sample)>,
}

impl<'a> Page<'a> {
    fn new(wanted: &'a [Wanted]) -> Page<'a> {
        Page { wanted, series: Vec::new(), samples: Vec::new() }
    }

    fn looked(self) -> Looked {
        let seen = self.samples.iter().flat_map(|(key, sample)| {
            let (feeds, labels) = &self.series[*key];
            feeds.iter().map(|feed| Seen { feed: *feed, labels: labels.clone(), sample: *sample })
        });
        let samples: Vec<Seen> = seen.collect();
        let missing = self.wanted.iter().enumerate().filter(|(n, _)| !samples.iter().any(|s| s.feed == *n));
        let missing: Vec<&str> = missing.map(|(_, wanted)| wanted.select.as_str()).collect();
        let trouble = (!missing.is_empty()).then(|| format!("the page does not hold {}", missing.join(", ")));
        Looked { samples, trouble, kept: None }
    }
}

impl Sink for Page<'_> {
    type Key = usize;

    fn wants(&self, metric: &str) -> bool {
        self.wanted.iter().any(|wanted| wanted.select == metric)
    }

    fn series(&mut self, series: &Series) -> Result<Option<usize>, Refused> {
        let has =
            |wanted: &Wanted| wanted.labels.iter().all(|(label, value)| series.labels().get(label) == Some(value));
        let is_wanted = |wanted: &Wanted| wanted.select == series.metric() && has(wanted);
        let feeds: Vec<usize> = (0..self.wanted.len()).filter(|n| is_wanted(&self.wanted[*n])).collect();
        if feeds.is_empty() {
            return Ok(None);
        }
        self.series.push((feeds, series.labels().clone()));
        Ok(Some(self.series.len() - 1))
    }

    fn sample(&mut self, key: usize, sample: Sample) -> Result<(), Refused> {
        if self.samples.len() >= SAMPLES_AT_ONCE as usize {
            return Err(Refused(format!("the page has more than {SAMPLES_AT_ONCE} samples of what is asked for")));
        }
        self.samples.push((key, sample));
        Ok(())
    }
}
