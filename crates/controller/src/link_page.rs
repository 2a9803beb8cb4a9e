//! What a person sees behind a one-time link, perhaps on a telephone at night: what is wrong, in words and as a picture, what would
//! be done, until when it can be answered, and two buttons. It stands alone: no script, nothing from elsewhere.

use crate::clock::calendar;
use unship_policy::Severity;
use unship_rollback::{
    incident::{Incident, Link},
    signal::Millis,
};

/// How it looks; light and dark, and as wide as the screen.
pub const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:0 auto;padding:1rem}\
h1{font-size:1.5rem;line-height:1.25}h2{font-size:1.1rem;margin-bottom:.25rem}\
code{font-size:.9em;overflow-wrap:anywhere}li{margin:.25rem 0}img{max-width:100%;height:auto}\
button{font:inherit;font-weight:600;padding:.75rem 1.25rem;margin:.5rem .5rem .5rem 0;border-radius:.5rem;border:2px solid}\
button.yes{background:#b00020;border-color:#b00020;color:#fff}button.no{background:none}";

/// The page around `body`.
pub fn html(body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"referrer\" content=\"no-referrer\"><link rel=\"stylesheet\" href=\"link.css\">\
         <title>unship</title><body>{body}</body></html>"
    )
}

/// What is asked of whom; `token` is the link's own, under which its pictures are.
pub fn question(incident: &Incident, link: &Link, token: &str, charts: usize, now_ms: u64) -> String {
    let story = escape(incident.story.as_deref().unwrap_or("?"));
    let severity = match incident.severity() {
        Severity::Critical => "critical",
        Severity::High => "high",
        Severity::Medium => "medium",
    };
    let mut body = format!(
        "<h1>Take story {story} back?</h1><p>Incident {}, {severity}, since {} (UTC). For {}.</p><h2>What is wrong</h2><ul>",
        incident.id,
        time(incident.opened_ms),
        escape(&link.person)
    );
    for trigger in &incident.triggers {
        let value = trigger.evidence.as_ref().and_then(|e| e.value).map_or_else(String::new, |v| format!(" (at {v})"));
        body.push_str(&format!("<li>{}: <code>{}</code>{value}</li>", escape(&trigger.trigger), escape(&trigger.rule)));
    }
    body.push_str("</ul>");
    for n in 1..=charts {
        body.push_str(&format!("<p><img src=\"{token}/chart/{n}\" alt=\"what its trigger measured\"></p>"));
    }
    body.push_str("<h2>What would be done</h2><ol>");
    for effect in &incident.effects {
        body.push_str(&format!("<li><code>{}</code></li>", escape(effect)));
    }
    body.push_str(&format!("</ol><p>The plan: <code>{}</code></p>", link.digest));
    if works(incident, link, now_ms) {
        body.push_str(&format!(
            "<form method=\"post\"><button class=\"yes\" name=\"answer\" value=\"yes\">Yes, take it back</button>\
             <button class=\"no\" name=\"answer\" value=\"no\">No, fix it forward</button></form>\
             <p>It can be answered once, until {} (UTC).</p>",
            time(until_ms(incident, link))
        ));
    } else {
        body.push_str("<p>This link does not work any more.</p>");
    }
    body
}

fn works(incident: &Incident, link: &Link, now_ms: u64) -> bool {
    !link.is_used && link.expires_ms > now_ms && incident.can_be_approved() && incident.plan == Some(link.digest)
}

/// When the link ends, or people are not asked any more.
fn until_ms(incident: &Incident, link: &Link) -> u64 {
    incident.deadline_ms().map_or(link.expires_ms, |deadline_ms| deadline_ms.min(link.expires_ms))
}

fn time(ms: u64) -> String {
    calendar(Millis(i64::try_from(ms).unwrap_or(i64::MAX)))
}

/// Foreign text as HTML's.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
