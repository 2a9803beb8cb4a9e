//! Feeds: where a trigger's samples come from. `[feeds.NAME]` in `policies/site.toml`; each gives the samples of one
//! metric. The kinds are a closed set, and a key that a kind does not use is an error.

use crate::{
    FileError, HttpUrl, Name,
    meaning::SelectorMeaning,
    tables::{apart, duration, name, relative_file},
};
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};
use toml::Spanned;

/// Where the samples of one metric come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// The metric that it gives.
    pub metric: String,
    /// How often it looks; `None` when it is told.
    pub every: Option<Duration>,
    /// Which of the site's `[processes]` it names.
    pub process: Option<Name>,
    /// What it looks at.
    pub source: FeedSource,
}

/// What a feed looks at, and which number of it is the sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedSource {
    /// Bytes of memory that these processes hold together.
    ProcessMemory {
        /// Those of the site's `[processes]`, or of the executable and the arguments that the feed itself names.
        who: SelectorMeaning,
    },
    /// The machine's memory that is in use, as a ratio.
    HostMemory,
    /// 1 when one of these processes lives, else 0.
    ProcessAlive {
        /// As for `ProcessMemory`.
        who: SelectorMeaning,
    },
    /// How often pm2 has started this service again: a counter.
    Pm2Restarts {
        /// Its name in pm2.
        service: Name,
        /// pm2's folder, relative to the site.
        home: String,
        /// pm2 itself: relative to the site, or a name without `/` in the fixed `PATH`.
        program: String,
    },
    /// The newest `run_results.json` of dbt.
    DbtResults {
        /// Relative to the site.
        file: String,
        /// Which number of it.
        value: DbtValue,
    },
    /// 1 when the last build or test run failed, 0 when it did not: from the JSON record that it leaves, `{"exit": 0, …}`.
    BuildStatus {
        /// The record, relative to the site.
        file: String,
    },
    /// How many seconds the present build or test run has taken so far, or the last one took that did not fail; from the same record.
    BuildDuration {
        /// The record, relative to the site.
        file: String,
    },
    /// A request to this address.
    HttpProbe {
        /// `http://…` or `https://…`.
        url: String,
        /// How long it may take.
        timeout: Duration,
        /// Which number of the answer.
        value: ProbeValue,
    },
    /// A connection to this address: it is opened and closed, nothing is sent.
    TcpProbe {
        /// `host:port`.
        address: String,
        /// How long it may take.
        timeout: Duration,
        /// Which number of it.
        value: ProbeValue,
    },
    /// A page of metrics in the text of OpenMetrics or Prometheus. Feeds of one address and rhythm share a look.
    Scrape {
        /// `http://…` or `https://…`.
        url: String,
        /// How long it may take.
        timeout: Duration,
        /// What the metric is called there.
        select: String,
        /// Only series with these labels.
        labels: BTreeMap<String, String>,
    },
    /// An instant query to the HTTP API of Prometheus.
    Prometheus {
        /// Where its API is: what stands before `/api/v1/query`.
        url: String,
        /// How long it may take.
        timeout: Duration,
        /// The query, in PromQL.
        query: String,
    },
    /// What Alertmanager posts to the daemon: 1 when this alert fires, 0 when it is resolved.
    Alertmanager {
        /// Its label `alertname`.
        alert: String,
        /// Only alerts with these labels.
        labels: BTreeMap<String, String>,
    },
    /// A file of the site.
    FileCheck {
        /// Relative to the site.
        file: String,
        /// Which number of it.
        value: FileValue,
    },
    /// A command: no shell, as a policy's commands.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
        /// How long it may take.
        timeout: Duration,
        /// Which number of it.
        value: CommandValue,
        /// For [`CommandValue::Failed`], the exit statuses by which it says so: by any other than these and 0, and where it does
        /// not end in time, it says nothing. Empty: all but 0 and in time is a failure.
        fails_with: Vec<i32>,
    },
    /// How many lines of a log hold this text: a counter.
    LogCount {
        /// Relative to the site.
        file: String,
        /// The text, as it is.
        contains: String,
    },
    /// The site sends the samples itself.
    Push,
}

/// A number of dbt's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DbtValue {
    /// Models that failed, of those that ran.
    ModelFailures,
    /// Tests that failed, of those that ran.
    TestFailures,
    /// How many nodes did not compile.
    CompileErrors,
    /// How many seconds all of it took.
    Seconds,
}

