//! From the bytes of a file to a component that the sandbox can run, before anything is compiled.

use super::{engine, preview1};
use wasmparser::{ComponentExternalKind, Encoding, Parser, Payload, Validator};

/// The largest module or component that is looked at. The largest interpreters that come as a component have 40 MB.
pub const COMPONENT_BYTES_MAX: usize = 64 << 20;

/// A valid component, and how it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentBytes {
    /// The component in binary form.
    pub bytes: Vec<u8>,
    /// What it exports.
    pub kind: Kind,
    /// The interfaces of `unship:step` that it imports and that must be requested for it, without package and version,
    /// such as `files`; in the order of its imports.
    pub imports: Vec<String>,
}

/// How a component is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It exports `steps` and `run` of the world `unship:step/step`.
    Step,
    /// It exports `wasi:cli/run`: one program, one step.
    Command,
}

/// Why bytes cannot be run. Nothing was compiled.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AdaptError {
    /// More than [`COMPONENT_BYTES_MAX`].
    #[error("too large: {0} bytes, at most {COMPONENT_BYTES_MAX} are allowed")]
    TooLarge(usize),
    /// No WebAssembly, or its text form.
    #[error("not a WebAssembly binary: {0}")]
    NotWasm(&'static str),
    /// It ends too early, is damaged, or uses a proposal that the sandbox has switched off.
    #[error("not a valid {what} at byte {offset:#x}: {message}")]
    Invalid {
        /// Module or component.
        what: &'static str,
        /// Where.
        offset: u64,
        /// What the validator says.
        message: String,
    },
    /// A core module that is no wasip1 command.
    #[error("not a command module: {0}")]
    NotCommand(String),
    /// A component with neither of the two kinds of exports.
    #[error("the component exports neither `steps` and `run` of unship:step nor `wasi:cli/run`")]
    NothingToRun,
    /// The module could not be wrapped into a component.
    #[error("cannot wrap the module into a component: {0}")]
    Wrap(String),
}

/// Recognises a component for the world `unship:step/step`, one that exports `wasi:cli/run`, and a wasip1 core module with
/// `_start`, which it wraps.
///
/// # Errors
/// [`AdaptError`] for everything else.
pub fn to_component(bytes: &[u8]) -> Result<ComponentBytes, AdaptError> {
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(AdaptError::TooLarge(bytes.len()));
    }
    match encoding(bytes)? {
        Encoding::Component => {
            validate(bytes, "component")?;
            describe(bytes.to_vec())
        }
        Encoding::Module => {
            validate(bytes, "module")?;
            let component = preview1::wrap(bytes)?;
            validate(&component, "wrapped module")?;
            describe(component)
        }
    }
}

fn encoding(bytes: &[u8]) -> Result<Encoding, AdaptError> {
    const MAGIC: &[u8] = b"\0asm";
    if !bytes.starts_with(MAGIC) {
        return Err(AdaptError::NotWasm(match bytes {
            [] => "the file is empty",
            _ if MAGIC.starts_with(bytes) => "the file ends within its first four bytes",
            [0x7f, b'E', b'L', b'F', ..] => "this is native code; precompiled code is never accepted",
            _ if bytes.trim_ascii_start().starts_with(b"(") => "this may be its text form",
            _ => "it does not start with the bytes 00 61 73 6d",
        }));
    }
    match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding, .. })) => Ok(encoding),
        Some(Err(error)) => Err(invalid("module or component", &error)),
        _ => Err(AdaptError::NotWasm("its header is incomplete")),
    }
}

fn validate(bytes: &[u8], what: &'static str) -> Result<(), AdaptError> {
    let mut validator = Validator::new_with_features(engine::features());
    validator.validate_all(bytes).map(drop).map_err(|error| invalid(what, &error))
}

pub(super) fn invalid(what: &'static str, error: &wasmparser::BinaryReaderError) -> AdaptError {
    AdaptError::Invalid { what, offset: error.offset() as u64, message: error.message().to_owned() }
}

