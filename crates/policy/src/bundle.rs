//! A bundle: one `.wasm` component file with its manifest inside it, signed as a whole.
//!
//! ```text
//! component ‖ custom section "unship:manifest" ‖ custom section "unship:signature" ×n
//! └──────────── subject ─────────────────────┘
//! ```
//! A signature is over `"unship bundle v1\0"` and the SHA-256 of the subject. Manifest and signatures stand at the end, in
//! this order, and nothing after them, so nothing can be stripped, altered or appended unseen. All of this is checked on
//! bytes alone, before anything is compiled.

use crate::{Digest, FileError, Manifest, Name, PublicKey, SecretKey, TrustRoot, manifest::MANIFEST_BYTES_MAX};
use std::{ops::Range, sync::Arc};

/// Bytes of a bundle at most.
pub const BUNDLE_BYTES_MAX: usize = 64 << 20;
const SIGNATURES_MAX: usize = 16;
const MANIFEST: &str = "unship:manifest";
const SIGNATURE: &str = "unship:signature";
const CONTEXT: &[u8] = b"unship bundle v1\0";
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
    /// A signature does not fit the bytes.
    #[error("the signature by key `{0}` does not fit these bytes: the bundle was altered after it was signed")]
    WrongSignature(String),
    /// No acceptable key holds a demanded role.
    #[error("no key with the role `{role}` signed this bundle (signed by: {signers}); see policies/trust.toml")]
    NotTrusted {
        /// The role.
        role: String,
        /// Who did sign.
        signers: String,
    },
    /// Already signed by this key.
    #[error("this key has signed the bundle already")]
    SignedTwice,
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
    signatures: Vec<(PublicKey, [u8; 64])>,
}

/// The very bytes whose signatures were checked. Only [`Bundle::verify`] makes one.
#[derive(Debug, Clone)]
pub struct VerifiedBundle {
    bundle: Bundle,
    signers: Vec<Name>,
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
        if let Some((name @ (MANIFEST | SIGNATURE), _)) = section.custom {
            return Err(BundleError::Misplaced(format!("the component holds a section {name:?} already")));
        }
    }
    manifest_of(manifest)?;
    let mut bytes = component.to_vec();
    bytes.extend(custom_section(MANIFEST, manifest.as_bytes()));
    Bundle::parse(bytes.into()).map(|bundle| bundle.bytes.to_vec())
}

/// Adds a signature.
///
/// # Errors
/// [`BundleError`] when the bundle is none, or the key has signed it.
pub fn sign(bundle: &Bundle, key: &SecretKey) -> Result<Vec<u8>, BundleError> {
    let public = key.public();
    if bundle.signatures.iter().any(|(known, _)| *known == public) {
        return Err(BundleError::SignedTwice);
    }
    let mut content = vec![1];
    content.extend(public.bytes());
    content.extend(key.sign(&bundle.message()));
    let mut bytes = bundle.bytes.to_vec();
    bytes.extend(custom_section(SIGNATURE, &content));
    Ok(bytes)
}

