//! Prints its arguments and its environment, quoted, one a line: `arg "…"` in order, then `env "NAME" "value"` sorted.

use std::env;

fn main() {
    for arg in env::args().skip(1) {
        println!("arg {arg:?}");
    }
    let mut variables: Vec<(String, String)> = env::vars().collect();
    variables.sort();
    for (name, value) in variables {
        println!("env {name:?} {value:?}");
    }
}
