//! Precompiled code of this site: bytes in, the same bytes out of memory that nobody can change any more, or nothing.
//!
//! Code is authenticated where it will be mapped from: it is copied into a sealed memfd first and checked there, so that
//! swapping or overwriting the file, before or after, cannot bring in other code.
//!
//! A file is the code followed by HMAC-SHA256( site key, "unship-code 1\n" ‖ length of the cache key, u64 little-endian ‖
//! cache key ‖ code ), 32 bytes.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use hmac::{Hmac, KeyInit, Mac};
use rustix::fs::{MemfdFlags, SealFlags};
use sha2::Sha256;

use crate::dir::Dir;
use crate::error::{IoError, Naming};
use crate::name::{self, BadName};

const TAG_BYTES: usize = 32;

/// The code of one component, in bytes.
const CODE_BYTES_MAX: u64 = 1 << 30;

/// Why code could not be kept or looked up. Texts read after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The cache key cannot be a file name.
    #[error(transparent)]
    Name(#[from] BadName),
}

/// The cache of a site's precompiled code.
#[derive(Debug)]
pub struct CodeCache {
    dir: Dir,
    key: SiteKey,
}

struct SiteKey([u8; 32]);

impl std::fmt::Debug for SiteKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SiteKey(…)")
    }
}

impl CodeCache {
    pub(crate) fn new(dir: Dir, key: [u8; 32]) -> Self {
        Self { dir, key: SiteKey(key) }
    }

    /// Keeps code under a key that names all it depends on (digest of the component, engine, settings). An older entry
    /// of the same key is replaced, whole or not at all.
    pub fn put(&self, key: &str, code: &[u8]) -> Result<(), CodeError> {
        let name = file_name(key)?;
        let mut mac = self.mac(key);
        mac.update(code);
        let tag = mac.finalize().into_bytes();
        Ok(self.dir.write_atomic(&name, &[code, &tag])?)
    }

    /// The code of this key, from offset 0 of a sealed memfd, or `None` where there is none that can be trusted: a file
    /// that fails its check is removed, with a warning, and is to be made anew.
    pub fn open(&self, key: &str) -> Result<Option<OwnedFd>, CodeError> {
        let name = file_name(key)?;
        let Some(file) = self.dir.open_if_there(&name)? else {
            return Ok(None);
        };
        let path = self.dir.path().join(&name);
        if let Some(memory) = self.authenticate(key, &file).naming("read", &path)? {
            return Ok(Some(memory.into()));
        }
        tracing::warn!(path = %path.display(), "removing precompiled code that this site did not make");
        self.dir.remove_file(&name)?;
        Ok(None)
    }

    fn authenticate(&self, key: &str, file: &File) -> io::Result<Option<File>> {
        let metadata = file.metadata()?;
        let Some(length) = metadata.len().checked_sub(TAG_BYTES as u64) else {
            return Ok(None);
        };
        if !metadata.is_file() || length > CODE_BYTES_MAX {
            return Ok(None);
        }
        let memory = sealed_copy(file, length)?;
        let mut tag = [0; TAG_BYTES];
        if memory.metadata()?.len() != length || file.read_exact_at(&mut tag, length).is_err() {
            return Ok(None);
        }
        let mut mac = self.mac(key);
        let mut chunk = vec![0; 64 << 10];
        let mut offset = 0;
        loop {
            let read = memory.read_at(&mut chunk, offset)?;
            if read == 0 {
                break;
            }
            mac.update(&chunk[..read]);
            offset += read as u64;
        }
        Ok(mac.verify_slice(&tag).is_ok().then_some(memory))
    }

    fn mac(&self, key: &str) -> Hmac<Sha256> {
        // HMAC's own rule for a key shorter than a block: zeros follow it.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.key.0);
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
        mac.update(b"unship-code 1\n");
        mac.update(&(key.len() as u64).to_le_bytes());
        mac.update(key.as_bytes());
        mac
    }
}

fn file_name(key: &str) -> Result<String, BadName> {
    // Checked with its ending, so that the whole name keeps the limit.
    let name = format!("{key}.cwasm");
    name::check(&name)?;
    Ok(name)
}

/// Copies the file's first `length` bytes into memory and seals it against every change.
fn sealed_copy(file: &File, length: u64) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut memory = File::from(rustix::fs::memfd_create("unship-code", flags)?);
    io::copy(&mut file.take(length), &mut memory)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&memory, seals)?;
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn cache(folder: &std::path::Path, key: u8) -> CodeCache {
        CodeCache::new(Dir::open(folder).unwrap(), [key; 32])
    }

    fn content(memory: OwnedFd) -> Vec<u8> {
        let memory = File::from(memory);
        let mut bytes = vec![0; memory.metadata().unwrap().len() as usize];
        memory.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn gives_back_what_was_put_and_lets_nobody_change_it() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 1);
        let code: Vec<u8> = (0..200_000_u32).map(|i| i as u8).collect();
        assert!(cache.open("a").unwrap().is_none());
        cache.put("a", b"older").unwrap();
        cache.put("a", &code).unwrap();
        let memory = cache.open("a").unwrap().unwrap();
        let mut file = File::from(memory.try_clone().unwrap());
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(3).is_err());
        assert_eq!(content(memory), code);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn refuses_and_removes_what_it_did_not_make() {
        let folder = tempfile::tempdir().unwrap();
        let good = cache(folder.path(), 1);
        let file = folder.path().join("a.cwasm");
        good.put("a", b"code").unwrap();
        let written = std::fs::read(&file).unwrap();
        let mut bad: Vec<Vec<u8>> = (0..written.len())
            .map(|at| {
                let mut flipped = written.clone();
                flipped[at] ^= 1;
                flipped
            })
            .collect();
        bad.extend([vec![], written[1..].to_vec(), [&written[..], b"x"].concat(), vec![0; 32]]);
        for content in bad {
            std::fs::write(&file, content).unwrap();
            assert!(good.open("a").unwrap().is_none());
            assert!(!file.exists());
        }
        // Another key of the cache, another key of a site.
        std::fs::write(&file, &written).unwrap();
        std::fs::write(folder.path().join("b.cwasm"), &written).unwrap();
        assert!(good.open("b").unwrap().is_none());
        assert!(good.open("a").unwrap().is_some());
        assert!(cache(folder.path(), 2).open("a").unwrap().is_none());
        assert!(good.put("../a", b"").is_err());
    }

    #[test]
    fn never_follows_a_symlink_nor_waits_on_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 1);
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("l.cwasm")).unwrap();
        assert!(cache.open("l").is_err());
        let pipe = folder.path().join("p.cwasm");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        assert!(cache.open("p").unwrap().is_none());
        assert!(!pipe.exists());
    }
}
