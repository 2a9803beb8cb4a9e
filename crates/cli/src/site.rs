//! A site on disk: where it is, its policies, its trust root, its bundles.

use crate::{
    error::{CliError, Result},
    history::History,
    trust,
};
use std::cell::OnceCell;
use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};
use unship_policy::{
    Bundle, GrantError, Memory, ResolvedStory, SitePolicy, StoryId, StoryPolicy, TrustRoot, VerifiedBundle, Wanted,
    missing, resolve,
};
use unship_store::SiteStore;

/// Bytes of a policy file at most.
const POLICY_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a bundle, module or component at most.
const MODULE_BYTES_MAX: u64 = 64 << 20;

/// A site whose own policy is valid.
#[derive(Debug)]
pub struct Site {
    /// Absolute and canonical.
    pub path: PathBuf,
    /// `policies/site.toml`.
    pub policy: SitePolicy,
    /// What has expired of the trust is accepted, because a person asked for it and others will have to approve.
    pub accept_expired: bool,
    /// Looked at when first needed: taking a run back needs none.
    trust: OnceCell<TrustRoot>,
}

impl Site {
    /// The site at `given`, or the nearest one upward from the current directory.
    pub fn find(given: Option<&Path>) -> Result<Site> {
        let path = Site::locate(given)?;
        let file = path.join("policies/site.toml");
        let text = read_text(&file)?;
        let policy = SitePolicy::parse(&text).map_err(|e| CliError::in_file(&file, &text, e))?;
        Ok(Site::with(path, policy))
    }

    /// A site whose policy is read already.
    pub fn with(path: PathBuf, policy: SitePolicy) -> Site {
        Site { path, policy, accept_expired: false, trust: OnceCell::new() }
    }

    /// The trust root that the site goes by now: the newest version that follows from the one that it accepted. The journal is read
    /// for what the site remembers; whoever has read it already says so by [`Site::trust_by`].
    pub fn trust(&self) -> Result<&TrustRoot> {
        match self.trust.get() {
            Some(trust) => Ok(trust),
            None => self.trust_by(History::read(&self.store()?)?.memory()),
        }
    }

    /// As [`Site::trust`], by what the site remembers.
    pub fn trust_by(&self, memory: &Memory) -> Result<&TrustRoot> {
        if let Some(trust) = self.trust.get() {
            return Ok(trust);
        }
        let found = trust::follow(&self.path, &self.store()?, memory)?;
        let found = found.map_err(|e| trust::refusal(&self.path, &e))?;
        Ok(self.trust.get_or_init(|| found))
    }

    /// Where the site is, whatever its files say.
    pub fn locate(given: Option<&Path>) -> Result<PathBuf> {
        Ok(match given {
            Some(dir) => {
                let path = dir
                    .canonicalize()
                    .map_err(|e| CliError::user(format!("no site at {}", dir.display())).because(&e))?;
                if !is_site(&path) {
                    return Err(CliError::user(format!(
                        "{} is not a site: it holds no policies/site.toml",
                        dir.display()
                    ))
                    .hint("`unship init` in that folder makes one"));
                }
                path
            }
            None => {
                let here = std::env::current_dir().and_then(|dir| dir.canonicalize());
                let here = here.map_err(|e| CliError::user("there is no current directory").because(&e))?;
                let found = here.ancestors().find(|dir| is_site(dir)).map(Path::to_owned);
                found.ok_or_else(|| {
                    CliError::user(format!(
                        "no site here: neither {} nor a folder above it holds policies/site.toml",
                        here.display()
                    ))
                    .hint("name one by `--site DIR`, or make one by `unship init`")
                })?
            }
        })
    }

    /// The site's store.
    pub fn store(&self) -> Result<SiteStore> {
        SiteStore::open(&self.path).map_err(|e| {
            CliError::user("the site's store `.unship/` cannot be used")
                .because(&e)
                .hint("`unship init` completes a site that has none")
        })
    }

    /// The stories that have a policy, in the order of their ids.
    pub fn story_ids(&self) -> Result<Vec<StoryId>> {
        let mut ids: Vec<StoryId> =
            policy_files(&self.path)?.iter().filter_map(|stem| StoryId::new(stem).ok()).collect();
        ids.sort_by_key(|id| id.as_str().split('.').map(|n| n.parse().unwrap_or(u32::MAX)).collect::<Vec<u32>>());
        Ok(ids)
    }

