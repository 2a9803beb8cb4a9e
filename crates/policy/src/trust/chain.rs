//! From versions of the trust root to the one that counts: each must be signed by enough keys of the one before it, and of its own.
//!
//! The rules are those of TUF's root role (<https://theupdateframework.github.io/specification/>, 5.3): the site keeps which version it
//! accepted, newer ones follow one by one, none is skipped, none goes back, and only the newest has to be unexpired. Beyond
//! TUF, what was revoked stays revoked.

use super::{APPROVER, ROOT, ROOT_BYTES_MAX, Role, Root, TrustedKey};
use crate::{
    Digest, FileError, Moment, Name, PublicKey, Signer, StoryId,
    dsse::{Envelope, EnvelopeError, KeySignature, verdict},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// What kind of payload a root is in its envelope.
const PAYLOAD_TYPE: &str = "application/vnd.unship.trust-root+toml";
/// How far the clocks of two machines may be apart.
pub(crate) const SKEW_MS: u64 = 5 * 60 * 1000;
/// Milliseconds before the end from which on it is told.
pub const WARN_MS: u64 = 30 * 24 * 3600 * 1000;

/// One version of the root as it lies on disk.
#[derive(Debug, Clone)]
pub struct RootFile {
    /// As its file's name says.
    pub version: u32,
    /// Its TOML.
    pub text: String,
    /// The DSSE envelope beside it; empty where there is none.
    pub signatures: Vec<u8>,
}

/// Which version a site goes by: the chain begins there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Its number.
    pub version: u32,
    /// Of its text.
    pub digest: Digest,
}

/// What a site remembers, so that nothing older passes for new.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// The newest version of the trust root that it went by.
    pub root: Option<Accepted>,
    /// The highest version of each story's bundle that ever ran here.
    pub bundles: BTreeMap<StoryId, [u32; 3]>,
    /// When it last wrote something down, in milliseconds since the epoch; since the clock went back last.
    pub newest_ms: Option<u64>,
    /// The same of each time before the clock went back.
    pub before_ms: BTreeSet<u64>,
}

impl Memory {
    /// Something was written down at this time (milliseconds since the epoch), after all that was told before.
    pub fn wrote(&mut self, at_ms: u64) {
        let newest_ms = self.newest_ms.unwrap_or(at_ms);
        if at_ms.saturating_add(SKEW_MS) < newest_ms {
            self.before_ms.insert(newest_ms);
            self.newest_ms = Some(at_ms);
        } else {
            self.newest_ms = Some(newest_ms.max(at_ms));
        }
    }

    /// The newest moment of all, whatever the clock did since.
    pub fn newest_of_all(&self) -> Option<Moment> {
        self.newest().max()
    }

    /// The newest moment of all, but for those that `root` gives up: a clock that ran ahead to them.
    fn written(&self, root: &Root) -> Option<Moment> {
        self.newest().filter(|moment| !root.clock_ran_ahead_to.contains(moment)).max()
    }

    fn newest(&self) -> impl Iterator<Item = Moment> {
        self.before_ms.iter().chain(&self.newest_ms).map(|ms| Moment::from_ms(*ms))
    }
}

/// Something that was right once and has expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lapse {
    /// The trust root.
    Root {
        /// Its version.
        version: u32,
        /// When.
        at: Moment,
    },
    /// A key whose signature is needed.
    Key {
        /// Its name.
        key: Name,
        /// When.
        at: Moment,
    },
    /// What was signed was signed up to a time.
    Signature {
        /// When.
        at: Moment,
    },
}

impl fmt::Display for Lapse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lapse::Root { version, at } => write!(f, "the trust root, version {version}, expired at {at}"),
            Lapse::Key { key, at } => write!(f, "the key `{key}` expired at {at}"),
            Lapse::Signature { at } => write!(f, "the bundle was signed for use up to {at}"),
        }
    }
}

