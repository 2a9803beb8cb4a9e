//! Native code is mapped only from memory that nobody can change any more.

use super::engine::Engine;
use rustix::{
    fd::{AsFd, AsRawFd, OwnedFd},
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create},
    io::Errno,
};
use std::{fs::File, io::Write};
use wasmtime::component::Component;

/// Nothing may change, shrink or grow, and no seal can be taken off.
const SEALS: SealFlags = SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::SEAL);

/// A component as native code.
#[derive(Clone)]
pub struct Code(pub(super) Component);

impl Code {
    /// The component, to be linked.
    pub fn component(&self) -> &Component {
        &self.0
    }
}

/// Why code does not load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could still be changed after it was authenticated.
    #[error("load native code: the file is not sealed")]
    NotSealed,
    /// Other engine version, settings or processor; or no such code at all.
    #[error("load native code: {0}")]
    NotLoadable(String),
}

/// Puts `bytes` into anonymous memory that can never change again.
///
/// # Errors
/// When the system has no memory or no file descriptor left.
pub fn seal(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = match memfd_create("unship-code", flags | MemfdFlags::EXEC) {
        // Kernels before 6.3 do not know the flag, and let it be executed anyway.
        Err(Errno::INVAL) => memfd_create("unship-code", flags)?,
        made => made?,
    };
    let mut file = File::from(fd);
    file.write_all(bytes)?;
    fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

/// Maps native code. The caller has authenticated the *content of this very descriptor* as code that our own
/// [`Compiler`](super::Compiler) made.
///
/// # Errors
/// [`LoadError`] when the descriptor is not sealed or the code was made for another engine.
pub fn load(engine: &Engine, code: OwnedFd) -> Result<Code, LoadError> {
    if !fcntl_get_seals(code.as_fd()).is_ok_and(|seals| seals.contains(SEALS)) {
        return Err(LoadError::NotSealed);
    }
    let path = format!("/proc/self/fd/{}", code.as_raw_fd());
    // SAFETY: `deserialize_file` runs what the file holds, so it must be wasmtime's own output and must not change while
    // it is mapped. The first is this function's contract, which only our compiler's output, authenticated by the
    // caller, meets; the second holds because of the seals that were just checked on this descriptor.
    let component = unsafe { Component::deserialize_file(engine.wasmtime(), path) };
    component.map(Code).map_err(|error| LoadError::NotLoadable(format!("{error:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sealed_memory_is_loaded() {
        let engine = Engine::new().unwrap();
        let code = engine.wasmtime().precompile_component(&wat::parse_str("(component)").unwrap()).unwrap();
        assert!(load(&engine, seal(&code).unwrap()).is_ok());

        let file = tempfile::tempfile().unwrap();
        assert!(matches!(load(&engine, file.into()), Err(LoadError::NotSealed)));

        let open = memfd_create("open", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        File::from(open.try_clone().unwrap()).write_all(&code).unwrap();
        fcntl_add_seals(&open, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW).unwrap();
        assert!(matches!(load(&engine, open), Err(LoadError::NotSealed)));

        assert!(matches!(load(&engine, seal(b"\x7fELF").unwrap()), Err(LoadError::NotLoadable(_))));
        assert!(matches!(load(&engine, seal(b"").unwrap()), Err(LoadError::NotLoadable(_))));
    }

    #[test]
    fn sealed_memory_cannot_change() {
        let fd = seal(b"code").unwrap();
        let mut file = File::from(fd);
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err());
    }
}
