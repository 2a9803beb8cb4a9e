//! Signed notes, as <https://c2sp.org/signed-note> has them, with Ed25519: a text, a blank line, lines of signatures.
//!
//! ```text
//! <text, one or more lines>
//!
//! — <key name> <base64( key id, 4 bytes ‖ signature, 64 bytes )>
//! ```
//!
//! The key id is the first four bytes of SHA-256( key name ‖ `\n` ‖ 0x01 ‖ public key ). The signature is over the text
//! with its last newline. Lines of keys that nobody asked about, such as those of witnesses, are read over.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::hex;

/// A note, in bytes. Ours have about 250; the rest is room for the signatures of others.
pub(crate) const NOTE_BYTES_MAX: usize = 16 << 10;

/// The number of Ed25519 among the kinds of signatures.
const ED25519: u8 = 1;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The public half of a note's key, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verifier {
    name: String,
    key: VerifyingKey,
}

/// A key that signs notes.
pub(crate) struct NoteKey {
    name: String,
    key: SigningKey,
}

impl fmt::Debug for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteKey({}, …)", self.name)
    }
}

impl NoteKey {
    /// `name` holds neither white space nor `+`; `seed` is secret.
    pub(crate) fn new(name: String, seed: &[u8; 32]) -> Self {
        Self { name, key: SigningKey::from_bytes(seed) }
    }

    pub(crate) fn verifier(&self) -> Verifier {
        Verifier { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// The note of `text`, which ends with a newline and holds no empty line.
    pub(crate) fn sign(&self, text: &str) -> String {
        let signature = self.key.sign(text.as_bytes());
        let bytes = [&self.verifier().id()[..], &signature.to_bytes()].concat();
        format!("{text}\n— {} {}\n", self.name, base64(&bytes))
    }
}

impl Verifier {
    fn id(&self) -> [u8; 4] {
        let name = self.name.as_bytes();
        let digest = Sha256::new().chain_update(name).chain_update([b'\n', ED25519]).chain_update(self.key).finalize();
        [digest[0], digest[1], digest[2], digest[3]]
    }

    /// `<key name>+<key id, 8 hex digits>+<base64( 0x01 ‖ public key )>`, as other verifiers take it.
    pub(crate) fn line(&self) -> String {
        let key = [&[ED25519], &self.key.to_bytes()[..]].concat();
        format!("{}+{}+{}\n", self.name, hex::text(&self.id()), base64(&key))
    }

    /// The text of a note that this key signed, last newline included.
    ///
    /// # Errors
    /// What is wrong with the note, to be read after its path and a colon.
    pub(crate) fn open<'n>(&self, note: &'n [u8]) -> Result<&'n str, &'static str> {
        if note.len() > NOTE_BYTES_MAX {
            return Err("it is longer than a checkpoint can be");
        }
        let note = std::str::from_utf8(note).map_err(|_| "it is not text in UTF-8")?;
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err("it holds control characters");
        }
        let blank = note.rfind("\n\n").ok_or("no blank line stands between its text and its signatures")?;
        let (text, signatures) = (&note[..=blank], &note[blank + 2..]);
        let lines = signatures.strip_suffix('\n').ok_or("its last line is cut off")?;
        let mut ours = None;
        for line in lines.split('\n') {
            let (name, bytes) = parse_signature(line).ok_or("a line below its text is no signature")?;
            let Some(signature) = bytes.strip_prefix(&self.id()).filter(|_| name == self.name) else {
                continue;
            };
            if ours.replace(signature.to_vec()).is_some() {
                return Err("it has two signatures by one key");
            }
        }
        let ours = ours.ok_or("it has no signature by this site's key")?;
        let signature = Signature::from_slice(&ours).map_err(|_| "its signature has not the length of one")?;
        match self.key.verify_strict(text.as_bytes(), &signature) {
            Ok(()) => Ok(text),
            Err(_) => Err("its signature does not fit its text"),
        }
    }
}

/// `— <key name> <base64>`: the name, and key id and signature together.
fn parse_signature(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, encoded) = line.strip_prefix("— ")?.split_once(' ')?;
    let plain = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+');
    let bytes = from_base64(encoded.as_bytes())?;
    (plain && bytes.len() > 4).then_some((name, bytes))
}

