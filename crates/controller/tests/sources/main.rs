//! Every source against the real thing on this machine: servers, files, processes, commands; well, slow, flooding, lying, gone
//! and back. Samples are stamped by a clock that the tests drive; deadlines are the machine's.

mod files;
mod page;
mod programs;
mod scenes;
mod scrape;
mod server;
mod shipped;
mod support;
mod together;
mod told;
mod web;
