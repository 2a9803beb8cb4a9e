//! `[post-mortem]` of `policies/site.toml`: until when a run's post-mortem is due, and who owns which of the actions after a
//! rollback. The actions are the seed's, by name.

use crate::{FileError, tables::duration};
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};
use toml::Spanned;

/// An action after a rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    /// What a policy calls it.
    pub name: &'static str,
    /// What is to be done.
    pub title: &'static str,
    /// At once; else it may wait until the post-mortem is due, or follows from it.
    pub is_immediate: bool,
}

const fn action(name: &'static str, title: &'static str, is_immediate: bool) -> Action {
    Action { name, title, is_immediate }
}

/// Every action, in order.
pub const ACTIONS: [Action; 8] = [
    action("verify-stability", "Verify system stability", true),
    action("document-reason", "Document rollback reason and impact", true),
    action("notify-users", "Notify affected users", true),
    action("root-cause", "Begin root cause analysis", true),
    action("post-mortem", "Hold the post-mortem", false),
    action("update-story", "Update story implementation based on findings", false),
    action("enhance-monitoring", "Enhance monitoring for identified issues", false),
    action("update-procedures", "Update rollback procedures if needed", false),
];

/// When it is due, and who owns what.
#[derive(Debug, Clone)]
pub struct PostMortemPolicy {
    /// How long after the run's end the post-mortem is due.
    pub due: Duration,
    /// By the action's name.
    pub owners: BTreeMap<String, String>,
}

impl Default for PostMortemPolicy {
    fn default() -> Self {
        PostMortemPolicy { due: Duration::from_secs(48 * 3600), owners: BTreeMap::new() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPostMortem {
    due: Option<Spanned<String>>,
    #[serde(default)]
    owners: BTreeMap<Spanned<String>, Spanned<String>>,
}

impl RawPostMortem {
    pub(crate) fn parse(&self) -> Result<PostMortemPolicy, FileError> {
        let standard = PostMortemPolicy::default();
        let mut owners = BTreeMap::new();
        for (action, owner) in &self.owners {
            if !ACTIONS.iter().any(|known| known.name == action.get_ref()) {
                let names: Vec<&str> = ACTIONS.iter().map(|known| known.name).collect();
                let message = format!("there is no action {:?} after a rollback", action.get_ref());
                return Err(FileError::at(action.span(), message).help(format!("there are: {}", names.join(", "))));
            }
            let name = owner.get_ref();
            if name.trim().is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
                return Err(FileError::at(owner.span(), "an owner is a name of 1 to 100 bytes, in one line"));
            }
            owners.insert(action.get_ref().clone(), name.clone());
        }
        Ok(PostMortemPolicy { due: self.due.as_ref().map_or(Ok(standard.due), duration)?, owners })
    }
}
