//! What the policies say: each story and its bundle, the feeds, who decides, who is told.

use super::Findings;
use crate::{missing, site::Site, story::is_compiled, triggers, watching};
use unship_host::sandbox::Engine;
use unship_policy::{APPROVER, At, Definitions, FeedSource, StoryId, StoryPolicy, TrustRoot, unused_of_site};
use unship_store::SiteStore;

/// Of the site and its stories. Without `trust` no bundle can be judged.
pub fn look(findings: &mut Findings, site: &Site, store: Option<&SiteStore>, trust: Option<&TrustRoot>) {
    let ids = site.story_ids().unwrap_or_default();
    let stories: Vec<StoryPolicy> = ids.iter().filter_map(|id| site.story(id).ok()).collect();
    // A site's policy may serve stories that are not on it.
    let idle: Vec<At> = unused_of_site(&site.policy, &stories).into_iter().map(|unused| unused.at).collect();
    places(findings, site, "site.toml", &site.policy.definitions, &idle);
    match site.story_ids() {
        Ok(ids) if ids.is_empty() => {
            findings.warning("story", "", "no story has a policy here", "`unship new STORY` begins one");
        }
        Ok(ids) => {
            let engine = Engine::new().map_err(|e| e.to_string());
            if let Err(e) = &engine {
                let next = "this machine's processor or memory cannot run what unship compiles";
                findings.fault("sandbox", "", format!("no engine can be made: {e}"), next);
            }
            let tools = store.zip(engine.as_ref().ok()).filter(|_| trust.is_some());
            ids.iter().for_each(|id| story(findings, site, id, tools));
        }
        Err(e) => findings.failed("story", "", &e, "look at the folder `policies/`"),
    }
    match triggers::all(site) {
        Ok(rules) => findings.ok("triggers", "", format!("{} are valid", rules.len())),
        Err(e) => findings.failed("triggers", "", &e, "`unship policy check` shows the place"),
    }
    match watching::notices(site) {
        Ok(_) if site.policy.notices.channels.is_empty() => {
            let next = "say whom, by `[channels.NAME]` and `[[notice]]` in policies/site.toml";
            findings.warning("notices", "", "nobody is told of anything: there is no channel", next);
        }
        Ok(_) => {
            let (channels, rules) = (site.policy.notices.channels.len(), site.policy.notices.notices.len());
            findings.ok("notices", "", format!("{channels} channels, {rules} rules"));
        }
        Err(e) => findings.failed("notices", "", &e, "correct `[[notice]]` in policies/site.toml"),
    }
    feeds(findings, site);
    if let Some(trust) = trust {
        deciders(findings, site, trust);
    }
}

/// What a policy names and is not here, by the rules of `policy check`; what stands at one of `idle` no story uses.
fn places(findings: &mut Findings, site: &Site, file: &str, definitions: &Definitions, idle: &[At]) {
    let programs = missing::programs(&site.path, definitions);
    if programs.is_empty() {
        let count = unship_policy::programs(definitions).len();
        findings.ok("programs", file, format!("all {count} that it names can be run"));
    }
    let next = "install it and make it executable, or name another";
    let programs = programs.into_iter().map(|found| ("programs", found, next));
    let places = missing::places(&site.path, definitions).into_iter();
    for (check, found, next) in programs.chain(places.map(|found| ("places", found, "make it, or name where it is"))) {
        if idle.contains(&found.at) {
            findings.warning(check, file, format!("{}; no story here uses it", found.message), next);
        } else {
            findings.fault(check, file, found.message, next);
        }
    }
}

