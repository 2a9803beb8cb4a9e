//! Notices, delivered to local servers that drop, delay, refuse and repeat. The clock is driven by the tests.

mod http;
mod server;
mod support;
mod words;
