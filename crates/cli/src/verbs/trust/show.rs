//! `unship trust show | verify`: what the trust root says, and whether each version follows from the one before it.

use super::next::Chain;
use crate::{context::Context, error::Result, exit::Exit, history::History, trust};
use serde_json::json;
use unship_policy::{Digest, Memory, Name, TrustRoot, TrustedKey};

/// Shows the trust root that the site goes by: keys, roles, what is revoked, when it expires, what the site remembers.
#[derive(clap::Args)]
pub struct Args {}

/// Checks every version of the trust root that is there, from the one that the site accepted on: signatures, order, time.
#[derive(clap::Args)]
pub struct VerifyArgs {}

/// Runs `trust show`.
pub fn show(context: &Context, _args: &Args) -> Result<Exit> {
    let chain = Chain::read(context)?;
    let trust = chain.newest()?;
    let store = chain.store()?;
    let accepted = store.as_ref().map(trust::accepted).transpose()?.flatten();
    let memory = match &store {
        Some(store) => History::read(store)?.memory().clone(),
        None => Memory::default(),
    };
    let (out, root, found) = (context.out, trust.root(), trust.accepted());
    out.text(format!("trust root, version {}, {}", found.version, found.digest));
    out.text(format!("  issued {}, expires {}", root.issued, root.expires));
    out.text(match accepted {
        Some(accepted) if accepted == found => "  this site goes by it".to_owned(),
        Some(accepted) => format!("  this site went by version {}; this one follows from it", accepted.version),
        None => "  NOT ACCEPTED by this site: compare the digest, then `unship trust accept DIGEST`".to_owned(),
    });
    for warning in trust.warnings() {
        out.text(format!("  {warning}"));
    }
    for (name, role) in &root.roles {
        let keys: Vec<&str> = role.keys.iter().map(Name::as_str).collect();
        let mut line = format!("role {name}: {} of {}", role.threshold, keys.join(", "));
        if !role.stories.is_empty() {
            let stories: Vec<String> = role.stories.iter().map(ToString::to_string).collect();
            line.push_str(&format!("; signs stories {}; tier {}", stories.join(", "), role.tier));
        }
        out.text(line);
        out.object(&json!({
            "type": "role", "name": name.as_str(), "threshold": role.threshold, "keys": keys,
            "stories": role.stories.iter().map(ToString::to_string).collect::<Vec<_>>(), "tier": role.tier,
        }));
    }
    for (name, key) in &root.keys {
        show_key(context, name, key);
    }
    for (key, reason) in root.revoked_keys.values() {
        out.text(format!("REVOKED key {key}: {reason}"));
        out.object(&json!({ "type": "revoked", "key": key.to_string(), "reason": reason }));
    }
    for (digest, reason) in &root.revoked_bundles {
        out.text(format!("REVOKED bundle {digest}: {reason}"));
        out.object(&json!({ "type": "revoked", "bundle": digest, "reason": reason }));
    }
    if let Some(approvals) = root.break_glass {
        out.text(format!("what has expired is accepted with the approvals of {approvals} people"));
    }
    for moment in &root.clock_ran_ahead_to {
        out.text(format!(
            "a clock ran ahead to {moment}: a journal whose newest record bears it says nothing of the time"
        ));
    }
    let ran = trust::ran(&memory);
    for (story, version) in &ran {
        out.text(format!("story {story}: version {version} has run; none below it is accepted"));
    }
    out.summary(json!({
        "version": found.version, "digest": found.digest, "expires": root.expires, "accepted": accepted == Some(found),
        "warnings": trust.warnings(), "break_glass": root.break_glass, "clock_ran_ahead_to": root.clock_ran_ahead_to, "ran": ran,
    }));
    Ok(Exit::Done)
}

fn show_key(context: &Context, name: &Name, key: &TrustedKey) {
    let mut line = format!("key {name}: {}", key.public);
    if let Some(owner) = &key.owner {
        line.push_str(&format!(" of {owner}"));
    }
    for (word, moment) in [("from", key.not_before), ("up to", key.not_after)] {
        if let Some(moment) = moment {
            line.push_str(&format!(", {word} {moment}"));
        }
    }
    context.out.text(line);
    context.out.object(&json!({
        "type": "key", "name": name.as_str(), "public": key.public.to_string(), "id": key.public.id(), "owner": key.owner,
        "not_before": key.not_before, "not_after": key.not_after,
    }));
}

/// Runs `trust verify`.
pub fn verify(context: &Context, _args: &VerifyArgs) -> Result<Exit> {
    let chain = Chain::read(context)?;
    let trust: TrustRoot = chain.newest()?;
    for file in chain.files() {
        let digest = Digest::of(file.text.as_bytes());
        let word = if file.version > trust.accepted().version { "not reached" } else { "follows" };
        context.out.text(format!("version {}: {digest}, {word}", file.version));
        context.out.object(&json!({ "type": "version", "version": file.version, "digest": digest }));
    }
    let found = trust.accepted();
    let lapse = trust.lapse().map(|lapse| lapse.to_string());
    context.out.text(lapse.as_ref().map_or_else(
        || format!("version {} is the one to go by", found.version),
        |lapse| format!("version {} is the newest, and {lapse}", found.version),
    ));
    context.out.summary(json!({ "version": found.version, "digest": found.digest, "expired": lapse }));
    Ok(if lapse.is_some() { Exit::Refused } else { Exit::Done })
}
