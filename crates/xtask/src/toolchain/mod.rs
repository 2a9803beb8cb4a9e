//! The guests' toolchain: a rustc with the standard library of `wasm32-wasip1`, found or made without root.
//!
//! Three ways, in this order: installed already; `rustup target add`; Debian's packages with a private standard library.
//! `--toolchain` forces one. A failure says which way failed, why, and the command that would put it right.

pub mod cache;
mod debian;
pub mod debs;
mod host;
mod installed;
pub mod process;
pub mod prometheus;
pub mod python;
mod rustup;

pub use host::cargo_home;
pub use process::{clean, path_with, say};

use anyhow::{Result, bail};
use std::path::PathBuf;

/// The guests' target.
pub const TARGET: &str = "wasm32-wasip1";

/// Which way to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Way {
    /// The first that works
    Auto,
    /// The present rustc has the target's standard library
    Installed,
    /// `rustup target add`
    Rustup,
    /// Debian's packages and a private standard library
    Debian,
}

/// A toolchain that builds guests.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// Its rustc.
    pub rustc: PathBuf,
    /// Where `wasm-component-ld` is.
    pub linkers: PathBuf,
    /// How it came about, for people.
    pub origin: String,
}

type Attempt<'a> = (&'a str, &'a dyn Fn() -> Result<Toolchain>);

impl Toolchain {
    /// Finds or makes a toolchain.
    ///
    /// # Errors
    /// Every way that was tried, why it failed, and what would put it right.
    pub fn find(way: Way) -> Result<Toolchain> {
        const INSTALLED: Attempt<'_> = ("installed", &installed::toolchain);
        const RUSTUP: Attempt<'_> = ("rustup", &rustup::toolchain);
        const DEBIAN: Attempt<'_> = ("debian", &debian::toolchain);
        match way {
            // On a closed network rustup costs its whole time limit; what was made before is as good as installed.
            Way::Auto => first(&[INSTALLED, ("debian, made before", &debian::made_before), RUSTUP, DEBIAN]),
            Way::Installed => first(&[INSTALLED]),
            Way::Rustup => first(&[RUSTUP]),
            Way::Debian => first(&[DEBIAN]),
        }
    }
}

/// The first that works.
fn first(attempts: &[Attempt<'_>]) -> Result<Toolchain> {
    let mut failures = String::new();
    for (name, attempt) in attempts {
        match attempt() {
            Ok(toolchain) => return Ok(toolchain),
            Err(e) => failures.push_str(&format!("\n  {name}: {e:#}")),
        }
    }
    bail!("no toolchain builds {TARGET} here:{failures}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(origin: &str) -> Toolchain {
        Toolchain { rustc: PathBuf::new(), linkers: PathBuf::new(), origin: origin.to_owned() }
    }

    #[test]
    fn the_first_way_that_works_is_taken() {
        let fails: Attempt<'_> = ("a", &|| bail!("no"));
        let works: Attempt<'_> = ("b", &|| Ok(made("b")));
        let never: Attempt<'_> = ("c", &|| panic!("tried a way too many"));
        assert_eq!(first(&[fails, works, never]).unwrap().origin, "b");
    }

    #[test]
    fn all_reasons_are_told() {
        let a: Attempt<'_> = ("a", &|| Err(anyhow::anyhow!("the cause").context("do this")));
        let b: Attempt<'_> = ("b", &|| bail!("do that"));
        let told = first(&[a, b]).unwrap_err().to_string();
        assert_eq!(told, "no toolchain builds wasm32-wasip1 here:\n  a: do this: the cause\n  b: do that");
    }
}
