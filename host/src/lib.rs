//! The sandbox: the only crate that knows wasmtime.
pub mod gate;
pub mod sandbox;
