//! The process adapter's host side: exit status, arguments and environment of a wasip1 core module.
//!
//! The stock preview1 adapter keeps only "zero or not" of an exit status, and asks the module for memory to hold
//! arguments and environment, which not every language's run-time survives. So [`preview1`](super::preview1) points those five
//! imports to an adapter of ours (`process.wat`), which gets by on the scalars of `unship:sandbox/process`.

use super::{
    bindings::host::unship::sandbox::process::{self, Block},
    state::StepState,
};
use std::sync::LazyLock;
use wasmtime_wasi::I32Exit;

/// The interface's name in a component's imports.
pub(super) const INTERFACE: &str = "unship:sandbox/process";
/// The module name under which an adapted core module imports [`FUNCTIONS`].
pub(super) const ADAPTER_NAME: &str = "unship_process";
/// The preview1 functions that the adapter takes over.
pub(super) const FUNCTIONS: [&str; 5] = ["proc_exit", "args_get", "args_sizes_get", "environ_get", "environ_sizes_get"];

/// The adapter as a core module with its component type.
pub(super) static ADAPTER: LazyLock<Vec<u8>> =
    LazyLock::new(|| build_adapter().expect("the adapter's text and WIT are constant, and tests build them"));

fn build_adapter() -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    const WIT: &str = include_str!("../../wit/process.wit");
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("process.wit", WIT)?;
    let world = resolve.select_world(&[package], Some("process-adapter"))?;
    let mut module = wat::parse_str(include_str!("process.wat"))?;
    wit_component::embed_component_metadata(&mut module, &resolve, world, wit_component::StringEncoding::UTF8)?;
    Ok(module)
}

/// Arguments and environment as preview1 hands them out: NUL-terminated strings, one after the other.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    arguments: Strings,
    environment: Strings,
}

#[derive(Debug, Default)]
struct Strings {
    count: u32,
    bytes: Vec<u8>,
}

impl Blocks {
    pub(super) fn new(arguments: &[String], environment: &[(String, String)]) -> Blocks {
        let environment = environment.iter().map(|(key, value)| format!("{key}={value}"));
        Blocks { arguments: Strings::new(arguments.iter().cloned()), environment: Strings::new(environment) }
    }

    fn strings(&self, block: Block) -> &Strings {
        match block {
            Block::Arguments => &self.arguments,
            Block::Environment => &self.environment,
        }
    }
}

impl Strings {
    /// A string with a NUL inside ends there, as it would in C.
    fn new(strings: impl Iterator<Item = String>) -> Strings {
        let mut block = Strings::default();
        for string in strings {
            block.count += 1;
            block.bytes.extend(string.bytes().take_while(|byte| *byte != 0));
            block.bytes.push(0);
        }
        block
    }

    fn word(&self, offset: u32) -> u64 {
        let rest = self.bytes.get(offset as usize..).unwrap_or_default();
        let mut word = [0; 8];
        let length = rest.len().min(8);
        word[..length].copy_from_slice(&rest[..length]);
        u64::from_le_bytes(word)
    }
}

impl process::Host for StepState {
    fn exit(&mut self, code: u32) -> wasmtime::Result<()> {
        Err(I32Exit(code.cast_signed()).into())
    }

    fn count(&mut self, block: Block) -> wasmtime::Result<u32> {
        Ok(self.blocks.strings(block).count)
    }

    fn size(&mut self, block: Block) -> wasmtime::Result<u32> {
        Ok(u32::try_from(self.blocks.strings(block).bytes.len())?)
    }

    fn word(&mut self, block: Block, offset: u32) -> wasmtime::Result<u64> {
        Ok(self.blocks.strings(block).word(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_in_words() {
        let blocks = Blocks::new(&["prog".into(), "a\0b".into()], &[("K".into(), "V=1".into())]);
        assert_eq!(blocks.arguments.bytes, b"prog\0a\0");
        assert_eq!(blocks.environment.bytes, b"K=V=1\0");
        assert_eq!(blocks.arguments.word(0).to_le_bytes(), *b"prog\0a\0\0");
        assert_eq!(blocks.arguments.word(6), 0);
        assert_eq!(blocks.arguments.word(u32::MAX), 0);
    }
}
