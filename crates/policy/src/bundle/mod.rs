//! A bundle: one `.wasm` component file with its manifest inside it, signed as a whole.
//!
//! ```text
//! component ‖ custom section "unship:manifest" ‖ "unship:signatures" (at most one) ‖ "unship:minisign" ×n
//! └──────────── subject ─────────────────────┘
//! ```
//! `unship:signatures` is a DSSE envelope with an in-toto statement about component and manifest (`attestation.rs`);
//! `unship:minisign` is a signature of minisign over the subject, which is the file that `unship pack` writes. Manifest and signatures
//! stand at the end, in this order, and nothing after them, so nothing can be stripped, altered or appended unseen. All
//! of this is checked on bytes alone, before anything is compiled.

mod verified;

pub use verified::{VerifiedBundle, Wanted};

use crate::{
    Digest, EnvelopeError, FileError, Lapse, Manifest, Moment, Narrowed, PublicKey, Scheme, Signer,
    attestation::{Attestation, Described, PAYLOAD_TYPE},
    dsse::{ENVELOPE_BYTES_MAX, Envelope},
    manifest::MANIFEST_BYTES_MAX,
    minisign::Minisig,
};
use std::{fmt, ops::Range, sync::Arc};

/// Bytes of a bundle at most.
pub const BUNDLE_BYTES_MAX: usize = 64 << 20;
const MINISIGN_MAX: usize = 16;
const MANIFEST: &str = "unship:manifest";
const SIGNATURES: &str = "unship:signatures";
const MINISIGN: &str = "unship:minisign";
/// `\0asm`, then version 13 (0x0d) and layer 1: the component model's binary format.
const COMPONENT_PREAMBLE: &[u8; 8] = b"\0asm\x0d\0\x01\0";
const MODULE_PREAMBLE: &[u8; 8] = b"\0asm\x01\0\0\0";

/// Why bytes are not a bundle, or not one that may run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Larger than any bundle may be.
    #[error("the bundle has {0} bytes; at most {BUNDLE_BYTES_MAX} are accepted")]
    TooLarge(usize),
    /// Not the component binary format.
    #[error("not a WebAssembly component: {0}")]
    NotComponent(String),
    /// The sections do not add up to the file.
    #[error("the bundle is cut short or damaged at byte {0}")]
    Damaged(usize),
    /// No manifest, or more than one, or not where it belongs.
    #[error("{0}; `unship pack` puts the manifest in its place")]
    Misplaced(String),
    /// The manifest's text is at fault.
    #[error("the bundle's manifest is not valid{}: {error}", at(*.place))]
    Manifest {
        /// What is wrong with it.
        error: FileError,
        /// Line and column in the manifest.
        place: Option<(usize, usize)>,
    },
    /// Nobody signed.
    #[error("the bundle is not signed; `unship sign` signs it")]
    Unsigned,
    /// The envelope is none.
    #[error("the bundle's signatures cannot be read: {0}")]
    Envelope(EnvelopeError),
    /// The signed statement is not about this bundle.
    #[error(
        "what was signed does not fit these bytes: the bundle was altered after it was signed, or the signature is another bundle's ({0})"
    )]
    Altered(String),
    /// A signature does not fit the bytes.
    #[error("the signature by key `{0}` does not fit these bytes: the bundle was altered after it was signed")]
    WrongSignature(String),
    /// The key signs in another way.
    #[error("the signature by key `{0}` is made in another way than the trust root says of this key")]
    OtherScheme(String),
    /// Too few acceptable keys of a demanded role.
    #[error(
        "{given} of the {needed} keys with the role `{role}` that it takes signed this bundle (signed by: {signers}){because}; `unship trust show` tells who may"
    )]
    NotTrusted {
        /// The role.
        role: String,
        /// How many different keys count.
        given: usize,
        /// How many it takes.
        needed: u32,
        /// Who did sign.
        signers: String,
        /// Why some of them do not count.
        because: String,
    },
    /// The trust root knows no such role.
    #[error("the trust root has no role `{0}` that signs stories; the story's policy demands it in `signed-by`")]
    UnknownRole(String),
    /// The role is for other stories.
    #[error("the role `{role}` may not sign story {story}: in the trust root it is for {stories}")]
    OtherStories {
        /// The role.
        role: String,
        /// The story.
        story: String,
        /// What it may sign.
        stories: String,
    },
    /// A bundle of another story, however well signed.
    #[error("this is a bundle of story {found}, and {wanted} was asked for")]
    OtherStory {
        /// Its story.
        found: String,
        /// The story that was asked for.
        wanted: String,
    },
    /// It was signed for other sites.
    #[error("the bundle was signed for the site {found}, and this is {wanted:?}")]
    OtherSite {
        /// The sites.
        found: String,
        /// This one.
        wanted: String,
    },
    /// The signature does not count yet.
    #[error("the bundle was signed for use from {0} on")]
    NotYet(Moment),
    /// Expired, and nothing else is wrong.
    #[error("{}; `unship apply --break-glass` accepts that with the approvals that the trust root names", all(.0))]
    Expired(Vec<Lapse>),
    /// Revoked by its digest.
    #[error("this very bundle is revoked: {0}")]
    Revoked(String),
    /// An older version than one that ran here.
    #[error(
        "the bundle is version {found}, and version {ran} has run on this site: an older one is not accepted any more"
    )]
    Older {
        /// Its version.
        found: String,
        /// The highest that ran.
        ran: String,
    },
    /// What is to be signed is not what others signed.
    #[error("it cannot be signed so: {0}")]
    Unsignable(String),
    /// Already signed by this key.
    #[error("this key has signed the bundle already")]
    SignedTwice,
}

