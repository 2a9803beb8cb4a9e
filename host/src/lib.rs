//! The sandbox: the only crate that knows wasmtime.
//!
//! `sandbox` runs a component's step in an instance of its own; every call that it makes passes the `gate`, which judges,
//! writes down, keeps before-images and then does, on a `tree` (the disk, or the disk under a planning overlay) and
//! through the `providers` (flags, commands, processes, services). `runner` makes plans, runs and checks of whole stories;
//! `machine` says what the machine lacks of that;
//! `effects` finds out what became of an effect, and takes it back, without any guest.

pub mod edit;
pub mod effects;
pub mod gate;
pub mod machine;
pub mod providers;
pub mod runner;
pub mod sandbox;
pub mod tree;
