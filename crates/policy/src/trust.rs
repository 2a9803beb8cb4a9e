//! The trust root: which keys may sign, by their names and roles. And the keys themselves, as text.

use crate::{
    FileError, Name,
    digest::{from_hex, to_hex},
    tables::name,
};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt};
use toml::Spanned;

const PUBLIC_PREFIX: &str = "unship-public-ed25519:";
const SECRET_PREFIX: &str = "unship-secret-ed25519:";

/// A public key; shown as `unship-public-ed25519:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// A secret key. Its text never appears in errors or `Debug`.
pub struct SecretKey(SigningKey);

impl PublicKey {
    /// Reads a public key.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<PublicKey, String> {
        let form =
            || format!("a public key is `{PUBLIC_PREFIX}` and 64 hexadecimal digits, as `unship keygen` prints it");
        let digits = text.trim().strip_prefix(PUBLIC_PREFIX).ok_or_else(form)?;
        let bytes: [u8; 32] = from_hex(digits).and_then(|b| b.try_into().ok()).ok_or_else(form)?;
        Self::from_bytes(&bytes).ok_or_else(|| "these digits are not a point of the curve that may sign".to_owned())
    }

    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Option<PublicKey> {
        VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak()).map(PublicKey)
    }

    pub(crate) fn bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Strict verification: no malleable signatures, no small-order keys.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", to_hex(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl SecretKey {
    /// The key behind 32 random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> SecretKey {
        SecretKey(SigningKey::from_bytes(seed))
    }

    /// Reads a secret key's file.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without the text.
    pub fn parse(text: &str) -> Result<SecretKey, String> {
        let seed = text.trim().strip_prefix(SECRET_PREFIX).and_then(from_hex).and_then(|b| b.try_into().ok());
        seed.map(|seed| SecretKey::from_seed(&seed)).ok_or_else(|| {
            format!("a secret key is `{SECRET_PREFIX}` and 64 hexadecimal digits, as `unship keygen` writes it")
        })
    }

    /// The text of its file.
    pub fn to_text(&self) -> String {
        format!("{SECRET_PREFIX}{}\n", to_hex(self.0.as_bytes()))
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// The role of keys whose owners may approve of what weakens a safety property.
pub const APPROVER: &str = "approver";

/// A key that may sign.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    /// The key.
    pub public: PublicKey,
    /// What it may sign.
    pub roles: Vec<Name>,
    /// Whose it is: several keys of one person count as one where people count. Every [`APPROVER`] says it.
    pub owner: Option<String>,
}

/// The keys that may sign.
#[derive(Debug, Clone)]
pub struct TrustRoot {
    /// Counts up with each change.
    pub version: u32,
    /// By their names.
    pub keys: BTreeMap<Name, TrustedKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTrustRoot {
    version: u32,
    #[serde(default)]
    keys: BTreeMap<Spanned<String>, RawKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKey {
    public: Spanned<String>,
    roles: Vec<Spanned<String>>,
    owner: Option<Spanned<String>>,
}

impl TrustRoot {
    /// Reads a trust root (`policies/trust.toml`).
    ///
    /// # Errors
    /// [`FileError`] with its place; among others the same key under two names, which would make one signer count twice,
    /// and an approver of whom it is not said who that is.
    pub fn parse(text: &str) -> Result<TrustRoot, FileError> {
        let raw: RawTrustRoot = toml::from_str(text).map_err(|e| FileError::from_toml(&e))?;
        let mut keys: BTreeMap<Name, TrustedKey> = BTreeMap::new();
        for (key_name, raw_key) in &raw.keys {
            let public =
                PublicKey::parse(raw_key.public.get_ref()).map_err(|e| FileError::at(raw_key.public.span(), e))?;
            if let Some((other, _)) = keys.iter().find(|(_, known)| known.public == public) {
                let message = format!("this is the key `{other}` under a second name");
                return Err(FileError::at(raw_key.public.span(), message));
            }
            let roles = raw_key.roles.iter().map(name).collect::<Result<Vec<_>, _>>()?;
            let owner = raw_key.owner.as_ref().map(owner).transpose()?;
            if let (Some(role), None) = (raw_key.roles.iter().find(|role| role.get_ref() == APPROVER), &owner) {
                return Err(FileError::at(role.span(), "of a key that may approve it must be known whose it is")
                    .help("`owner = \"…\"` names the person; all keys of one person count as one"));
            }
            keys.insert(name(key_name)?, TrustedKey { public, roles, owner });
        }
        Ok(TrustRoot { version: raw.version, keys })
    }

    /// The name under which a key is known.
    pub(crate) fn name_of(&self, key: &PublicKey) -> Option<&Name> {
        self.keys.iter().find(|(_, known)| known.public == *key).map(|(name, _)| name)
    }

    /// The person behind a key that may approve.
    pub fn approver(&self, key: &PublicKey) -> Option<&str> {
        let known = self.keys.values().find(|known| known.public == *key)?;
        known.owner.as_deref().filter(|_| known.roles.iter().any(|role| role.as_str() == APPROVER))
    }
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
