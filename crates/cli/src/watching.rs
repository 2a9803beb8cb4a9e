//! What the daemon's verbs share: the policies as the daemon needs them, its book, its inbox.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    site::{Site, policy_files, read_text},
    triggers,
    wiring::{SystemClock, new_run_id},
};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use unship_controller::{
    book::{self, BookError},
    notify::Notices,
    ports::{Policies, Setup},
};
use unship_policy::{Attribution, Digest, Moment, StoryId, TrustRoot};
use unship_rollback::{
    Clock as _, RunId,
    incident::{Book, Fact, IncidentId, Submission, SubmissionId, Wish},
    signal::Millis,
};
use unship_store::WatchStore;

/// Reads a site's policies as a whole.
pub struct SitePolicies(pub PathBuf);

/// All of it in one text, for the daemon's journal.
fn told(e: &CliError) -> String {
    unship_rollback::neutralise(&e.text())
}

impl SitePolicies {
    /// As [`Policies::read`], with the error as the command line shows it.
    pub fn setup(&self) -> Result<Setup> {
        let site = Site::find(Some(&self.0))?;
        let stories = site.story_ids()?;
        let mut shipped = BTreeMap::new();
        for story in &stories {
            shipped.extend(site.story(story)?.shipped.map(|at| (story.clone(), at)));
        }
        let last_shipped = last(&shipped, SystemClock.now_ms());
        let mut rules = triggers::all(&site)?;
        for rule in &mut rules {
            let is_laid_to_last =
                rule.trigger.as_ref().is_some_and(|t| t.attribution == Some(Attribution::LastShipped));
            let story = rule.story.as_ref().or(last_shipped.as_ref().filter(|_| is_laid_to_last));
            let since = story.and_then(|story| shipped.get(story));
            rule.conduct.baseline_until = since.and_then(|at| i64::try_from(at.ms()).ok()).map(Millis);
        }
        let notices = Arc::new(notices(&site)?);
        site.trust()?;
        Ok(Setup {
            site: site.policy.name.clone(),
            digest: digest(&site)?,
            decision: site.policy.decision.clone(),
            watch: site.policy.watch.clone(),
            rules,
            stories: stories.iter().map(StoryId::to_string).collect(),
            post_mortem: site.policy.post_mortem.clone(),
            last_shipped: last_shipped.map(|story| story.to_string()),
            announcer: notices.clone(),
            notices,
        })
    }
}

/// The story that was shipped last. Of two at the same time nobody can say which is at fault, and what is to be shipped yet
/// has done no harm.
fn last(shipped: &BTreeMap<StoryId, Moment>, now_ms: u64) -> Option<StoryId> {
    let newest = shipped.values().filter(|at| at.ms() <= now_ms).max()?;
    let mut its = shipped.iter().filter(|(_, at)| *at == newest).map(|(story, _)| story.clone());
    its.next().filter(|_| its.next().is_none())
}

/// Where a site keeps its own HTML for mail.
const NOTICES: &str = "policies/notices";

/// Who is told of what, with the templates checked.
pub fn notices(site: &Site) -> Result<Notices> {
    let html = |name: &str| read_text(&site.path.join(NOTICES).join(name)).map_err(|e| told(&e));
    Notices::new(&site.policy.notices, site.policy.watch.links.as_deref(), html).map_err(|e| {
        CliError::user("a template of a notice is not to be used")
            .because(&e)
            .hint("docs/notices.md lists what a template can name; `policies/notices/` has the files that `html` names")
    })
}

/// Of every policy file, with its name.
fn digest(site: &Site) -> Result<Digest> {
    let mut parts = Vec::new();
    for stem in policy_files(&site.path)? {
        parts.push(format!("policies/{stem}.toml"));
    }
    for name in triggers::folder(&site.path.join("policies/triggers"))? {
        parts.push(format!("policies/triggers/{name}"));
    }
    let html = site.policy.notices.notices.iter().filter_map(|notice| notice.html.as_ref());
    parts.extend(html.map(|name| format!("{NOTICES}/{name}")));
    let texts = parts.iter().map(|part| read_text(&site.path.join(part))).collect::<Result<Vec<_>>>()?;
    let parts: Vec<&[u8]> = parts.iter().zip(&texts).flat_map(|(a, b)| [a.as_bytes(), b.as_bytes()]).collect();
    Ok(Digest::of_parts(&parts))
}

impl Policies for SitePolicies {
    fn read(&self) -> std::result::Result<Setup, String> {
        self.setup().map_err(|e| told(&e))
    }

    fn trust(&self) -> std::result::Result<TrustRoot, String> {
        let site = Site::find(Some(&self.0)).map_err(|e| told(&e))?;
        site.trust().cloned().map_err(|e| told(&e))
    }
}

