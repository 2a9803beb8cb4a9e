//! The trust root: which keys may sign what, for whom, until when. TUF's rules for a root without TUF's weight.
//!
//! [`Root`] is one version as it is written, believed by nobody; [`TrustRoot`] is the newest of a chain that begins at the version
//! which this site accepted and in which each was signed by enough keys of the one before (`trust/chain.rs`).

mod chain;
mod write;

pub(crate) use chain::SKEW_MS;
pub use chain::{Accepted, Lapse, Memory, RootError, RootFile, TrustRoot, WARN_MS, sign_root};

use crate::{Digest, FileError, Moment, Name, PublicKey, Scheme, StoryId, approval::is_reason, tables::name};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use toml::{Spanned, value::Datetime};

/// Bytes of a root's text at most.
pub const ROOT_BYTES_MAX: usize = 256 << 10;
/// The role of the keys that sign the next version of the root.
pub const ROOT: &str = "root";
/// The role of keys whose owners may approve of what weakens a safety property, of exceptions and of consent.
pub const APPROVER: &str = "approver";

/// How far the signers of a role are trusted. Caps what any policy can grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Nobody knows them.
    Community,
    /// Another company, say.
    Partner,
    /// One's own people.
    Owned,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tier::Community => "community",
            Tier::Partner => "partner",
            Tier::Owned => "owned",
        })
    }
}

/// A key that may sign.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    /// The key.
    pub public: PublicKey,
    /// Whose it is: several keys of one person count as one where people count. Every [`APPROVER`] says it.
    pub owner: Option<String>,
    /// From when on it counts.
    pub not_before: Option<Moment>,
    /// Up to when it counts.
    pub not_after: Option<Moment>,
}

/// What some keys may do together.
#[derive(Debug, Clone)]
pub struct Role {
    /// Which keys.
    pub keys: BTreeSet<Name>,
    /// How many of them must have signed, each a different key.
    pub threshold: u32,
    /// The stories that they may sign; none for [`ROOT`] and [`APPROVER`].
    pub stories: Vec<StoryPattern>,
    /// How far they are trusted.
    pub tier: Tier,
}

/// Which stories: `1.3` that one, `1.*` all whose ids begin with `1.`, `*` all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoryPattern {
    /// This one.
    Exactly(StoryId),
    /// All whose ids begin so; ends in a dot, or is empty.
    Below(String),
}

impl StoryPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence that says what one looks like.
    pub fn parse(text: &str) -> Result<StoryPattern, String> {
        let begin = match text.strip_suffix('*') {
            None => return StoryId::new(text).map(StoryPattern::Exactly).map_err(|e| e.to_string()),
            Some(begin) => begin,
        };
        match begin.strip_suffix('.') {
            None if begin.is_empty() => Ok(StoryPattern::Below(String::new())),
            Some(id) if StoryId::new(id).is_ok() => Ok(StoryPattern::Below(begin.to_owned())),
            _ => Err(format!("{text:?} is no pattern of stories: it is an id such as `1.3`, or `1.*`, or `*`")),
        }
    }

    /// Whether it covers a story.
    pub fn covers(&self, story: &StoryId) -> bool {
        match self {
            StoryPattern::Exactly(id) => id == story,
            StoryPattern::Below(begin) => story.as_str().starts_with(begin),
        }
    }
}

impl fmt::Display for StoryPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoryPattern::Exactly(id) => f.write_str(id.as_str()),
            StoryPattern::Below(begin) => write!(f, "{begin}*"),
        }
    }
}

