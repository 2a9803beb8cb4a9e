//! Consent: that somebody decided that a bundle may be applied here, and what it may ask for.
//!
//! A decision is a DSSE envelope with one signature, of a key of the role `approver`, over a statement that binds a bundle's digest on
//! one site. It takes as many people as the role's threshold says, each with a decision of their own. An update that asks for nothing
//! beyond what was last decided goes by that decision; one that asks for more waits. What decisions are worth is judged by
//! [`consent`], which alone makes an [`Allowed`].

use crate::{
    Capabilities, Digest, Manifest, Moment, Power, Signer, Tier, TrustRoot, VerifiedBundle,
    approval::{REASON_BYTES_MAX, is_reason},
    dsse::{Envelope, EnvelopeError},
    manifest::MANIFEST_BYTES_MAX,
    power::as_lines,
    tables::RawCapabilities,
    trust::{APPROVER, SKEW_MS},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const PAYLOAD_TYPE: &str = "application/vnd.unship.consent+json";
const FORMAT: u32 = 1;
/// Bytes of a decision's file at most: enough for all that a manifest can ask for. Text of a manifest grows at most fourfold when it
/// is escaped for TOML and JSON, and by a third in base64.
pub const DECISION_BYTES_MAX: usize = 8 * MANIFEST_BYTES_MAX;

/// What is decided. The order of the fields is that of the signed text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    format: u32,
    /// The site's name, as its policy has it.
    pub site: String,
    /// The story.
    pub story: String,
    /// The bundle.
    pub bundle: Digest,
    /// Its version, for people.
    pub version: String,
    /// How far its signers were trusted.
    pub tier: Tier,
    /// What it asks for, all steps together, as lines of a policy.
    pub requests: Vec<String>,
    /// Why.
    pub reason: String,
    /// When.
    pub allowed: Moment,
    /// Up to when; `None`: until something else is decided.
    pub expires: Option<Moment>,
}

/// Why a decision does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum DecisionError {
    #[error("{0}")]
    Envelope(#[from] EnvelopeError),
    #[error("it is not a decision as `unship allow` writes one: {0}")]
    Form(String),
    #[error("it is signed by {0} keys; a decision is one person's")]
    NotOne(usize),
    #[error("its signature does not fit: it was altered after it was signed")]
    WrongSignature,
    #[error("the key {0} is not in the trust root")]
    UnknownKey(Digest),
    #[error(
        "the key `{0}` may not decide now: by the trust root it does not hold the role `{APPROVER}`, or is revoked, or its time is over or to come"
    )]
    WrongRole(String),
    #[error("it is for the site {found:?}, and this is {wanted:?}")]
    OtherSite { found: String, wanted: String },
    #[error("it expired at {0}")]
    Expired(Moment),
    #[error("it is dated in the future, at {0}")]
    NotYet(Moment),
    #[error("it would end ({0}) before it begins")]
    BadTerm(Moment),
    #[error("a reason is one line of 1 to {REASON_BYTES_MAX} bytes")]
    BadReason,
}

/// A decision, not yet judged.
#[derive(Debug, Clone)]
pub struct Decision {
    decided: Decided,
    envelope: Envelope,
}

impl Decided {
    /// The decision that `bundle` may be applied on `site`.
    pub fn of(bundle: &VerifiedBundle, site: &str, reason: &str, allowed: Moment, expires: Option<Moment>) -> Decided {
        let manifest = bundle.manifest();
        Decided {
            format: FORMAT,
            site: site.to_owned(),
            story: manifest.story.to_string(),
            bundle: bundle.digest(),
            version: manifest.version_text(),
            tier: bundle.tier(),
            requests: as_lines(&requests(manifest)),
            reason: reason.trim().to_owned(),
            allowed,
            expires,
        }
    }

    /// Signs it; gives the text of its file.
    ///
    /// # Errors
    /// [`DecisionError::BadReason`], [`DecisionError::BadTerm`], what the signer says, and why it could not be read again.
    pub fn sign(&self, signer: &dyn Signer) -> Result<String, DecisionError> {
        self.check()?;
        let payload = serde_json::to_vec(self).map_err(|e| DecisionError::Form(e.to_string()))?;
        let mut envelope = Envelope::new(PAYLOAD_TYPE, payload);
        envelope.sign(signer)?;
        let text = envelope.text();
        // Nobody is left with a decision that they took and nobody can read.
        Decision::parse(text.as_bytes())?;
        Ok(text)
    }

