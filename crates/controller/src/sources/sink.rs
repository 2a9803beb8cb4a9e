//! Where everything goes that the sources see.

use unship_rollback::signal::{Millis, Sample, Series};

/// What the daemon does with it. No method may wait: a source is judged and its state is committed around these calls.
pub trait Sink: Send + Sync {
    /// A sample. It passed its source's budget and the rules about times.
    ///
    /// # Errors
    /// [`Full`]: it was not taken, and its source keeps what it can.
    fn sample(&self, series: Series, sample: Sample) -> Result<(), Full>;

    /// An alert of Alertmanager's that a feed asks for. Its sample has come before it.
    fn alert(&self, alert: Alert);

    /// A source cannot do its work, and why (harmless to show). Said once, until it is [`well`](Sink::well).
    fn trouble(&self, source: &str, what: &str);

    /// It can again.
    fn well(&self, source: &str);
}

/// There is no room for a sample now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the daemon takes no more samples for the moment")]
pub struct Full;

/// One alert, as Alertmanager told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The feed that asks for it.
    pub feed: String,
    /// Its series: the feed's metric with the alert's labels, `alertname` left out.
    pub series: Series,
    /// Whether it fires; else it is resolved.
    pub is_firing: bool,
    /// When it was told.
    pub at: Millis,
    /// Alertmanager's own name for this set of labels.
    pub fingerprint: String,
}

impl Alert {
    /// The label `story`: which story it is about.
    pub fn story(&self) -> Option<&str> {
        self.series.labels().get("story").map(String::as_str)
    }
}
