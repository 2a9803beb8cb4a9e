//! The bodies of notices as JSON: PagerDuty's Events API v2, Slack's `chat.postMessage` and webhooks, our own webhook.
//! `tests/schemas/` has the schemas that they are held to.

use super::told::Told;
use serde_json::{Value, json};
use unship_rollback::incident::NoticeEvent;

/// Characters of PagerDuty's summary at most.
const SUMMARY_CHARS_MAX: usize = 1024;
/// Effects that are told of one by one at most; a receiver has bounds.
const EFFECTS_MAX: usize = 50;

/// What PagerDuty does with the alert of a dedup key.
fn action(event: NoticeEvent) -> &'static str {
    match event {
        NoticeEvent::Complete | NoticeEvent::Closed | NoticeEvent::Ready => "resolve",
        NoticeEvent::Answered => "acknowledge",
        _ => "trigger",
    }
}

fn severity(event: NoticeEvent, told: &Told) -> &'static str {
    match (event, told.severity.as_str()) {
        (NoticeEvent::Stuck | NoticeEvent::NotRecovered | NoticeEvent::Failed, _) | (_, "critical") => "critical",
        (NoticeEvent::Progress | NoticeEvent::Ready, _) => "info",
        (NoticeEvent::NotReady | NoticeEvent::PostMortemDue, _) | (_, "medium") => "warning",
        _ => "error",
    }
}

/// An event of PagerDuty's Events API v2.
pub(super) fn pagerduty(routing_key: &str, event: NoticeEvent, line: &str, told: &Told) -> Value {
    let mut body = json!({ "routing_key": routing_key, "event_action": action(event), "dedup_key": told.dedup });
    if action(event) == "trigger" {
        let summary: String = line.chars().take(SUMMARY_CHARS_MAX).collect();
        body["client"] = json!("unship");
        body["payload"] = json!({
            "summary": summary, "source": told.site, "severity": severity(event, told), "timestamp": told.at,
            "component": format!("story {}", told.story_id), "class": told.event, "custom_details": details(told),
        });
    }
    body
}

/// A message for Slack. `to`: the conversation, where its API is asked; `thread`: what it answers to.
pub(super) fn slack(to: Option<&str>, thread: Option<&str>, line: &str, told: &Told) -> Value {
    let about = [("run", &told.run), ("incident", &told.incident), ("site", &told.site), ("notice", &told.notice)];
    let about = about.iter().filter(|(_, value)| !value.is_empty());
    let about: Vec<String> = about.map(|(name, value)| format!("{name} {}", escaped(value))).collect();
    let mut body = json!({
        "text": escaped(line),
        "blocks": [
            { "type": "section", "text": { "type": "mrkdwn", "text": escaped(line) } },
            { "type": "context", "elements": [{ "type": "mrkdwn", "text": about.join(" · ") }] },
        ],
        "unfurl_links": false,
    });
    if let Some(to) = to {
        body["channel"] = json!(to);
    }
    if let Some(thread) = thread {
        body["thread_ts"] = json!(thread);
    }
    body
}

/// The three characters that Slack's markup begins with.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Our own form.
pub(super) fn webhook(line: &str, told: &Told) -> Value {
    let mut body = details(told);
    body["unship_notice"] = json!(1);
    body["text"] = json!(line);
    body
}

/// All that is told, but for what is meant for one person.
fn details(told: &Told) -> Value {
    let shown = told.effects.iter().take(EFFECTS_MAX);
    json!({
        "notice": told.notice, "dedup_key": told.dedup, "event": told.event, "status": told.status,
        "details": told.details, "site": told.site, "incident": told.incident, "story": told.story_id, "run": told.run,
        "automatic": told.automatic, "severity": told.severity, "trigger": told.trigger, "rule": told.rule,
        "evidence": told.evidence, "decision": told.decision, "plan": told.plan,
        "effects": shown.collect::<Vec<_>>(), "effects_total": told.effects.len(), "approvers": told.approvers,
        "at": told.at, "began": told.began, "ended": told.ended, "outcome": told.outcome, "verdict": told.verdict,
        "reason": told.reason,
    })
}
