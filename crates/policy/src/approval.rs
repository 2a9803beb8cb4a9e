//! Approvals: a person's signed word that one exact plan may weaken a safety property of one site, for a while.
//!
//! An approval is one line of JSON: the statement, the key, and an Ed25519 signature over `"unship approval v1\0"` and the
//! SHA-256 of the statement as it is written here. There is one way to write each, and any other is refused. What
//! approvals are worth is judged by [`approved`], which alone makes an [`ApprovedPlan`].

use crate::{
    Digest, Name, PublicKey, Signer, TrustRoot,
    digest::{from_hex, to_hex},
    safety::LAPSES_AFTER_MAX,
    trust::{APPROVER, SKEW_MS},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Bytes of an approval's file at most.
pub const APPROVAL_BYTES_MAX: usize = 16 << 10;
const FORMAT: u32 = 1;
pub(crate) const REASON_BYTES_MAX: usize = 1000;
const CONTEXT: &[u8] = b"unship approval v1\0";
/// Whether a text says why: one line of 1 to 1000 bytes that are not all blank.
pub fn is_reason(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= REASON_BYTES_MAX && !text.chars().any(char::is_control)
}

/// What is approved, by whom aside. The order of the fields is that of the signed text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The site's name, as its policy has it.
    pub site: String,
    /// The story.
    pub story: String,
    /// Its variant.
    pub variant: Option<String>,
    /// The digest of the plan.
    pub plan: Digest,
    /// That what has expired may be accepted, and not that something may be weakened.
    #[serde(default, skip_serializing_if = "is_false")]
    pub break_glass: bool,
    /// Why, for people and the journal.
    pub reason: String,
    /// When, in milliseconds since the epoch.
    pub approved_ms: u64,
    /// Until when it counts, in milliseconds since the epoch.
    pub expires_ms: u64,
}

/// A statement with a signature, neither of them checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    statement: Statement,
    key: PublicKey,
    signature: [u8; 64],
}

/// Why an approval does not count, or why those that do are not enough.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum ApprovalError {
    #[error("it is not an approval: {0}")]
    Malformed(String),
    #[error("it is an approval of format {0}, and this unship knows format {FORMAT}; use a newer unship")]
    Newer(u32),
    #[error("the key {0} is not in the trust root")]
    UnknownKey(String),
    #[error("the key `{0}` is revoked: {1}")]
    Revoked(Name, String),
    #[error(
        "the key `{0}` may not approve now: by the trust root it does not hold the role `{APPROVER}`, or its time is over or to come"
    )]
    WrongRole(Name),
    #[error("the signature by the key `{0}` does not fit: the approval was altered after it was signed")]
    WrongSignature(Name),
    #[error("it approves of something on the site {found:?}, and this is {wanted:?}")]
    OtherSite { found: String, wanted: String },
    #[error("it approves of story {found}, not of story {wanted}")]
    OtherStory { found: String, wanted: String },
    #[error("it approves of {found}, and {wanted} is what takes approval")]
    OtherMatter { found: &'static str, wanted: &'static str },
    #[error("it approves of the plan {found}, not of {wanted}")]
    OtherPlan { found: Digest, wanted: Digest },
    #[error("it has expired")]
    Expired,
    #[error("it is dated in the future")]
    NotYet,
    #[error("it would count for longer than 24 hours, or for no time at all")]
    BadTerm,
    #[error("the signer gave no signature: {0}")]
    Signer(String),
    #[error("a reason has 1 to {REASON_BYTES_MAX} bytes")]
    BadReason,
    #[error("the key `{0}` has approved already: each counts once")]
    SameKey(Name),
    #[error("{0} has approved already with another key: each person counts once")]
    SamePerson(String),
    #[error("{given} of the {needed} approvals that it needs are given")]
    TooFew { given: usize, needed: u32 },
}

/// A plan of which enough different people approved, checked and for now. Only [`approved`] makes one.
#[derive(Debug, Clone)]
pub struct ApprovedPlan {
    plan: Digest,
    people: Vec<String>,
}

/// Which plan is to be approved, where and when.
#[derive(Debug, Clone, Copy)]
pub struct Sought<'a> {
    /// The site's name.
    pub site: &'a str,
    /// The story.
    pub story: &'a str,
    /// Its variant.
    pub variant: Option<&'a str>,
    /// The digest of the plan.
    pub plan: Digest,
    /// Whether what has expired is to be accepted; else something is weakened.
    pub break_glass: bool,
    /// How many people must approve.
    pub approvals: u32,
    /// Now, in milliseconds since the epoch.
    pub now_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawApproval {
    unship_approval: u32,
    statement: Statement,
    key: String,
    signature: String,
}

/// Of a newer form only this is known, and it is only refused by it.
#[derive(Deserialize)]
struct AnyForm {
    unship_approval: u32,
}

impl Statement {
    fn message(&self) -> Vec<u8> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        [CONTEXT, Digest::of(&text).bytes()].concat()
    }

    /// A term that ends after it begins, and no later than a weakening may last.
    fn check(&self) -> Result<(), ApprovalError> {
        let term_ms = self.expires_ms.checked_sub(self.approved_ms).filter(|ms| *ms > 0);
        if term_ms.is_none_or(|ms| u128::from(ms) > LAPSES_AFTER_MAX.as_millis()) {
            return Err(ApprovalError::BadTerm);
        }
        let reason = self.reason.trim();
        if !is_reason(reason) {
            return Err(ApprovalError::BadReason);
        }
        Ok(())
    }

    /// Signs it; gives the text of the approval's file.
    ///
    /// # Errors
    /// [`ApprovalError::BadTerm`] and [`ApprovalError::BadReason`].
    pub fn sign(&self, key: &dyn Signer) -> Result<String, ApprovalError> {
        self.check()?;
        let signature = key.sign(&self.message()).map_err(ApprovalError::Signer)?;
        Ok(Approval { statement: self.clone(), key: key.public(), signature }.text())
    }
}

