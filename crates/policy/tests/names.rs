//! Names that only look like others: of another alphabet, in another case, with what nobody sees in them.

use unship_policy::{FileError, Manifest, SitePolicy, StoryId, StoryPolicy};

const MANIFEST: &str = "story = \"1.3\"\nversion = \"1.0.0\"\ntitle = \"t\"\n[[step]]\nname = \"restart\"\ntitle = \"t\"\n\
    services.restart = [\"web\"]\n[[step]]\nname = \"NEXT\"\ntitle = \"t\"\n[[variant]]\nname = \"quick\"\ntitle = \"t\"\nomits = [\"restart\"]\n";
const STORY: &str = "[story]\nid = \"1.3\"\ntitle = \"t\"\nbundle = \"b.wasm\"\nsigned-by = [\"release\"]\n[grants.restart]\n\
    services.restart = [\"web\"]\n[grants.NEXT]\n";
const SITE: &str = "[site]\nname = \"t\"\nbundles = \"bundles\"\n[folders]\ndata = \"/srv\"\nMORE = \"/srv/more\"\n\
    [commands.stop]\nargv = [\"true\"]\ntimeout = \"1s\"\n[commands.NEXT]\nargv = [\"true\"]\ntimeout = \"1s\"\n";

fn manifest(text: &str) -> Result<(), FileError> {
    Manifest::parse(text).map(drop)
}

fn story(text: &str) -> Result<(), FileError> {
    StoryPolicy::parse(text, &StoryId::new("1.3").expect("an id")).map(drop)
}

fn site(text: &str) -> Result<(), FileError> {
    SitePolicy::parse(text).map(drop)
}

/// `good` parses; with `from` as `to` it is refused at `to`, in words that hold `why`, and that hold nothing unseen.
#[track_caller]
fn refused(parse: fn(&str) -> Result<(), FileError>, good: &str, from: &str, to: &str, why: &str) {
    parse(good).expect("the text is good");
    assert!(good.contains(from), "{from:?} is not there");
    let text = good.replacen(from, to, 1);
    let error = parse(&text).expect_err(to);
    assert!(error.message.contains(why), "{to:?}: {}", error.message);
    assert!(!error.message.contains(['\u{202e}', '\u{200b}']), "{to:?}: {}", error.message);
    let span = error.span.expect("a place");
    // Of two that differ in case, either may be the one to be renamed.
    let (place, to) = (text[span].to_ascii_lowercase(), to.to_ascii_lowercase());
    assert!(to.contains(place.trim_matches('"')), "{to:?} is at fault, not {place:?}");
}

const CYRILLIC: &str = "(U+0435), which is not of ASCII, whatever it looks like";
const HIDDEN: &str = "(U+202E), which may not be seen at all";

#[test]
fn a_homoglyph_in_a_name_is_refused_and_named() {
    refused(manifest, MANIFEST, "\"restart\"", "\"r\u{435}start\"", CYRILLIC);
    refused(manifest, MANIFEST, "\"web\"", "\"w\u{435}b\"", CYRILLIC);
    refused(story, STORY, "\"release\"", "\"r\u{435}lease\"", CYRILLIC);
    refused(story, STORY, "[grants.restart]", "[grants.\"r\u{435}start\"]", CYRILLIC);
    refused(site, SITE, "data", "\"d\u{435}ta\"", CYRILLIC);
}

#[test]
fn what_nobody_sees_in_a_name_is_refused_and_named() {
    refused(manifest, MANIFEST, "\"restart\"", "\"re\u{202e}start\"", HIDDEN);
    refused(manifest, MANIFEST, "\"quick\"", "\"quick\u{200b}\"", "(U+200B), which may not be seen at all");
    refused(manifest, MANIFEST, "\"1.3\"", "\"1.3\u{202e}\"", HIDDEN);
    refused(story, STORY, "[grants.restart]", "[grants.\"re\u{202e}start\"]", HIDDEN);
    refused(site, SITE, "data", "\"da\u{202e}ta\"", HIDDEN);
}

#[test]
fn names_that_differ_in_case_alone_do_not_stand_side_by_side() {
    let differ = "differ in upper and lower case alone";
    refused(manifest, MANIFEST, "\"NEXT\"", "\"RESTART\"", differ);
    refused(story, STORY, "[grants.NEXT]", "[grants.Restart]", differ);
    refused(site, SITE, "MORE", "Data", differ);
    refused(site, SITE, "NEXT", "STOP", differ);
}
