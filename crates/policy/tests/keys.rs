//! A key that nothing enforces does not parse: in every table of the shipped policies, a key that means nothing is an
//! error at its place.

use std::{fs, path::Path};
use unship_policy::{FileError, SitePolicy, StoryId, StoryPolicy, parse_story_triggers};

fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies").join(name);
    fs::read_to_string(path).expect("a shipped policy")
}

fn refuses_an_unknown_key_in_every_table(text: &str, parse: impl Fn(&str) -> Result<(), FileError>) {
    parse(text).expect("as shipped it parses");
    let mut tables = 0;
    for (at, _) in text.match_indices("\n[") {
        let end = at + 1 + text[at + 1..].find('\n').expect("a line's end");
        // In the tables of names (folders, environments) any key is one, but what it stands for is never a number.
        let with = format!("{}\nno-such-key = 7{}", &text[..end], &text[end..]);
        assert!(parse(&with).is_err(), "taken in {}", &text[at + 1..end]);
        tables += 1;
    }
    assert!(tables > 0);
    assert!(parse(&format!("no-such-key = 7\n{text}")).is_err(), "taken at the top");
    assert!(parse(&format!("{text}\n[no-such-table]\n")).is_err(), "an unknown table is taken");
}

#[test]
fn a_key_that_means_nothing_is_refused_in_every_table() {
    refuses_an_unknown_key_in_every_table(&shipped("site.toml"), |text| SitePolicy::parse(text).map(drop));
    let id = StoryId::new("1.3").expect("an id");
    refuses_an_unknown_key_in_every_table(&shipped("1.3.toml"), |text| StoryPolicy::parse(text, &id).map(drop));
    refuses_an_unknown_key_in_every_table(&shipped("triggers/1.4.toml"), |text| parse_story_triggers(text).map(drop));
}

#[test]
fn a_story_that_is_a_persons_alone_admits_no_automatic_trigger_wherever_it_stands() {
    let id = StoryId::new("1.3").expect("an id");
    let manual = shipped("1.3.toml").replacen("[story]\n", "[story]\nmanual-only = true\n", 1);
    let policy = StoryPolicy::parse(&manual, &id).expect("a policy");
    let automatic = shipped("triggers/1.3.toml");
    let error = policy.admits(&parse_story_triggers(&automatic).expect("triggers")).expect_err("one is automatic");
    assert_eq!(error.message, "story 1.3 is `manual-only`: no trigger may take it back by itself");
    assert_eq!(&automatic[error.span.expect("a place")], "true");
    assert!(StoryPolicy::parse(&format!("{manual}\n{automatic}"), &id).is_err(), "in the story's own file");
    let asking = automatic.replace("auto = true", "auto = false");
    assert_eq!(policy.admits(&parse_story_triggers(&asking).expect("triggers")), Ok(()));
    let with = StoryPolicy::parse(&format!("{manual}\n{asking}"), &id).expect("a policy with triggers");
    assert_eq!(with.triggers.len(), 4);
}
