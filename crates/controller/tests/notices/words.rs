//! Templates: those that are shipped, those of a site, and those that are none.

use crate::support::{notices, site_policy};
use unship_controller::notify::{Notices, SHIPPED_MAIL};

const MAIL: &str = "[channels.mail]\nkind = \"smtp\"\nhost = \"127.0.0.1\"\ntls = \"none\"\nfrom = \"unship@example.org\"\n\
[recipients]\ndev-team = [\"dev@example.org\"]\nproduct-owner = [\"owner@example.org\"]\nsupport-team = [\"support@example.org\"]\n";

#[test]
fn the_shipped_words_are_good_for_each_kind_of_channel() {
    let others = "[channels.a]\nkind = \"pagerduty\"\nrouting-key = \"env:KEY\"\n[channels.b]\nkind = \"slack\"\nwebhook = \"env:URL\"\n\
[channels.c]\nkind = \"webhook\"\nurl = \"https://example.org/\"\n";
    let _ = notices(&format!("{others}{MAIL}"));
    assert!(SHIPPED_MAIL.iter().any(|(name, _)| *name == "rollback_complete_email.html"), "the seed's name");
}

#[test]
fn a_template_that_names_what_there_is_not_is_refused_when_it_is_read() {
    let bad = [
        ("template = \"{{ stroy_id }}\"", "undefined"),
        ("template = \"{{ story_id\"", "syntax error"),
        ("template = \"{% for x in effects %}{{ x.y.z }}{% endfor %}\"", "undefined"),
        ("template = \"{{ details | wish }}\"", "unknown filter"),
        ("html = \"mine.html\"", "no such file"),
    ];
    for (line, wanted) in bad {
        let notice = format!(
            "{MAIL}[[notice]]\nevents = [\"complete\"]\nchannel = \"mail\"\nrecipients = [\"dev-team\"]\n{line}\n"
        );
        let policy = site_policy(&notice).notices;
        let e = Notices::new(&policy, None, |_| Err("there is no such file".to_owned())).expect_err(line);
        assert!(e.to_string().contains(wanted), "{line}: {e}");
    }
}

#[test]
fn html_of_a_site_is_used_and_may_be_broken_as_well() {
    let notice = format!(
        "{MAIL}[[notice]]\nevents = [\"complete\", \"failed\"]\nchannel = \"mail\"\nrecipients = [\"dev-team\"]\nhtml = \"mine.html\"\n"
    );
    let policy = site_policy(&notice).notices;
    assert!(Notices::new(&policy, None, |_| Ok("<p>{{ story_id }}: {{ details }}</p>".to_owned())).is_ok());
    let e = Notices::new(&policy, None, |_| Ok("<p>\n{{ storyid }}</p>".to_owned())).expect_err("no such name");
    assert!(e.to_string().contains("mine.html") && e.to_string().contains('2'), "with its line: {e}");
}

/// What the page shows is what a policy may say, and each event and name of a template is on it.
#[test]
fn the_page_about_notices_is_true() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/notices.md");
    let page = std::fs::read_to_string(path).expect("docs/notices.md");
    let mut blocks = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().expect("its end"));
    let (channels, rules) = (blocks.next().expect("channels"), blocks.next().expect("rules"));
    for tables in [channels.to_owned(), format!("{channels}{rules}")] {
        let policy = site_policy(&tables).notices;
        let words = Notices::new(&policy, None, |_| Ok("<p>{{ story_id }}</p>".to_owned()));
        assert!(words.is_ok(), "{words:?}");
    }
    for (event, name) in unship_policy::NoticeEvent::ALL {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        assert!(row.is_some(), "{event} has no row");
    }
    let names = page
        .split_once("is read, also for\n")
        .expect("the names")
        .1
        .split_once("What is not known")
        .expect("their end")
        .0;
    let names: Vec<&str> = names.split('`').skip(1).step_by(2).filter(|name| !name.contains(' ')).collect();
    assert!(names.len() > 25, "{names:?}");
    for name in names {
        let notice = format!(
            "{MAIL}[[notice]]\nevents = [\"paged\"]\nchannel = \"mail\"\nrecipients = [\"dev-team\"]\ntemplate = \"{{{{ {name} }}}}\"\n"
        );
        let policy = site_policy(&notice).notices;
        assert!(Notices::new(&policy, None, |_| Err("none".to_owned())).is_ok(), "{name}");
    }
}