/// One version of the trust root, as its text has it. Nothing in it is believed.
#[derive(Debug, Clone)]
pub struct Root {
    /// 1, and one more with each change.
    pub version: u32,
    /// When it was made.
    pub issued: Moment,
    /// From when on nothing runs by it.
    pub expires: Moment,
    /// By their names.
    pub keys: BTreeMap<Name, TrustedKey>,
    /// By their names.
    pub roles: BTreeMap<Name, Role>,
    /// Keys that count for nothing any more, by their ids, with the reason.
    pub revoked_keys: BTreeMap<Digest, (PublicKey, String)>,
    /// Bundles that run nowhere any more, by their digests, with the reason.
    pub revoked_bundles: BTreeMap<Digest, String>,
    /// How many people must approve before what has expired is accepted. `None`: it never is.
    pub break_glass: Option<u32>,
    /// Where a site's clock ran ahead: a journal whose newest record bears one of these moments says nothing of the time.
    pub clock_ran_ahead_to: BTreeSet<Moment>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRoot {
    version: Spanned<u32>,
    issued: Spanned<Datetime>,
    expires: Spanned<Datetime>,
    #[serde(default)]
    keys: BTreeMap<Spanned<String>, RawKey>,
    roles: BTreeMap<Spanned<String>, RawRole>,
    #[serde(default)]
    revoked: RawRevoked,
    #[serde(rename = "break-glass")]
    break_glass: Option<RawBreakGlass>,
    clock: Option<RawClock>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawKey {
    public: Spanned<String>,
    owner: Option<Spanned<String>>,
    not_before: Option<Spanned<Datetime>>,
    not_after: Option<Spanned<Datetime>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRole {
    keys: Vec<Spanned<String>>,
    threshold: Spanned<u32>,
    stories: Option<Spanned<Vec<Spanned<String>>>>,
    tier: Option<Spanned<Tier>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawRevoked {
    #[serde(default)]
    key: Vec<RawRevokedKey>,
    #[serde(default)]
    bundle: Vec<RawRevokedBundle>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRevokedKey {
    public: Spanned<String>,
    reason: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRevokedBundle {
    digest: Spanned<String>,
    reason: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBreakGlass {
    approvals: Spanned<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClock {
    #[serde(rename = "ran-ahead-to")]
    ran_ahead_to: Vec<Spanned<Datetime>>,
}

impl Root {
    /// Reads one version of a trust root (`policies/trust/VERSION.toml`).
    ///
    /// # Errors
    /// [`FileError`] with its place; among others the same key under two names, which would make one signer count twice, an
    /// approver of whom it is not said who that is, a threshold that its keys cannot reach.
    pub fn parse(text: &str) -> Result<Root, FileError> {
        let raw: RawRoot = toml::from_str(text).map_err(|e| FileError::from_toml(&e))?;
        if *raw.version.get_ref() == 0 {
            return Err(FileError::at(raw.version.span(), "the first version of a trust root is 1"));
        }
        let (issued, expires) = (Moment::of_toml(&raw.issued)?, Moment::of_toml(&raw.expires)?);
        if expires <= issued {
            return Err(FileError::at(raw.expires.span(), "it would expire before it was issued"));
        }
        let keys = keys(&raw.keys)?;
        let mut roles = BTreeMap::new();
        for (role_name, role) in &raw.roles {
            roles.insert(name(role_name)?, role.parse(role_name, &keys, &raw.keys)?);
        }
        if !roles.keys().any(|role| role.as_str() == ROOT) {
            return Err(FileError { message: format!("the role `{ROOT}` is missing"), span: None, help: None }
                .help("`[roles.root]` names the keys that sign the next version of this file"));
        }
        let mut revoked_keys = BTreeMap::new();
        for entry in &raw.revoked.key {
            let key = PublicKey::parse(entry.public.get_ref()).map_err(|e| FileError::at(entry.public.span(), e))?;
            revoked_keys.insert(key.id(), (key, reason(&entry.reason)?));
        }
        let mut revoked_bundles = BTreeMap::new();
        for entry in &raw.revoked.bundle {
            let digest = Digest::parse(entry.digest.get_ref()).ok_or_else(|| {
                FileError::at(entry.digest.span(), "a bundle's digest is `sha256:` and 64 hexadecimal digits")
            })?;
            revoked_bundles.insert(digest, reason(&entry.reason)?);
        }
        let break_glass = raw.break_glass.as_ref().map(|raw| &raw.approvals);
        if let Some(approvals) = break_glass.filter(|approvals| *approvals.get_ref() < 2) {
            return Err(FileError::at(approvals.span(), "an exception takes the approvals of two people at least"));
        }
        let ahead = raw.clock.iter().flat_map(|clock| &clock.ran_ahead_to);
        let clock_ran_ahead_to = ahead.map(Moment::of_toml).collect::<Result<_, _>>()?;
        Ok(Root {
            version: *raw.version.get_ref(),
            issued,
            expires,
            keys,
            roles,
            revoked_keys,
            revoked_bundles,
            break_glass: break_glass.map(|approvals| *approvals.get_ref()),
            clock_ran_ahead_to,
        })
    }

    /// A role by its name.
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|(known, _)| known.as_str() == name).map(|(_, role)| role)
    }

    /// The name under which a key is known, by its id.
    pub fn key_by_id(&self, id: Digest) -> Option<(&Name, &TrustedKey)> {
        self.keys.iter().find(|(_, known)| known.public.id() == id)
    }
}

fn keys(raw: &BTreeMap<Spanned<String>, RawKey>) -> Result<BTreeMap<Name, TrustedKey>, FileError> {
    let mut keys: BTreeMap<Name, TrustedKey> = BTreeMap::new();
    for (key_name, raw_key) in raw {
        let public = PublicKey::parse(raw_key.public.get_ref());
        let public = public.map_err(|e| FileError::at(raw_key.public.span(), e))?;
        if let Some((other, _)) = keys.iter().find(|(_, known)| known.public.id() == public.id()) {
            return Err(FileError::at(raw_key.public.span(), format!("this is the key `{other}` under a second name"))
                .help("one key is one signer, however it signs: with two names it would count twice"));
        }
        let moment = |written: &Option<Spanned<Datetime>>| written.as_ref().map(Moment::of_toml).transpose();
        let (not_before, not_after) = (moment(&raw_key.not_before)?, moment(&raw_key.not_after)?);
        if let (Some(begin), Some(end), Some(written)) = (not_before, not_after, &raw_key.not_after)
            && end <= begin
        {
            return Err(FileError::at(written.span(), "the key would end before it begins"));
        }
        let owner = raw_key.owner.as_ref().map(owner).transpose()?;
        keys.insert(name(key_name)?, TrustedKey { public, owner, not_before, not_after });
    }
    Ok(keys)
}

impl RawRole {
    fn parse(
        &self,
        role: &Spanned<String>,
        keys: &BTreeMap<Name, TrustedKey>,
        raw_keys: &BTreeMap<Spanned<String>, RawKey>,
    ) -> Result<Role, FileError> {
        let signs_stories = !matches!(role.get_ref().as_str(), ROOT | APPROVER);
        let mut named = BTreeSet::new();
        for written in &self.keys {
            let key = name(written)?;
            let known = keys.get(&key).ok_or_else(|| {
                FileError::at(written.span(), format!("there is no key named {:?}", written.get_ref()))
                    .help(format!("`[keys.{}]` would define it", written.get_ref()))
            })?;
            if role.get_ref() == APPROVER && known.owner.is_none() {
                let place = raw_keys.keys().find(|name| name.get_ref() == written.get_ref());
                let place = place.map_or_else(|| written.span(), Spanned::span);
                return Err(FileError::at(place, "of a key that may approve it must be known whose it is")
                    .help("`owner = \"…\"` names the person; all keys of one person count as one"));
            }
            if role.get_ref() == ROOT && (known.not_before.is_some() || known.not_after.is_some()) {
                return Err(FileError::at(written.span(), "a key of the role `root` has no time of its own")
                    .help("the root's `expires` ends it: otherwise a site that was offline could not catch up"));
            }
            if matches!(known.public.scheme(), Scheme::Minisign(_)) && !signs_stories {
                return Err(FileError::at(written.span(), "minisign's keys sign bundles, and nothing else"));
            }
            if !named.insert(key) {
                return Err(FileError::at(written.span(), format!("{:?} stands here twice", written.get_ref())));
            }
        }
        let threshold = *self.threshold.get_ref();
        if threshold == 0 || threshold as usize > named.len() {
            let message = format!("the threshold is 1 at least, and at most the number of keys ({})", named.len());
            return Err(FileError::at(self.threshold.span(), message));
        }
        let stories = match (&self.stories, signs_stories) {
            (Some(patterns), true) if !patterns.get_ref().is_empty() => {
                let parse =
                    |p: &Spanned<String>| StoryPattern::parse(p.get_ref()).map_err(|e| FileError::at(p.span(), e));
                patterns.get_ref().iter().map(parse).collect::<Result<_, _>>()?
            }
            (None, false) => Vec::new(),
            (Some(patterns), false) => {
                return Err(FileError::at(patterns.span(), "this role signs no stories"));
            }
            (_, true) => {
                return Err(FileError::at(role.span(), "which stories may this role sign?")
                    .help("`stories = [\"1.*\"]`; `\"*\"` means all"));
            }
        };
        let tier = match (&self.tier, signs_stories) {
            (Some(tier), true) => *tier.get_ref(),
            (None, false) => Tier::Owned,
            (Some(tier), false) => return Err(FileError::at(tier.span(), "only roles that sign stories have a tier")),
            (None, true) => {
                return Err(FileError::at(role.span(), "how far is this role trusted?")
                    .help("`tier = \"owned\"`, `\"partner\"` or `\"community\"`"));
            }
        };
        Ok(Role { keys: named, threshold, stories, tier })
    }
}

fn reason(text: &Spanned<String>) -> Result<String, FileError> {
    let reason = text.get_ref();
    if !is_reason(reason) {
        return Err(FileError::at(text.span(), "a reason is one line of 1 to 1000 bytes"));
    }
    Ok(reason.clone())
}

/// One person has one name: what differs in blanks or case alone would count twice.
fn owner(text: &Spanned<String>) -> Result<String, FileError> {
    let owner = text.get_ref();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "@._+-".contains(c);
    if owner.is_empty() || owner.len() > 100 || !owner.chars().all(plain) {
        let message = format!("{owner:?} names nobody: 1 to 100 small letters, digits, `@`, `.`, `_`, `+` or `-`");
        return Err(FileError::at(text.span(), message).help("such as `ada` or `ada@example.org`"));
    }
    Ok(owner.clone())
}
