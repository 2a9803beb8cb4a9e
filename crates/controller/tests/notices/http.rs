//! PagerDuty, Slack and webhooks, by their bodies and by what their servers do to us.

use crate::{
    server::{Server, Turn},
    support::{BEGIN, Post, RUN, secret},
};
use std::{collections::BTreeSet, fs, path::Path};
use unship_controller::clock::WatchClock as _;
use unship_policy::NoticeEvent;
use unship_rollback::incident::NoticeStanding;

fn pagerduty(server: &Server) -> String {
    format!("[channels.on-call]\nkind = \"pagerduty\"\nurl = \"{}\"\nrouting-key = \"file:key\"\n", server.url())
}

fn slack(server: &Server) -> String {
    format!(
        "[channels.team]\nkind = \"slack\"\nurl = \"{}\"\ntoken = \"file:key\"\nto = \"#rollbacks\"\n",
        server.url()
    )
}

fn webhook(server: &Server) -> String {
    format!("[channels.hook]\nkind = \"webhook\"\nurl = \"{}\"\ntoken = \"file:key\"\n", server.url())
}

/// Held to the schema that is checked in.
fn holds(schema: &str, body: &serde_json::Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/schemas").join(schema);
    let schema: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).expect("a schema")).expect("a schema in JSON");
    let schema = jsonschema::validator_for(&schema).expect("a good schema");
    let wrong: Vec<String> = schema.iter_errors(body).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(wrong.is_empty(), "{wrong:?} in {body}");
}

const STORY: [(NoticeEvent, &str); 4] = [
    (NoticeEvent::Initiated, "the trigger acts by itself"),
    (NoticeEvent::Progress, "succeeded, Recovered"),
    (NoticeEvent::Answered, "ada said yes"),
    (NoticeEvent::Complete, "Recovered: its verifications passed"),
];

#[test]
fn pagerduty_is_triggered_acknowledged_and_resolved_by_one_key() {
    let server = Server::start([]);
    let post = Post::new(&pagerduty(&server));
    post.run_begins();
    for id in STORY.map(|(event, detail)| post.queue("on-call", event, detail)) {
        assert!(matches!(post.settled(&id), NoticeStanding::Delivered { .. }));
    }
    let taken = server.taken(4);
    let bodies: Vec<_> = taken.iter().map(|taken| &taken.body).collect();
    for body in &bodies {
        holds("pagerduty-events-v2.json", body);
        assert_eq!(body["dedup_key"], RUN);
    }
    let actions: Vec<_> = bodies.iter().map(|body| body["event_action"].as_str().expect("text")).collect();
    assert_eq!(actions, ["trigger", "trigger", "acknowledge", "resolve"]);
    assert_eq!(bodies[0]["payload"]["summary"], "CRITICAL: Story 1.3 auto-rollback in progress", "the seed's words");
    assert_eq!(bodies[0]["payload"]["severity"], "error", "a high severity");
    assert_eq!(bodies[0]["payload"]["custom_details"]["evidence"]["value"], "130");
}

#[test]
fn slack_has_one_thread_a_run_and_markup_is_no_markup() {
    let answer = |ts: &str| Turn::Say(200, "", format!("{{\"ok\":true,\"ts\":\"{ts}\"}}"));
    let server = Server::start([answer("17.1"), answer("17.2"), answer("17.3"), answer("17.4")]);
    let post = Post::new(&slack(&server));
    post.run_begins();
    for (event, detail) in STORY {
        let id = post.queue("team", event, &format!("{detail} <!channel> & more"));
        assert!(matches!(post.settled(&id), NoticeStanding::Delivered { .. }));
    }
    let taken = server.taken(4);
    for taken in &taken {
        holds("slack-message.json", &taken.body);
        assert!(taken.head.contains("Bearer 0123456789abcdef"), "{}", taken.head);
    }
    let threads: Vec<_> = taken.iter().map(|taken| taken.body["thread_ts"].as_str()).collect();
    assert_eq!(threads, [None, Some("17.1"), Some("17.1"), Some("17.1")]);
    assert_eq!(
        taken[1].body["text"], "Rollback 1.3: progress - succeeded, Recovered &lt;!channel&gt; &amp; more",
        "the seed's words"
    );
}