impl Bundle {
    /// Takes a bundle apart. Cheap; nothing is compiled and nothing believed.
    ///
    /// # Errors
    /// [`BundleError`] for everything that is not component, one manifest, signatures, in this order and to the last byte.
    pub fn parse(bytes: Arc<[u8]>) -> Result<Bundle, BundleError> {
        let mut manifest = None;
        let mut signatures: Vec<(PublicKey, [u8; 64])> = Vec::new();
        for section in sections(&bytes)? {
            let Section { start, end, custom } = section;
            match custom {
                Some((SIGNATURE, content)) => {
                    if manifest.is_none() {
                        return Err(BundleError::Misplaced("a signature stands before the manifest".into()));
                    }
                    let signature = signature(&bytes[content]).ok_or(BundleError::Damaged(start))?;
                    if signatures.len() == SIGNATURES_MAX || signatures.iter().any(|(key, _)| *key == signature.0) {
                        return Err(BundleError::SignedTwice);
                    }
                    signatures.push(signature);
                }
                _ if !signatures.is_empty() => {
                    return Err(BundleError::Misplaced(format!(
                        "something was appended behind the signatures, at byte {start}"
                    )));
                }
                Some((MANIFEST, content)) if manifest.is_none() => manifest = Some((start, content, end)),
                Some((MANIFEST, _)) => {
                    return Err(BundleError::Misplaced("the bundle holds two manifests".into()));
                }
                _ if manifest.is_some() => {
                    return Err(BundleError::Misplaced(format!(
                        "something was appended behind the manifest, at byte {start}"
                    )));
                }
                _ => {}
            }
        }
        let Some((component, manifest_text, subject)) = manifest else {
            return Err(BundleError::Misplaced("the bundle holds no manifest".into()));
        };
        let text = bytes.get(manifest_text.clone()).filter(|t| t.len() <= MANIFEST_BYTES_MAX);
        let text = text.and_then(|t| std::str::from_utf8(t).ok()).ok_or(BundleError::Damaged(manifest_text.start))?;
        let manifest = manifest_of(text)?;
        Ok(Bundle { component, subject, manifest, manifest_text, signatures, bytes })
    }

    /// Checks the signatures: for each of `roles` one key of `trust` that holds it must have signed, and no signature by
    /// a known key may be wrong. Signatures by unknown keys count for nothing.
    ///
    /// # Errors
    /// [`BundleError::Unsigned`], [`BundleError::WrongSignature`] or [`BundleError::NotTrusted`].
    pub fn verify(self, trust: &TrustRoot, roles: &[Name]) -> Result<VerifiedBundle, BundleError> {
        if self.signatures.is_empty() {
            return Err(BundleError::Unsigned);
        }
        let message = self.message();
        let mut signers = Vec::new();
        for (key, signature) in &self.signatures {
            let Some(name) = trust.name_of(key) else {
                continue;
            };
            if !key.verifies(&message, signature) {
                return Err(BundleError::WrongSignature(name.to_string()));
            }
            signers.push(name.clone());
        }
        for role in roles {
            let holds = |signer: &&Name| trust.keys.get(*signer).is_some_and(|key| key.roles.contains(role));
            if !signers.iter().any(|s| holds(&s)) {
                let known: Vec<&str> = signers.iter().map(Name::as_str).collect();
                let signers = if known.is_empty() { "unknown keys only".to_owned() } else { known.join(", ") };
                return Err(BundleError::NotTrusted { role: role.to_string(), signers });
            }
        }
        Ok(VerifiedBundle { bundle: self, signers })
    }

    fn message(&self) -> Vec<u8> {
        [CONTEXT, self.digest().bytes()].concat()
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

    /// The keys whose signatures stand in the bundle, unchecked.
    pub fn claimed_signers(&self) -> impl Iterator<Item = PublicKey> + '_ {
        self.signatures.iter().map(|(key, _)| *key)
    }

    /// The component, without manifest and signatures.
    pub fn component(&self) -> &[u8] {
        &self.bytes[..self.component]
    }
}

fn signature(content: &[u8]) -> Option<(PublicKey, [u8; 64])> {
    let (version, rest) = content.split_first()?;
    let key: [u8; 32] = rest.get(..32)?.try_into().ok()?;
    let signature: [u8; 64] = rest.get(32..)?.try_into().ok()?;
    (*version == 1).then_some(())?;
    Some((PublicKey::from_bytes(&key)?, signature))
}

impl VerifiedBundle {
    /// The bytes to compile: exactly those that were checked, without the manifest.
    pub fn component(&self) -> &[u8] {
        self.bundle.component()
    }

    /// The author's data.
    pub fn manifest(&self) -> &Manifest {
        &self.bundle.manifest
    }

    /// The digest of what is signed.
    pub fn digest(&self) -> Digest {
        self.bundle.digest()
    }

    /// The manifest's text, byte for byte.
    pub fn manifest_text(&self) -> &str {
        self.bundle.manifest_text()
    }

    /// The names, in the trust root, of the keys whose signatures hold.
    pub fn signers(&self) -> &[Name] {
        &self.signers
    }
}
