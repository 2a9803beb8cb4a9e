//! Keys that sign: Ed25519, as text and as files; and minisign's public keys.

use crate::{
    Digest,
    digest::{from_hex, to_hex},
    minisign,
};
use ed25519_dalek::{
    Signature, Signer as _, SigningKey, VerifyingKey,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _},
};
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, pkcs5::pbes2};
use std::fmt;

const PUBLIC_PREFIX: &str = "unship-public-ed25519:";
const MINISIGN_PREFIX: &str = "minisign:";
const SECRET_PREFIX: &str = "unship-secret-ed25519:";
const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// How a key's signatures are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Ed25519 over a DSSE pre-authentication encoding.
    Dsse,
    /// minisign's, prehashed; its key id.
    Minisign([u8; 8]),
}

/// A public key; shown as `unship-public-ed25519:` and 64 hexadecimal digits, or as `minisign:` and what minisign shows.
///
/// Two are equal when they are the same point for the same scheme. Where keys are counted, count [`PublicKey::id`]s: the
/// point alone says who signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    point: VerifyingKey,
    scheme: Scheme,
}

/// A secret key. Its text never appears in errors or `Debug`.
pub struct SecretKey(SigningKey);

/// Whoever signs: a key at hand, or a program that has one.
pub trait Signer {
    /// Its public key.
    fn public(&self) -> PublicKey;
    /// The Ed25519 signature of a message.
    ///
    /// # Errors
    /// Why there is none, for a person.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], String>;
}

impl PublicKey {
    /// Reads a public key.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<PublicKey, String> {
        let form = || {
            format!(
                "a public key is `{PUBLIC_PREFIX}` and 64 hexadecimal digits, as `unship keygen` prints it, or \
                 `{MINISIGN_PREFIX}` and the second line of minisign's `.pub` file"
            )
        };
        let text = text.trim();
        let (bytes, scheme) = match text.strip_prefix(MINISIGN_PREFIX) {
            Some(rest) => minisign::public_key(rest).map(|(id, bytes)| (bytes, Scheme::Minisign(id))),
            None => {
                let digits = text.strip_prefix(PUBLIC_PREFIX).and_then(from_hex);
                digits.and_then(|bytes| bytes.try_into().ok()).map(|bytes| (bytes, Scheme::Dsse))
            }
        }
        .ok_or_else(form)?;
        Self::new(&bytes, scheme).ok_or_else(|| "these digits are not a point of the curve that may sign".to_owned())
    }

    fn new(bytes: &[u8; 32], scheme: Scheme) -> Option<PublicKey> {
        let point = VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak())?;
        Some(PublicKey { point, scheme })
    }

    /// How it signs.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// SHA-256 of the key's 32 bytes: the `keyid` of envelopes, and what is counted where distinct keys are. The scheme is not
    /// in it, so that one key is one signer however it signs.
    pub fn id(&self) -> Digest {
        Digest::of(self.point.as_bytes())
    }

    /// Strict verification: no malleable signatures, no small-order keys.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.point.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheme {
            Scheme::Dsse => write!(f, "{PUBLIC_PREFIX}{}", to_hex(self.point.as_bytes())),
            Scheme::Minisign(id) => {
                write!(f, "{MINISIGN_PREFIX}{}", minisign::public_key_text(&id, self.point.as_bytes()))
            }
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a secret key's file gives no key. Never shows the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretKeyError {
    /// Not a key's file.
    #[error(
        "a secret key's file holds `{SECRET_PREFIX}` and 64 hexadecimal digits, or a PKCS #8 `{ENCRYPTED_LABEL}`, as `unship keygen` writes them"
    )]
    Form,
    /// It is encrypted, and no passphrase is given.
    #[error("the key is under a passphrase, and none is given")]
    NeedsPassphrase,
    /// The passphrase does not open it.
    #[error("the passphrase does not open the key")]
    WrongPassphrase,
    /// It is not encrypted, and a passphrase is given.
    #[error("the key is not under a passphrase, and one is given")]
    NotEncrypted,
}

impl SecretKey {
    /// The key behind 32 random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> SecretKey {
        SecretKey(SigningKey::from_bytes(seed))
    }

    /// Whether this text is a key under a passphrase.
    pub fn is_encrypted(text: &str) -> bool {
        text.trim_start().starts_with(&format!("-----BEGIN {ENCRYPTED_LABEL}-----"))
    }

    /// Reads a secret key's file; `passphrase` opens it where it is encrypted.
    ///
    /// # Errors
    /// [`SecretKeyError`], without the text.
    pub fn open(text: &str, passphrase: Option<&str>) -> Result<SecretKey, SecretKeyError> {
        match (SecretKey::is_encrypted(text), passphrase) {
            (false, None) => {
                let seed = text.trim().strip_prefix(SECRET_PREFIX).and_then(from_hex).and_then(|b| b.try_into().ok());
                seed.map(|seed| SecretKey::from_seed(&seed)).ok_or(SecretKeyError::Form)
            }
            (false, Some(_)) => Err(SecretKeyError::NotEncrypted),
            (true, None) => Err(SecretKeyError::NeedsPassphrase),
            (true, Some(passphrase)) => {
                let (label, document) =
                    pkcs8::SecretDocument::from_pem(text.trim()).map_err(|_| SecretKeyError::Form)?;
                let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes());
                let info = info.ok().filter(|_| label == ENCRYPTED_LABEL).ok_or(SecretKeyError::Form)?;
                let opened = info.decrypt(passphrase).map_err(|_| SecretKeyError::WrongPassphrase)?;
                SigningKey::from_pkcs8_der(opened.as_bytes()).map(SecretKey).map_err(|_| SecretKeyError::Form)
            }
        }
    }

    /// Reads the file of a key that is under no passphrase.
    ///
    /// # Errors
    /// As [`SecretKey::open`].
    pub fn parse(text: &str) -> Result<SecretKey, SecretKeyError> {
        SecretKey::open(text, None)
    }

    /// The text of its file, without a passphrase.
    pub fn to_text(&self) -> String {
        format!("{SECRET_PREFIX}{}\n", to_hex(self.0.as_bytes()))
    }

    /// The text of its file under a passphrase: PKCS #8, scrypt with its standard costs, AES-256 in CBC mode. `random` is the salt
    /// and the initialisation vector; both must be fresh.
    ///
    /// # Errors
    /// What the library says; none is expected.
    pub fn to_encrypted_text(&self, passphrase: &str, random: &[u8; 32]) -> Result<String, String> {
        let (mut salt, mut iv) = ([0; 16], [0; 16]);
        salt.copy_from_slice(&random[..16]);
        iv.copy_from_slice(&random[16..]);
        let parameters = pbes2::Parameters::generate_scrypt_aes256cbc(Default::default(), &salt, iv);
        let parameters = parameters.map_err(|e| e.to_string())?;
        let plain = self.0.to_pkcs8_der().map_err(|e| e.to_string())?;
        let info = PrivateKeyInfoRef::try_from(plain.as_bytes()).map_err(|e| e.to_string())?;
        let sealed = info.encrypt_with_params(parameters, passphrase);
        let sealed = sealed.and_then(|sealed| Ok(sealed.to_pem(ENCRYPTED_LABEL, LineEnding::LF)?));
        sealed.map(|pem| pem.to_string()).map_err(|e| e.to_string())
    }

    pub(crate) fn signature(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl Signer for SecretKey {
    fn public(&self) -> PublicKey {
        PublicKey { point: self.0.verifying_key(), scheme: Scheme::Dsse }
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], String> {
        Ok(self.signature(message))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}
