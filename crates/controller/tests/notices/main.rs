//! Notices, delivered to local servers that drop, delay, refuse and repeat. The clock is driven by the tests.

#[path = "../../../../tests/support/exim.rs"]
mod exim;
mod http;
mod mail;
#[path = "../../../../tests/support/receiver.rs"]
mod server;
mod support;
mod words;
