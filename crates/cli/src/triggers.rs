//! The triggers of a site, from its files to rules that can be evaluated.

use crate::{
    error::{CliError, Result},
    site::{Site, read_text, story_id},
};
use std::path::Path;
use unship_policy::{StoryId, StoryPolicy, parse_story_triggers};
use unship_rollback::trigger::{TriggerRule, compile};

/// On the command line, whose triggers the general ones are.
pub const GENERAL: &str = "site";

/// Whose triggers are meant: a story's, or the general ones.
pub fn owner(text: &str) -> Result<Option<StoryId>> {
    if text == GENERAL { Ok(None) } else { story_id(text).map(Some) }
}

/// The name of an owner, as the command line has it.
pub fn owner_text(story: Option<&StoryId>) -> &str {
    story.map_or(GENERAL, StoryId::as_str)
}

/// All triggers of one owner.
pub fn of(site: &Site, story: Option<&StoryId>) -> Result<Vec<TriggerRule>> {
    let Some(id) = story else {
        let file = site.path.join("policies/site.toml");
        let text = read_text(&file)?;
        return compile(&site.policy, None, &site.policy.triggers, &text)
            .map_err(|e| CliError::in_file(&file, &text, e));
    };
    let (policy, own) = (site.path.join(format!("policies/{id}.toml")), own_file(site, id));
    if !policy.exists() && !own.exists() {
        return Err(CliError::user(format!("story {id} has neither a policy nor triggers at this site"))
            .cause(format!("neither {} nor {} exists", policy.display(), own.display())));
    }
    let mut rules = Vec::new();
    let mut story_policy = None;
    if policy.exists() {
        let text = read_text(&policy)?;
        let parsed = StoryPolicy::parse(&text, id).map_err(|e| CliError::in_file(&policy, &text, e))?;
        rules =
            compile(&site.policy, story, &parsed.triggers, &text).map_err(|e| CliError::in_file(&policy, &text, e))?;
        story_policy = Some(parsed);
    }
    if own.exists() {
        if !rules.is_empty() {
            return Err(CliError::user(format!("the triggers of story {id} stand in two files"))
                .cause(format!("{} has `[[trigger]]` tables, and {} exists", policy.display(), own.display()))
                .hint("keep all of them in one of the two"));
        }
        let text = read_text(&own)?;
        let parsed = parse_story_triggers(&text).map_err(|e| CliError::in_file(&own, &text, e))?;
        if let Some(policy) = &story_policy {
            policy.admits(&parsed).map_err(|e| CliError::in_file(&own, &text, e))?;
        }
        rules = compile(&site.policy, story, &parsed, &text).map_err(|e| CliError::in_file(&own, &text, e))?;
    }
    Ok(rules)
}

/// All triggers of the site: the general ones, then each story's.
pub fn all(site: &Site) -> Result<Vec<TriggerRule>> {
    let mut rules = of(site, None)?;
    for id in stories(site)? {
        rules.extend(of(site, Some(&id))?);
    }
    Ok(rules)
}

/// The stories that may have triggers here, in the order of their ids.
fn stories(site: &Site) -> Result<Vec<StoryId>> {
    let mut ids = site.story_ids()?;
    for name in folder(&site.path.join("policies/triggers"))? {
        ids.extend(name.strip_suffix(".toml").and_then(|name| StoryId::new(name).ok()));
    }
    ids.sort_by_key(|id| id.as_str().split('.').map(|n| n.parse().unwrap_or(u32::MAX)).collect::<Vec<u32>>());
    ids.dedup();
    Ok(ids)
}

/// The names in a folder, sorted; none if there is no such folder.
pub fn folder(path: &Path) -> Result<Vec<String>> {
    let unreadable = |e: std::io::Error| CliError::user(format!("{} cannot be read", path.display())).because(&e);
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(unreadable(e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(unreadable)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

fn own_file(site: &Site, id: &StoryId) -> std::path::PathBuf {
    site.path.join(format!("policies/triggers/{id}.toml"))
}

/// Those that a story's id (or `site`) and a trigger's name mean; all, if neither is given.
pub fn meant(site: &Site, story: Option<&str>, name: Option<&str>) -> Result<Vec<TriggerRule>> {
    let mut rules = match story {
        None => all(site)?,
        Some(text) => of(site, owner(text)?.as_ref())?,
    };
    if let Some(name) = name {
        let known: Vec<String> = rules.iter().map(|rule| rule.name.clone()).collect();
        rules.retain(|rule| rule.name == name);
        if rules.is_empty() {
            let message = format!("{} has no trigger {name:?}", story.unwrap_or("the site"));
            return Err(CliError::user(message).hint(match known.as_slice() {
                [] => "it has none".to_owned(),
                known => format!("it has {}", known.join(", ")),
            }));
        }
    }
    Ok(rules)
}