/// A number of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeValue {
    /// 1 when it answered in time, over HTTP with a status below 400; else 0.
    Up,
    /// Seconds until the whole answer, or the connection, was there; the timeout when it was not.
    Seconds,
}

/// A number of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileValue {
    /// 1 when it is there, else 0.
    Present,
    /// 1 when it is not there, else 0.
    Missing,
    /// Seconds since it was changed.
    Age,
    /// Its bytes.
    Size,
}

/// A number of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandValue {
    /// 1 when it failed, 0 when it ended with status 0.
    Failed,
    /// The number that it printed.
    Printed,
    /// Seconds that it took.
    Seconds,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFeed {
    kind: Spanned<String>,
    metric: Spanned<String>,
    every: Option<Spanned<String>>,
    process: Option<Spanned<String>>,
    exe: Option<Spanned<String>>,
    args: Option<Spanned<Vec<String>>>,
    service: Option<Spanned<String>>,
    file: Option<Spanned<String>>,
    value: Option<Spanned<String>>,
    url: Option<Spanned<String>>,
    timeout: Option<Spanned<String>>,
    argv: Option<Spanned<Vec<String>>>,
    contains: Option<Spanned<String>>,
    home: Option<Spanned<String>>,
    program: Option<Spanned<String>>,
    address: Option<Spanned<String>>,
    select: Option<Spanned<String>>,
    labels: Option<Spanned<BTreeMap<Spanned<String>, Spanned<String>>>>,
    query: Option<Spanned<String>>,
    alert: Option<Spanned<String>>,
    #[serde(rename = "fails-with")]
    fails_with: Option<Spanned<Vec<i32>>>,
}

/// How often a feed looks.
const EVERY_MIN: Duration = Duration::from_millis(100);
const EVERY_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a look takes at most.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// Bytes of a query or of an alert's name at most.
const TEXT_BYTES_MAX: usize = 4096;

/// Kind, the keys that it uses beside `kind` and `metric`. What is behind `?` may be left out.
const KINDS: &[(&str, &[&str])] = &[
    ("process-memory", &["every", "process?", "exe?", "args?"]),
    ("host-memory", &["every"]),
    ("process-alive", &["every", "process?", "exe?", "args?"]),
    ("pm2-restarts", &["every", "service", "home?", "program?"]),
    ("dbt-results", &["every", "file", "value"]),
    ("build-status", &["every", "file"]),
    ("build-duration", &["every", "file"]),
    ("http-probe", &["every", "url", "timeout", "value"]),
    ("tcp-probe", &["every", "address", "timeout", "value"]),
    ("scrape", &["every", "url", "timeout", "select?", "labels?"]),
    ("prometheus", &["every", "url", "timeout", "query"]),
    ("alertmanager", &["alert", "labels?"]),
    ("file-check", &["every", "file", "value"]),
    ("command", &["every", "argv", "timeout", "value", "fails-with?"]),
    ("log-count", &["every", "file", "contains"]),
    ("push", &[]),
];

/// The feeds of a site, by name; `processes` are the site's own.
pub(crate) fn feeds(
    raw: &BTreeMap<Spanned<String>, RawFeed>,
    processes: &BTreeMap<Name, SelectorMeaning>,
) -> Result<BTreeMap<Name, Feed>, FileError> {
    let mut all = BTreeMap::new();
    let mut metrics: BTreeMap<&str, &str> = BTreeMap::new();
    apart(raw.keys())?;
    for (key, feed) in raw {
        if let Some(other) = metrics.insert(feed.metric.get_ref(), key.get_ref()) {
            let message = format!("two feeds give `{}`: this one and `{other}`", feed.metric.get_ref());
            return Err(FileError::at(feed.metric.span(), message));
        }
        all.insert(name(key)?, feed.parse(processes)?);
    }
    Ok(all)
}

