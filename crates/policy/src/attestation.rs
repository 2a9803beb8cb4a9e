//! What a signer of a bundle says: an in-toto statement, version 1 (<https://in-toto.io/Statement/v1>).
//!
//! Its subjects are the component and the manifest, each by its SHA-256; its predicate, `unship`'s own, repeats story and version
//! (so that a signature says by itself what it is for) and may narrow it: to sites by name, and to a time.

use crate::{Digest, Moment};
use serde::{Deserialize, Serialize};

/// What kind of payload the envelope of a bundle holds.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// Names the predicate's form. It is a name; nothing is to be found there.
const PREDICATE_TYPE: &str = "https://unship.invalid/rollback-bundle/v1";
/// Sites that one signature names at most.
const SITES_MAX: usize = 100;

/// What the signature of a bundle is for, beside the very bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Narrowed {
    /// The sites that it is for, by the names that their policies give them; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<String>,
    /// From when on it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Moment>,
    /// Up to when it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Moment>,
}

/// A statement about one bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Attestation {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: [Subject; 2],
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: Sha256,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sha256 {
    sha256: String,
}

// serde cannot flatten and deny unknown keys, so what narrows stands in a table of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predicate {
    story: String,
    version: String,
    #[serde(default, rename = "for")]
    narrowed: Narrowed,
}

/// What a bundle is, for a statement about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Described<'a> {
    pub component: Digest,
    pub manifest: Digest,
    pub story: &'a str,
    pub version: &'a str,
}

impl Attestation {
    /// The statement about this bundle.
    ///
    /// # Errors
    /// A sentence: too many sites, one without a name, a time that ends before it begins.
    pub fn new(bundle: Described<'_>, narrowed: Narrowed) -> Result<Attestation, String> {
        if narrowed.sites.len() > SITES_MAX || narrowed.sites.iter().any(String::is_empty) {
            return Err(format!("a signature names at most {SITES_MAX} sites, each by its name"));
        }
        if let (Some(begin), Some(end)) = (narrowed.not_before, narrowed.expires)
            && end <= begin
        {
            return Err(format!("it would end ({end}) before it begins ({begin})"));
        }
        let subject =
            |name: &str, digest: Digest| Subject { name: name.to_owned(), digest: Sha256 { sha256: digest.hex() } };
        Ok(Attestation {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: [subject("component", bundle.component), subject("manifest", bundle.manifest)],
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: Predicate { story: bundle.story.to_owned(), version: bundle.version.to_owned(), narrowed },
        })
    }

    /// Reads a statement that must be about this bundle.
    ///
    /// # Errors
    /// A sentence: not a statement, not written in the one way there is, or about something else.
    pub fn parse(payload: &[u8], bundle: Described<'_>) -> Result<Attestation, String> {
        let read: Attestation = serde_json::from_slice(payload).map_err(|e| e.to_string())?;
        let due = Attestation::new(bundle, read.predicate.narrowed.clone())?;
        if read.subject != due.subject {
            return Err("it is about other bytes: the digests of component and manifest differ".to_owned());
        }
        let (found, wanted) = (&read.predicate, &due.predicate);
        if (&found.story, &found.version) != (&wanted.story, &wanted.version) {
            return Err(format!(
                "it is about story {} {}, and this is story {} {}",
                found.story, found.version, wanted.story, wanted.version
            ));
        }
        if read != due || due.bytes() != payload {
            return Err("it is not written as `unship sign` writes one".to_owned());
        }
        Ok(read)
    }

    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn narrowed(&self) -> &Narrowed {
        &self.predicate.narrowed
    }
}
