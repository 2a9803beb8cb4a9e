//! `unship watch`: the daemon.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    operator::Children,
    out::{Out, time},
    site::Site,
    told,
    watching::{SitePolicies, not_readable},
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use unship_controller::{
    book::{AfterFacts, WatchBook},
    clock::{DrivenClock, MachineClock, SourceClock, WatchClock},
    daemon::{Alive, Daemon, Parts, Request, Requests, source_state},
    intake::Intake,
    metrics::Metrics,
    notify::Couriers,
    server::{Desk, Server, router},
    service,
    sources::{self, Access, Credential, Report, Sources},
    wake::Wake,
};
use unship_rollback::incident::{Book, Fact};

/// Under which name it is kept where the daemon listens.
pub const LISTEN: &str = "listen";

/// Watches the site: takes samples in, decides by policies/site.toml, takes stories back, asks and tells people. One daemon a
/// site. It goes on where the last one was, however that ended; a run that was cut off is ended first.
///
/// SIGHUP: the policies are read anew, as a whole; bad ones are refused, and the old ones stay. SIGTERM and SIGINT: what is in
/// hand is finished, then it ends. Under a service manager (Type=notify) it says when it is ready, and that it is alive.
#[derive(clap::Args)]
pub struct Args {
    /// Samples come from standard input as well: one JSON object a line, as in `POST /v1/samples` (docs/signals.md)
    #[arg(long)]
    stdin: bool,
    /// On a rehearsal site: the clock stands still at this time (milliseconds since the epoch), or at the book's newest if
    /// that is later, until `POST /v1/clock` sets it
    #[arg(long, value_name = "MS")]
    clock: Option<u64>,
    /// On a rehearsal site: kill@FACT[.N], right after the Nth fact of this kind was written
    #[arg(long, value_name = "FAULT")]
    inject: Vec<KillAt>,
}

/// Where a rehearsal kills the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillAt {
    fact: String,
    nth: u64,
}

