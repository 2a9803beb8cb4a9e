//! Writing files of the user's: whole or not at all.

use crate::error::{CliError, Result};
use std::{fs, io::Write as _, path::Path};

/// Replaces `path` by `bytes` in one piece.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |e: &std::io::Error| CliError::user(format!("{} cannot be written", path.display())).because(e);
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(dir)
        .map_err(|e| failed(&e))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(|e| failed(&e))?;
    file.persist(path).map_err(|e| failed(&e.error))?;
    // The name is as durable as the content.
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| failed(&e))
}