    fn check(&self) -> Result<(), DecisionError> {
        let reason = self.reason.trim();
        if !is_reason(reason) {
            return Err(DecisionError::BadReason);
        }
        match self.expires.filter(|end| *end <= self.allowed) {
            Some(end) => Err(DecisionError::BadTerm(end)),
            None => Ok(()),
        }
    }

    /// What it lets a bundle ask for.
    fn powers(&self) -> Result<Vec<Power>, DecisionError> {
        let form = |e: &dyn std::fmt::Display| DecisionError::Form(e.to_string());
        let raw: RawCapabilities = toml::from_str(&self.requests.join("\n")).map_err(|e| form(&e))?;
        Ok(raw.parse().map_err(|e| form(&e))?.powers())
    }
}

impl Decision {
    /// Reads a decision's file. Nothing in it is believed yet.
    ///
    /// # Errors
    /// [`DecisionError`] for everything that [`Decided::sign`] would not have written, to the last byte.
    pub fn parse(bytes: &[u8]) -> Result<Decision, DecisionError> {
        let envelope = Envelope::parse(bytes, PAYLOAD_TYPE, DECISION_BYTES_MAX)?;
        let decided: Decided =
            serde_json::from_slice(envelope.payload()).map_err(|e| DecisionError::Form(e.to_string()))?;
        if decided.format != FORMAT || serde_json::to_vec(&decided).ok().as_deref() != Some(envelope.payload()) {
            return Err(DecisionError::Form("there is one way to write it, and this is another".to_owned()));
        }
        decided.check()?;
        decided.powers()?;
        Ok(Decision { decided, envelope })
    }

    /// What it says.
    pub fn decided(&self) -> &Decided {
        &self.decided
    }

    /// Whose it is, if it counts on this site, now.
    ///
    /// # Errors
    /// Why it does not.
    pub fn judge<'a>(&self, trust: &'a TrustRoot, site: &str) -> Result<&'a str, DecisionError> {
        let [signature] = self.envelope.signatures() else {
            return Err(DecisionError::NotOne(self.envelope.signatures().len()));
        };
        let known = trust.root().key_by_id(signature.key);
        let (name, key) = known.ok_or(DecisionError::UnknownKey(signature.key))?;
        if !key.public.verifies(&self.envelope.message(), &signature.signature) {
            return Err(DecisionError::WrongSignature);
        }
        let (_, owner) =
            trust.approver(&key.public).ok_or_else(|| DecisionError::WrongRole(name.as_str().to_owned()))?;
        let Decided { site: found, allowed, expires, .. } = &self.decided;
        if found != site {
            return Err(DecisionError::OtherSite { found: found.clone(), wanted: site.to_owned() });
        }
        if let Some(end) = expires.filter(|end| end.ms() <= trust.now_ms()) {
            return Err(DecisionError::Expired(end));
        }
        if allowed.ms() > trust.now_ms().saturating_add(SKEW_MS) {
            return Err(DecisionError::NotYet(*allowed));
        }
        Ok(owner)
    }
}

/// By whose decision a bundle may be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    /// Its tier needs none: the policy is the decision.
    Owned,
    /// The story's policy names this very digest (`allow`).
    Declared,
    /// These people decided about this very digest.
    Decided(Vec<String>),
    /// It asks for nothing beyond what these people decided about this earlier bundle.
    Follows(Digest, Vec<String>),
}

/// That a bundle may be applied here. Only [`consent`] makes one.
#[derive(Debug, Clone)]
pub struct Allowed {
    bundle: Digest,
    basis: Basis,
    until: Option<Moment>,
}

impl Allowed {
    /// The bundle.
    pub fn bundle(&self) -> Digest {
        self.bundle
    }

    /// By whose decision.
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// Up to when, if enough of the decisions end; a later one may come before.
    pub fn until(&self) -> Option<Moment> {
        self.until
    }

    /// The people behind it.
    pub fn people(&self) -> &[String] {
        match &self.basis {
            Basis::Owned | Basis::Declared => &[],
            Basis::Decided(people) | Basis::Follows(_, people) => people,
        }
    }
}

/// Nobody allowed the bundle yet.
#[derive(Debug, Clone)]
pub struct NotAllowed {
    /// How far its signers are trusted.
    pub tier: Tier,
    /// How many people it takes.
    pub needed: u32,
    /// Who decided about it so far.
    pub people: Vec<String>,
    /// The bundle that was allowed last, if there is one, with what this one asks for beyond it.
    pub beyond: Option<(Digest, Vec<Power>)>,
    /// Decisions that do not count, by their index, with the reason.
    pub wrong: Vec<(usize, DecisionError)>,
}