/// Why there is no trust root to go by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum RootError {
    #[error("the site has no trust root: policies/trust/ holds no version of one")]
    None,
    #[error("policies/trust/{version}.toml is not valid")]
    Text { version: u32, error: FileError },
    #[error("policies/trust/{version}.toml is longer than {ROOT_BYTES_MAX} bytes")]
    TooLong { version: u32 },
    #[error("policies/trust/{version}.toml says that it is version {says}")]
    OtherVersion { version: u32, says: u32 },
    #[error("policies/trust/{version}.sig: {error}")]
    Envelope { version: u32, error: EnvelopeError },
    #[error(
        "version {version} of the trust root is signed by too few: {given} of the {needed} keys of version {by} that it takes{excluded}"
    )]
    TooFew { version: u32, by: u32, given: usize, needed: u32, excluded: String },
    #[error(
        "the signature by the key `{key}` does not fit version {version} of the trust root: it was altered after it was signed"
    )]
    WrongSignature { version: u32, key: Name },
    #[error("version {version} of the trust root is not the one that this site accepted")]
    Replaced { version: u32 },
    #[error(
        "the trust root went back: this site accepted version {accepted}, and policies/trust/ holds version {newest} at most"
    )]
    WentBack { accepted: u32, newest: u32 },
    #[error(
        "version {missing} of the trust root is missing: each is signed by the one before it, so none can be skipped"
    )]
    Skipped { missing: u32 },
    #[error("version {version} of the trust root was issued at {issued}, before the one that it follows")]
    IssuedBefore { version: u32, issued: Moment },
    #[error("version {version} of the trust root takes back that {what} is revoked")]
    Unrevoked { version: u32, what: String },
    #[error(
        "the clock says {now}, and version {version} of the trust root was issued at {issued}: the clock was set back, or the root is dated ahead"
    )]
    NotYet { version: u32, issued: Moment, now: Moment },
    #[error("the clock was set back: it says {now}, and the site's journal was written at {written}")]
    SetBack { now: Moment, written: Moment },
}

/// The trust root that a site goes by, at one time: the newest of a chain whose every link was checked. Only
/// [`TrustRoot::follow`] and [`TrustRoot::begin`] make one.
#[derive(Debug, Clone)]
pub struct TrustRoot {
    root: Root,
    accepted: Accepted,
    memory: Memory,
    now_ms: u64,
}

impl TrustRoot {
    /// The root of a site that has accepted none yet: its lowest version counts if enough of its own keys signed it, and the
    /// newer ones follow. A person has to say that it is the right one; its digest is what to compare.
    ///
    /// # Errors
    /// [`RootError`].
    pub fn begin(files: &[RootFile], now_ms: u64) -> Result<TrustRoot, RootError> {
        let first = files.iter().min_by_key(|file| file.version).ok_or(RootError::None)?;
        let (root, signed) = read(first)?;
        signed.demand(&root, first.version, first.version, &[&root])?;
        let accepted = Accepted { version: root.version, digest: digest(&first.text) };
        TrustRoot::follow(files, accepted, Memory::default(), now_ms)
    }

