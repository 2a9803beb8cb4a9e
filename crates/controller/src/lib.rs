//! The daemon behind `unship watch`: where samples come from, who is asked, and what is told to whom.
//!
//! It knows no wasmtime. What takes a story back is handed to it as a port, what decides is `unship-rollback`, what is kept is
//! `unship-store`; here are sockets, clocks and threads.

pub mod book;
pub mod clock;
pub mod daemon;
mod hands;
mod http;
pub mod intake;
pub mod link_page;
pub mod links;
pub mod metrics;
pub mod notify;
pub mod ports;
pub mod server;
pub mod service;
pub mod sources;
pub mod wake;
