//! Variants of a manifest: which units run in each, and what is refused of them.

use unship_policy::{Manifest, Unit};

const MANIFEST: &str = r#"story = "1.1.5"
version = "1.0.0"
title = "t"
already = "gone"

[[check]]
name = "gone"
title = "t"

[[check]]
name = "open"
title = "t"

[[step]]
name = "first"
title = "t"

[[step]]
name = "expose"
title = "t"

[[step]]
name = "last"
title = "t"

[[verification]]
name = "closed"
title = "t"

[[verification]]
name = "exposed"
title = "t"

[[variant]]
name = "expose"
title = "Opens it"
adds = ["expose", "exposed"]
omits = ["closed"]
already = "open"

[[variant]]
name = "quick"
title = "Without the last step"
omits = ["last"]
"#;

fn names<'a>(units: impl Iterator<Item = (usize, &'a Unit)>) -> Vec<&'a str> {
    units.map(|(_, unit)| unit.name.as_str()).collect()
}

#[test]
fn what_a_variant_does_otherwise_is_said_in_words() {
    let manifest = Manifest::parse(MANIFEST).expect("it parses");
    let words = |name| manifest.variant(name).expect("a variant").changes();
    assert_eq!(words("expose"), "adds expose, exposed; omits closed; done already where open says so");
    assert_eq!(words("quick"), "omits last; done already where gone says so", "as the default is");
}

#[test]
fn which_units_run_in_the_default_and_in_each_variant() {
    let manifest = Manifest::parse(MANIFEST).expect("it parses");
    let variant = |name| Some(manifest.variant(name).expect("a variant"));
    assert_eq!(names(manifest.units_of(None)), ["gone", "first", "last", "closed"]);
    assert_eq!(names(manifest.units_of(variant("expose"))), ["open", "first", "expose", "last", "exposed"]);
    assert_eq!(names(manifest.units_of(variant("quick"))), ["gone", "first", "closed"]);
    // The index is that among all units, as grants have it.
    assert!(manifest.units_of(variant("expose")).all(|(index, unit)| manifest.units[index].name == unit.name));
    let unknown = manifest.variant("slow").expect_err("there is none").to_string();
    assert_eq!(unknown, "story 1.1.5 has no variant \"slow\" (it has expose, quick)");
    let none = &MANIFEST[..MANIFEST.find("[[variant]]").expect("the first")].replace("name = \"open\"", "name = \"x\"");
    let none = Manifest::parse(&none.replace("[[check]]\nname = \"x\"\ntitle = \"t\"\n", "")).expect("it parses");
    assert_eq!(
        none.variant("x").expect_err("there is none").to_string(),
        "story 1.1.5 has no variant \"x\" (it has none)"
    );
    // One may ask no check at all.
    let asks_nothing = MANIFEST.replace("omits = [\"last\"]", "omits = [\"last\", \"gone\"]");
    let manifest = Manifest::parse(&asks_nothing).expect("it parses");
    assert_eq!(names(manifest.units_of(manifest.variants.get(1))), ["first", "closed"]);
}

#[test]
fn what_is_refused_and_where() {
    let many: String =
        (0..20).map(|n| format!("[[variant]]\nname = \"v{n}\"\ntitle = \"t\"\nomits = [\"last\"]\n")).collect();
    let table = [
        ("name = \"quick\"", "name = \"expose\"", "\"expose\"", "the variant expose is there twice"),
        ("name = \"quick\"", "name = \"the quick\"", "\"the quick\"", "\"the quick\" is not a name"),
        ("name = \"quick\"", "name = \"quick\"\nonly = true", "only", "unknown field `only`"),
        ("title = \"Opens it\"\n", "", "[[variant]]", "missing field `title`"),
        ("omits = [\"last\"]", "omits = [\"least\"]", "\"least\"", "there is no step or check named \"least\""),
        ("omits = [\"last\"]", "omits = [\"last\", \"last\"]", "\"last\"", "\"last\" is there twice"),
        ("omits = [\"last\"]", "omits = [\"expose\"]", "\"expose\"", "\"expose\" does not run by default"),
        ("omits = [\"last\"]", "omits = [\"open\"]", "\"open\"", "\"open\" does not run by default"),
        ("omits = [\"last\"]", "omits = [\"first\", \"last\"]", "\"quick\"", "the variant quick has no step left"),
        (
            "omits = [\"last\"]",
            "adds = [\"first\", \"last\"]\nomits = [\"gone\"]",
            "\"expose\"",
            "the default has none",
        ),
        ("omits = [\"last\"]", "", "\"quick\"", "the variant quick is the default under another name"),
        ("omits = [\"last\"]", "adds = [\"open\"]", "\"open\"", "\"open\" is a `[[check]]`"),
        ("already = \"open\"\n", "", "\"open\"", "nothing names this check"),
        ("already = \"open\"\n", "already = \"shut\"\n", "\"open\"", "nothing names this check"),
        ("omits = [\"last\"]\n", "already = \"shut\"\n", "\"shut\"", "there is no `[[check]]` named \"shut\""),
        (
            "omits = [\"last\"]",
            "adds = [\"expose\"]",
            "\"quick\"",
            "the variant quick adds steps, but `gone` may say that there is nothing to do",
        ),
        ("omits = [\"last\"]\n", &format!("omits = [\"last\"]\n{many}"), "\"v18\"", "at most 20 variants"),
    ];
    for (from, to, place, message) in table {
        assert!(MANIFEST.contains(from), "{from}");
        let text = MANIFEST.replacen(from, to, 1);
        let error = Manifest::parse(&text).expect_err(message);
        assert!(error.message.contains(message), "{message}: {error}");
        assert_eq!(error.span.map(|span| &text[span]), Some(place), "{message}");
    }
}
