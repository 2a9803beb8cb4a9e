//! What the keys of a story's policy beside its grants mean, and what is refused of them: where, and in which words.

use unship_policy::{FileError, StoryId, StoryPolicy};

const STORY: &str = r#"[story]
id = "1.3"
title = "t"
bundle = "b.wasm"
signed-by = ["release"]
needs-first = ["1.2", "1.4"]
manual-only = true
shipped = 2026-03-01T09:30:00Z

[[checklist]]
name = "clients"
title = "Every client signs in again"

[[checklist]]
name = "keys"
title = "Old keys are gone"
"#;

fn parse(text: &str) -> Result<StoryPolicy, FileError> {
    StoryPolicy::parse(text, &StoryId::new("1.3").expect("an id"))
}

#[test]
fn what_the_keys_mean() {
    let policy = parse(STORY).expect("it parses");
    let needs: Vec<(&str, &str)> =
        policy.needs_first.iter().map(|(id, span)| (id.as_str(), &STORY[span.clone()])).collect();
    assert_eq!(needs, [("1.2", "\"1.2\""), ("1.4", "\"1.4\"")]);
    assert!(policy.manual_only);
    assert_eq!(policy.shipped.map(|at| at.to_string()), Some("2026-03-01T09:30:00Z".to_owned()));
    let items: Vec<(&str, &str)> = policy.checklist.iter().map(|i| (i.name.as_str(), i.title.as_str())).collect();
    assert_eq!(items, [("clients", "Every client signs in again"), ("keys", "Old keys are gone")]);
    let short = &STORY[..STORY.find("needs-first").expect("the key")];
    let policy = parse(short).expect("all of them can be left out");
    assert!(
        policy.needs_first.is_empty() && !policy.manual_only && policy.shipped.is_none() && policy.checklist.is_empty()
    );
}

#[test]
fn what_is_refused_and_where() {
    let many: String = (0..=100).map(|n| format!("[[checklist]]\nname = \"n{n}\"\ntitle = \"t\"\n")).collect();
    let table = [
        ("\"1.4\"", "\"../x\"", "\"../x\"", "\"../x\" is not a story id"),
        ("\"1.4\"", "\"1.3\"", "\"1.3\"", "story 1.3 cannot need itself first"),
        ("\"1.4\"", "\"1.2\"", "\"1.2\"", "story 1.2 is named twice"),
        ("[\"1.2\", \"1.4\"]", "\"1.2\"", "\"1.2\"", "invalid type: string"),
        ("manual-only = true", "manual-only = \"yes\"", "\"yes\"", "invalid type: string"),
        ("manual-only", "manual_only", "manual_only", "unknown field `manual_only`"),
        ("2026-03-01T09:30:00Z", "2026-03-01", "2026-03-01", "a moment is a date and a time in UTC"),
        ("2026-03-01T09:30:00Z", "2026-03-01T09:30:00+01:00", "2026-03-01T09:30:00+01:00", "a moment is a date and"),
        ("name = \"keys\"", "name = \"the keys\"", "\"the keys\"", "\"the keys\" is not a name"),
        ("name = \"keys\"", "name = \"clients\"", "\"clients\"", "the item \"clients\" is there twice"),
        ("name = \"keys\"", "name = \"keys\"\ndone = true", "done", "unknown field `done`"),
        ("name = \"keys\"", "", "[[checklist]]", "missing field `name`"),
        ("\"Old keys are gone\"", "\" \"", "\" \"", "an item says in its `title` what is to be looked at"),
        ("\"Old keys are gone\"\n", &format!("\"t\"\n{many}"), "\"n98\"", "a checklist has at most 100 items"),
    ];
    for (from, to, place, message) in table {
        assert!(STORY.contains(from), "{from}");
        let text = STORY.replacen(from, to, 1);
        let error = parse(&text).expect_err(message);
        assert!(error.message.contains(message), "{message}: {error}");
        assert_eq!(error.span.map(|span| &text[span]), Some(place), "{message}");
    }
}
