//! The trust root of a site on disk: `policies/trust/VERSION.toml` and `.sig`, which version the site accepted, what it remembers.

use crate::{
    error::{CliError, Result},
    exit::Exit,
    out::Out,
    site::read_text,
    wiring::SystemClock,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use unship_policy::{
    APPROVER, Accepted, Digest, Memory, Name, PublicKey, RootError, RootFile, StoryId, TrustRoot, version, version_text,
};
use unship_rollback::{Clock as _, Event, Record};
use unship_store::SiteStore;

/// Versions that are looked at, at most.
const VERSIONS_MAX: usize = 10_000;
/// Bytes of a signature file at most.
const SIGNATURES_BYTES_MAX: u64 = 64 << 10;

/// Where the versions lie, relative to the site.
pub const FOLDER: &str = "policies/trust";

/// Every version of the trust root in `folder`, in order. Other files there are nobody's concern: those of a version that waits
/// for signatures lie in a folder of their own.
pub fn files(folder: &Path) -> Result<Vec<RootFile>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        Err(e) => return Err(CliError::user(format!("{} cannot be read", folder.display())).because(&e)),
    };
    for entry in entries {
        let entry = entry.map_err(|e| CliError::user(format!("{} cannot be read", folder.display())).because(&e))?;
        let name = entry.file_name();
        let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".toml")) else { continue };
        let Some(version) = stem.parse().ok().filter(|version: &u32| version.to_string() == stem) else { continue };
        if found.len() == VERSIONS_MAX {
            return Err(CliError::user(format!("{} holds more than {VERSIONS_MAX} versions", folder.display())));
        }
        found.push(file(folder, version)?);
    }
    found.sort_by_key(|file| file.version);
    Ok(found)
}

/// One version. Without a file of signatures it has none, and is refused for that later.
fn file(folder: &Path, version: u32) -> Result<RootFile> {
    let text = read_text(&folder.join(format!("{version}.toml")))?;
    let beside = folder.join(format!("{version}.sig"));
    let signatures = match fs::metadata(&beside) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Ok(found) if found.len() > SIGNATURES_BYTES_MAX => {
            return Err(CliError::user(format!("{} is longer than any can be", beside.display())));
        }
        _ => read_text(&beside)?.into_bytes(),
    };
    Ok(RootFile { version, text, signatures })
}

/// Which version the site accepted; `None` for a site that was never told.
pub fn accepted(store: &SiteStore) -> Result<Option<Accepted>> {
    let kept = store.accepted_root().map_err(|e| CliError::user("the accepted trust root is not known").because(&e))?;
    let Some(kept) = kept else { return Ok(None) };
    let text = String::from_utf8_lossy(&kept);
    let read = text.trim_end().split_once(' ').and_then(|(version, digest)| {
        Some(Accepted { version: version.parse().ok()?, digest: Digest::parse(digest)? })
    });
    let read = read.ok_or_else(|| {
        CliError::refused("`.unship/trust` does not say which trust root this site accepted")
            .hint("look who changed it; `unship trust accept --replace` makes it anew")
    });
    read.map(Some)
}

/// The newest version that follows from the one that the site at `site` accepted, by what it remembers, now.
///
/// # Errors
/// Where the files cannot be read or none was accepted; within, why the versions are not to be trusted.
pub fn follow(site: &Path, store: &SiteStore, memory: &Memory) -> Result<std::result::Result<TrustRoot, RootError>> {
    let files = files(&site.join(FOLDER))?;
    if files.is_empty() {
        return Ok(Err(RootError::None));
    }
    let accepted = accepted(store)?.ok_or_else(|| none_accepted(site))?;
    Ok(TrustRoot::follow(&files, accepted, memory.clone(), SystemClock.now_ms()))
}

/// Writes down that the site goes by this version.
pub fn accept(store: &SiteStore, accepted: Accepted) -> Result<()> {
    let text = format!("{} {}\n", accepted.version, accepted.digest);
    store
        .accept_root(text.as_bytes())
        .map_err(|e| CliError::user("that the trust root is accepted cannot be written down").because(&e))
}

/// Takes in one record of the journal: what ran, by which root, when.
pub fn remember(memory: &mut Memory, record: &Record) {
    memory.wrote(record.at_ms);
    let Event::RunStarted { plan, .. } = &record.what else { return };
    if let (Ok(story), Some(version)) = (StoryId::new(&plan.story), version(&plan.version)) {
        let known = memory.bundles.entry(story).or_insert(version);
        *known = (*known).max(version);
    }
    if let Some(used) = &plan.trust
        && memory.root.is_none_or(|known| known.version < used.root)
    {
        memory.root = Some(Accepted { version: used.root, digest: used.root_digest });
    }
}

/// Why there is no trust root to go by, for a person.
pub fn refusal(site: &Path, e: &RootError) -> CliError {
    let folder = site.join(FOLDER);
    match e {
        RootError::None => CliError::user("this site has no trust root, so nothing may run")
            .because(e)
            .hint("`unship trust init` makes the first version"),
        RootError::Text { version, error } => {
            let path: PathBuf = folder.join(format!("{version}.toml"));
            let text = read_text(&path).unwrap_or_default();
            CliError::in_file(&path, &text, error.clone())
        }
        RootError::SetBack { .. } | RootError::NotYet { .. } => CliError::refused("the clock is not to be trusted")
            .because(e)
            .hint("set the clock right: what has expired could pass for valid otherwise; if it had run ahead, `unship trust clock`"),
        e => CliError::refused("the trust root is not to be trusted")
            .because(e)
            .hint("`unship trust verify` checks each version; nothing runs before that is put right"),
    }
}

/// A site that was never told which root it goes by.
pub fn none_accepted(site: &Path) -> CliError {
    CliError::new(Exit::Refused, format!("the site {} has accepted no trust root yet", site.display()))
        .cause("who could write policies/trust/ could else sign for themselves")
        .hint("compare the digest that `unship trust show` prints with the one that you were given, then `unship trust accept DIGEST`")
}

/// Which versions of bundles ran, by story, for people.
pub fn ran(memory: &Memory) -> BTreeMap<String, String> {
    memory.bundles.iter().map(|(story, version)| (story.to_string(), version_text(*version))).collect()
}

/// The name and owner of a key that may approve now; `what` is what it may not do else.
pub fn approver<'a>(trust: &'a TrustRoot, key: &PublicKey, what: &str) -> Result<(&'a Name, &'a str)> {
    trust.approver(key).ok_or_else(|| {
        CliError::refused(format!("this key may not {what} on this site"))
            .cause(key.to_string())
            .hint(format!("by the trust root it needs the role `{APPROVER}`, and must be neither expired nor revoked"))
    })
}

/// What expires soon, or has expired.
pub fn warn(out: Out, trust: &TrustRoot) {
    for warning in trust.warnings() {
        out.note(format!("{warning}; `unship trust renew` or `rotate` makes the next version"));
    }
}