    /// From the accepted version to the newest in `files` (in any order; older ones than the accepted are not looked at), at the
    /// time `now_ms` (milliseconds since the epoch).
    ///
    /// # Errors
    /// [`RootError`]. An expired root is none of them: see [`TrustRoot::lapse`].
    pub fn follow(files: &[RootFile], accepted: Accepted, memory: Memory, now_ms: u64) -> Result<TrustRoot, RootError> {
        let newest = files.iter().map(|file| file.version).max().ok_or(RootError::None)?;
        let known = memory.root.filter(|known| known.version >= accepted.version).unwrap_or(accepted);
        if newest < known.version {
            return Err(RootError::WentBack { accepted: known.version, newest });
        }
        let file =
            |version| files.iter().find(|file| file.version == version).ok_or(RootError::Skipped { missing: version });
        let start = file(accepted.version)?;
        let mut at = Accepted { version: start.version, digest: digest(&start.text) };
        if at != accepted {
            return Err(RootError::Replaced { version: accepted.version });
        }
        let (mut root, _) = read(start)?;
        while root.version < newest {
            let version = root.version.saturating_add(1);
            let (next, signed) = read(file(version)?)?;
            signed.demand(&root, version, root.version, &[&root, &next])?;
            signed.demand(&next, version, version, &[&root, &next])?;
            succeeds(&root, &next)?;
            at = Accepted { version, digest: digest(&file(version)?.text) };
            if at.version == known.version && at != known {
                return Err(RootError::Replaced { version });
            }
            root = next;
        }
        let now = Moment::from_ms(now_ms);
        if let Some(written) = memory.written(&root).filter(|written| written.ms() > now_ms.saturating_add(SKEW_MS)) {
            return Err(RootError::SetBack { now, written });
        }
        if root.issued.ms() > now_ms.saturating_add(SKEW_MS) {
            return Err(RootError::NotYet { version: root.version, issued: root.issued, now });
        }
        Ok(TrustRoot { root, accepted: at, memory, now_ms })
    }

    /// What its text says.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// What the site should remember: that it goes by this version.
    pub fn accepted(&self) -> Accepted {
        self.accepted
    }

    /// What the site remembered.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The time at which it was judged, in milliseconds since the epoch.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// That the root has expired, if it has.
    pub fn lapse(&self) -> Option<Lapse> {
        let lapsed = self.now_ms >= self.root.expires.ms();
        lapsed.then_some(Lapse::Root { version: self.root.version, at: self.root.expires })
    }

    /// What expires within the next 30 days, or has expired: for people, long before it hurts.
    pub fn warnings(&self) -> Vec<String> {
        let soon = |what: String, end: Moment| {
            let left_ms = end.ms().saturating_sub(self.now_ms);
            (left_ms <= WARN_MS).then(|| match left_ms {
                0 => format!("{what} expired at {end}"),
                left => format!("{what} expires at {end}, in {} days", left / (24 * 3600 * 1000)),
            })
        };
        let root = soon(format!("the trust root, version {},", self.root.version), self.root.expires);
        let keys = self.root.keys.iter().filter(|(_, key)| self.revocation(&key.public).is_none());
        let keys = keys.filter_map(|(name, key)| soon(format!("the key `{name}`"), key.not_after?));
        root.into_iter().chain(keys).collect()
    }

    /// Why a key counts for nothing any more, if it was revoked.
    pub fn revocation(&self, key: &PublicKey) -> Option<&str> {
        self.root.revoked_keys.get(&key.id()).map(|(_, reason)| reason.as_str())
    }

    /// The name and owner of a key that may approve, now. `None` as well for one that is revoked, expired or not yet valid.
    pub fn approver(&self, key: &PublicKey) -> Option<(&Name, &str)> {
        let (name, known) = self.root.key_by_id(key.id())?;
        let may = known.public == *key
            && self.root.role(APPROVER).is_some_and(|role| role.keys.contains(name))
            && self.revocation(key).is_none()
            && self.begun(known)
            && self.ended(known).is_none();
        known.owner.as_deref().filter(|_| may).map(|owner| (name, owner))
    }

    /// The people behind the keys that may approve, now; one with several keys comes several times.
    pub fn approvers(&self) -> impl Iterator<Item = &str> {
        self.root.keys.values().filter_map(|known| self.approver(&known.public)).map(|(_, owner)| owner)
    }

    pub(crate) fn begun(&self, key: &TrustedKey) -> bool {
        key.not_before.is_none_or(|begin| begin.ms() <= self.now_ms.saturating_add(SKEW_MS))
    }

    pub(crate) fn ended(&self, key: &TrustedKey) -> Option<Moment> {
        key.not_after.filter(|end| end.ms() <= self.now_ms)
    }
}

/// The digest of a root's text, by which a site knows it.
fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// A version's signatures, with what they are over.
struct Signed {
    envelope: Envelope,
}

