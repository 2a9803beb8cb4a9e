//! Faults in who is told of what.

use super::{changes, report};
use unship_policy::{NoticeEvent, SitePolicy};

const NOTICES: &str = r##"[site]
name = "practice"
bundles = "bundles"

[channels.on-call]
kind = "pagerduty"
routing-key = "file:run/pagerduty.key"

[channels.team]
kind = "slack"
token = "env:SLACK_TOKEN"
to = "#rollbacks"

[channels.mail]
kind = "smtp"
host = "mail.example.org"
user = "unship"
password = "file:run/mail.password"
from = "unship@example.org"

[channels.hook]
kind = "webhook"
url = "https://example.org/hook"

[recipients]
dev-team = ["dev@example.org", "ops@example.org"]
product-owner = ["owner@example.org"]

[[notice]]
events = ["initiated", "complete"]
channel = "mail"
recipients = ["dev-team"]
template = "{{ story_id }}: {{ details }}"
html = "mine.html"

[[notice]]
events = ["paged"]
channel = "on-call"
"##;

#[test]
fn notices() {
    let good = SitePolicy::parse(NOTICES).unwrap_or_else(|e| panic!("{e}")).notices;
    assert!(good.notice("mail", NoticeEvent::Complete).is_some());
    assert!(good.notice("team", NoticeEvent::Complete).is_none(), "what no rule names is not told");
    let cases = changes(
        NOTICES,
        &[
            ("unknown kind", "\"pagerduty\"", "\"carrier-pigeon\""),
            ("unknown key", "routing-key =", "routing_key ="),
            ("a key of another kind", "url = \"https", "to = \"x\"\nurl = \"https"),
            ("no routing key", "routing-key = \"file:run/pagerduty.key\"\n", ""),
            ("a secret in the policy", "\"file:run/pagerduty.key\"", "\"0123456789abcdef0123456789abcdef\""),
            ("a secret outside", "\"file:run/pagerduty.key\"", "\"file:../key\""),
            ("an absolute secret", "\"file:run/pagerduty.key\"", "\"file:/etc/key\""),
            ("a variable that is none", "env:SLACK_TOKEN", "env:slack token"),
            ("Slack by neither", "token = \"env:SLACK_TOKEN\"\n", ""),
            ("Slack by both", "to = \"#rollbacks\"", "webhook = \"env:URL\""),
            (
                "a webhook with a URL",
                "token = \"env:SLACK_TOKEN\"\nto = \"#rollbacks\"",
                "webhook = \"env:U\"\nurl = \"https://a.b/\"",
            ),
            ("an empty conversation", "\"#rollbacks\"", "\"\""),
            ("no host", "host = \"mail.example.org\"\n", ""),
            ("a host that is none", "mail.example.org", "mail example"),
            ("mail in the clear", "user =", "tls = \"none\"\nuser ="),
            ("unknown tls", "user =", "tls = \"maybe\"\nuser ="),
            ("a password alone", "user = \"unship\"\n", ""),
            ("port 0", "user =", "port = 0\nuser ="),
            ("a sender that is none", "unship@example.org", "unship"),
            ("plain http to elsewhere", "https://example.org", "http://example.org"),
            ("no url", "url = \"https://example.org/hook\"\n", ""),
            ("a timeout of nothing", "url = \"https", "timeout = \"1ms\"\nurl = \"https"),
            ("giving up at once", "url = \"https", "give-up = \"1s\"\nurl = \"https"),
            ("authorities outside", "url = \"https", "authorities = \"/etc/ca.pem\"\nurl = \"https"),
            ("an address that is none", "ops@example.org", "ops at example.org"),
            ("two in one address", "ops@example.org", "ops@example.org,x@example.org"),
            ("a role of nobody", "[\"owner@example.org\"]", "[]"),
            ("a role that is not mapped", "recipients = [\"dev-team\"]", "recipients = [\"support-team\"]"),
            ("a role twice", "recipients = [\"dev-team\"]", "recipients = [\"dev-team\", \"dev-team\"]"),
            ("mail to nobody", "recipients = [\"dev-team\"]", "recipients = []"),
            ("mail without recipients", "recipients = [\"dev-team\"]\n", ""),
            ("recipients of no mail", "channel = \"on-call\"", "channel = \"on-call\"\nrecipients = [\"dev-team\"]"),
            ("HTML of no mail", "channel = \"on-call\"", "channel = \"on-call\"\nhtml = \"x.html\""),
            ("HTML elsewhere", "mine.html", "../mine.html"),
            ("an empty template", "{{ story_id }}: {{ details }}", " "),
            ("an unknown event", "\"paged\"", "\"paging\""),
            ("no event", "[\"paged\"]", "[]"),
            ("an event twice", "[\"paged\"]", "[\"paged\", \"paged\"]"),
            ("an unknown channel", "channel = \"on-call\"", "channel = \"on-duty\""),
            ("no channel", "channel = \"on-call\"\n", ""),
            ("names that differ in case", "[channels.hook]", "[channels.Mail]"),
        ],
    );
    insta::assert_snapshot!("notices", report(&cases, SitePolicy::parse));
}

/// Without `[[notice]]` the shipped ones count: the seed's three, with its roles, and those that it lacks.
#[test]
fn shipped_notices_need_the_roles_that_they_mail_to() {
    let rules = NOTICES.find("[[notice]]").expect("rules");
    let shipped = &NOTICES[..rules];
    let report = report(&[("a role that is not mapped", shipped.to_owned())], SitePolicy::parse);
    insta::assert_snapshot!("shipped_notices", report);
    let all = shipped.replace("[recipients]", "[recipients]\nsupport-team = [\"support@example.org\"]");
    let policy = SitePolicy::parse(&all).unwrap_or_else(|e| panic!("{e}")).notices;
    for (event, name) in NoticeEvent::ALL {
        assert!(policy.notice("hook", event).is_some(), "a webhook is told of {name}");
        assert!(policy.notices.iter().any(|rule| rule.events.contains(&event)));
    }
    let roles = policy.notice("mail", NoticeEvent::Complete).map(|rule| rule.recipients.len());
    assert_eq!(roles, Some(3), "the seed's dev-team, product-owner and support-team");
    assert!(policy.notice("on-call", NoticeEvent::Initiated).is_some(), "the seed's immediate notice");
    assert!(policy.notice("team", NoticeEvent::Progress).is_some(), "the seed's status update");
}