    /// A story's policy.
    pub fn story(&self, id: &StoryId) -> Result<StoryPolicy> {
        let file = self.path.join(format!("policies/{id}.toml"));
        if !file.exists() {
            let known: Vec<String> = self.story_ids()?.iter().map(ToString::to_string).collect();
            let known =
                if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
            return Err(CliError::user(format!("story {id} has no policy at this site ({known})"))
                .cause(format!("{} does not exist", file.display())));
        }
        let text = read_text(&file)?;
        StoryPolicy::parse(&text, id).map_err(|e| CliError::in_file(&file, &text, e))
    }

    /// Where a story's bundle lies.
    pub fn bundle_path(&self, story: &StoryPolicy) -> PathBuf {
        self.path.join(&self.policy.bundles).join(&story.bundle)
    }

    /// Reads and verifies a story's bundle: the very bytes that are checked are the ones that go on.
    pub fn verified(&self, story: &StoryPolicy) -> Result<VerifiedBundle> {
        let path = self.bundle_path(story);
        let bundle = read_bundle(&path)?;
        bundle.verify(self.trust()?, &self.wanted(story)).map_err(|e| {
            CliError::refused(format!("{} may not run against this site", path.display()))
                .because(&e)
                .hint("`unship inspect` shows who signed it, `unship trust show` who may")
        })
    }

    /// What a story's bundle must be signed for.
    pub fn wanted<'a>(&'a self, story: &'a StoryPolicy) -> Wanted<'a> {
        Wanted {
            story: &story.id,
            site: &self.policy.name,
            roles: &story.signed_by,
            accept_expired: self.accept_expired,
        }
    }

    /// Brings bundle and policies together into what each step holds.
    pub fn resolved(&self, id: &StoryId) -> Result<ResolvedStory> {
        let story = self.story(id)?;
        let bundle = self.verified(&story)?;
        let missing = missing(bundle.manifest(), &story);
        resolve(bundle, &story, &self.policy).map_err(|e| {
            let file = self.path.join(format!("policies/{id}.toml"));
            let text = read_text(&file).unwrap_or_default();
            match e {
                GrantError::Policy(e) => CliError::in_file(&file, &text, e),
                e => {
                    let hint = format!("grant it in policies/{id}.toml, or use a bundle that asks for less");
                    let refused =
                        CliError::refused(format!("story {id} asks for what the policies do not give")).because(&e);
                    let refused = if missing.is_empty() {
                        refused.hint(hint)
                    } else {
                        refused.hint(format!("{hint}; all that is missing:")).lines(missing.trim_end())
                    };
                    match e {
                        GrantError::NotPermitted { span: Some(span), .. } => refused.at(&file, &text, span),
                        _ => refused,
                    }
                }
            }
        })
    }
}

/// The names of the files in a site's `policies/` that end in `.toml`, without that ending.
pub fn policy_files(site: &Path) -> Result<Vec<String>> {
    let dir = site.join("policies");
    let entries = std::fs::read_dir(&dir).map_err(|e| unreadable(&dir, &e))?;
    let mut stems = Vec::new();
    for entry in entries {
        let name = entry.map_err(|e| unreadable(&dir, &e))?.file_name();
        stems.extend(name.to_str().and_then(|name| name.strip_suffix(".toml")).map(str::to_owned));
    }
    stems.sort();
    Ok(stems)
}

fn is_site(dir: &Path) -> bool {
    dir.join("policies/site.toml").is_file()
}

/// A story id from the command line.
pub fn story_id(text: &str) -> Result<StoryId> {
    StoryId::new(text).map_err(|e| CliError::user("that is no story").because(&e))
}

fn unreadable(path: &Path, e: &std::io::Error) -> CliError {
    CliError::user(format!("{} cannot be read", path.display())).cause(e.to_string())
}

/// At most `bytes_max` of a regular file.
fn read_limited(path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let metadata = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    if !metadata.is_file() {
        return Err(CliError::user(format!("{} is not a regular file", path.display())));
    }
    if metadata.len() > bytes_max {
        let message = format!("{} has {} bytes; at most {bytes_max} are read", path.display(), metadata.len());
        return Err(CliError::user(message));
    }
    let file = File::open(path).map_err(|e| unreadable(path, &e))?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|e| unreadable(path, &e))?;
    Ok(bytes)
}

/// A policy, manifest or key file.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes = read_limited(path, POLICY_BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        CliError::user(format!("{} is not UTF-8, at byte {at}", path.display()))
    })
}

/// A module, component or bundle.
pub fn read_module(path: &Path) -> Result<Vec<u8>> {
    read_limited(path, MODULE_BYTES_MAX)
}

/// A bundle, taken apart but not believed.
pub fn read_bundle(path: &Path) -> Result<Bundle> {
    let bytes = read_module(path)?;
    Bundle::parse(bytes.into())
        .map_err(|e| CliError::refused(format!("{} is not a bundle", path.display())).because(&e))
}
