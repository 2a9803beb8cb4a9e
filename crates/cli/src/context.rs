//! What every verb gets: where the site is and how to answer.

use crate::{error::Result, out::Out, site::Site};
use std::path::PathBuf;

/// See the module.
pub struct Context {
    /// `--site`.
    pub site: Option<PathBuf>,
    /// The way to standard output.
    pub out: Out,
}

impl Context {
    /// The site that is meant.
    pub fn site(&self) -> Result<Site> {
        Site::find(self.site.as_deref())
    }
}