#[test]
fn a_server_that_drops_delays_refuses_and_loses_its_answer_gets_each_notice_as_one() {
    let say = |status: u16, headers: &'static str| Turn::Say(status, headers, "busy".to_owned());
    let turns = [
        Turn::Drop,
        say(500, ""),
        Turn::TakeAndDrop,
        say(429, "Retry-After: 240\r\n"),
        say(503, ""),
        Turn::Say(202, "", "{}".to_owned()),
        Turn::TakeAndDrop,
        Turn::TakeAndDrop,
    ];
    let server = Server::start(turns);
    let post = Post::new(&webhook(&server));
    post.run_begins();
    let ids = STORY.map(|(event, detail)| post.queue("hook", event, detail));
    for id in &ids {
        assert!(matches!(post.in_time(id), NoticeStanding::Delivered { .. }));
    }
    let taken = server.taken(4);
    assert!(taken.len() > ids.len(), "an answer that is lost makes a second delivery");
    for taken in &taken {
        holds("webhook.json", &taken.body);
        let key = format!("idempotency-key: {RUN}/{}", taken.body["notice"].as_str().expect("text"));
        assert!(taken.head.to_lowercase().contains(&key.to_lowercase()), "{}", taken.head);
    }
    let seen: BTreeSet<_> = taken.iter().map(|taken| taken.body["notice"].to_string()).collect();
    assert_eq!(seen.len(), ids.len(), "by its id each is one");
    let order: Vec<_> = taken.iter().map(|taken| taken.body["notice"].to_string()).collect();
    let mut sorted = order.clone();
    sorted.sort();
    assert_eq!(order, sorted, "none overtakes another");
}

#[test]
fn what_is_asked_for_by_429_is_waited_for() {
    let server = Server::start([Turn::Say(429, "Retry-After: 240\r\n", String::new())]);
    let post = Post::new(&webhook(&server));
    post.run_begins();
    let id = post.queue("hook", NoticeEvent::Complete, "done");
    server.attempts(1);
    assert!(matches!(post.in_time(&id), NoticeStanding::Delivered { .. }));
    assert!(post.clock.now_ms() >= BEGIN + 240_000, "it came before it was asked to");
    assert_eq!(server.attempts(2), 2, "and not in between");
}

#[test]
fn a_server_that_never_answers_holds_up_its_own_channel_alone() {
    let (dead, alive) = (Server::start((0..100).map(|_| Turn::Hang)), Server::start([]));
    let tables = pagerduty(&dead).replace("routing-key", "timeout = \"200ms\"\nrouting-key") + &webhook(&alive);
    let post = Post::new(&tables);
    post.run_begins();
    let stuck = post.queue("on-call", NoticeEvent::Initiated, "begins");
    let ids: Vec<_> = (0..20).map(|n| post.queue("hook", NoticeEvent::Progress, &format!("part {n}"))).collect();
    for id in &ids {
        assert!(matches!(post.settled(id), NoticeStanding::Delivered { .. }));
    }
    assert_eq!(post.notice(&stuck).standing, NoticeStanding::Queued);
    // After three failures the other channel is told, once; a day later the notice is given up, and that is told as well.
    let standing = post.in_time(&stuck);
    let NoticeStanding::Failed { reason } = standing else { panic!("{standing:?}") };
    assert!(reason.contains("does not answer within 200 ms"), "{reason}");
    let told = alive.taken(ids.len() + 2);
    let texts: Vec<_> = told.iter().map(|taken| taken.body["text"].as_str().expect("text").to_owned()).collect();
    let about: Vec<_> = texts.iter().filter(|text| text.contains("channel on-call")).collect();
    assert_eq!(about.len(), 2, "{about:?}");
    assert!(about[0].contains("fails, and notices wait there"), "{}", about[0]);
    assert!(about[1].contains("was given up"), "{}", about[1]);
}