impl Approval {
    /// What it says, unchecked.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Reads an approval's file. Nothing in it is believed yet.
    ///
    /// # Errors
    /// [`ApprovalError::Malformed`] for everything that [`Statement::sign`] would not have written, to the last byte, and
    /// [`ApprovalError::Newer`].
    pub fn parse(text: &str) -> Result<Approval, ApprovalError> {
        let malformed = |why: &str| ApprovalError::Malformed(why.to_owned());
        if text.len() > APPROVAL_BYTES_MAX {
            return Err(malformed("it is longer than any can be"));
        }
        if let Ok(AnyForm { unship_approval }) = serde_json::from_str(text)
            && unship_approval > FORMAT
        {
            return Err(ApprovalError::Newer(unship_approval));
        }
        let raw: RawApproval = serde_json::from_str(text).map_err(|e| ApprovalError::Malformed(e.to_string()))?;
        let key = PublicKey::parse(&raw.key).map_err(ApprovalError::Malformed)?;
        let signature = from_hex(&raw.signature).and_then(|bytes| bytes.try_into().ok());
        let signature = signature.ok_or_else(|| malformed("a signature has 128 hexadecimal digits"))?;
        let approval = Approval { statement: raw.statement, key, signature };
        if raw.unship_approval != FORMAT || approval.text() != text {
            return Err(malformed("it is not written as `unship approve` writes one"));
        }
        approval.statement.check()?;
        Ok(approval)
    }

    /// Whose signature it claims to bear.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    fn text(&self) -> String {
        let raw = RawApproval {
            unship_approval: FORMAT,
            statement: self.statement.clone(),
            key: self.key.to_string(),
            signature: to_hex(&self.signature),
        };
        format!("{}\n", serde_json::to_string(&raw).unwrap_or_default())
    }

    /// Its key's name and owner, if all of it is right and it is about what is sought.
    fn judge<'a>(&self, sought: &Sought<'_>, trust: &'a TrustRoot) -> Result<(&'a Name, &'a str), ApprovalError> {
        let Some((name, _)) = trust.root().key_by_id(self.key.id()) else {
            return Err(ApprovalError::UnknownKey(self.key.to_string()));
        };
        if let Some(reason) = trust.revocation(&self.key) {
            return Err(ApprovalError::Revoked(name.clone(), reason.to_owned()));
        }
        if !self.key.verifies(&self.statement.message(), &self.signature) {
            return Err(ApprovalError::WrongSignature(name.clone()));
        }
        let (_, owner) = trust.approver(&self.key).ok_or_else(|| ApprovalError::WrongRole(name.clone()))?;
        let Statement { site, story, variant, plan, approved_ms, expires_ms, break_glass, reason: _ } = &self.statement;
        if site != sought.site {
            return Err(ApprovalError::OtherSite { found: site.clone(), wanted: sought.site.to_owned() });
        }
        if story != sought.story || variant.as_deref() != sought.variant {
            let found = named(story, variant.as_deref());
            return Err(ApprovalError::OtherStory { found, wanted: named(sought.story, sought.variant) });
        }
        if *break_glass != sought.break_glass {
            return Err(ApprovalError::OtherMatter { found: matter(*break_glass), wanted: matter(sought.break_glass) });
        }
        if *plan != sought.plan {
            return Err(ApprovalError::OtherPlan { found: *plan, wanted: sought.plan });
        }
        if *expires_ms <= sought.now_ms {
            return Err(ApprovalError::Expired);
        }
        if *approved_ms > sought.now_ms.saturating_add(SKEW_MS) {
            return Err(ApprovalError::NotYet);
        }
        Ok((name, owner))
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn matter(break_glass: bool) -> &'static str {
    if break_glass { "accepting what has expired" } else { "weakening a safety property" }
}

fn named(story: &str, variant: Option<&str>) -> String {
    variant.map_or_else(|| story.to_owned(), |variant| format!("{story}, variant {variant}"))
}

/// Whether `given` are enough: each of them right, by different keys of different people.
///
/// # Errors
/// What is wrong with each, by its index in `given`; without an index, that they are too few.
pub fn approved(
    sought: &Sought<'_>,
    given: &[Approval],
    trust: &TrustRoot,
) -> Result<ApprovedPlan, Vec<(Option<usize>, ApprovalError)>> {
    let (mut keys, mut people, mut wrong) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for (index, approval) in given.iter().enumerate() {
        match approval.judge(sought, trust) {
            Err(e) => wrong.push((Some(index), e)),
            Ok((key, _)) if !keys.insert(key) => wrong.push((Some(index), ApprovalError::SameKey(key.clone()))),
            Ok((_, owner)) if !people.insert(owner) => {
                wrong.push((Some(index), ApprovalError::SamePerson(owner.to_owned())));
            }
            Ok(_) => {}
        }
    }
    if people.len() < sought.approvals as usize {
        wrong.push((None, ApprovalError::TooFew { given: people.len(), needed: sought.approvals }));
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(ApprovedPlan { plan: sought.plan, people: people.into_iter().map(str::to_owned).collect() })
}

impl ApprovedPlan {
    /// The digest of the plan.
    pub fn plan(&self) -> Digest {
        self.plan
    }

    /// Who approved, by the owners of the keys.
    pub fn people(&self) -> &[String] {
        &self.people
    }
}