/// What the daemon of the site keeps; an error where none has ever watched it.
pub fn watched(site: &Site) -> Result<WatchStore> {
    let watched = site.store()?.watched().map_err(|e| crate::history::not_intact(&e))?;
    watched.ok_or_else(|| {
        CliError::user("no daemon has ever watched this site").hint("`unship watch` begins; it makes what it needs")
    })
}

/// Why a book cannot be read, as the command line says it.
pub fn not_readable(e: &BookError) -> CliError {
    match e {
        BookError::Journal(e) => crate::history::not_intact(e),
        BookError::Locked(_) => CliError::refused("another daemon watches this site").because(e),
        BookError::Record { .. } | BookError::Illegal(_) => {
            CliError::new(Exit::Journal, "the daemon's journal is not intact").because(e)
        }
        BookError::Checkpoint(_) => CliError::user("the daemon's journal cannot be used").because(e),
    }
}

/// The daemon's book as it is now.
pub fn book(store: &WatchStore) -> Result<Book> {
    book::read(store).map_err(|e| not_readable(&e))
}

/// What a run was for: the daemon's book, the incident, and its facts, each with its time.
pub struct RunsIncident {
    /// The book.
    pub book: Book,
    /// Which.
    pub id: IncidentId,
    /// In order.
    pub facts: Vec<(u64, Fact)>,
}

/// The incident that a run was for; `None`: the daemon did not begin it.
pub fn incident_of(site: &Site, run: &RunId) -> Result<Option<RunsIncident>> {
    let Some(store) = site.store()?.watched().map_err(|e| crate::history::not_intact(&e))? else { return Ok(None) };
    let Some(id) = book(&store)?.runs().get(run).map(|note| note.incident.clone()) else { return Ok(None) };
    let (book, facts) = book::read_facts(&store, &id).map_err(|e| not_readable(&e))?;
    Ok(Some(RunsIncident { book, id, facts }))
}

/// An incident's id from the command line, of one that is there.
pub fn incident(book: &Book, text: &str) -> Result<IncidentId> {
    let id = IncidentId::new(text).filter(|id| book.incident(id).is_some());
    id.ok_or_else(|| {
        CliError::user(format!("there is no incident {text:?} at this site")).hint("`unship incidents` lists them")
    })
}

/// Puts a wish into the inbox, and ends with a summary of that.
pub fn submit(context: &Context, site: &Site, by: &str, wish: Wish) -> Result<()> {
    let (id, is_alive) = hand_in(context, site, by, wish)?;
    context.out.summary(serde_json::json!({ "submission": id, "by": by, "daemon": is_alive }));
    Ok(())
}

/// Puts a wish into the inbox, and says whether a daemon is there to take it.
pub fn hand_in(context: &Context, site: &Site, by: &str, wish: Wish) -> Result<(SubmissionId, bool)> {
    let store = watched(site)?;
    let run = new_run_id(SystemClock.now_ms()).map_err(|e| CliError::user("no id can be made").cause(e))?;
    let id = SubmissionId::new(&run.as_str().replacen('r', "s", 1));
    let id = id.ok_or_else(|| CliError::user("no id can be made"))?;
    let submission = Submission { unship_submission: 1, id: id.clone(), by: by.to_owned(), wish };
    let text = serde_json::to_vec(&submission).map_err(|e| CliError::user("it cannot be written").because(&e))?;
    let written = store.submit(&format!("{id}.json"), &text);
    written.map_err(|e| CliError::user("the daemon's inbox cannot be written").because(&e))?;
    let is_alive = store.daemon().map_err(|e| CliError::user("the daemon cannot be looked for").because(&e))?.is_some();
    if is_alive {
        context.out.text(format!("handed in as {id}; `unship incidents` shows what comes of it"));
    } else {
        context.out.text(format!("handed in as {id}; no daemon watches now, the next one takes it in"));
    }
    Ok((id, is_alive))
}

/// Whether something on this site will end in time what a run weakens: a daemon that is alive.
pub fn ends_exposures(site: &Site) -> bool {
    let store = site.store().ok().and_then(|store| store.watched().ok().flatten());
    store.is_some_and(|store| {
        let is_alive = store.daemon().ok().flatten().is_some();
        is_alive && book(&store).is_ok_and(|book| book.is_watching())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_story_that_was_shipped_last_is_one_alone_and_none_that_is_to_come() {
        let of = |stories: &[(&str, u64)], now_ms| {
            let shipped = stories.iter().map(|(id, ms)| (StoryId::new(id).expect("an id"), Moment::from_ms(*ms)));
            last(&shipped.collect(), now_ms).map(|story| story.to_string())
        };
        assert_eq!(of(&[], 9000), None);
        assert_eq!(of(&[("1.3", 2000), ("1.4", 3000)], 9000), Some("1.4".to_owned()));
        assert_eq!(of(&[("1.3", 2000), ("1.4", 30_000)], 9000), Some("1.3".to_owned()), "1.4 is to come");
        assert_eq!(of(&[("1.3", 3000), ("1.4", 3000)], 9000), None, "nobody can say which");
    }
}
