//! `exiter CODE`: exits with that status; `exiter abort` traps, `exiter panic` panics.

use std::{env, process};

fn main() {
    match env::args().nth(1).as_deref() {
        Some("abort") => process::abort(),
        Some("panic") => panic!("on purpose"),
        Some(code) => process::exit(code.parse().expect("an exit status")),
        None => {}
    }
}