impl FromStr for KillAt {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<KillAt, String> {
        let bad = || format!("{text:?} is no fault of the daemon's: give kill@FACT[.N], such as kill@run-began");
        let at = text.strip_prefix("kill@").ok_or_else(bad)?;
        let (fact, nth) = at.split_once('.').unwrap_or((at, "1"));
        let nth = nth.parse().ok().filter(|nth| *nth > 0).ok_or_else(bad)?;
        if !Fact::KINDS.contains(&fact) {
            return Err(bad());
        }
        Ok(KillAt { fact: fact.to_owned(), nth })
    }
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let site = context.site()?;
    if !site.policy.rehearsal && (args.clock.is_some() || !args.inject.is_empty()) {
        return Err(CliError::refused(
            "time is set and faults are injected on a rehearsal site only, and this site is none",
        )
        .hint("set `rehearsal = true` under `[site]` in the policies/site.toml of a copy of the site"));
    }
    let policies = SitePolicies(site.path.clone());
    let setup = policies.setup()?;
    let store = site.store()?.watch().map_err(|e| crate::history::not_intact(&e))?;
    let book = WatchBook::open(Arc::new(store), after(context.out, &args.inject)).map_err(|e| not_readable(&e))?;
    let clock: Arc<dyn WatchClock> = match args.clock {
        Some(ms) => Arc::new(DrivenClock::new(ms.max(book.read(Book::at_ms)))),
        None => Arc::new(MachineClock),
    };
    let wake = Arc::new(Wake::default());
    let (requests, metrics) = (Arc::new(Requests::new(wake.clone())), Arc::new(Metrics::default()));
    let intake = Arc::new(Intake::new(wake.clone()));
    let source_clock = Arc::new(SourceClock::new(clock.clone()));
    let sources = Sources::start(&site.policy, &site.path, source_state(book.store()), intake.clone(), source_clock)
        .map_err(|e| CliError::user("the sources cannot begin").because(&e))?;
    let desk = Desk {
        book: book.clone(),
        requests: requests.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        sources: sources.clone(),
        is_driven: args.clock.is_some(),
    };
    let server = Server::start(setup.watch.listen, router(desk).merge(sources::router(&sources, access(&site)?)))
        .map_err(|e| {
            CliError::user(format!("{} cannot be listened at", setup.watch.listen)).because(&e).hint(
                "`listen` under `[watch]` in policies/site.toml is another address, or 127.0.0.1:0 for a free port",
            )
        })?;
    let address = server.address.to_string();
    book.store()
        .keep(LISTEN, address.as_bytes())
        .map_err(|e| CliError::user("the store cannot be written").because(&e))?;
    watch_signals(&requests).map_err(|e| CliError::user("signals cannot be watched").because(&e))?;
    if args.stdin {
        read_stdin(&sources).map_err(|e| CliError::user("standard input cannot be read").because(&e))?;
    }
    context.out.text(format!("watches {}: {} triggers, at {address}", setup.site, setup.rules.len()));
    context.out.object(&serde_json::json!({
        "type": "watching", "site": setup.site, "listen": address, "triggers": setup.rules.len(), "stories": setup.stories,
    }));
    let couriers = Couriers::start(book.clone(), clock.clone(), &site.path, &setup.site, setup.notices.clone())
        .map_err(|e| CliError::user("the couriers of notices cannot begin").because(&e))?;
    let couriers = Arc::new(couriers);
    let (path, last, mut tell) = (site.path.clone(), couriers.clone(), service::teller());
    let parts = Parts {
        book,
        clock,
        setup,
        policies: Box::new(policies),
        operator: Arc::new(Children::new(&site)?),
        intake,
        sources: sources.clone(),
        requests,
        wake,
        metrics,
        alive: Box::new(move |alive| {
            tell(alive);
            if alive == Alive::Stopping {
                last.stop();
            }
        }),
        reloaded: Box::new(move |setup| {
            if let Err(e) = couriers.reload(setup.notices.clone()) {
                tracing::error!(error = %e, "there are no couriers for new channels");
            }
            match Site::find(Some(&path)) {
                Ok(site) => sources.reload(&site.policy),
                // It was good a moment ago, when the rest of it was taken over.
                Err(e) => tracing::error!(error = e.message(), "the sources go on as before"),
            }
        }),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let daemon = Daemon::new(parts).map_err(|e| CliError::user("the daemon cannot begin").because(&e))?;
    daemon.watch().map_err(|e| not_readable(&e))?;
    context.out.summary(serde_json::json!({ "site": site.policy.name, "watching": false }));
    Ok(Exit::Done)
}

/// Who may push.
fn access(site: &Site) -> Result<Access> {
    let credential = |file: &Option<String>| {
        let opened = file.as_deref().map(|file| {
            Credential::new(&site.path, file).map_err(|why| {
                let error = CliError::user("what whoever pushes has to show is no secret").cause(why);
                error.hint(format!("chmod 0600 {file}"))
            })
        });
        opened.transpose()
    };
    let watch = &site.policy.watch;
    Ok(Access { samples: credential(&watch.samples_token)?, alerts: credential(&watch.alerts_token)? })
}

/// Takes samples from standard input for as long as it lasts.
fn read_stdin(sources: &Arc<Sources>) -> std::io::Result<()> {
    let sources = sources.clone();
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || match sources.read_lines(std::io::stdin()) {
        Ok(Report { taken, refused, .. }) => tracing::info!(taken, refused, "standard input ended"),
        Err(error) => tracing::error!(%error, "standard input cannot be read on"),
    })?;
    Ok(())
}

/// What is done after facts were written: they are told, and a rehearsal is killed where it was asked for.
fn after(out: Out, inject: &[KillAt]) -> AfterFacts {
    let kills: Vec<(KillAt, AtomicU64)> = inject.iter().map(|kill| (kill.clone(), AtomicU64::new(0))).collect();
    Box::new(move |at_ms, facts| {
        for fact in facts {
            out.text(format!("{} {}", time(at_ms), told::line(fact)));
            out.object(&serde_json::json!({ "type": "fact", "at_ms": at_ms, "what": fact }));
        }
        for (kill, seen) in &kills {
            let new = facts.iter().filter(|fact| fact.kind() == kill.fact).count() as u64;
            let before = seen.fetch_add(new, Ordering::SeqCst);
            if before < kill.nth && kill.nth <= before + new {
                // As the kernel does it to a process that is in the way: no handler, no cleaning up.
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            }
        }
    })
}

fn watch_signals(requests: &Arc<Requests>) -> std::io::Result<()> {
    let (mut signals, requests) = (Signals::new([SIGINT, SIGTERM, SIGHUP])?, requests.clone());
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            requests.give(if signal == SIGHUP { Request::Reload } else { Request::Stop });
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_the_daemon_are_read_and_nothing_else_is() {
        let read = |text: &str| text.parse::<KillAt>().ok().map(|kill| (kill.fact, kill.nth));
        assert_eq!(read("kill@run-began"), Some(("run-began".to_owned(), 1)));
        assert_eq!(read("kill@notice-queued.3"), Some(("notice-queued".to_owned(), 3)));
        for bad in ["", "kill@", "kill@run-began.0", "kill@run-began.x", "kill@7", "fail@run-began", "kill@run-begun"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
