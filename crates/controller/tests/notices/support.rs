//! A site's book with notices in it, and couriers over it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use unship_controller::{
    book::WatchBook,
    clock::{DrivenClock, WatchClock as _},
    notify::{Couriers, Notices},
};
use unship_policy::{Digest, NoticeEvent, Severity, SitePolicy};
use unship_rollback::{
    RunId,
    incident::{Evidence, Fact, IncidentId, Notice, NoticeId, NoticeStanding},
};
use unship_store::SiteStore;

pub const BEGIN: u64 = 1_790_000_000_000;
pub const INCIDENT: &str = "i20260921t141320z-00000001";
pub const RUN: &str = "r20260921t141320z-00000002";

pub fn site_policy(tables: &str) -> SitePolicy {
    let text = format!("[site]\nname = \"practice\"\nbundles = \"bundles\"\n{tables}");
    SitePolicy::parse(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

pub fn notices(tables: &str) -> Arc<Notices> {
    let policy = site_policy(tables);
    Arc::new(Notices::new(&policy.notices, None, |_| Err("there is no such file".to_owned())).expect("good templates"))
}

pub struct Post {
    pub dir: TempDir,
    pub book: WatchBook,
    pub clock: Arc<DrivenClock>,
    pub couriers: Couriers,
}

/// Kept secret, as a secret has to be.
pub fn secret(site: &Path, name: &str, text: &str) {
    fs::write(site.join(name), text).expect("written");
    fs::set_permissions(site.join(name), fs::Permissions::from_mode(0o600)).expect("private");
}

impl Post {
    pub fn new(tables: &str) -> Post {
        let dir = tempfile::tempdir().expect("a folder");
        SiteStore::create(dir.path()).expect("a store");
        secret(dir.path(), "key", "0123456789abcdef0123456789abcdef");
        Post::at(dir, tables)
    }

    fn at(dir: TempDir, tables: &str) -> Post {
        let store = SiteStore::open(dir.path()).expect("a store").watch().expect("the daemon's part of it");
        let book = WatchBook::open(Arc::new(store), Box::new(|_, _| {})).expect("a book");
        let clock = Arc::new(DrivenClock::new(BEGIN.max(book.read(unship_rollback::incident::Book::at_ms))));
        let couriers = Couriers::start(book.clone(), clock.clone(), dir.path(), "practice", notices(tables));
        Post { dir, book, clock, couriers: couriers.expect("threads") }
    }

    /// The daemon dies, and another one begins.
    pub fn again(self, tables: &str) -> Post {
        let Post { dir, book, couriers, .. } = self;
        couriers.stop();
        drop((couriers, book));
        Post::at(dir, tables)
    }

    /// An incident about story 1.3, and the run that takes it back.
    pub fn run_begins(&self) {
        let incident = IncidentId::new(INCIDENT).expect("an id");
        let digest = Digest::of(b"plan");
        let opened = Fact::IncidentOpened {
            incident: incident.clone(),
            trigger: "1.3/slow-queries".to_owned(),
            story: Some("1.3".to_owned()),
            severity: Severity::High,
            auto: true,
            evidence: Some(Evidence {
                series: "duckdb_query_seconds".to_owned(),
                value: Some(130.0),
                at_ms: 1_790_000_000_000,
            }),
            rule: "p95(duckdb_query_seconds) > 120 for 5m".to_owned(),
            needed_by: None,
        };
        let effects = vec!["rename .duckdb/data.db".to_owned(), "write <script>alert(1)</script>".to_owned()];
        let facts = vec![
            opened,
            Fact::PlanMade {
                incident: incident.clone(),
                story: "1.3".to_owned(),
                digest,
                effects,
                weakens: Vec::new(),
            },
            Fact::Decided {
                incident: incident.clone(),
                decision: unship_rollback::incident::Decision::Act,
                reason: "the trigger acts by itself".to_owned(),
                deadline_ms: None,
            },
            Fact::RunBegan { incident, run: run_id(), story: "1.3".to_owned(), digest },
        ];
        self.book.append(self.clock.now_ms(), facts).expect("facts that can follow");
    }

    /// Queues a notice of the run.
    pub fn queue(&self, channel: &str, event: NoticeEvent, detail: &str) -> NoticeId {
        let mut made = None;
        let queued = self.book.append_made(self.clock.now_ms(), |book| {
            let notice = NoticeId::new(&format!("n{}", book.next_notice())).expect("an id");
            made = Some(notice.clone());
            vec![Fact::NoticeQueued {
                notice,
                incident: IncidentId::new(INCIDENT),
                run: Some(run_id()),
                event,
                channel: channel.to_owned(),
                dedup: RUN.to_owned(),
                detail: detail.to_owned(),
            }]
        });
        queued.expect("queued");
        made.expect("its id")
    }

    pub fn notice(&self, id: &NoticeId) -> Notice {
        self.book.read(|book| book.notice(id).cloned()).expect("it is there")
    }

    /// How a notice stands once it does not wait any more.
    pub fn settled(&self, id: &NoticeId) -> NoticeStanding {
        let is_settled = |book: &unship_rollback::incident::Book| {
            book.notice(id).is_some_and(|notice| notice.standing != NoticeStanding::Queued)
        };
        assert!(self.book.wait_until(Duration::from_secs(60), is_settled), "{id} still waits");
        self.notice(id).standing
    }

    /// Time goes on until the notice does not wait any more.
    pub fn in_time(&self, id: &NoticeId) -> NoticeStanding {
        for _ in 0..10_000 {
            self.clock.set(self.clock.now_ms() + 60_000);
            self.book.wake();
            let is_settled = |book: &unship_rollback::incident::Book| {
                book.notice(id).is_some_and(|notice| notice.standing != NoticeStanding::Queued)
            };
            if self.book.wait_until(Duration::from_millis(5), is_settled) {
                break;
            }
        }
        self.settled(id)
    }
}

pub fn run_id() -> RunId {
    RunId::new(RUN).expect("an id")
}