#[test]
fn a_message_that_is_refused_for_good_is_given_up_and_the_next_one_comes() {
    let server = Server::start([Turn::Say(400, "", "key 0123456789abcdef0123456789abcdef is no key".to_owned())]);
    let post = Post::new(&webhook(&server));
    post.run_begins();
    let (bad, good) = (post.queue("hook", NoticeEvent::Progress, "1"), post.queue("hook", NoticeEvent::Complete, "2"));
    let NoticeStanding::Failed { reason } = post.settled(&bad) else { panic!("it was refused") };
    assert_eq!(reason, "webhook answers 400: key … is no key", "and the secret is kept out of it");
    assert!(matches!(post.settled(&good), NoticeStanding::Delivered { .. }));
}

#[test]
fn what_waits_when_the_daemon_dies_is_delivered_by_the_next_one() {
    let server = Server::start([Turn::Drop, Turn::Drop]);
    let tables = webhook(&server);
    let post = Post::new(&tables);
    post.run_begins();
    let id = post.queue("hook", NoticeEvent::Complete, "done");
    server.attempts(1);
    let post = post.again(&tables);
    server.attempts(2);
    assert!(matches!(post.in_time(&id), NoticeStanding::Delivered { .. }));
    // What was delivered is not delivered again.
    let post = post.again(&tables);
    let next = post.queue("hook", NoticeEvent::PostMortemDue, "due");
    assert!(matches!(post.settled(&next), NoticeStanding::Delivered { .. }));
    assert_eq!(server.taken(2).len(), 2);
}

#[test]
fn a_channel_that_is_gone_from_the_policies_gives_up_what_waits() {
    let server = Server::start([Turn::Drop]);
    let post = Post::new(&webhook(&server));
    post.run_begins();
    let id = post.queue("hook", NoticeEvent::Complete, "done");
    server.attempts(1);
    let post = post.again("");
    let NoticeStanding::Failed { reason } = post.settled(&id) else { panic!("nobody takes it") };
    assert!(reason.contains("no channel hook any more"), "{reason}");
}

#[test]
fn a_secret_that_is_missing_or_open_to_others_is_said_and_mended_without_a_restart() {
    let server = Server::start([]);
    let post = Post::new(&webhook(&server));
    post.run_begins();
    fs::remove_file(post.dir.path().join("key")).expect("removed");
    let id = post.queue("hook", NoticeEvent::Complete, "done");
    assert!(!post.book.wait_until(std::time::Duration::from_millis(700), |book| {
        book.notice(&id).is_some_and(|notice| notice.standing != NoticeStanding::Queued)
    }));
    secret(post.dir.path(), "key", "another");
    assert!(matches!(post.in_time(&id), NoticeStanding::Delivered { .. }));
    assert!(server.taken(1)[0].head.contains("Bearer another"));
}

#[test]
fn slack_by_webhook_has_a_secret_url_that_nobody_is_told() {
    let server = Server::start([Turn::Say(403, "", "no".to_owned()), Turn::Say(200, "", "ok".to_owned())]);
    let post = Post::new("[channels.team]\nkind = \"slack\"\nwebhook = \"file:url\"\ngive-up = \"1m\"\n");
    secret(post.dir.path(), "url", &server.url());
    post.run_begins();
    let id = post.queue("team", NoticeEvent::Complete, "done");
    assert!(matches!(post.in_time(&id), NoticeStanding::Failed { reason } if reason == "slack answers 403: no"));
    let id = post.queue("team", NoticeEvent::Complete, "done");
    assert!(matches!(post.in_time(&id), NoticeStanding::Delivered { .. }));
    // A server that is gone: its address is the secret.
    secret(post.dir.path(), "url", "http://127.0.0.1:1/services/T0/B0/s3cret");
    let id = post.queue("team", NoticeEvent::Complete, "done");
    let NoticeStanding::Failed { reason } = post.in_time(&id) else { panic!("nobody is there") };
    assert!(!reason.contains("s3cret"), "{reason}");
}
