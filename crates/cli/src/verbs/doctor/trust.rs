//! The trust root: which version, by whom, how long it and its keys are good for.

use super::Findings;
use crate::{trust, wiring::SystemClock};
use std::path::Path;
use unship_policy::{Memory, Moment, Root, RootError, TrustRoot, TrustedKey, WARN_MS};
use unship_rollback::Clock as _;
use unship_store::SiteStore;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// What it goes by, if that can be trusted.
pub fn look(findings: &mut Findings, path: &Path, store: &SiteStore, memory: &Memory) -> Option<TrustRoot> {
    let followed = match trust::follow(path, store, memory) {
        Ok(followed) => followed,
        Err(e) => {
            findings.failed("trust-root", "", &e, "`unship trust verify` checks each version");
            return None;
        }
    };
    let current = match followed {
        Ok(trust) => trust,
        Err(e @ (RootError::SetBack { .. } | RootError::NotYet { .. })) => {
            let next = "set the clock right; what has expired could pass for valid until then, so nothing runs; if it had \
                        run ahead, `unship trust clock`";
            findings.fault("clock", "set back", e.to_string(), next);
            return None;
        }
        Err(e) => {
            findings.failed("trust-root", "", &trust::refusal(path, &e), "`unship trust verify` checks each version");
            return None;
        }
    };
    let root = current.root();
    // Older versions than the accepted one are evidence of nothing but how old a key is, and may be gone.
    let texts = trust::files(&path.join(trust::FOLDER)).unwrap_or_default();
    let versions: Vec<Root> = texts.iter().filter_map(|file| Root::parse(&file.text).ok()).collect();
    let now_ms = SystemClock.now_ms();
    let age = now_ms.saturating_sub(root.issued.ms()) / DAY_MS;
    let said = format!("version {}, {age} days old, valid to {}", root.version, root.expires);
    let next = "`unship trust renew` makes the next version; enough keys of its role `root` sign it";
    by_end(findings, ("trust-root", ""), &said, Some(root.expires), now_ms, next);
    for (name, key) in &root.keys {
        let roles: Vec<&str> =
            root.roles.iter().filter(|(_, role)| role.keys.contains(name)).map(|(role, _)| role.as_str()).collect();
        let owner = key.owner.as_deref().map_or_else(String::new, |owner| format!(" of {owner}"));
        let said = format!("{}{owner}", if roles.is_empty() { "in no role".to_owned() } else { roles.join(", ") });
        if let Some(reason) = current.revocation(&key.public) {
            findings.ok("key", name.as_str(), format!("{said}; revoked: {reason}"));
            continue;
        }
        if let Some(begin) = key.not_before.filter(|begin| begin.ms() > now_ms) {
            let next = "nothing, if it is to count from then on only";
            findings.warning("key", name.as_str(), format!("{said}; counts from {begin} on"), next);
            continue;
        }
        let begin = key.not_before.or_else(|| first_named(&versions, key));
        let since = begin.map_or_else(
            || "nobody knows since when".to_owned(),
            |begin| format!("{} days old", now_ms.saturating_sub(begin.ms()) / DAY_MS),
        );
        let until = key.not_after.map_or_else(|| "no end".to_owned(), |end| format!("valid to {end}"));
        let next = "`unship trust rotate` puts a new key in its place";
        let said = format!("{said}; {since}, {until}");
        by_end(findings, ("key", name.as_str()), &said, key.not_after, now_ms, next);
    }
    Some(current)
}

/// When the first version that names the key was issued.
fn first_named(versions: &[Root], key: &TrustedKey) -> Option<Moment> {
    let naming = versions.iter().filter(|root| root.key_by_id(key.public.id()).is_some());
    naming.map(|root| root.issued).min()
}

fn by_end(
    findings: &mut Findings,
    (check, of): (&'static str, &str),
    said: &str,
    end: Option<Moment>,
    now_ms: u64,
    next: &str,
) {
    match end.map(|end| end.ms().saturating_sub(now_ms)) {
        Some(0) => findings.fault(check, of, format!("{said}: it has expired"), next),
        Some(left) if left < WARN_MS => {
            findings.warning(check, of, format!("{said}: {} days are left", left / DAY_MS), next);
        }
        _ => findings.ok(check, of, said),
    }
}