/// What a bundle asks for, all steps and checks together, each power once and in an order of its own.
pub fn requests(manifest: &Manifest) -> Vec<Power> {
    let mut all: Vec<Power> = Vec::new();
    for power in manifest.units.iter().flat_map(|unit| Capabilities::powers(&unit.requests)) {
        if !all.contains(&power) {
            all.push(power);
        }
    }
    all.sort_by_key(ToString::to_string);
    all
}

/// Whether `bundle` may be applied on `site`: `declared` are the digests that the story's policy names, `given` the decisions that
/// lie there.
///
/// # Errors
/// [`NotAllowed`], with the difference to what was allowed last.
pub fn consent(
    bundle: &VerifiedBundle,
    declared: &[Digest],
    given: &[Decision],
    trust: &TrustRoot,
    site: &str,
) -> Result<Allowed, Box<NotAllowed>> {
    let allowed = |basis, until| Ok(Allowed { bundle: bundle.digest(), basis, until });
    if !bundle.tier().needs_consent() {
        return allowed(Basis::Owned, None);
    }
    if declared.contains(&bundle.digest()) {
        return allowed(Basis::Declared, None);
    }
    let needed = trust.root().role(APPROVER).map_or(1, |role| role.threshold);
    let mut wrong = Vec::new();
    let mut decided: BTreeMap<Digest, About<'_>> = BTreeMap::new();
    let story = bundle.manifest().story.as_str();
    for (index, decision) in given.iter().enumerate().filter(|(_, decision)| decision.decided.story == story) {
        match decision.judge(trust, site) {
            Err(e) => wrong.push((index, e)),
            Ok(owner) => {
                let about = decided.entry(decision.decided.bundle).or_insert_with(|| About::new(&decision.decided));
                about.take(&decision.decided, owner);
            }
        }
    }
    let people = |about: &About<'_>| about.people.keys().map(|owner| (*owner).to_owned()).collect::<Vec<_>>();
    let enough = |about: &&About<'_>| about.people.len() >= needed as usize;
    let own = decided.get(&bundle.digest());
    if let Some(own) = own.filter(enough) {
        return allowed(Basis::Decided(people(own)), own.until(needed));
    }
    // Whoever was trusted less when it was decided said nothing about those who are trusted more; the other way round it holds.
    let earlier = decided.values().filter(enough).filter(|about| about.decided.tier <= bundle.tier());
    let last = earlier.max_by_key(|about| (about.newest, about.decided.bundle));
    let beyond = last.map(|last| {
        let may = last.decided.powers().unwrap_or_default();
        let asked = requests(bundle.manifest()).into_iter();
        (last, asked.filter(|asked| !may.iter().any(|power| power.covers(asked))).collect::<Vec<_>>())
    });
    match beyond {
        Some((last, beyond)) if beyond.is_empty() => {
            allowed(Basis::Follows(last.decided.bundle, people(last)), last.until(needed))
        }
        beyond => Err(Box::new(NotAllowed {
            tier: bundle.tier(),
            needed,
            people: own.map(people).unwrap_or_default(),
            beyond: beyond.map(|(last, beyond)| (last.decided.bundle, beyond)),
            wrong,
        })),
    }
}

/// All that was decided about one bundle.
struct About<'a> {
    decided: &'a Decided,
    newest: Moment,
    /// Person → up to when their decision counts, by the longest of theirs; `None`: without an end.
    people: BTreeMap<&'a str, Option<Moment>>,
}

impl<'a> About<'a> {
    fn new(decided: &'a Decided) -> About<'a> {
        About { decided, newest: decided.allowed, people: BTreeMap::new() }
    }

    /// Decisions about one digest are about the same bytes, so they say the same of them; one that does not, counts for nothing.
    fn take(&mut self, decided: &'a Decided, owner: &'a str) {
        if decided.requests == self.decided.requests && decided.tier == self.decided.tier {
            let until = self.people.entry(owner).or_insert(decided.expires);
            // What has no end ends later than anything else.
            *until = until.zip(decided.expires).map(|(one, other)| one.max(other));
            self.newest = self.newest.max(decided.allowed);
        }
    }

    /// Up to when `needed` of them still count.
    fn until(&self, needed: u32) -> Option<Moment> {
        let mut ends: Vec<Option<Moment>> = self.people.values().copied().collect();
        ends.sort_by_key(|end| std::cmp::Reverse(end.map_or((true, None), |end| (false, Some(end)))));
        ends.get((needed as usize).saturating_sub(1)).copied().flatten()
    }
}