/// `tools`: what judges a bundle; `None` where there is no store, no engine or no trust root to judge by.
fn story(findings: &mut Findings, site: &Site, id: &StoryId, tools: Option<(&SiteStore, &Engine)>) {
    let policy = match site.story(id) {
        Ok(policy) => policy,
        Err(e) => return findings.failed("story", id.as_str(), &e, "`unship policy check` shows the place"),
    };
    places(findings, site, &format!("{id}.toml"), &policy.definitions, &[]);
    let Some((store, engine)) = tools else {
        let next = "mend what is named for the store, the trust root or the clock, and ask again";
        return findings.unknown("story", id.as_str(), "its bundle cannot be judged", next);
    };
    let resolved = match site.resolved(id) {
        Ok(resolved) => resolved,
        Err(e) => return findings.failed("story", id.as_str(), &e, "`unship inspect` shows its bundle"),
    };
    let version = resolved.bundle.manifest().version_text();
    let said = format!("bundle {version} is signed and may have what it asks for");
    match is_compiled(&resolved, engine, store) {
        Ok(true) => findings.ok("story", id.as_str(), format!("{said}; compiled")),
        Ok(false) => {
            let next = format!("`unship plan {id}` compiles it, so that nobody waits for that at night");
            findings.warning("story", id.as_str(), format!("{said}; not compiled yet"), &next);
        }
        Err(e) => findings.failed("story", id.as_str(), &e, "pack it anew: `unship pack`"),
    }
}

/// Whether what is to be pushed can be, and the programs of feeds are there.
fn feeds(findings: &mut Findings, site: &Site) {
    let (mut pushed, mut alerts, mut is_good) = (0, 0, true);
    for (name, feed) in &site.policy.feeds {
        let program = match &feed.source {
            FeedSource::Command { argv, .. } => argv.first(),
            FeedSource::Pm2Restarts { program, .. } => Some(program),
            FeedSource::Push => {
                pushed += 1;
                None
            }
            FeedSource::Alertmanager { .. } => {
                alerts += 1;
                None
            }
            _ => None,
        };
        let missing = program.and_then(|program| unship_host::providers::command::find(&site.path, program).err());
        if let Some(e) = missing {
            is_good = false;
            let next = "install it, or name another: without it the feed gives no samples, and its triggers say so";
            findings.warning("feed", name.as_str(), e.to_string(), next);
        }
    }
    let watch = &site.policy.watch;
    for (count, token, key) in
        [(pushed, &watch.samples_token, "samples-token"), (alerts, &watch.alerts_token, "alerts-token")]
    {
        if count > 0 && token.is_none() {
            is_good = false;
            let next = format!("`{key} = \"file:PATH\"` under `[watch]` in policies/site.toml");
            findings.warning(
                "watch",
                key,
                format!("{count} feeds wait for what is pushed, and nobody may push"),
                &next,
            );
        }
    }
    if is_good {
        findings.ok("feeds", "", format!("{} can give samples", site.policy.feeds.len()));
    }
}

/// Whether those who are asked may answer.
fn deciders(findings: &mut Findings, site: &Site, trust: &TrustRoot) {
    let mut people: Vec<&str> = trust.approvers().collect();
    people.sort_unstable();
    people.dedup();
    let threshold = trust.root().role(APPROVER).map_or(0, |role| role.threshold as usize);
    let mut is_good = !people.is_empty() && people.len() >= threshold;
    if !people.is_empty() && people.len() < threshold {
        let said =
            format!("it takes {threshold} people to approve, and {} may now: {}", people.len(), people.join(", "));
        findings.warning(
            "decision",
            "",
            said,
            "renew their keys, or give others the role `approver`: `unship trust add`",
        );
    } else if people.is_empty() {
        let next = "give keys with an owner the role `approver`: `unship trust add`";
        findings.warning("decision", "", "nobody may approve: whoever is asked cannot say yes", next);
    }
    for person in site.policy.watch.approvers.iter().filter(|person| !people.contains(&person.as_str())) {
        is_good = false;
        let next = "correct `approvers` under `[watch]`, or give a key of theirs the role `approver`";
        findings.fault("decision", person, "gets one-time links, and no key of theirs may approve now", next);
    }
    if is_good {
        findings.ok("decision", "", format!("{} people may approve: {}", people.len(), people.join(", ")));
    }
}
