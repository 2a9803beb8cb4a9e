//! A wasip1 command module becomes a component: the stock preview1 adapter, with its gaps closed.
//!
//! - Exit status, arguments and environment go to an adapter of ours; see [`process`].
//! - A read or write with no buffers reports a bad descriptor, as preview1 says. The stock adapter succeeds before it has
//!   looked at the descriptor; with one empty buffer it looks. So such a call passes through a function that is added to
//!   the module, and hands on one empty buffer.

use super::{
    adapt::{AdaptError, invalid},
    process,
};
use std::{collections::BTreeMap, convert::Infallible};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};
use wasm_encoder::{
    BlockType, CodeSection, Function, FunctionSection, ImportSection, MemArg, NameSection,
    reencode::{Error, Reencode, RoundtripReencoder, utils},
};
use wasmparser::{ExternalKind, Import, Parser, Payload, TypeRef};

/// `(descriptor, buffers, how many, where the result goes) -> errno`.
const ON_BUFFERS: [&str; 2] = ["fd_read", "fd_write"];

/// Wraps a valid module.
pub(super) fn wrap(module: &[u8]) -> Result<Vec<u8>, AdaptError> {
    let mut redirect = Redirect::of(module)?;
    let mut redirected = wasm_encoder::Module::new();
    redirect
        .parse_core_module(&mut redirected, Parser::new(0), module)
        .map_err(|error| AdaptError::Wrap(error.to_string()))?;
    let redirected = redirected.finish();
    // The encoder is no parser of hostile input; a panic in it must not end a host with runs in progress.
    let wrapped = std::panic::catch_unwind(|| encode(&redirected));
    wrapped.unwrap_or_else(|_| Err("the encoder gave up on it".to_owned())).map_err(AdaptError::Wrap)
}

fn encode(module: &[u8]) -> Result<Vec<u8>, String> {
    let text = |error| format!("{error:#}");
    wit_component::ComponentEncoder::default()
        .module(module)
        .map_err(text)?
        .adapter(PREVIEW1, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER)
        .map_err(text)?
        .adapter(process::ADAPTER_NAME, &process::ADAPTER)
        .map_err(text)?
        .encode()
        .map_err(text)
}

/// What is changed in a module while it is copied.
#[derive(Default)]
struct Redirect {
    functions_imported: u32,
    functions_defined: u32,
    starts: bool,
    /// Index of an import of [`ON_BUFFERS`] → its type. One function is added for each, in this order.
    on_buffers: BTreeMap<u32, u32>,
}

impl Redirect {
    /// Looks a module through: a command, with nothing but preview1 functions among its imports.
    fn of(module: &[u8]) -> Result<Redirect, AdaptError> {
        let mut redirect = Redirect::default();
        let bad = |error| invalid("module", &error);
        for payload in Parser::new(0).parse_all(module) {
            match payload.map_err(bad)? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        redirect.import(&import.map_err(bad)?)?;
                    }
                }
                Payload::FunctionSection(section) => redirect.functions_defined = section.count(),
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export.map_err(bad)?;
                        redirect.starts |= export.name == "_start" && export.kind == ExternalKind::Func;
                    }
                }
                _ => {}
            }
        }
        if redirect.starts {
            Ok(redirect)
        } else {
            Err(AdaptError::NotCommand("it does not export `_start`".to_owned()))
        }
    }

    fn import(&mut self, import: &Import<'_>) -> Result<(), AdaptError> {
        let (PREVIEW1, TypeRef::Func(ty)) = (import.module, import.ty) else {
            let message = format!("it imports `{}` from `{}`", import.name, import.module);
            return Err(AdaptError::NotCommand(message));
        };
        if ON_BUFFERS.contains(&import.name) {
            self.on_buffers.insert(self.functions_imported, ty);
        }
        self.functions_imported += 1;
        Ok(())
    }
}

impl Reencode for Redirect {
    type Error = Infallible;

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), Error> {
        for import in section.into_imports() {
            let import = import?;
            let ours = process::FUNCTIONS.contains(&import.name);
            let module = if ours { process::ADAPTER_NAME } else { import.module };
            imports.import(module, import.name, self.entity_type(import.ty)?);
        }
        Ok(())
    }

    /// Added functions come last, so that no other index changes.
    fn function_index(&mut self, function: u32) -> Result<u32, Error> {
        let added = self.on_buffers.keys().position(|import| *import == function);
        Ok(added.map_or(function, |n| self.functions_imported + self.functions_defined + n as u32))
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_function_section(self, functions, section)?;
        for ty in self.on_buffers.values() {
            functions.function(*ty);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_code_section(self, code, section)?;
        for import in self.on_buffers.keys() {
            code.function(&with_a_buffer(*import));
        }
        Ok(())
    }

    /// Names stay with the functions that had them.
    fn custom_name_section(&mut self, section: wasmparser::NameSectionReader<'_>) -> Result<NameSection, Error> {
        RoundtripReencoder.custom_name_section(section)
    }
}

/// Calls `import`, with one empty buffer instead of none. A buffer is an address and a length: the length is where the
/// result will go, which is 0 until then, and the address, the word before, does not matter.
fn with_a_buffer(import: u32) -> Function {
    let [descriptor, buffers, count, result] = [0, 1, 2, 3];
    let word = MemArg { offset: 0, align: 2, memory_index: 0 };
    let mut function = Function::new([]);
    let mut code = function.instructions();
    code.local_get(count).i32_eqz().local_get(result).i32_const(4).i32_ge_u().i32_and();
    code.if_(BlockType::Empty);
    code.local_get(result).i32_const(0).i32_store(word);
    code.local_get(result).i32_const(4).i32_sub().local_set(buffers);
    code.i32_const(1).local_set(count);
    code.end();
    code.local_get(descriptor).local_get(buffers).local_get(count).local_get(result).call(import);
    code.end();
    function
}