/// RFC 4648, section 4, with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let digit = BASE64[(bits >> (18 - 6 * index)) as usize & 63];
            text.push(if index <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// Reads exactly what [`base64`] writes: padding is there, and its unused bits are zero.
pub(crate) fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in text.chunks_exact(4) {
        let digits = chunk.iter().position(|digit| *digit == b'=').unwrap_or(4);
        let mut bits = 0_usize;
        for digit in &chunk[..digits] {
            bits = bits << 6 | BASE64.iter().position(|known| known == digit)?;
        }
        bits <<= 6 * (4 - digits);
        bytes.extend(&[(bits >> 16) as u8, (bits >> 8) as u8, bits as u8][..digits.saturating_sub(1).min(3)]);
    }
    // One spelling only: wrong padding, padding in the middle and stray bits all come out differently.
    (base64(&bytes).as_bytes() == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification and of other implementations.
    const EXAMPLE_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\n";
    const EXAMPLE: &str = "This is an example message.\n\n— example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    fn example() -> Verifier {
        let bytes = from_base64(b"AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k").unwrap();
        let key = VerifyingKey::from_bytes(bytes[1..].try_into().unwrap()).unwrap();
        Verifier { name: "example.com/foo".to_owned(), key }
    }

    #[test]
    fn a_note_of_another_implementation_is_read() {
        assert_eq!(example().line(), EXAMPLE_KEY);
        assert_eq!(example().open(EXAMPLE.as_bytes()), Ok("This is an example message.\n"));
    }

    #[test]
    fn what_is_signed_is_read_and_no_changed_byte_is() {
        let key = NoteKey::new("unship-journal/x".to_owned(), &[7; 32]);
        let note = key.sign("one\ntwo\n");
        assert_eq!(key.verifier().open(note.as_bytes()), Ok("one\ntwo\n"));
        for at in 0..note.len() {
            for bit in 0..8 {
                let mut changed = note.clone().into_bytes();
                changed[at] ^= 1 << bit;
                assert!(key.verifier().open(&changed).is_err(), "byte {at}, bit {bit}");
            }
            assert!(key.verifier().open(&note.as_bytes()[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(format!("{key:?}"), "NoteKey(unship-journal/x, …)");
    }

    #[test]
    fn a_malformed_note_is_refused_with_its_fault() {
        let (key, other) = (NoteKey::new("n".to_owned(), &[7; 32]), NoteKey::new("n".to_owned(), &[8; 32]));
        let note = key.sign("text\n");
        let line = note.lines().last().unwrap();
        let witness = NoteKey::new("witness".to_owned(), &[9; 32]).sign("text\n");
        let witness = witness.lines().last().unwrap();
        let no_signature = "it has no signature by this site's key";
        let no_line = "a line below its text is no signature";
        for (bad, fault) in [
            (Vec::new(), "no blank line stands between its text and its signatures"),
            (b"text\n".to_vec(), "no blank line stands between its text and its signatures"),
            (b"text\n\n".to_vec(), "its last line is cut off"),
            (b"text\n\n\n".to_vec(), "its last line is cut off"),
            (note.trim_end().as_bytes().to_vec(), "its last line is cut off"),
            (format!("{note}more\n").into_bytes(), no_line),
            (note.replace("— n ", "- n ").into_bytes(), no_line),
            (note.replace("— n ", "— n+ ").into_bytes(), no_line),
            (note.replace("— n ", "—  ").into_bytes(), no_line),
            (note.replace("— n ", "— n  ").into_bytes(), no_line),
            (note.replace('=', "").into_bytes(), no_line),
            (note.replace('=', "==").into_bytes(), no_line),
            (format!("{}*\n", note.trim_end()).into_bytes(), no_line),
            (b"text\n\n\xe2\x80\x94 n AAAAAA==\n".to_vec(), no_line),
            (format!("{note}{line}\n").into_bytes(), "it has two signatures by one key"),
            (note.replace("— n ", "— m ").into_bytes(), no_signature),
            (other.sign("text\n").into_bytes(), no_signature),
            (format!("text\n\n{witness}\n").into_bytes(), no_signature),
            (note.replace("text", "test").into_bytes(), "its signature does not fit its text"),
            (note.replace("text\n", "text\nmore\n").into_bytes(), "its signature does not fit its text"),
            (note.replace("text", "te\rxt").into_bytes(), "it holds control characters"),
            ([note.as_bytes(), b"\xff"].concat(), "it is not text in UTF-8"),
            (note.as_bytes().repeat(1000), "it is longer than a checkpoint can be"),
        ] {
            assert_eq!(key.verifier().open(&bad), Err(fault), "{}", String::from_utf8_lossy(&bad));
        }
        let short = [&key.verifier().id()[..], &[1; 63]].concat();
        let short = format!("text\n\n— n {}\n", base64(&short));
        assert_eq!(key.verifier().open(short.as_bytes()), Err("its signature has not the length of one"));
        // Witnesses may sign too.
        for signed in [format!("{note}{witness}\n"), format!("text\n\n{witness}\n{line}\n")] {
            assert_eq!(key.verifier().open(signed.as_bytes()), Ok("text\n"));
        }
    }

    #[test]
    fn base64_has_one_spelling() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text.as_bytes()).as_deref(), Some(bytes.as_bytes()));
        }
        for bad in ["Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "=Zg=", "====", "Z===", "Zm 9", "Zm-_", "Zm9v\n"] {
            assert_eq!(from_base64(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