fn read(file: &RootFile) -> Result<(Root, Signed), RootError> {
    let version = file.version;
    if file.text.len() > ROOT_BYTES_MAX {
        return Err(RootError::TooLong { version });
    }
    let root = Root::parse(&file.text).map_err(|error| RootError::Text { version, error })?;
    if root.version != version {
        return Err(RootError::OtherVersion { version, says: root.version });
    }
    let envelope = if file.signatures.is_empty() {
        // Nobody signed it: too few, by any threshold.
        Envelope::detached(PAYLOAD_TYPE, file.text.as_bytes())
    } else {
        let read = Envelope::parse_detached(&file.signatures, PAYLOAD_TYPE, file.text.as_bytes());
        read.map_err(|error| RootError::Envelope { version, error })?
    };
    Ok((root, Signed { envelope }))
}

impl Signed {
    /// Enough different keys of `judge`'s root role must have signed. What any of `revoking` revokes does not count.
    fn demand(&self, judge: &Root, version: u32, by: u32, revoking: &[&Root]) -> Result<(), RootError> {
        let role = judge.role(ROOT).map(|role| (role, &judge.keys));
        let (role, keys): (&Role, &BTreeMap<Name, TrustedKey>) = role.ok_or(RootError::None)?;
        let (message, signatures): (Vec<u8>, &[KeySignature]) = (self.envelope.message(), self.envelope.signatures());
        let (mut given, mut excluded) = (BTreeSet::new(), Vec::new());
        for (name, key) in role.keys.iter().filter_map(|name| keys.get_key_value(name)) {
            match verdict(&key.public, signatures, &message) {
                None => {}
                Some(false) => return Err(RootError::WrongSignature { version, key: name.clone() }),
                Some(true) if revoking.iter().any(|root| root.revoked_keys.contains_key(&key.public.id())) => {
                    excluded.push(format!("the key `{name}` is revoked"));
                }
                Some(true) => {
                    given.insert(key.public.id());
                }
            }
        }
        if given.len() >= role.threshold as usize {
            return Ok(());
        }
        let excluded = if excluded.is_empty() { String::new() } else { format!(" ({})", excluded.join(", ")) };
        Err(RootError::TooFew { version, by, given: given.len(), needed: role.threshold, excluded })
    }
}

/// What holds between a version and the next, signatures aside.
fn succeeds(root: &Root, next: &Root) -> Result<(), RootError> {
    let version = next.version;
    if next.issued < root.issued {
        return Err(RootError::IssuedBefore { version, issued: next.issued });
    }
    let lost = |what: String| RootError::Unrevoked { version, what };
    if let Some((_, (key, _))) = root.revoked_keys.iter().find(|(id, _)| !next.revoked_keys.contains_key(id)) {
        return Err(lost(format!("the key {key}")));
    }
    if let Some((bundle, _)) = root.revoked_bundles.iter().find(|(id, _)| !next.revoked_bundles.contains_key(id)) {
        return Err(lost(format!("the bundle {bundle}")));
    }
    Ok(())
}

/// Adds the signature of `signer` to a root's envelope; `signatures` is the one there is, or nothing. Gives the new envelope.
///
/// # Errors
/// [`RootError::Envelope`] for an envelope that is none, the same key twice, a signer that does not sign.
pub fn sign_root(root: &RootFile, signer: &dyn Signer) -> Result<Vec<u8>, RootError> {
    let version = root.version;
    let failed = |error| RootError::Envelope { version, error };
    let mut envelope = if root.signatures.is_empty() {
        Envelope::detached(PAYLOAD_TYPE, root.text.as_bytes())
    } else {
        Envelope::parse_detached(&root.signatures, PAYLOAD_TYPE, root.text.as_bytes()).map_err(failed)?
    };
    envelope.sign(signer).map_err(failed)?;
    Ok(envelope.text().into_bytes())
}
