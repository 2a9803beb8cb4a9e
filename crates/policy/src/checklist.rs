//! `[[checklist]]` of a story's policy: what a person looks at by hand once the story is taken back, as data that a run
//! keeps track of.

use crate::{FileError, tables::name};
use serde::{Deserialize, Serialize};
use toml::Spanned;

/// Items of one checklist at most.
const ITEMS_MAX: usize = 100;

/// One thing for a person to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChecklistItem {
    /// What `tick` calls it. In a policy it has the form of a [`Name`](crate::Name); one that a plan derives is called after
    /// its step or effect.
    pub name: String,
    /// One line for people.
    pub title: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawItem {
    name: Spanned<String>,
    title: Spanned<String>,
}

/// # Errors
/// [`FileError`] for a name that is none or stands there twice, an empty title, too many items.
pub(crate) fn checklist(raw: &[RawItem]) -> Result<Vec<ChecklistItem>, FileError> {
    let mut items: Vec<ChecklistItem> = Vec::new();
    for item in raw {
        let text = name(&item.name)?.as_str().to_owned();
        if items.iter().any(|known| known.name == text) {
            return Err(FileError::at(item.name.span(), format!("the item {text:?} is there twice")));
        }
        if item.title.get_ref().trim().is_empty() {
            return Err(FileError::at(item.title.span(), "an item says in its `title` what is to be looked at"));
        }
        if items.len() == ITEMS_MAX {
            return Err(FileError::at(item.name.span(), format!("a checklist has at most {ITEMS_MAX} items")));
        }
        items.push(ChecklistItem { name: text, title: item.title.get_ref().clone() });
    }
    Ok(items)
}