/// Reads what a valid component imports and exports itself; what is nested in it does not count.
fn describe(bytes: Vec<u8>) -> Result<ComponentBytes, AdaptError> {
    let mut imports = Vec::new();
    let mut exports = Vec::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.map_err(|error| invalid("component", &error))? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    let import = import.map_err(|error| invalid("component", &error))?;
                    imports.extend(unship_interface(import.name.name));
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    let export = export.map_err(|error| invalid("component", &error))?;
                    exports.push((export.name.name.to_owned(), export.kind));
                }
            }
            _ => {}
        }
    }
    let kind = kind(&exports).ok_or(AdaptError::NothingToRun)?;
    Ok(ComponentBytes { bytes, kind, imports })
}

fn unship_interface(import: &str) -> Option<String> {
    let name = import.split('@').next()?.strip_prefix("unship:step/")?;
    (!matches!(name, "types" | "progress")).then(|| name.to_owned())
}

fn kind(exports: &[(String, ComponentExternalKind)]) -> Option<Kind> {
    let function = |name| exports.iter().any(|(export, kind)| export == name && *kind == ComponentExternalKind::Func);
    let command = exports
        .iter()
        .any(|(export, kind)| export.starts_with("wasi:cli/run@") && *kind == ComponentExternalKind::Instance);
    match (function("steps") && function("run"), command) {
        (true, _) => Some(Kind::Step),
        (false, true) => Some(Kind::Command),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapt(text: &str) -> Result<ComponentBytes, AdaptError> {
        to_component(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn a_command_module_becomes_a_command() {
        let exit = r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "wasi_snapshot_preview1" "args_sizes_get" (func (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start") (call $exit (i32.const 42))))"#;
        let component = adapt(exit).unwrap();
        assert_eq!((component.kind, component.imports), (Kind::Command, vec![]));
        assert!(adapt(r#"(module (memory (export "memory") 1) (func (export "_start")))"#).is_ok());
    }

    #[test]
    fn what_cannot_run_is_refused_with_a_reason() {
        for (text, reason) in [
            ("(module)", "`_start`"),
            (r#"(module (func (export "_initialize")))"#, "`_start`"),
            (r#"(module (import "env" "f" (func)) (func (export "_start")))"#, "`f` from `env`"),
            (r#"(module (import "wasi_unstable" "proc_exit" (func (param i32))))"#, "wasi_unstable"),
            (r#"(module (import "wasi_snapshot_preview1" "nonsense" (func)) (func (export "_start")))"#, "nonsense"),
            ("(component)", "neither"),
            ("(module (memory 1 1 shared))", "not a valid module"),
        ] {
            let error = adapt(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_not_wasm_is_refused() {
        for (bytes, reason) in [
            (&b""[..], "empty"),
            (b"\0as", "ends within"),
            (b"\0asm", "not a"),
            (b"\0asm\x01\0\0", "not a"),
            (b"hello", "00 61 73 6d"),
            (b"  (module)", "text form"),
            (b"\x7fELF\x02", "native code"),
            (b"\0asm\x63\0\0\0", "not a valid"),
        ] {
            let error = to_component(bytes).unwrap_err().to_string();
            assert!(error.contains(reason), "{bytes:?}: {error}");
        }
        assert_eq!(to_component(&vec![0; COMPONENT_BYTES_MAX + 1]), Err(AdaptError::TooLarge(COMPONENT_BYTES_MAX + 1)));
    }

    /// Wherever a good module is cut, the rest is refused.
    #[test]
    fn every_truncation_is_refused() {
        let whole =
            wat::parse_str(r#"(module (memory (export "memory") 1) (func (export "_start") (drop (i32.const 1))))"#)
                .unwrap();
        // A cut between sections leaves a valid module without the rest; that one has no `_start`.
        for length in 0..whole.len() {
            assert!(to_component(&whole[..length]).is_err(), "cut at {length}");
        }
    }
}
