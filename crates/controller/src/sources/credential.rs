//! Who may tell the daemon something: whoever shows the secret that a file of the site holds.

use crate::notify::Secret;
use std::{
    hint::black_box,
    path::{Path, PathBuf},
};
use unship_policy::SecretSource;

/// What a request must show in its `Authorization` header, as `Bearer SECRET`. The file is read for each request: one that is
/// replaced counts at once, and what it held before nowhere any more.
#[derive(Debug, Clone)]
pub struct Credential {
    site: PathBuf,
    file: SecretSource,
}

impl Credential {
    /// The secret in `file`, which is relative to the site; looked at once.
    ///
    /// # Errors
    /// Why it holds none, or others can read it.
    pub fn new(site: &Path, file: &str) -> Result<Credential, String> {
        let credential = Credential { site: site.to_owned(), file: SecretSource::File(file.to_owned()) };
        credential.secret()?;
        Ok(credential)
    }

    fn secret(&self) -> Result<Secret, String> {
        Secret::read(&self.file, &self.site)
    }

    /// Whether the header's value shows the secret as it is now. How long that takes tells nothing of it but its length.
    ///
    /// # Errors
    /// Why there is no secret now, without anything of it.
    pub(super) fn is_shown_by(&self, header: Option<&[u8]>) -> Result<bool, String> {
        let secret = self.secret()?;
        let Some((scheme, shown)) = header.and_then(split) else { return Ok(false) };
        Ok(scheme.eq_ignore_ascii_case(b"bearer") && is_same(shown, secret.text().as_bytes()))
    }
}

/// The scheme and what stands behind it.
fn split(header: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = header.iter().position(|b| *b == b' ')?;
    Some((&header[..blank], header[blank + 1..].trim_ascii_start()))
}

fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differing = a.iter().zip(b).fold(0, |all, (x, y)| black_box(all | (x ^ y)));
    a.len() == b.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    #[test]
    fn only_the_secret_of_now_in_the_right_scheme_opens() {
        let site = tempfile::tempdir().expect("a folder");
        let path = site.path().join("token");
        assert!(Credential::new(site.path(), "token").is_err_and(|why| why.contains("token")));
        fs::write(&path, "s3cret\n").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
        let credential = Credential::new(site.path(), "token").expect("a secret");
        let opens = |header: &str| credential.is_shown_by(Some(header.as_bytes())).expect("there is a secret");
        for (header, wanted) in [
            ("Bearer s3cret", true),
            ("bearer  s3cret", true),
            ("Basic s3cret", false),
            ("Bearer s3cre", false),
            ("Bearer s3crets", false),
            ("Bearer S3cret", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("s3cret", false),
            ("", false),
        ] {
            assert_eq!(opens(header), wanted, "{header}");
        }
        assert_eq!(credential.is_shown_by(None), Ok(false));
        fs::write(&path, "second\n").expect("written");
        assert!(opens("Bearer second") && !opens("Bearer s3cret"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        assert!(credential.is_shown_by(Some(b"Bearer second")).is_err_and(|why| why.contains("others may read")));
        assert!(!format!("{credential:?}").contains("second"));
    }
}
