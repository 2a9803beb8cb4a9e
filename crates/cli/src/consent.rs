//! Decisions that bundles may be applied, on disk: `policies/allowed/`, one file a decision.

use crate::{
    error::{CliError, Result},
    site::Site,
};
use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};
use unship_policy::{
    Allowed, Basis, DECISION_BYTES_MAX, Decision, DecisionError, NotAllowed, Power, StoryPolicy, VerifiedBundle,
    consent, definitions,
};

/// Where decisions lie, relative to the site.
pub const FOLDER: &str = "policies/allowed";
/// Decisions that are looked at, at most.
const DECISIONS_MAX: usize = 1000;

/// The decisions of a site: those that can be read, and what is wrong with the others.
#[derive(Default)]
pub struct Decisions {
    files: Vec<PathBuf>,
    /// As many as `files`, in their order.
    read: Vec<Decision>,
    unreadable: Vec<(PathBuf, DecisionError)>,
}

impl Decisions {
    /// Reads `policies/allowed/*.json`; what they are called says nothing.
    pub fn of(site: &Path) -> Result<Decisions> {
        let folder = site.join(FOLDER);
        let failed = |e: &std::io::Error| CliError::user(format!("{} cannot be read", folder.display())).because(e);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Decisions::default()),
            Err(e) => return Err(failed(&e)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| failed(&e))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                paths.push(path);
            }
        }
        if paths.len() > DECISIONS_MAX {
            return Err(CliError::user(format!("{} holds more than {DECISIONS_MAX} decisions", folder.display()))
                .hint("remove those that have expired"));
        }
        paths.sort();
        let mut all = Decisions::default();
        for path in paths {
            let file = fs::File::open(&path).map_err(|e| failed(&e))?;
            let mut bytes = Vec::new();
            file.take(DECISION_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
            match Decision::parse(&bytes) {
                Ok(decision) => {
                    all.read.push(decision);
                    all.files.push(path);
                }
                Err(e) => all.unreadable.push((path, e)),
            }
        }
        Ok(all)
    }
}

/// By whose decision it may be applied, and up to when, behind "allowed".
pub fn by_whom(allowed: &Allowed) -> String {
    let until = allowed.until().map_or_else(String::new, |until| format!(", up to {until}"));
    let whom = match allowed.basis() {
        Basis::Owned => "by the story's policy, as one's own".to_owned(),
        Basis::Declared => "by the story's policy, which names its digest".to_owned(),
        Basis::Decided(people) => format!("by {}", people.join(" and ")),
        Basis::Follows(last, people) => {
            format!("as it asks for nothing more than {last}, which {} allowed", people.join(" and "))
        }
    };
    whom + &until
}

/// Whether `bundle` may be applied here.
pub fn of(site: &Site, story: &StoryPolicy, bundle: &VerifiedBundle) -> Result<Allowed> {
    if !bundle.tier().needs_consent() {
        // Nothing lies there that could say otherwise.
        return judged(site, story, bundle, &Decisions::default());
    }
    judged(site, story, bundle, &Decisions::of(&site.path)?)
}

fn judged(site: &Site, story: &StoryPolicy, bundle: &VerifiedBundle, decisions: &Decisions) -> Result<Allowed> {
    let trust = site.trust()?;
    consent(bundle, &story.allow, &decisions.read, trust, &site.policy.name)
        .map_err(|e| refusal(site, story, bundle, &e, decisions))
}

/// Why it may not be applied yet, with what it asks for beyond what was allowed last.
fn refusal(site: &Site, story: &StoryPolicy, bundle: &VerifiedBundle, e: &NotAllowed, all: &Decisions) -> CliError {
    let mut error = CliError::refused(format!(
        "nobody allowed this bundle of story {} {} yet, and its tier is {}",
        story.id,
        bundle.manifest().version_text(),
        e.tier
    ));
    error = error.cause(format!("its digest is {}", bundle.digest()));
    if !e.people.is_empty() {
        error = error.cause(format!(
            "{} of the {} people that it takes did: {}",
            e.people.len(),
            e.needed,
            e.people.join(", ")
        ));
    }
    if let Some((last, beyond)) = &e.beyond {
        error = error.cause(format!("it asks for more than {last}, which was allowed last:"));
        error = told(site, story, beyond).into_iter().fold(error, CliError::cause);
    }
    for (index, why) in &e.wrong {
        if let Some(file) = all.files.get(*index) {
            error = error.cause(format!("{} does not count: {why}", file.display()));
        }
    }
    for (file, why) in &all.unreadable {
        error = error.cause(format!("{} does not count: {why}", file.display()));
    }
    error.hint(format!("`unship inspect` shows what it asks for; `unship allow {}` decides", story.id))
}

/// Powers as lines for people: as a policy has them, what they may, and what they can do to you.
pub fn told(site: &Site, story: &StoryPolicy, powers: &[Power]) -> Vec<String> {
    let known = definitions(story, &site.policy).ok();
    powers.iter().map(|power| told_one(power, known.as_ref())).collect()
}

/// One power for people; `definitions` are those of site and story, where there are any.
pub fn told_one(power: &Power, definitions: Option<&unship_policy::Definitions>) -> String {
    let Some(words) = definitions.and_then(|definitions| power.words(definitions)) else { return power.to_string() };
    let risks: Vec<&str> = words.risks.iter().map(|risk| risk.can()).collect();
    let risks = if risks.is_empty() { String::new() } else { format!(" [can {}]", risks.join(", ")) };
    format!("{power}: may {}{risks}", words.may)
}
