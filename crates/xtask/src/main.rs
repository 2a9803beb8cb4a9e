//! `cargo xtask …`: everything that the project does to itself. The guests' toolchain and the guests, the practice site,
//! the demo, tests, lints, measurements. Each verb sets up what it needs.

mod bench;
mod bench_watch;
mod demo;
mod exim;
mod fuzz;
mod guests;
mod lint;
mod practice;
mod real;
mod site;
mod tests;
mod toolchain;
mod tools;

use anyhow::{Context as _, Result};
use clap::Parser;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use toolchain::{Toolchain, Way};

/// What the project does to itself.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    /// How to get the guests' toolchain
    #[arg(long, global = true, value_enum, default_value = "auto", env = "UNSHIP_GUEST_TOOLCHAIN")]
    toolchain: Way,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Builds the guests and prints their paths and sizes
    Guests,
    /// Builds one guest crate, such as `unship new` writes, and prints its path and size
    Guest {
        /// The crate's folder
        dir: PathBuf,
    },
    /// Lays out the practice site in a new folder, with its services running
    Site {
        /// The folder
        dir: PathBuf,
        /// Only this story, and the services that it needs; may be given again
        #[arg(long = "story", value_name = "STORY")]
        stories: Vec<String>,
        /// With real parts, installed from the package registries into the cache: Node services under pm2, Python, dbt
        #[arg(long)]
        real: bool,
        /// Ends everything that runs in a site that was laid out before
        #[arg(long, conflicts_with_all = ["real", "stories"])]
        stop: bool,
        #[command(flatten)]
        built: Built,
    },
    /// Does the main job before your eyes, on a practice site of its own
    Demo {
        /// A new folder for the site; otherwise one among the temporary files
        dir: Option<PathBuf>,
        /// The story that is taken back
        #[arg(long, default_value = "1.3")]
        story: String,
        #[command(flatten)]
        built: Built,
    },
    /// Times story 1.3 beside the seed's bash script
    Bench {
        /// Counted runs of each
        #[arg(long, default_value_t = 20)]
        runs: usize,
        /// The daemon instead, beside Prometheus and Alertmanager: from a breach to the first effect, and idle
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        built: Built,
    },
    /// Checks format, clippy and dependencies; says all that is wrong
    Lint,
    /// Runs what reads foreign bytes under libFuzzer, each target for a while; says what was run and found
    Fuzz {
        /// The targets; all of them otherwise
        targets: Vec<String>,
        /// How long each runs
        #[arg(long, default_value_t = fuzz::SECONDS, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
    },
    /// Runs all tests: the guests are built from source first
    Test {
        /// Passed on to `cargo test`, such as `-p unship-policy` or `-- --nocapture`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

/// Parts that are built already: for tests, which must not build again.
#[derive(clap::Args)]
struct Built {
    /// The folder of the built guests
    #[arg(long, requires_all = ["unship", "practice"])]
    guests: Option<PathBuf>,
    /// The built `unship`
    #[arg(long)]
    unship: Option<PathBuf>,
    /// The built `practice`
    #[arg(long)]
    practice: Option<PathBuf>,
}

impl Built {
    fn parts(self, toolchain: Way) -> Result<site::Parts> {
        match self {
            Built { guests: Some(guests), unship: Some(unship), practice: Some(practice) } => {
                let [unship, practice, guests] = [unship, practice, guests]
                    .map(|part| part.canonicalize().with_context(|| format!("{} is not built", part.display())));
                Ok(site::Parts { unship: unship?, practice: practice?, guests: guests? })
            }
            _ => site::parts(guests::build(&Toolchain::find(toolchain)?)?),
        }
    }
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("Error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    match cli.verb {
        Verb::Guests => print_guests(&guests::build(&Toolchain::find(cli.toolchain)?)?),
        Verb::Guest { dir } => print_guests(&guests::build_one(&Toolchain::find(cli.toolchain)?, &dir)?),
        Verb::Lint => lint::run(cli.toolchain),
        Verb::Fuzz { targets, seconds } => fuzz::run(&targets, seconds),
        Verb::Test { args } => tests::run(cli.toolchain, &args),
        Verb::Demo { dir, story, built } => demo::run(dir, site::story(&story)?, &built.parts(cli.toolchain)?),
        Verb::Bench { runs, watch: true, built } => bench_watch::run(&built.parts(cli.toolchain)?, runs),
        Verb::Bench { runs, watch: false, built } => bench::run(&built.parts(cli.toolchain)?, runs),
        Verb::Site { dir, stop: true, .. } => {
            site::stop(&dir);
            real::stop(&dir)
        }
        Verb::Site { dir, stories, real, built, stop: false } => {
            let stories: Vec<&site::Story> = match &stories[..] {
                [] => site::STORIES.iter().collect(),
                some => some.iter().map(|id| site::story(id)).collect::<Result<_>>()?,
            };
            let parts = built.parts(cli.toolchain)?;
            let lay_out = if real { real::lay_out } else { site::lay_out };
            lay_out(&dir, &parts, &stories)?;
            println!("{} is a practice site; its services run until you stop them:", dir.display());
            println!("  {} --site {} plan {}", parts.unship.display(), dir.display(), stories[0].id);
            println!("  cargo xtask site {} --stop", dir.display());
            Ok(())
        }
    }
}

fn print_guests(folder: &Path) -> Result<()> {
    for (path, size) in guests::list(folder)? {
        println!("{size:>9} {}", path.display());
    }
    Ok(())
}

/// The repository.
pub(crate) fn repo() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}
