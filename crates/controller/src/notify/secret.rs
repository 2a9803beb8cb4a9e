//! Secrets: read when they are needed, kept from every message and log.

use std::{fmt, fs, io::Read as _, os::unix::fs::PermissionsExt as _, path::Path};
use unship_policy::SecretSource;

const BYTES_MAX: u64 = 8 << 10;
/// Permissions that others have.
const OTHERS: u32 = 0o007;

/// A secret.
#[derive(Clone)]
pub struct Secret(String);

/// Without it.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// Reads it. `site`: where files are relative to.
    ///
    /// # Errors
    /// Why it is none, without anything of it.
    pub fn read(source: &SecretSource, site: &Path) -> Result<Secret, String> {
        let (text, whence) = match source {
            SecretSource::Env(name) => {
                let text = std::env::var(name).map_err(|_| format!("the environment has no text {name}"))?;
                (text, name.clone())
            }
            SecretSource::File(path) => (file(&site.join(path)).map_err(|why| format!("{path}: {why}"))?, path.clone()),
        };
        let text = text.trim();
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(format!("{whence} holds no secret: one line of text"));
        }
        Ok(Secret(text.to_owned()))
    }

    /// The secret itself: for whoever it has to be shown to, and nobody else.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// `text` without the secret, should somebody send it back.
    pub fn out_of(&self, text: &str) -> String {
        text.replace(&self.0, "…")
    }
}

fn file(path: &Path) -> Result<String, String> {
    let meta = fs::metadata(path).map_err(|e| e.to_string())?;
    if !meta.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if meta.permissions().mode() & OTHERS != 0 {
        return Err("others may read or write it, so it is no secret (chmod o=)".to_owned());
    }
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|e| e.to_string())?;
    file.take(BYTES_MAX).read_to_string(&mut text).map_err(|e| e.to_string())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line_that_others_cannot_read() {
        let site = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str, mode: u32| {
            fs::write(site.path().join(name), text).expect("written");
            fs::set_permissions(site.path().join(name), fs::Permissions::from_mode(mode)).expect("set");
        };
        write("good", "s3cret\n", 0o640);
        write("open", "s3cret\n", 0o644);
        write("empty", "\n", 0o600);
        write("long", &"x\n".repeat(9000), 0o600);
        fs::create_dir(site.path().join("folder")).expect("a folder");
        let read = |name: &str| Secret::read(&SecretSource::File(name.to_owned()), site.path());
        let good = read("good").expect("a secret");
        assert_eq!((good.text(), format!("{good:?}")), ("s3cret", "Secret(…)".to_owned()));
        assert_eq!(good.out_of("no s3cret here"), "no … here");
        for bad in ["open", "empty", "long", "folder", "none"] {
            let why = read(bad).expect_err(bad);
            assert!(why.contains(bad) && !why.contains("s3cret"), "{why}");
        }
        assert!(Secret::read(&SecretSource::Env("UNSHIP_NO_SUCH_VARIABLE".to_owned()), site.path()).is_err());
    }
}
