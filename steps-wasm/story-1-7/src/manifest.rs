//! What the last build published, as its manifest says: a line a file, as `sha256sum` writes it (`sha256sum --check` from the
//! site's folder says the same). The manifest is written by what is being taken out, so nothing in it is trusted: a line that
//! names anything but a file below `public/` by its plain path refuses the whole.

use sha2::{Digest as _, Sha256};
use std::{collections::BTreeSet, fs, io};
use unship_step::{Context as _, Result, ensure, fail};

const MANIFEST: &str = ".evidence/published.sha256";
const PUBLIC: &str = "public";
/// The site's own, whatever a build says: search engines must go on finding it.
const OWN: &str = "public/robots.txt";
/// Two digits for each of SHA-256's bytes.
const DIGEST_CHARS: usize = 64;
/// Between digest and path: a file that was read as bytes or as text, which is the same here.
const SEPARATORS: [&str; 2] = ["  ", " *"];

/// The files of the last build, in the manifest's order.
#[derive(Debug)]
pub struct Manifest {
    pages: Vec<Page>,
}

/// One published file.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// Relative to the site.
    pub path: String,
    /// SHA-256 in lower-case hexadecimal digits.
    digest: String,
}

/// What lies where a file was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Gone,
    /// The very bytes of the build.
    AsBuilt,
    /// Other bytes.
    Changed,
}

impl Manifest {
    /// The manifest of the site. Needs `files.read` on it.
    ///
    /// # Errors
    /// When it is not there, or [`Manifest::parse`] refuses it.
    pub fn of_site() -> Result<Manifest> {
        match fs::read_to_string(MANIFEST) {
            Ok(text) => Manifest::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fail!(
                "{MANIFEST} is not there, so nobody can tell which files of {PUBLIC}/ a build made; where none did, an \
                 empty one says so"
            ),
            Err(error) => fail!("reading {MANIFEST}: {error}"),
        }
    }

    fn parse(text: &str) -> Result<Manifest> {
        let (mut pages, mut seen) = (Vec::new(), BTreeSet::new());
        for (at, line) in text.lines().enumerate() {
            let page = Page::parse(line).context(format!("{MANIFEST}, line {}", at + 1))?;
            ensure!(seen.insert(page.path.clone()), "{MANIFEST}, line {}: {} is listed twice", at + 1, page.path);
            pages.push(page);
        }
        Ok(Manifest { pages })
    }

    /// Its files.
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }
}

impl Page {
    fn parse(line: &str) -> Result<Page> {
        let (digest, rest) = line.split_at_checked(DIGEST_CHARS).context("it is no digest and a path")?;
        let is_digest = digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        ensure!(is_digest, "{digest:?} is no SHA-256 in lower-case digits");
        let path = SEPARATORS.iter().find_map(|separator| rest.strip_prefix(separator));
        let path = path.context("two spaces, or a space and a star, must stand between digest and path")?;
        ensure!(
            !path.chars().any(|c| c.is_control() || c == '\\'),
            "{path:?} holds a control character or a backslash"
        );
        ensure!(path.split('/').all(|name| !matches!(name, "" | "." | "..")), "{path:?} is no plain relative path");
        let below = path.strip_prefix(PUBLIC).is_some_and(|rest| rest.starts_with('/'));
        ensure!(below, "{path:?} does not lie in {PUBLIC}/");
        ensure!(path != OWN, "{path} is the site's own, and no page of a build");
        Ok(Page { path: path.to_owned(), digest: digest.to_owned() })
    }

    /// What lies there now. Needs `files.read` on it.
    ///
    /// # Errors
    /// When something else than a file does, or nobody can tell. A symlink is something else: it may lead anywhere.
    pub fn found(&self) -> Result<Found> {
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) => {
                ensure!(metadata.is_file(), "{} is listed as published, and is not a regular file", self.path)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Gone),
            Err(error) => fail!("looking for {}: {error}", self.path),
        }
        let bytes = fs::read(&self.path).context(format!("reading {}", self.path))?;
        let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(if digest == self.digest { Found::AsBuilt } else { Found::Changed })
    }
}
