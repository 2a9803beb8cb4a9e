//! One-time links: 256 random bits each. The book knows the SHA-256 of a token; the token itself lies in the store until it is
//! used, so that a notice that waits can still name it, and nowhere else.

use unship_policy::Digest;
use unship_store::{IoError, WatchStore};

const TOKEN_BYTES: usize = 32;

fn name(link: &Digest) -> String {
    format!("link-{}", link.hex())
}

/// The digest of a token, as it stands in a link; `None` for what is no token.
pub fn digest(token: &str) -> Option<Digest> {
    let is_token =
        token.len() == 2 * TOKEN_BYTES && token.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    is_token.then(|| Digest::of(token.as_bytes()))
}

/// Makes a token.
///
/// # Errors
/// Where it cannot be kept, or the system has no random numbers.
pub fn make(store: &WatchStore) -> Result<Digest, String> {
    let mut bytes = [0u8; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(|e| e.to_string())?;
    let token = Digest::from_bytes(bytes).hex();
    let link = Digest::of(token.as_bytes());
    store.keep(&name(&link), token.as_bytes()).map_err(|e| e.to_string())?;
    Ok(link)
}

/// The token of a link that was not used yet.
///
/// # Errors
/// Where it cannot be read.
pub fn token(store: &WatchStore, link: &Digest) -> Result<Option<String>, IoError> {
    Ok(store.kept(&name(link))?.and_then(|bytes| String::from_utf8(bytes).ok()))
}

/// It is of no use any more.
pub fn forget(store: &WatchStore, link: &Digest) {
    if let Err(e) = store.forget(&name(link)) {
        tracing::warn!(error = %e, "a used link's token stays in the store; it works for nobody");
    }
}
