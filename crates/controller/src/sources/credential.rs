//! Who may tell the daemon something: a bearer token, or a user with a password.

use std::{fmt, hint::black_box};

/// What a request must show in its `Authorization` header.
#[derive(Clone)]
pub struct Credential {
    /// The scheme in lower case, and what stands behind it.
    scheme: &'static str,
    secret: String,
}

/// Without the secret.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({} …)", self.scheme)
    }
}

impl Credential {
    /// `Authorization: Bearer TOKEN`. `None`: an empty token, which anybody would have.
    pub fn bearer(token: &str) -> Option<Credential> {
        (!token.is_empty()).then(|| Credential { scheme: "bearer", secret: token.to_owned() })
    }

    /// `Authorization: Basic …` of this user and password. `None`: an empty password, or a user with `:` in it.
    pub fn basic(user: &str, password: &str) -> Option<Credential> {
        let is_good = !password.is_empty() && !user.contains(':');
        is_good.then(|| Credential { scheme: "basic", secret: base64(format!("{user}:{password}").as_bytes()) })
    }

    /// The scheme, as `WWW-Authenticate` names it.
    pub(super) fn challenge(&self) -> &'static str {
        if self.scheme == "basic" { "Basic realm=\"unship\"" } else { "Bearer" }
    }

    /// Whether the header's value shows it. How long it takes tells nothing of the secret but its length.
    pub(super) fn is_shown_by(&self, header: Option<&[u8]>) -> bool {
        let Some(header) = header else { return false };
        let Some(blank) = header.iter().position(|b| *b == b' ') else { return false };
        let (scheme, shown) = (&header[..blank], header[blank + 1..].trim_ascii_start());
        scheme.eq_ignore_ascii_case(self.scheme.as_bytes()) && is_same(shown, self.secret.as_bytes())
    }
}

fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differing = a.iter().zip(b).fold(0, |all, (x, y)| black_box(all | (x ^ y)));
    a.len() == b.len() && differing == 0
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().chain([&0; 2]).take(3).fold(0_usize, |bits, b| bits << 8 | usize::from(*b));
        for n in 0..4 {
            let letter = char::from(LETTERS[bits >> (18 - 6 * n) & 63]);
            text.push(if n > three.len() { '=' } else { letter });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_secret_in_the_right_scheme_opens() {
        let bearer = Credential::bearer("s3cret").expect("a token");
        let basic = Credential::basic("alertmanager", "pass:word").expect("a password");
        for (header, by_bearer, by_basic) in [
            ("Bearer s3cret", true, false),
            ("bearer  s3cret", true, false),
            ("Basic YWxlcnRtYW5hZ2VyOnBhc3M6d29yZA==", false, true),
            ("Basic s3cret", false, false),
            ("Bearer s3cre", false, false),
            ("Bearer s3crets", false, false),
            ("Bearer S3cret", false, false),
            ("Bearer ", false, false),
            ("Bearer", false, false),
            ("s3cret", false, false),
            ("", false, false),
        ] {
            assert_eq!(bearer.is_shown_by(Some(header.as_bytes())), by_bearer, "{header}");
            assert_eq!(basic.is_shown_by(Some(header.as_bytes())), by_basic, "{header}");
        }
        assert!(!bearer.is_shown_by(None));
        assert!(Credential::bearer("").is_none() && Credential::basic("a", "").is_none());
        assert!(Credential::basic("a:b", "c").is_none());
        assert!(!format!("{bearer:?} {basic:?}").contains("cre t") && !format!("{bearer:?}").contains("s3cret"));
    }

    #[test]
    fn base64_as_in_its_rfc() {
        for (plain, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")]
        {
            assert_eq!(base64(plain.as_bytes()), text);
        }
    }
}
