//! DSSE envelopes (<https://github.com/secure-systems-lab/dsse>, version 1.0): a payload, its type, and signatures over both.
//!
//! There is one way to write an envelope, and any other is refused, so that no byte of one can be changed without notice: JSON
//! without blanks, keys in the order of the specification, strict base64. The key ids are hints, as the specification
//! says; a signature counts only for a key of the trust root that verifies it.

use crate::{Digest, PublicKey, Signer};
use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Serialize};

/// Bytes of an envelope at most, where nothing else is said.
pub(crate) const ENVELOPE_BYTES_MAX: usize = 64 << 10;
/// Signatures of an envelope at most.
pub(crate) const SIGNATURES_MAX: usize = 16;

/// What is signed: type and payload, each with its length before it.
pub(crate) fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// One signature, with the id of the key that is said to have made it. Unchecked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeySignature {
    pub key: Digest,
    pub signature: [u8; 64],
}

/// Why there is no envelope, or no further signature on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not written as it must be.
    #[error("it is not a DSSE envelope as `unship` writes one: {0}")]
    Form(String),
    /// What is signed is something else.
    #[error("what is signed is of the type {0:?}, and must be of {1:?}")]
    OtherType(String, &'static str),
    /// The same key twice.
    #[error("the key {0} signed it twice; each counts once")]
    SignedTwice(Digest),
    /// More than there may be.
    #[error("it holds more than {SIGNATURES_MAX} signatures")]
    TooMany,
    /// The signer did not sign.
    #[error("the signer gave no signature: {0}")]
    Signer(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawEnvelope {
    /// Left out where the payload is a file beside the envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    payload_type: String,
    signatures: Vec<RawSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSignature {
    keyid: String,
    sig: String,
}

/// An envelope taken apart. Nothing in it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope {
    payload_type: &'static str,
    payload: Vec<u8>,
    /// The payload stands in the envelope itself.
    attached: bool,
    signatures: Vec<KeySignature>,
}

impl Envelope {
    pub fn new(payload_type: &'static str, payload: Vec<u8>) -> Envelope {
        Envelope { payload_type, payload, attached: true, signatures: Vec::new() }
    }

    /// Of a payload that lies beside it.
    pub fn detached(payload_type: &'static str, payload: &[u8]) -> Envelope {
        Envelope { attached: false, ..Envelope::new(payload_type, payload.to_vec()) }
    }

    /// Reads an envelope of at most `bytes_max` bytes with a payload of this type in it.
    pub fn parse(bytes: &[u8], payload_type: &'static str, bytes_max: usize) -> Result<Envelope, EnvelopeError> {
        let form = |why: &str| EnvelopeError::Form(why.to_owned());
        let raw = raw(bytes, bytes_max)?;
        let payload = raw.payload.as_deref().ok_or_else(|| form("it holds no payload"))?;
        let payload = Base64::decode_vec(payload).map_err(|_| form("its payload is not base64"))?;
        Envelope::new(payload_type, payload).take(&raw, bytes)
    }

    /// Reads an envelope of a payload that lies beside it.
    pub fn parse_detached(bytes: &[u8], payload_type: &'static str, payload: &[u8]) -> Result<Envelope, EnvelopeError> {
        let raw = raw(bytes, ENVELOPE_BYTES_MAX)?;
        if raw.payload.is_some() {
            return Err(EnvelopeError::Form("it holds a payload of its own".to_owned()));
        }
        Envelope::detached(payload_type, payload).take(&raw, bytes)
    }

    fn take(mut self, raw: &RawEnvelope, bytes: &[u8]) -> Result<Envelope, EnvelopeError> {
        if raw.payload_type != self.payload_type {
            return Err(EnvelopeError::OtherType(raw.payload_type.clone(), self.payload_type));
        }
        for raw in &raw.signatures {
            let key = Digest::parse(&format!("sha256:{}", raw.keyid));
            let key = key.ok_or_else(|| EnvelopeError::Form("a `keyid` has 64 hexadecimal digits".to_owned()))?;
            let signature = Base64::decode_vec(&raw.sig).ok().and_then(|bytes| bytes.try_into().ok());
            let signature = signature.ok_or_else(|| EnvelopeError::Form("a `sig` is 64 bytes in base64".to_owned()))?;
            self.push(KeySignature { key, signature })?;
        }
        if self.text().as_bytes() != bytes {
            return Err(EnvelopeError::Form("there is one way to write it, and this is another".to_owned()));
        }
        Ok(self)
    }

    fn push(&mut self, new: KeySignature) -> Result<(), EnvelopeError> {
        if self.signatures.iter().any(|known| known.key == new.key) {
            return Err(EnvelopeError::SignedTwice(new.key));
        }
        if self.signatures.len() == SIGNATURES_MAX {
            return Err(EnvelopeError::TooMany);
        }
        self.signatures.push(new);
        Ok(())
    }

    /// Adds a signature.
    pub fn sign(&mut self, signer: &dyn Signer) -> Result<(), EnvelopeError> {
        let key = signer.public().id();
        if self.signatures.iter().any(|known| known.key == key) {
            return Err(EnvelopeError::SignedTwice(key));
        }
        let signature = signer.sign(&self.message()).map_err(EnvelopeError::Signer)?;
        if !signer.public().verifies(&self.message(), &signature) {
            return Err(EnvelopeError::Signer("what it gave is not its key's signature of these bytes".to_owned()));
        }
        self.push(KeySignature { key, signature })
    }

    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub fn signatures(&self) -> &[KeySignature] {
        &self.signatures
    }

    /// What each signature is over.
    pub fn message(&self) -> Vec<u8> {
        pre_authentication_encoding(self.payload_type, &self.payload)
    }

    /// The one way to write it.
    pub fn text(&self) -> String {
        let raw = RawEnvelope {
            payload: self.attached.then(|| Base64::encode_string(&self.payload)),
            payload_type: self.payload_type.to_owned(),
            signatures: self
                .signatures
                .iter()
                .map(|s| RawSignature { keyid: s.key.hex(), sig: Base64::encode_string(&s.signature) })
                .collect(),
        };
        let mut text = serde_json::to_string(&raw).unwrap_or_default();
        if !self.attached {
            text.push('\n');
        }
        text
    }
}

fn raw(bytes: &[u8], bytes_max: usize) -> Result<RawEnvelope, EnvelopeError> {
    if bytes.len() > bytes_max {
        return Err(EnvelopeError::Form(format!("it is longer than {bytes_max} bytes")));
    }
    serde_json::from_slice(bytes).map_err(|e| EnvelopeError::Form(e.to_string()))
}

/// Whether `key` made one of `signatures` over `message`: `None` when none claims to be its own.
pub(crate) fn verdict(key: &PublicKey, signatures: &[KeySignature], message: &[u8]) -> Option<bool> {
    let claimed = signatures.iter().find(|s| s.key == key.id())?;
    Some(key.verifies(message, &claimed.signature))
}
