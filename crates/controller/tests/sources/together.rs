//! Sources beside each other, on threads: one that hangs, floods or lies harms only itself.

use crate::support::{Seen, Taken, Web, hang, nobody, policy, until};
use std::{io::Write as _, sync::Arc};
use unship_controller::{
    clock::{MachineClock, SourceClock},
    sources::{SourceState, Sources},
};

fn scrape(name: &str, web: &Web, timeout: &str) -> String {
    format!(
        "[feeds.{name}]\nkind = \"scrape\"\nmetric = \"{name}\"\nurl = \"http://{}/\"\ntimeout = \"{timeout}\"\n\
         every = \"100ms\"\n",
        web.address
    )
}

#[test]
fn one_that_hangs_floods_lies_or_is_gone_holds_up_no_other() {
    let hanging = Web::new(hang);
    let flooding = Web::new(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n");
        while stream.write_all(&b"flooding 1\n".repeat(1000)).is_ok() {}
    });
    let lying = Web::saying("200 OK", "text/plain", "lying 1 99999999999999\n");
    let page: String = (0..9_000).map(|n| format!("many{{n=\"{n}\"}} 1\n")).collect();
    let many = Web::saying("200 OK", "text/plain", &page);
    let good = Web::saying("200 OK", "text/plain", "good 1\n");
    let gone = format!(
        "[feeds.gone]\nkind = \"scrape\"\nmetric = \"gone\"\nurl = \"http://{}/\"\ntimeout = \"1s\"\nevery = \"100ms\"\n",
        nobody()
    );
    let feeds = [
        scrape("hanging", &hanging, "60s"),
        scrape("flooding", &flooding, "60s"),
        scrape("lying", &lying, "1s"),
        scrape("many", &many, "5s"),
        scrape("good", &good, "5s"),
        gone,
    ];
    let (dir, seen) = (tempfile::tempdir().expect("a folder"), Arc::new(Seen::default()));
    let clock = Arc::new(SourceClock::new(Arc::new(MachineClock)));
    let policy = policy(&feeds.concat());
    let sources = Sources::start(&policy, dir.path(), SourceState::default(), seen.clone(), clock).expect("threads");
    let of = |metric: &str, taken: &Taken| taken.samples.iter().filter(|(series, _)| series.metric() == metric).count();
    seen.wait("twenty good samples, and the troubles of the others", |taken| {
        let told = |source: &str| taken.told.iter().any(|told| told.starts_with(&format!("{source}: ")));
        of("good", taken) >= 20 && ["hanging", "flooding", "lying", "gone", "many"].into_iter().all(told)
    });
    let taken = seen.take();
    // Why in words is in the tests of each; here a busy machine may say of any that it takes too long, before it fails.
    let counts = |source: &str| sources.counts().into_iter().find(|of| of.source == source).expect("its counts");
    until("the failures of the others", || {
        ["flooding", "lying", "gone"].into_iter().all(|source| counts(source).failed > 0)
            && counts("hanging").overrun > 0
            && counts("many").refused.contains_key("rate")
    });
    assert_eq!((of("hanging", &taken), of("flooding", &taken), of("lying", &taken), of("gone", &taken)), (0, 0, 0, 0));
    assert!(of("many", &taken) >= 9_000, "what its budget allows was taken");
    sources.stop();
    assert_eq!(counts("good").failed, 0);
    // Nothing comes after it was stopped.
    seen.take();
    assert_eq!(sources.look_due(), 0);
    assert!(seen.take().samples.is_empty());
}
