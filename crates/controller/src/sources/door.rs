//! The one door to the sink: each source's budget, counts and health.

use super::{
    budget::{Budget, Refusal},
    clock::Clock,
    sink::{Alert, Sink},
};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};
use unship_rollback::signal::{Sample, Series};

/// What is told by others is well again when it was for so long: whoever sends nonsense in turns is not said in turns.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// What one source did since the daemon began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceCounts {
    /// Its name: that of its feed, or of its feeds with commas between.
    pub source: String,
    /// Looks, or requests that told it something.
    pub looks: u64,
    /// Those of them that could not see everything.
    pub failed: u64,
    /// Moments at which the look before was still under way.
    pub overrun: u64,
    /// Samples that it gave.
    pub samples: u64,
    /// Samples that were refused, by rule ([`Refusal::name`]).
    pub refused: BTreeMap<&'static str, u64>,
    /// Whether it is in trouble now.
    pub is_in_trouble: bool,
}

struct Ledger {
    budget: Budget,
    counts: SourceCounts,
    troubled: Option<Duration>,
}

pub(super) struct Door {
    sink: Arc<dyn Sink>,
    ledgers: BTreeMap<String, Ledger>,
}

impl Door {
    pub fn new(sink: Arc<dyn Sink>) -> Door {
        Door { sink, ledgers: BTreeMap::new() }
    }

    /// From now on these are the sources; what is known of them stays.
    pub fn keep(&mut self, names: Vec<String>, steady: Duration) {
        let mut known = std::mem::take(&mut self.ledgers);
        for name in names {
            let ledger = known.remove(&name).unwrap_or_else(|| Ledger {
                budget: Budget::new(steady),
                counts: SourceCounts { source: name.clone(), ..SourceCounts::default() },
                troubled: None,
            });
            self.ledgers.insert(name, ledger);
        }
    }

    pub fn counts(&self) -> Vec<SourceCounts> {
        self.ledgers.values().map(|ledger| ledger.counts.clone()).collect()
    }

    fn ledger(&mut self, source: &str, steady: Duration) -> &mut Ledger {
        match self.ledgers.entry(source.to_owned()) {
            Entry::Occupied(ledger) => ledger.into_mut(),
            // What is no feed's: lines that name none.
            Entry::Vacant(place) => place.insert(Ledger {
                budget: Budget::new(steady),
                counts: SourceCounts { source: source.to_owned(), ..SourceCounts::default() },
                troubled: None,
            }),
        }
    }

    /// One sample of `source`; what is refused is counted.
    pub fn give(&mut self, source: &str, series: &Series, sample: Sample, clock: &dyn Clock) -> Result<(), Refusal> {
        let steady = clock.steady();
        let sink = self.sink.clone();
        let ledger = self.ledger(source, steady);
        let given = ledger
            .budget
            .admit(series, sample, clock.now(), steady)
            .and_then(|()| sink.sample(series.clone(), sample).map_err(|_| Refusal::Full));
        match given {
            Ok(()) => ledger.counts.samples += 1,
            Err(refusal) => ledger.refuse(refusal),
        }
        given
    }

    /// Something of `source` that is no sample.
    pub fn refuse(&mut self, source: &str, refusal: Refusal, clock: &dyn Clock) {
        self.ledger(source, clock.steady()).refuse(refusal);
    }

    pub fn alert(&self, alert: Alert) {
        self.sink.alert(alert);
    }

    /// What a look showed: samples by metric and labels. Says whether the sink had room for all of them.
    pub fn looked<'a>(
        &mut self,
        source: &str,
        samples: impl Iterator<Item = (&'a str, BTreeMap<String, String>, Sample)>,
        mut trouble: Option<String>,
        clock: &dyn Clock,
    ) -> bool {
        let mut refused: BTreeMap<Refusal, u64> = BTreeMap::new();
        for (metric, labels, sample) in samples {
            let given = match Series::new(metric, labels) {
                Ok(series) => self.give(source, &series, sample, clock),
                Err(_) => {
                    self.refuse(source, Refusal::Names, clock);
                    Err(Refusal::Names)
                }
            };
            if let Err(refusal) = given {
                *refused.entry(refusal).or_default() += 1;
            }
        }
        if let Some((refusal, count)) = refused.iter().max_by_key(|(_, count)| **count) {
            trouble = trouble.or(Some(format!("{count} samples are refused: {}", refusal.says())));
        }
        let ledger = self.ledger(source, clock.steady());
        ledger.counts.looks += 1;
        ledger.counts.failed += u64::from(trouble.is_some());
        self.health(source, trouble.as_deref(), Duration::ZERO, clock.steady());
        !refused.contains_key(&Refusal::Full)
    }

    /// A request told `source` something, and the first thing of it that was refused.
    pub fn was_told(&mut self, source: &str, trouble: Option<&str>, clock: &dyn Clock) {
        let ledger = self.ledger(source, clock.steady());
        ledger.counts.looks += 1;
        ledger.counts.failed += u64::from(trouble.is_some());
        self.health(source, trouble, WELL_AFTER, clock.steady());
    }

    /// It is due again, and the look before is still under way.
    pub fn overrun(&mut self, source: &str) {
        let Some(ledger) = self.ledgers.get_mut(source) else { return };
        ledger.counts.overrun += 1;
        self.health(source, Some("a look takes longer than the time between two"), Duration::ZERO, Duration::ZERO);
    }

    /// Says that a source is in trouble, or well, if that is new.
    fn health(&mut self, source: &str, trouble: Option<&str>, well_after: Duration, steady: Duration) {
        let sink = self.sink.clone();
        let ledger = self.ledger(source, steady);
        match (trouble, ledger.troubled) {
            (Some(what), said) => {
                ledger.troubled = Some(steady);
                ledger.counts.is_in_trouble = true;
                if said.is_none() {
                    sink.trouble(source, what);
                }
            }
            (None, Some(since)) if steady.saturating_sub(since) >= well_after => {
                ledger.troubled = None;
                ledger.counts.is_in_trouble = false;
                sink.well(source);
            }
            (None, _) => {}
        }
    }
}

impl Ledger {
    fn refuse(&mut self, refusal: Refusal) {
        *self.counts.refused.entry(refusal.name()).or_default() += 1;
    }
}
