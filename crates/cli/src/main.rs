//! `unship`: the command line. One file per verb below `verbs/`; this one only parses, dispatches and answers.

mod consent;
mod context;
mod error;
mod exit;
mod files;
mod history;
mod images;
mod inject;
mod keys;
mod missing;
mod needs;
mod operator;
mod out;
mod permit;
mod plans;
mod policy_text;
mod recorded;
mod report;
mod session;
mod signals;
mod site;
mod story;
mod told;
mod triggers;
mod trust;
mod verbs;
mod watching;
mod wiring;

use clap::{Parser, error::ErrorKind};
use context::Context;
use out::Out;
use std::{path::PathBuf, process::ExitCode};

/// Takes a shipped story back out: signed WebAssembly rollbacks, planned, sandboxed, journalled.
#[derive(Parser)]
#[command(name = "unship", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    /// The site; otherwise the nearest folder upward that holds policies/site.toml
    #[arg(long, global = true, value_name = "DIR")]
    site: Option<PathBuf>,
    /// One JSON object a line as things happen, the last one a summary
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Init(verbs::init::Args),
    Stories(verbs::stories::Args),
    Inspect(verbs::inspect::Args),
    Plan(verbs::plan::Args),
    Allow(verbs::allow::Args),
    Approve(verbs::approve::Args),
    Apply(verbs::apply::Args),
    Undo(verbs::undo::Args),
    Resume(verbs::resume::Args),
    Gc(verbs::gc::Args),
    Check(verbs::check::Args),
    Runs(verbs::runs::Args),
    Show(verbs::show::Args),
    Tick(verbs::tick::Args),
    Journal(verbs::journal::Args),
    Exec(verbs::exec::Args),
    Pack(verbs::pack::Args),
    Keygen(verbs::keygen::Args),
    Sign(verbs::sign::Args),
    Policy(verbs::policy::Args),
    Postmortem(verbs::postmortem::Args),
    New(verbs::new::Args),
    Triggers(verbs::triggers::Args),
    Watch(verbs::watch::Args),
    Incidents(verbs::incidents::Args),
    Doctor(verbs::doctor::Args),
    Deny(verbs::deny::Args),
    Silence(verbs::silence::Args),
    Pause(verbs::pause::Args),
    Trust(verbs::trust::Args),
}

fn main() -> ExitCode {
    // A process of its own compiles components, under limits, and does nothing else.
    if std::env::args_os().nth(1).is_some_and(|arg| arg == unship_host::sandbox::COMPILE_ARGUMENT) {
        unship_host::sandbox::compile_child_main();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("UNSHIP_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(out::Diagnostics).init();
    let context = Context { site: cli.site, out: Out { json: cli.json } };
    let done = match &cli.verb {
        Verb::Init(args) => verbs::init::run(&context, args),
        Verb::Stories(args) => verbs::stories::run(&context, args),
        Verb::Inspect(args) => verbs::inspect::run(&context, args),
        Verb::Plan(args) => verbs::plan::run(&context, args),
        Verb::Allow(args) => verbs::allow::run(&context, args),
        Verb::Approve(args) => verbs::approve::run(&context, args),
        Verb::Apply(args) => verbs::apply::run(&context, args),
        Verb::Undo(args) => verbs::undo::run(&context, args),
        Verb::Resume(args) => verbs::resume::run(&context, args),
        Verb::Gc(args) => verbs::gc::run(&context, args),
        Verb::Check(args) => verbs::check::run(&context, args),
        Verb::Runs(args) => verbs::runs::run(&context, args),
        Verb::Show(args) => verbs::show::run(&context, args),
        Verb::Tick(args) => verbs::tick::run(&context, args),
        Verb::Journal(args) => verbs::journal::run(&context, args),
        Verb::Pack(args) => verbs::pack::run(&context, args),
        Verb::Keygen(args) => verbs::keygen::run(&context, args),
        Verb::Sign(args) => verbs::sign::run(&context, args),
        Verb::Policy(args) => verbs::policy::run(&context, args),
        Verb::Postmortem(args) => verbs::postmortem::run(&context, args),
        Verb::New(args) => verbs::new::run(&context, args),
        Verb::Triggers(args) => verbs::triggers::run(&context, args),
        Verb::Watch(args) => verbs::watch::run(&context, args),
        Verb::Incidents(args) => verbs::incidents::run(&context, args),
        Verb::Doctor(args) => verbs::doctor::run(&context, args),
        Verb::Deny(args) => verbs::deny::run(&context, args),
        Verb::Silence(args) => verbs::silence::run(&context, args),
        Verb::Pause(args) => verbs::pause::run(&context, args),
        Verb::Trust(args) => verbs::trust::run(&context, args),
        Verb::Exec(args) => match verbs::exec::run(&context, args) {
            Ok(status) => return ExitCode::from(status),
            Err(error) => Err(error),
        },
    };
    match done {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            error.answer(context.out);
            out::tell(&error.to_string());
            ExitCode::from(error.exit)
        }
    }
}

/// Help and version as clap shows them. What is wrong with a command line repeats a part of it, which a script may have
/// put together of what others wrote.
fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && !matches!(error.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
        out::tell(&out::neutral_lines(&error.render().to_string()));
    } else {
        // Nobody to read it is no reason to end otherwise.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}
