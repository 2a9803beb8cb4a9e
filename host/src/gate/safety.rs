//! The values by which safety properties are told, looked at in the tree as it is for the steps: on the disk, or as the
//! steps planned so far would leave it. Whatever effect changed a value, it is what is read that counts; what cannot be
//! read is not as it was. A property that did not hold before is weakened by every further change.

use super::World;
use crate::{
    edit::{self, TEXT_BYTES_MAX},
    gate::Kind,
    providers::flags,
    tree::{Found, Object, PIECE},
};
use rustix::io::Errno;
use unship_policy::{Digest, SafetyProperty, ValueAt};
use unship_rollback::{Weakening, neutralise};

/// What was seen of each value of each property, in the order of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetyLook(Vec<Vec<Seen>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Value(String),
    /// It cannot be told; of which bytes, so that two looks at the same are the same.
    Unclear {
        why: String,
        bytes: Option<Digest>,
    },
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Seen::Value(value) => f.write_str(&neutralise(value)),
            Seen::Unclear { why, .. } => write!(f, "not to be told ({})", neutralise(why)),
        }
    }
}

impl World {
    /// Looks at everything by which safety properties are told.
    pub(crate) fn look_at_safety(&mut self) -> SafetyLook {
        let properties = self.definitions.safety.clone();
        let look = |property: &SafetyProperty| property.holds_while.iter().map(|c| self.see(&c.at)).collect();
        SafetyLook(properties.values().map(look).collect())
    }

    /// Which properties are weaker at `after` than they were at `before`.
    pub(crate) fn weakened(&self, before: &SafetyLook, after: &SafetyLook) -> Vec<Weakening> {
        let looks = before.0.iter().zip(&after.0);
        let mut all = Vec::new();
        for ((name, property), (before, after)) in self.definitions.safety.iter().zip(looks) {
            let mut changes = Vec::new();
            for ((condition, before), after) in property.holds_while.iter().zip(before).zip(after) {
                let holds = *after == Seen::Value(condition.value.clone());
                if !holds && before != after {
                    changes.push(format!("{}: {before} -> {after}", condition.at));
                }
            }
            if !changes.is_empty() {
                all.push(Weakening {
                    property: name.to_string(),
                    title: property.title.clone(),
                    changes,
                    approvals: property.approvals,
                    lapses_after_ms: u64::try_from(property.lapses_after.as_millis()).unwrap_or(u64::MAX),
                });
            }
        }
        all
    }

    fn see(&mut self, at: &ValueAt) -> Seen {
        let file = match at {
            ValueAt::File { file, .. } => Some(file.clone()),
            ValueAt::Flag(_) => self.definitions.flags.as_ref().map(|flags| flags.file.clone()),
        };
        let Some(file) = file else { return Seen::Unclear { why: "no policy has `[flags]`".to_owned(), bytes: None } };
        let text = match self.text_of(&file) {
            Ok(text) => text,
            Err(why) => return Seen::Unclear { why: format!("{file} {why}"), bytes: None },
        };
        let value = match (at, &self.definitions.flags, edit::format_of(&file)) {
            (ValueAt::Flag(flag), Some(meaning), _) => flags::read(meaning, &text, flag).map_err(|e| e.to_string()),
            (ValueAt::File { pointer, .. }, _, Some(format)) => {
                edit::get_scalar(format, &text, pointer).map_err(|e| e.to_string())
            }
            _ => Err("its format is not known".to_owned()),
        };
        value.map_or_else(|why| Seen::Unclear { why, bytes: Some(Digest::of(&text)) }, Seen::Value)
    }

    /// The bytes of a file of the site, through whatever symlinks lead to it within.
    fn text_of(&mut self, file: &str) -> Result<Vec<u8>, String> {
        let failed = |e: Errno| match e {
            Errno::NOENT => "does not exist".to_owned(),
            e => format!("cannot be read: {e}"),
        };
        let root = self.tree.root("site").map_err(failed)?;
        let found = self.tree.find(root, file, true);
        self.tree.release(root);
        let Found { parent, object, .. } = found.map_err(failed)?;
        let text = object.map_or_else(|| Err(failed(Errno::NOENT)), |object| self.bytes_of(&object, failed));
        self.tree.release(parent);
        if let Some(object) = object {
            self.tree.release(object.handle);
        }
        text
    }

    fn bytes_of(&mut self, object: &Object, failed: impl Fn(Errno) -> String) -> Result<Vec<u8>, String> {
        if object.kind != Kind::File {
            return Err("is not a regular file".to_owned());
        }
        let handle = self.tree.open(object, false).map_err(&failed)?;
        let mut text = Vec::new();
        let read = loop {
            match self.tree.read(handle, PIECE, text.len() as u64) {
                Ok(piece) if piece.is_empty() => break Ok(text),
                Ok(piece) if text.len() <= TEXT_BYTES_MAX => text.extend(piece),
                Ok(_) => break Err(format!("is larger than the {TEXT_BYTES_MAX} bytes that are looked at")),
                Err(e) => break Err(failed(e)),
            }
        };
        self.tree.release(handle);
        read
    }
}
