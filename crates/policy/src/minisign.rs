//! Signatures of minisign (<https://jedisct1.github.io/minisign/>): its public keys, and its `.minisig` files.
//!
//! Only what minisign makes by default is accepted: the signature of a BLAKE2b-512 digest (`ED`). The untrusted comment is nobody's
//! word and is not kept; the trusted one is signed, and part of what is verified.

use crate::PublicKey;
use base64ct::{Base64, Encoding as _};
use blake2::{Blake2b512, Digest as _};

const KEY_ALGORITHM: [u8; 2] = *b"Ed";
const SIGNATURE_ALGORITHM: [u8; 2] = *b"ED";
const TRUSTED: &str = "trusted comment: ";
/// Bytes of a trusted comment at most.
const COMMENT_BYTES_MAX: usize = 1024;

/// A signature as a bundle keeps it: key id, signature, the signature of both with the comment, the comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Minisig {
    pub key_id: [u8; 8],
    signature: [u8; 64],
    global: [u8; 64],
    comment: String,
}

/// Key id and point of a public key: the second line of a `.pub` file.
pub(crate) fn public_key(text: &str) -> Option<([u8; 8], [u8; 32])> {
    let bytes = Base64::decode_vec(text).ok()?;
    let (algorithm, rest) = bytes.split_first_chunk()?;
    let (id, point) = rest.split_first_chunk()?;
    (*algorithm == KEY_ALGORITHM).then_some(())?;
    Some((*id, point.try_into().ok()?))
}

pub(crate) fn public_key_text(id: &[u8; 8], point: &[u8; 32]) -> String {
    Base64::encode_string(&[&KEY_ALGORITHM[..], id, point].concat())
}

impl Minisig {
    /// Reads the text of a `.minisig` file: four lines.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Minisig, String> {
        let lines: Vec<&str> = text.lines().collect();
        let [untrusted, signature, trusted, global] = lines[..] else {
            return Err("a `.minisig` file has four lines".to_owned());
        };
        if !untrusted.starts_with("untrusted comment: ") {
            return Err("the first line of a `.minisig` file begins with `untrusted comment: `".to_owned());
        }
        let comment = trusted.strip_prefix(TRUSTED);
        let comment = comment.ok_or_else(|| format!("the third line of a `.minisig` file begins with `{TRUSTED}`"))?;
        let signature = Base64::decode_vec(signature).map_err(|_| "the second line is not base64")?;
        if signature.starts_with(&KEY_ALGORITHM) {
            return Err("it is a signature of minisign's old form; sign again without `-l`".to_owned());
        }
        let global = Base64::decode_vec(global).map_err(|_| "the fourth line is not base64")?;
        let content = [&signature[..], &global, comment.as_bytes()].concat();
        let fits = signature.len() == 74 && global.len() == 64;
        fits.then_some(())
            .and_then(|()| Minisig::from_bytes(&content))
            .ok_or_else(|| "it is not a signature".to_owned())
    }

    /// Reads what [`Minisig::bytes`] gives.
    pub fn from_bytes(content: &[u8]) -> Option<Minisig> {
        let (algorithm, rest) = content.split_first_chunk()?;
        let (key_id, rest) = rest.split_first_chunk()?;
        let (signature, rest) = rest.split_first_chunk()?;
        let (global, comment) = rest.split_first_chunk()?;
        let comment = std::str::from_utf8(comment).ok()?;
        // minisign sets a comment of its own out by tabs.
        let is_odd = |c: char| c.is_control() && c != '\t';
        let plain = comment.len() <= COMMENT_BYTES_MAX && !comment.contains(is_odd);
        (*algorithm == SIGNATURE_ALGORITHM && plain).then(|| Minisig {
            key_id: *key_id,
            signature: *signature,
            global: *global,
            comment: comment.to_owned(),
        })
    }

    /// The one way to write it.
    pub fn bytes(&self) -> Vec<u8> {
        [&SIGNATURE_ALGORITHM[..], &self.key_id, &self.signature, &self.global, self.comment.as_bytes()].concat()
    }

    /// Whether `key` signed `message`, and the comment with it.
    pub fn holds(&self, key: &PublicKey, message: &[u8]) -> bool {
        let digest = Blake2b512::digest(message);
        let commented = [&self.signature[..], self.comment.as_bytes()].concat();
        key.verifies(&digest, &self.signature) && key.verifies(&commented, &self.global)
    }
}