impl RawFeed {
    fn parse(&self, processes: &BTreeMap<Name, SelectorMeaning>) -> Result<Feed, FileError> {
        let kind = self.kind.get_ref().as_str();
        let Some((_, keys)) = KINDS.iter().find(|(name, _)| *name == kind) else {
            let kinds = KINDS.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            return Err(FileError::at(self.kind.span(), format!("unknown kind of feed {kind:?}"))
                .help(format!("the kinds of this version: {kinds}")));
        };
        self.keys_fit(kind, keys)?;
        let metric = self.metric()?;
        let counts = matches!(kind, "pm2-restarts" | "log-count");
        // What these give may be a counter or not: nobody but the site knows.
        let may_count = matches!(kind, "push" | "command" | "scrape" | "prometheus");
        if counts != metric.ends_with("_total") && !may_count {
            let rule = if counts { "ends in" } else { "does not end in" };
            let message = format!("the metric of a `{kind}` feed {rule} `_total`: by that a counter is known");
            return Err(FileError::at(self.metric.span(), message));
        }
        let source = match kind {
            "process-memory" => FeedSource::ProcessMemory { who: self.processes(processes)? },
            "process-alive" => FeedSource::ProcessAlive { who: self.processes(processes)? },
            "host-memory" => FeedSource::HostMemory,
            "pm2-restarts" => self.pm2_restarts()?,
            "dbt-results" => FeedSource::DbtResults { file: self.file()?, value: self.value(DBT)? },
            "build-status" => FeedSource::BuildStatus { file: self.file()? },
            "build-duration" => FeedSource::BuildDuration { file: self.file()? },
            "http-probe" => {
                FeedSource::HttpProbe { url: self.url()?, timeout: self.timeout()?, value: self.value(PROBE)? }
            }
            "tcp-probe" => {
                FeedSource::TcpProbe { address: self.address()?, timeout: self.timeout()?, value: self.value(PROBE)? }
            }
            "scrape" => FeedSource::Scrape {
                url: self.url()?,
                timeout: self.timeout()?,
                select: self.select.as_ref().map_or_else(|| Ok(metric.clone()), foreign_metric)?,
                labels: self.labels()?,
            },
            "prometheus" => {
                FeedSource::Prometheus { url: self.url()?, timeout: self.timeout()?, query: self.text(&self.query)? }
            }
            "alertmanager" => FeedSource::Alertmanager { alert: self.text(&self.alert)?, labels: self.labels()? },
            "file-check" => FeedSource::FileCheck { file: self.file()?, value: self.value(FILE)? },
            "command" => FeedSource::Command {
                argv: crate::outside::argv(self.argv.as_ref().expect("checked"))?,
                timeout: self.timeout()?,
                value: self.value(COMMAND)?,
                fails_with: self.fails_with()?,
            },
            "log-count" => FeedSource::LogCount { file: self.file()?, contains: self.contains()? },
            _ => FeedSource::Push,
        };
        let process = self.process.as_ref().map(name).transpose()?;
        Ok(Feed { metric, every: self.every()?, process, source })
    }