fn all(lapses: &[Lapse]) -> String {
    lapses.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn at(place: Option<(usize, usize)>) -> String {
    place.map_or_else(String::new, |(line, column)| format!(", at line {line}, column {column}"))
}

fn manifest_of(text: &str) -> Result<Manifest, BundleError> {
    Manifest::parse(text).map_err(|error| BundleError::Manifest { place: error.line_column(text), error })
}

/// A bundle taken apart; nothing in it is trusted yet.
#[derive(Debug, Clone)]
pub struct Bundle {
    bytes: Arc<[u8]>,
    /// Where the component ends and the manifest's section begins.
    component: usize,
    /// Where that ends, and with it what is signed.
    subject: usize,
    manifest: Manifest,
    manifest_text: Range<usize>,
    envelope: Option<Envelope>,
    minisigs: Vec<Minisig>,
}

struct Section<'a> {
    start: usize,
    end: usize,
    /// Name and content range, for a custom section.
    custom: Option<(&'a str, Range<usize>)>,
}

/// Walks the top-level sections of a component.
fn sections(bytes: &[u8]) -> Result<Vec<Section<'_>>, BundleError> {
    if bytes.len() > BUNDLE_BYTES_MAX {
        return Err(BundleError::TooLarge(bytes.len()));
    }
    match bytes.get(..8) {
        Some(preamble) if preamble == COMPONENT_PREAMBLE => {}
        Some(preamble) if preamble == MODULE_PREAMBLE => {
            return Err(BundleError::NotComponent(
                "this is a core module; `unship pack` makes a component of it".into(),
            ));
        }
        Some(preamble) if preamble.starts_with(b"\0asm") => {
            return Err(BundleError::NotComponent("an unknown version of the binary format".into()));
        }
        _ => {
            return Err(BundleError::NotComponent("it does not begin with the magic bytes `\\0asm`".into()));
        }
    }
    let mut found = Vec::new();
    let mut at = 8;
    while at < bytes.len() {
        let start = at;
        let id = bytes[at];
        let (size, body) = leb128(bytes, at + 1).ok_or(BundleError::Damaged(start))?;
        let end = body.checked_add(size).filter(|end| *end <= bytes.len()).ok_or(BundleError::Damaged(start))?;
        let custom = if id == 0 {
            let (length, name_at) = leb128(&bytes[..end], body).ok_or(BundleError::Damaged(start))?;
            let content = name_at.checked_add(length).filter(|c| *c <= end).ok_or(BundleError::Damaged(start))?;
            let name = std::str::from_utf8(&bytes[name_at..content]).map_err(|_| BundleError::Damaged(start))?;
            Some((name, content..end))
        } else {
            None
        };
        found.push(Section { start, end, custom });
        at = end;
    }
    Ok(found)
}

/// An unsigned 32-bit LEB128 at `at`, and where it ends.
fn leb128(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut value: u64 = 0;
    for i in 0..5 {
        let byte = *bytes.get(at + i)?;
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return u32::try_from(value).ok().map(|v| (v as usize, at + i + 1));
        }
    }
    None
}

