//! What whoever holds a key could sign: any content under a true signature. It is written by hand, from what the formats say,
//! and not by the code that is tried.

use base64ct::{Base64, Encoding as _};
use blake2::{Blake2b512, Digest as _};
use unship_policy::{SecretKey, Signer as _};

/// A DSSE envelope of any payload, signed.
pub fn dsse(payload_type: &str, payload: &[u8], key: &SecretKey) -> String {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    let signature = key.sign(&[head.as_bytes(), payload].concat()).expect("signed");
    let (payload, keyid) = (Base64::encode_string(payload), key.public().id().hex());
    let signature = Base64::encode_string(&signature);
    format!(
        "{{\"payload\":\"{payload}\",\"payloadType\":\"{payload_type}\",\
         \"signatures\":[{{\"keyid\":\"{keyid}\",\"sig\":\"{signature}\"}}]}}"
    )
}

/// The payload of an envelope, whoever signed it.
pub fn payload(envelope: &[u8]) -> Option<Vec<u8>> {
    let envelope: serde_json::Value = serde_json::from_slice(envelope).ok()?;
    Base64::decode_vec(envelope["payload"].as_str()?).ok()
}

/// The id of the keys of minisign here: any eight bytes.
const KEY_ID: [u8; 8] = *b"unship-f";

/// The second line of a `.pub` file, after `minisign:`.
pub fn minisign_public(key: &SecretKey) -> String {
    let point = key.public().to_string();
    let (_, hex) = point.split_once(':').expect("a prefix and digits");
    let point: Vec<u8> =
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex")).collect();
    format!("minisign:{}", Base64::encode_string(&[&b"Ed"[..], &KEY_ID, &point].concat()))
}

/// A `.minisig` file over `message` with any trusted comment.
pub fn minisign(message: &[u8], comment: &str, key: &SecretKey) -> String {
    let signature = key.sign(&Blake2b512::digest(message)).expect("signed");
    let global = key.sign(&[&signature[..], comment.as_bytes()].concat()).expect("signed");
    let signature = Base64::encode_string(&[&b"ED"[..], &KEY_ID, &signature].concat());
    let global = Base64::encode_string(&global);
    format!("untrusted comment: \n{signature}\ntrusted comment: {comment}\n{global}\n")
}

/// A custom section of WebAssembly.
pub fn section(name: &str, content: &[u8]) -> Vec<u8> {
    let body = [&leb128(name.len())[..], name.as_bytes(), content].concat();
    [&[0][..], &leb128(body.len()), &body].concat()
}

fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