    /// Every key that the kind needs is there, and none that it does not use.
    fn keys_fit(&self, kind: &str, keys: &[&str]) -> Result<(), FileError> {
        let given = [
            ("every", self.every.as_ref().map(Spanned::span)),
            ("process", self.process.as_ref().map(Spanned::span)),
            ("exe", self.exe.as_ref().map(Spanned::span)),
            ("args", self.args.as_ref().map(Spanned::span)),
            ("service", self.service.as_ref().map(Spanned::span)),
            ("file", self.file.as_ref().map(Spanned::span)),
            ("value", self.value.as_ref().map(Spanned::span)),
            ("url", self.url.as_ref().map(Spanned::span)),
            ("timeout", self.timeout.as_ref().map(Spanned::span)),
            ("argv", self.argv.as_ref().map(Spanned::span)),
            ("contains", self.contains.as_ref().map(Spanned::span)),
            ("home", self.home.as_ref().map(Spanned::span)),
            ("program", self.program.as_ref().map(Spanned::span)),
            ("address", self.address.as_ref().map(Spanned::span)),
            ("select", self.select.as_ref().map(Spanned::span)),
            ("labels", self.labels.as_ref().map(Spanned::span)),
            ("query", self.query.as_ref().map(Spanned::span)),
            ("alert", self.alert.as_ref().map(Spanned::span)),
            ("fails-with", self.fails_with.as_ref().map(Spanned::span)),
        ];
        for (key, span) in given {
            let is_needed = keys.contains(&key);
            let is_used = is_needed || keys.iter().any(|k| k.strip_suffix('?') == Some(key));
            match span {
                Some(span) if !is_used => {
                    return Err(FileError::at(span, format!("`{key}` means nothing to a `{kind}` feed")));
                }
                None if is_needed => {
                    return Err(FileError::at(self.kind.span(), format!("a `{kind}` feed needs `{key}`")));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn metric(&self) -> Result<String, FileError> {
        let text = self.metric.get_ref();
        if is_name(text) {
            return Ok(text.clone());
        }
        Err(FileError::at(self.metric.span(), "a metric's name is letters, digits and `_`, no digit first"))
    }

    fn every(&self) -> Result<Option<Duration>, FileError> {
        let Some(raw) = &self.every else { return Ok(None) };
        let every = duration(raw)?;
        if (EVERY_MIN..=EVERY_MAX).contains(&every) {
            return Ok(Some(every));
        }
        Err(FileError::at(raw.span(), "a feed looks once in 100 ms to 7 d"))
    }

    /// The processes of the site that it names, or those of its own executable and arguments, of which one at least is there.
    fn processes(&self, known: &BTreeMap<Name, SelectorMeaning>) -> Result<SelectorMeaning, FileError> {
        let args = self.args.as_ref().map(|a| a.get_ref().clone()).unwrap_or_default();
        let exe = self.exe.as_ref().map(|e| e.get_ref().clone());
        if let Some(raw) = &self.process {
            if exe.is_some() || !args.is_empty() {
                let message = "`process` says which are meant: `exe` and `args` stand there without it only";
                return Err(FileError::at(raw.span(), message));
            }
            return known.get(&name(raw)?).cloned().ok_or_else(|| {
                let names = known.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                FileError::at(raw.span(), format!("this file has no `[processes.{}]`", raw.get_ref()))
                    .help(if names.is_empty() { "it has none at all".to_owned() } else { format!("it has {names}") })
            });
        }
        if exe.is_none() && args.is_empty() {
            let kind = self.kind.get_ref();
            let message = format!("a `{kind}` feed with neither `process` nor `exe` nor `args` means every process");
            return Err(FileError::at(self.kind.span(), message)
                .help("name one of `[processes]`, the executable, or arguments that only the meant process has"));
        }
        Ok(SelectorMeaning { exe, args, ..SelectorMeaning::default() })
    }

    /// The exit statuses by which a command says that what it looks at failed.
    fn fails_with(&self) -> Result<Vec<i32>, FileError> {
        let Some(raw) = &self.fails_with else { return Ok(Vec::new()) };
        if self.value.as_ref().is_none_or(|value| value.get_ref() != "failed") {
            return Err(FileError::at(raw.span(), "`fails-with` means something to the value `failed` alone"));
        }
        let statuses = raw.get_ref();
        if statuses.is_empty() || statuses.iter().any(|status| !(1..=255).contains(status)) {
            return Err(FileError::at(raw.span(), "one exit status or more is wanted here, each from 1 to 255"));
        }
        Ok(statuses.clone())
    }

    fn pm2_restarts(&self) -> Result<FeedSource, FileError> {
        let program = self.program.as_ref().map_or_else(|| "pm2".to_owned(), |p| p.get_ref().clone());
        if let Some(raw) = self.program.as_ref().filter(|p| p.get_ref().is_empty() || p.get_ref().contains('\0')) {
            return Err(FileError::at(raw.span(), "a program is wanted here"));
        }
        Ok(FeedSource::Pm2Restarts {
            service: name(self.service.as_ref().expect("checked"))?,
            home: self.home.as_ref().map_or_else(|| Ok(".pm2".to_owned()), relative_file)?,
            program,
        })
    }

    fn file(&self) -> Result<String, FileError> {
        relative_file(self.file.as_ref().expect("checked"))
    }

    fn timeout(&self) -> Result<Duration, FileError> {
        let raw = self.timeout.as_ref().expect("checked");
        let timeout = duration(raw)?;
        if timeout > TIMEOUT_MAX {
            return Err(FileError::at(raw.span(), "a look takes at most 10 m"));
        }
        Ok(timeout)
    }

    fn url(&self) -> Result<String, FileError> {
        let url = self.url.as_ref().expect("checked");
        let rest = url.get_ref().strip_prefix("http://").or_else(|| url.get_ref().strip_prefix("https://"));
        let good =
            rest.is_some_and(|r| !r.is_empty() && !r.starts_with('/') && r.chars().all(|c| c.is_ascii_graphic()));
        let wanted = || FileError::at(url.span(), "an address such as `http://127.0.0.1:3000/health` is wanted here");
        if !good {
            return Err(wanted());
        }
        HttpUrl::parse(url.get_ref()).map_err(|why| wanted().help(why))?;
        Ok(url.get_ref().clone())
    }

    fn address(&self) -> Result<String, FileError> {
        let raw = self.address.as_ref().expect("checked");
        let text = raw.get_ref();
        // A host and a port are what stands in a URL between `//` and `/`; a port is not optional here.
        let is_good = HttpUrl::parse(&format!("http://{text}/")).is_ok() && !text.contains(['/', '?', '#']);
        let has_port = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port != 0));
        if is_good && has_port {
            return Ok(text.clone());
        }
        Err(FileError::at(raw.span(), "a host with its port, such as `127.0.0.1:5432`, is wanted here"))
    }

    /// Label → value that a series or an alert must have.
    fn labels(&self) -> Result<BTreeMap<String, String>, FileError> {
        let mut all = BTreeMap::new();
        let Some(raw) = &self.labels else { return Ok(all) };
        for (label, value) in raw.get_ref() {
            if !is_name(label.get_ref()) || label.get_ref() == "__name__" {
                return Err(FileError::at(label.span(), "a label's name is letters, digits and `_`, no digit first"));
            }
            if value.get_ref().is_empty() {
                return Err(FileError::at(value.span(), "an empty label is none: a value is wanted here"));
            }
            all.insert(label.get_ref().clone(), value.get_ref().clone());
        }
        Ok(all)
    }

    fn text(&self, raw: &Option<Spanned<String>>) -> Result<String, FileError> {
        let raw = raw.as_ref().expect("checked");
        if raw.get_ref().trim().is_empty() || raw.get_ref().len() > TEXT_BYTES_MAX {
            return Err(FileError::at(raw.span(), format!("a text of 1 to {TEXT_BYTES_MAX} bytes is wanted here")));
        }
        Ok(raw.get_ref().clone())
    }

    fn contains(&self) -> Result<String, FileError> {
        let text = self.contains.as_ref().expect("checked");
        if text.get_ref().is_empty() || text.get_ref().contains('\n') || text.get_ref().len() > TEXT_BYTES_MAX {
            return Err(FileError::at(text.span(), "a text within one line is wanted here, of at most 4096 bytes"));
        }
        Ok(text.get_ref().clone())
    }

    fn value<T: Copy>(&self, known: &[(&str, T)]) -> Result<T, FileError> {
        let value = self.value.as_ref().expect("checked");
        known.iter().find(|(name, _)| name == value.get_ref()).map(|(_, value)| *value).ok_or_else(|| {
            let names = known.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let message = format!("a `{}` feed has no value {:?}", self.kind.get_ref(), value.get_ref());
            FileError::at(value.span(), message).help(format!("its values are {names}"))
        })
    }
}

/// Whether `text` can be a metric's or a label's name in a policy.
fn is_name(text: &str) -> bool {
    (1..=256).contains(&text.len())
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A metric's name as others write it: `:` stands in those of recording rules.
fn foreign_metric(raw: &Spanned<String>) -> Result<String, FileError> {
    if is_name(&raw.get_ref().replace(':', "_")) {
        return Ok(raw.get_ref().clone());
    }
    Err(FileError::at(raw.span(), "a metric's name is letters, digits, `_` and `:`, no digit first"))
}

const DBT: &[(&str, DbtValue)] = &[
    ("model-failures", DbtValue::ModelFailures),
    ("test-failures", DbtValue::TestFailures),
    ("compile-errors", DbtValue::CompileErrors),
    ("seconds", DbtValue::Seconds),
];
const PROBE: &[(&str, ProbeValue)] = &[("up", ProbeValue::Up), ("seconds", ProbeValue::Seconds)];
const FILE: &[(&str, FileValue)] = &[
    ("present", FileValue::Present),
    ("missing", FileValue::Missing),
    ("age", FileValue::Age),
    ("size", FileValue::Size),
];
const COMMAND: &[(&str, CommandValue)] =
    &[("failed", CommandValue::Failed), ("printed", CommandValue::Printed), ("seconds", CommandValue::Seconds)];
