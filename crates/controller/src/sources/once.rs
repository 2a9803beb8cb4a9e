//! One look at each feed, for whoever sets a site up: before the night on which it matters, not in it.

use super::{Clock, look::Around, plan};
use std::{collections::BTreeMap, path::Path};
use unship_policy::{Feed, FeedSource, Name, SitePolicy};

/// What one look showed of a feed.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedLook {
    /// Which feed.
    pub feed: Name,
    /// The labels of each series, and its value now.
    pub samples: Vec<(BTreeMap<String, String>, f64)>,
    /// Why it shows nothing, or not all.
    pub trouble: Option<String>,
}

/// Makes the look of each feed that `is_wanted` once, as the daemon would at its first moment, and hands on what it showed; the
/// daemon's state is neither read nor written. Feeds that are told rather than look are left out ([`is_told`]).
pub fn look_once(
    policy: &SitePolicy,
    site: &Path,
    clock: &dyn Clock,
    is_wanted: impl Fn(&Name) -> bool,
    mut showed: impl FnMut(FeedLook),
) {
    let feed_of = |metric: &String| policy.feeds.iter().find(|(_, feed)| feed.metric == *metric).map(|(name, _)| name);
    for mut planned in plan::plan(policy).0 {
        let feeds: Vec<&Name> = planned.metrics.iter().filter_map(feed_of).collect();
        if !feeds.iter().any(|name| is_wanted(name)) {
            continue;
        }
        let looked = planned.look.look(Around { site, clock }, None);
        for (n, feed) in feeds.into_iter().enumerate().filter(|(_, name)| is_wanted(name)) {
            let own = looked.samples.iter().filter(|seen| seen.feed == n);
            let samples: Vec<_> = own.map(|seen| (seen.labels.clone(), seen.sample.value)).collect();
            // What one feed of a look misses is no trouble of the one beside it that got its own.
            let trouble = looked.trouble.clone().filter(|_| samples.is_empty());
            showed(FeedLook { feed: feed.clone(), samples, trouble });
        }
    }
}

/// Whether a feed is told by others, and never looks.
pub fn is_told(feed: &Feed) -> bool {
    matches!(feed.source, FeedSource::Push | FeedSource::Alertmanager { .. })
}