fn push_leb128(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

fn custom_section(name: &str, content: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(content.len() + name.len() + 5);
    push_leb128(&mut body, name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(content);
    let mut section = vec![0];
    push_leb128(&mut section, body.len());
    section.extend_from_slice(&body);
    section
}

/// Puts a component and its manifest into one unsigned bundle.
///
/// # Errors
/// [`BundleError`] when the component is none or has a manifest already, or the manifest is not valid.
pub fn pack(component: &[u8], manifest: &str) -> Result<Vec<u8>, BundleError> {
    for section in sections(component)? {
        if let Some((name @ (MANIFEST | SIGNATURES | MINISIGN), _)) = section.custom {
            return Err(BundleError::Misplaced(format!("the component holds a section {name:?} already")));
        }
    }
    manifest_of(manifest)?;
    let mut bytes = component.to_vec();
    bytes.extend(custom_section(MANIFEST, manifest.as_bytes()));
    Bundle::parse(bytes.into()).map(|bundle| bundle.bytes.to_vec())
}

/// Adds a signature. Where there are some already, they must be for the same sites and times.
///
/// # Errors
/// [`BundleError`] when the bundle is none, the key has signed it, the signer does not sign, or others signed it for something else.
pub fn sign(bundle: &Bundle, narrowed: Narrowed, signer: &dyn Signer) -> Result<Vec<u8>, BundleError> {
    let envelope_error = |e| match e {
        EnvelopeError::SignedTwice(_) => BundleError::SignedTwice,
        e => BundleError::Envelope(e),
    };
    let mut envelope = match &bundle.envelope {
        Some(envelope) => {
            let attestation = bundle.attestation(envelope)?;
            if *attestation.narrowed() != narrowed {
                let message = "others signed it for other sites or times, and all signatures are of one statement";
                return Err(BundleError::Unsignable(message.to_owned()));
            }
            envelope.clone()
        }
        None => {
            let version = bundle.manifest.version_text();
            let attestation =
                Attestation::new(bundle.described(&version), narrowed).map_err(BundleError::Unsignable)?;
            Envelope::new(PAYLOAD_TYPE, attestation.bytes())
        }
    };
    envelope.sign(signer).map_err(envelope_error)?;
    Ok(bundle.with(Some(&envelope), &bundle.minisigs))
}

/// Adds a signature that minisign made of the packed bundle: the text of its `.minisig` file. Unchecked, as all are.
///
/// # Errors
/// [`BundleError`] when the text is no such signature, or one by this key is there already.
pub fn attach_minisig(bundle: &Bundle, text: &str) -> Result<Vec<u8>, BundleError> {
    let minisig = Minisig::parse(text).map_err(BundleError::Unsignable)?;
    if bundle.minisigs.iter().any(|known| known.key_id == minisig.key_id) {
        return Err(BundleError::SignedTwice);
    }
    let all: Vec<Minisig> = bundle.minisigs.iter().cloned().chain([minisig]).collect();
    let bytes = bundle.with(bundle.envelope.as_ref(), &all);
    Bundle::parse(bytes.clone().into()).map(|_| bytes)
}

impl Bundle {
    /// Takes a bundle apart. Cheap; nothing is compiled and nothing believed.
    ///
    /// # Errors
    /// [`BundleError`] for everything that is not component, one manifest, signatures, in this order and to the last byte.
    pub fn parse(bytes: Arc<[u8]>) -> Result<Bundle, BundleError> {
        let mut manifest = None;
        let (mut envelope, mut minisigs): (Option<Envelope>, Vec<Minisig>) = (None, Vec::new());
        for section in sections(&bytes)? {
            let Section { start, end, custom } = section;
            let appended = |what: &str| {
                Err(BundleError::Misplaced(format!("something was appended behind the {what}, at byte {start}")))
            };
            match custom {
                Some((SIGNATURES | MINISIGN, _)) if manifest.is_none() => {
                    return Err(BundleError::Misplaced("a signature stands before the manifest".into()));
                }
                Some((SIGNATURES, content)) => {
                    if envelope.is_some() || !minisigs.is_empty() {
                        return appended("signatures");
                    }
                    let read = Envelope::parse(&bytes[content], PAYLOAD_TYPE, ENVELOPE_BYTES_MAX)
                        .map_err(BundleError::Envelope)?;
                    envelope = Some(read);
                }
                Some((MINISIGN, content)) => {
                    let minisig = Minisig::from_bytes(&bytes[content]).ok_or(BundleError::Damaged(start))?;
                    if minisigs.len() == MINISIGN_MAX || minisigs.iter().any(|m| m.key_id == minisig.key_id) {
                        return Err(BundleError::SignedTwice);
                    }
                    minisigs.push(minisig);
                }
                _ if envelope.is_some() || !minisigs.is_empty() => return appended("signatures"),
                Some((MANIFEST, content)) if manifest.is_none() => manifest = Some((start, content, end)),
                Some((MANIFEST, _)) => {
                    return Err(BundleError::Misplaced("the bundle holds two manifests".into()));
                }
                _ if manifest.is_some() => return appended("manifest"),
                _ => {}
            }
        }
        let Some((component, manifest_text, subject)) = manifest else {
            return Err(BundleError::Misplaced("the bundle holds no manifest".into()));
        };
        let text = bytes.get(manifest_text.clone()).filter(|t| t.len() <= MANIFEST_BYTES_MAX);
        let text = text.and_then(|t| std::str::from_utf8(t).ok()).ok_or(BundleError::Damaged(manifest_text.start))?;
        let manifest = manifest_of(text)?;
        let bundle = Bundle { component, subject, manifest, manifest_text, envelope, minisigs, bytes };
        // There is one way to write the sections, too: a length can be written in more bytes than it needs.
        if bundle.tail(bundle.envelope.as_ref(), &bundle.minisigs) != bundle.bytes[bundle.component..] {
            return Err(BundleError::Damaged(bundle.component));
        }
        Ok(bundle)
    }

    fn attestation(&self, envelope: &Envelope) -> Result<Attestation, BundleError> {
        let version = self.manifest.version_text();
        Attestation::parse(envelope.payload(), self.described(&version)).map_err(BundleError::Altered)
    }

    fn described<'a>(&'a self, version: &'a str) -> Described<'a> {
        Described {
            component: Digest::of(self.component()),
            manifest: Digest::of(self.manifest_text().as_bytes()),
            story: self.manifest.story.as_str(),
            version,
        }
    }

    /// The component with its manifest and these signatures.
    fn with(&self, envelope: Option<&Envelope>, minisigs: &[Minisig]) -> Vec<u8> {
        [self.component(), &self.tail(envelope, minisigs)].concat()
    }

    /// The manifest and these signatures: the one way to write what stands behind the component.
    fn tail(&self, envelope: Option<&Envelope>, minisigs: &[Minisig]) -> Vec<u8> {
        let mut bytes = custom_section(MANIFEST, self.manifest_text().as_bytes());
        if let Some(envelope) = envelope {
            bytes.extend(custom_section(SIGNATURES, envelope.text().as_bytes()));
        }
        for minisig in minisigs {
            bytes.extend(custom_section(MINISIGN, &minisig.bytes()));
        }
        bytes
    }

    /// The digest of what is signed: component and manifest.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes[..self.subject])
    }

    /// The author's data. Not to be acted upon before [`Bundle::verify`].
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest as its author wrote it.
    pub fn manifest_text(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.manifest_text.clone()]).unwrap_or_default()
    }

    /// The ids of the keys whose signatures stand in the bundle, unchecked: `keyid`s of the envelope, then minisign's key ids.
    pub fn claimed_signers(&self) -> Vec<ClaimedSigner> {
        let dsse = self.envelope.iter().flat_map(|e| e.signatures()).map(|s| ClaimedSigner::Dsse(s.key));
        dsse.chain(self.minisigs.iter().map(|minisig| ClaimedSigner::Minisign(minisig.key_id))).collect()
    }

    /// What the signatures are narrowed to, as they say; [`Bundle::verify`] checks it. `None` where there is no envelope, or one
    /// that is not about this bundle.
    pub fn claimed_narrowing(&self) -> Option<Narrowed> {
        let envelope = self.envelope.as_ref()?;
        self.attestation(envelope).ok().map(|attestation| attestation.narrowed().clone())
    }

    /// The component, without manifest and signatures.
    pub fn component(&self) -> &[u8] {
        &self.bytes[..self.component]
    }
}

/// A key that is said to have signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimedSigner {
    /// By [`PublicKey::id`].
    Dsse(Digest),
    /// By minisign's key id.
    Minisign([u8; 8]),
}

impl fmt::Display for ClaimedSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClaimedSigner::Dsse(id) => write!(f, "{id}"),
            // As minisign shows it: the number, little end first.
            ClaimedSigner::Minisign(id) => write!(f, "minisign {:016X}", u64::from_le_bytes(*id)),
        }
    }
}

impl ClaimedSigner {
    /// Whether `key` is meant.
    pub fn is(&self, key: &PublicKey) -> bool {
        match (self, key.scheme()) {
            (ClaimedSigner::Dsse(id), Scheme::Dsse) => *id == key.id(),
            (ClaimedSigner::Minisign(id), Scheme::Minisign(known)) => *id == known,
            _ => false,
        }
    }
}
