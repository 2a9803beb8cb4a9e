//! A root as text: the next version, with one thing changed.

use super::Root;
use crate::tables::quoted;

const HEAD: &str = "\
# The keys that may sign bundles for this site, and what each may sign. `unship trust` writes the next version, which enough keys
# of the role `root` must sign; the signatures lie beside this file (`.sig`). Versions are kept: a site that was offline
# goes through them one by one.
";

impl Root {
    /// The text of this version, as `unship trust` writes it.
    pub fn to_text(&self) -> String {
        let mut text = HEAD.to_owned();
        let mut line = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        line(format!("version = {}\nissued = {}\nexpires = {}", self.version, self.issued, self.expires));
        for (name, key) in &self.keys {
            line(format!("\n[keys.{name}]\npublic = \"{}\"", key.public));
            let moments = [("not-before", key.not_before), ("not-after", key.not_after)];
            if let Some(owner) = &key.owner {
                line(format!("owner = {}", quoted(owner)));
            }
            for (word, moment) in moments {
                if let Some(moment) = moment {
                    line(format!("{word} = {moment}"));
                }
            }
        }
        for (name, role) in &self.roles {
            let keys: Vec<String> = role.keys.iter().map(|key| quoted(key.as_str())).collect();
            line(format!("\n[roles.{name}]\nkeys = [{}]\nthreshold = {}", keys.join(", "), role.threshold));
            if !role.stories.is_empty() {
                let stories: Vec<String> = role.stories.iter().map(|s| quoted(&s.to_string())).collect();
                line(format!("stories = [{}]\ntier = \"{}\"", stories.join(", "), role.tier));
            }
        }
        if let Some(approvals) = self.break_glass {
            line(format!("\n[break-glass]\napprovals = {approvals}"));
        }
        if !self.clock_ran_ahead_to.is_empty() {
            let moments: Vec<String> = self.clock_ran_ahead_to.iter().map(ToString::to_string).collect();
            line(format!("\n[clock]\nran-ahead-to = [{}]", moments.join(", ")));
        }
        for (key, reason) in self.revoked_keys.values() {
            line(format!("\n[[revoked.key]]\npublic = \"{key}\"\nreason = {}", quoted(reason)));
        }
        for (digest, reason) in &self.revoked_bundles {
            line(format!("\n[[revoked.bundle]]\ndigest = \"{digest}\"\nreason = {}", quoted(reason)));
        }
        text
    }
}
