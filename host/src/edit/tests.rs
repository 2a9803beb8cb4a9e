//! Tables of edits and refusals, and properties over generated texts.

use super::*;
use Format::{Json, Toml, Yaml};
use proptest::prelude::*;

/// In `text`, the one scalar to change stands between `«` and `»`.
fn check(format: Format, text: &str, pointer: &str, value: &str) {
    let (head, rest) = text.split_once('«').expect("marked");
    let (before, tail) = rest.split_once('»').expect("marked");
    let old = [head, before, tail].concat();
    assert_eq!(get_scalar(format, old.as_bytes(), pointer).as_deref(), Ok(before), "{text}");
    let edited = set_scalar(format, old.as_bytes(), pointer, Some(before), value).expect(text);
    assert_eq!(str::from_utf8(&edited.bytes), Ok(&*[head, value, tail].concat()));
    assert_eq!((edited.before.as_str(), edited.changed), (before, true));
    let back = set_scalar(format, &edited.bytes, pointer, Some(value), before).expect("can go back");
    assert_eq!(str::from_utf8(&back.bytes), Ok(&*old));
    let same = set_scalar(format, old.as_bytes(), pointer, Some("something else"), before).expect("is a no-op");
    assert!(!same.changed && same.bytes == old.as_bytes());
}

#[test]
fn one_scalar_changes_and_every_other_byte_stays() {
    for (text, pointer, value) in [
        ("a: «true»", "/a", "false"),
        ("a:   «true»   # why\nb: true\n", "/a", "false"),
        ("# head\r\na:\r\n  b: «x y»  \r\n  c: x y\r\n", "/a/b", "z"),
        ("\u{feff}ä: 1\nö: «é»\n\n\n", "/ö", "ü"),
        ("--- # one\n{a: «1», b: [2, 3]}\n...\n", "/a", "10"),
        ("a: [1, «two» , 'q''q']", "/a/1", "2"),
        ("a: [1, 2, «'q''q'»]  # 'c'", "/a/2", "'r'"),
        ("a: «\"x\\\"y\"»   # \"not this\"\n", "/a", "\"z\""),
        ("a: «'x'»   # it's\nb: 'x'\n", "/a", "x"),
        ("a: «on» # b: 1\n", "/a", "'off'"),
        ("- a: 1\n- a: «2»\n  b: &x v\n- c: *x\n", "/1/a", "3"),
        ("\"q k\": «1»\n", "/q k", "2"),
        ("a/b:\n  c~d: «1»\n", "/a~1b/c~0d", "2"),
        ("? a\n: «1»\n", "/a", "2"),
        ("%YAML 1.2\n---\na: «1»\n", "/a", "2"),
        ("m: |\n  a: 1\n  # no comment\nn: «1»\n", "/n", "2"),
        ("m: >-\n  a\n\n  b\nn: «http://x:80/#y»\n", "/n", "-1"),
        ("«x»\n", "", "y"),
        ("1: «one»\n", "/1", "uno"),
        ("a: {b: {c: «d»}}\n", "/a/b/c", "e f"),
    ] {
        check(Yaml, text, pointer, value);
    }
    for (text, pointer, value) in [
        ("{\"a\": «true»}", "/a", "false"),
        ("\u{feff}{\r\n\t\"a\" : [1, {\"b\":«\"x\\\"]}\"» } ],\r\n\t\"c\":null}", "/a/1/b", "\"😀\""),
        ("{\"\\u0061\\ud83d\\ude00\":«-1.5e3»}\n", "/a😀", "0"),
        ("[[], {}, «null»]", "/2", "\"\""),
        ("«1»\n", "", "2"),
        ("{\"a:b\": 1, \"\": «2»}", "/", "3"),
    ] {
        check(Json, text, pointer, value);
    }
    for (text, pointer, value) in [
        ("a = «true» # why\r\nb = true\r\n", "/a", "false"),
        ("\u{feff}[x.y]\nz = { k = «'lit'», l = 1 }\n", "/x/y/z/k", "\"basic\""),
        ("a.b.c = «1»\na.b.d = 2", "/a/b/c", "0x10"),
        ("[[p]]\nn = 1\n[[p]]\nn = «2»\n[p.q]\nr = 1\n", "/p/1/n", "3.5"),
        ("l = [\n  1, # one\n  «1979-05-27»,\n]\n", "/l/1", "1979-05-28T07:32:00Z"),
        ("\"q k\" = «\"é\"»\n", "/q k", "'ü'"),
    ] {
        check(Toml, text, pointer, value);
    }
}

#[test]
fn what_cannot_be_changed_alone_is_refused_at_its_place() {
    for (format, text, pointer, message) in [
        (Yaml, "a: 1\n", "/b", r#"line 1, column 1: nothing at /b: there is no "b" here"#),
        (Yaml, "a:\n  b: 1\n", "/a/b/c", r#"line 2, column 6: nothing at /a/b/c: there is no "c" here"#),
        (Yaml, "a: [1]\n", "/a/01", r#"line 1, column 4: nothing at /a/01: there is no "01" here"#),
        (Yaml, "a: [1]\n", "/a/1", r#"line 1, column 4: nothing at /a/1: there is no "1" here"#),
        (Yaml, "a: [1]\n", "/a/-", r#"line 1, column 4: nothing at /a/-: there is no "-" here"#),
        (Yaml, "a: 1\n", "a", r#""a" is not a JSON pointer: it starts with `/`, and `~` stands only in `~0` and `~1`"#),
        (
            Yaml,
            "a: 1\n",
            "/a~",
            r#""/a~" is not a JSON pointer: it starts with `/`, and `~` stands only in `~0` and `~1`"#,
        ),
        (Yaml, "é: {b: 1}\n", "/é", "line 1, column 4: /é is a mapping, not a scalar on one line"),
        (Yaml, "a:\n- 1\n", "/a", "line 2, column 3: /a is a sequence, not a scalar on one line"),
        (Yaml, "a:\nb: 1\n", "/a", "line 1, column 2: /a is empty, not a scalar on one line"),
        (Yaml, "a: |\n  x\n", "/a", "line 2, column 3: /a is a block scalar, not a scalar on one line"),
        (
            Yaml,
            "a: x\n  y\n",
            "/a",
            "line 1, column 4: /a is tagged, anchored or over several lines, not a scalar on one line",
        ),
        (
            Yaml,
            "a: 'x\n  y'\n",
            "/a",
            "line 1, column 4: /a is tagged, anchored or over several lines, not a scalar on one line",
        ),
        (
            Yaml,
            "a: !!str x\n",
            "/a",
            "line 1, column 4: /a is tagged, anchored or over several lines, not a scalar on one line",
        ),
        (
            Yaml,
            "a: &n x\nb: *n\n",
            "/a",
            "line 1, column 4: /a cannot be changed alone: an anchor lends this value to other places",
        ),
        (
            Yaml,
            "a: &n x\nb: *n\n",
            "/b",
            "line 2, column 4: /b cannot be changed alone: an alias stands here for a value from elsewhere",
        ),
        (
            Yaml,
            "a: &n {x: 1}\nb: *n\n",
            "/a/x",
            "line 1, column 4: /a/x cannot be changed alone: an anchor lends this value to other places",
        ),
        (
            Yaml,
            "a: &n {x: 1}\nb: *n\n",
            "/b/x",
            "line 2, column 4: /b/x cannot be changed alone: an alias stands here for a value from elsewhere",
        ),
        (
            Yaml,
            "a: &n {x: 1}\nb:\n  <<: *n\n  y: 2\n",
            "/b/y",
            "line 3, column 3: /b/y cannot be changed alone: a merge key `<<` stands beside it",
        ),
        (Yaml, "a: 1\nb: 2\n\"a\": 3\n", "/b", r#"line 3, column 1: the key "a" stands here a second time"#),
        (
            Yaml,
            "a: 1\n---\na: 2\n",
            "/a",
            "line 2, column 1: a second document begins; only a text with one can be edited",
        ),
        (Yaml, "", "/a", "line 1, column 1: not well-formed: no document"),
        (Yaml, "a: b: c\n", "/a", "line 1, column 5: not well-formed: mapping values are not allowed in this context"),
        (
            Json,
            "{\"a\":1,\"b\":{\"é\":2,\"\\u00e9\":3}}",
            "/b/é",
            r#"line 1, column 19: the key "é" stands here a second time"#,
        ),
        (Json, "{\n\"é\": nul}", "/é", "line 2, column 9: not well-formed: expected ident"),
        (Json, "{\"a\":1,}", "/a", "line 1, column 8: not well-formed: key must be a string"),
        (Json, "{\"a\":1} {}", "/a", "line 1, column 9: not well-formed: trailing characters"),
        (Json, "// c\n{\"a\":1}", "/a", "line 1, column 1: not well-formed: expected value"),
        (Json, "{\"a\":[]}", "/a", "line 1, column 6: /a is a sequence, not a scalar on one line"),
        (Toml, "a = 1\na = 2\n", "/a", "line 2, column 1: not well-formed: duplicate key"),
        (Toml, "a = '''\nx'''\n", "/a", "line 1, column 5: /a is over several lines, not a scalar on one line"),
        (Toml, "[a]\nb = 1\n", "/a", "line 1, column 1: /a is a mapping, not a scalar on one line"),
    ] {
        let refused =
            |result: Result<(), EditError>| assert_eq!(result.expect_err(text).to_string(), message, "{text}");
        refused(get_scalar(format, text.as_bytes(), pointer).map(drop));
        refused(set_scalar(format, text.as_bytes(), pointer, None, "7").map(drop));
    }
    let not_utf8 = get_scalar(Yaml, b"a: 1\nb: \xff\n", "/a").expect_err("is refused");
    assert_eq!(not_utf8.to_string(), "line 2, column 4: not UTF-8");
    let large = vec![b' '; TEXT_BYTES_MAX + 1];
    assert_eq!(get_scalar(Json, &large, ""), Err(EditError::TooLarge { size: large.len() }));
    let other = set_scalar(Yaml, b"x: 1\na: true # c\n", "/a", Some("yes"), "false").expect_err("is refused");
    assert_eq!(other.to_string(), "line 2, column 4: /a is `true`, expected `yes`");
}

#[test]
fn a_value_that_would_change_what_stands_around_it_is_refused() {
    for (format, text, value) in [
        (Yaml, "a: 1\nb: 2\n", ""),
        (Yaml, "a: 1\nb: 2\n", "x\ny: 1"),
        (Yaml, "a: 1\nb: 2\n", "x: y"),
        (Yaml, "a: 1\nb: 2\n", "x #y"),
        (Yaml, "a: 1\nb: 2\n", "x "),
        (Yaml, "a: 1\nb: 2\n", " x"),
        (Yaml, "a: 1\nb: 2\n", "#x"),
        (Yaml, "a: 1\nb: 2\n", "'x"),
        (Yaml, "a: 1\nb: 2\n", "'x' # c"),
        (Yaml, "a: 1\nb: 2\n", "\"x\" 'y'"),
        (Yaml, "a: 1\nb: 2\n", "[x]"),
        (Yaml, "a: 1\nb: 2\n", "{}"),
        (Yaml, "a: 1\nb: 2\n", "*x"),
        (Yaml, "a: 1\nb: 2\n", "&x y"),
        (Yaml, "a: 1\nb: 2\n", "!!str y"),
        (Yaml, "a: 1\nb: 2\n", "|"),
        (Yaml, "a: 1\nb: 2\n", "- x"),
        (Yaml, "a: 1\nb: 2\n", "? x"),
        (Yaml, "a: 1\nb: 2\n", "@x"),
        (Yaml, "a: 1\nb: 2\n", "a\tb\u{85}"),
        (Yaml, "{a: 1, b: 2}", "x, c: 3"),
        (Yaml, "{a: 1, b: 2}", "x}"),
        (Yaml, "a: 1 # kept\nb: 2", "\"x"),
        (Json, "{\"a\": 1, \"b\": 2}", "x"),
        (Json, "{\"a\": 1, \"b\": 2}", "2, \"c\": 3"),
        (Json, "{\"a\": 1, \"b\": 2}", "[]"),
        (Json, "{\"a\": 1, \"b\": 2}", " 2"),
        (Json, "{\"a\": 1, \"b\": 2}", "\"\\ud800\""),
        (Toml, "a = 1\nb = 2\n", "2 # c"),
        (Toml, "a = 1\nb = 2\n", "{ x = 1 }"),
        (Toml, "a = 1\nb = 2\n", "x"),
    ] {
        let refused = set_scalar(format, text.as_bytes(), "/a", None, value);
        assert!(matches!(refused, Err(EditError::BadValue { .. })), "{value:?}: {refused:?}");
    }
}

#[test]
fn a_text_made_to_exhaust_the_parser_is_refused_in_bounded_time() {
    let begun = std::time::Instant::now();
    let mib = 1 << 20;
    for (format, text) in [
        (Yaml, "- ".repeat(mib)),
        (Yaml, "[".repeat(mib)),
        (Yaml, "{a: ".repeat(mib / 4)),
        (Yaml, "? ".repeat(mib)),
        (Yaml, "a: 1\n".repeat(mib / 4)),
        (Yaml, "- *a\n".repeat(10)),
        (Json, "[".repeat(mib)),
        (Json, "{\"a\":".repeat(mib)),
        (Toml, format!("{}a = 1", "a.".repeat(mib))),
        (Toml, format!("[{}a]", "a.".repeat(mib))),
        (Toml, format!("a = {}", "[".repeat(mib))),
        (Toml, format!("a = {}", "{ a = ".repeat(mib / 4))),
    ] {
        assert!(get_scalar(format, text.as_bytes(), "/a").is_err(), "{format:?} {}", &text[..20]);
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "took {:?}", begun.elapsed());
}

#[test]
fn the_format_is_told_by_the_name() {
    for (path, format) in [
        ("a/b.yaml", Some(Yaml)),
        ("b.yml", Some(Yaml)),
        ("x.json", Some(Json)),
        ("x.toml", Some(Toml)),
        ("yaml", None),
        ("x.YAML", None),
    ] {
        assert_eq!(format_of(path), format);
    }
}

/// Lines of a flat YAML mapping: comments, blanks, and keys with nested mappings, in any mix of line ends.
fn yaml_text() -> impl Strategy<Value = (Vec<(String, String)>, String)> {
    let scalar =
        prop_oneof!["[a-zé][a-z0-9é_.-]{0,8}", "[0-9]{1,6}", "'[a-z #:é]{0,8}'", "\"[a-z #:'é]{0,8}\"", "true|false|~"];
    let comment = prop_oneof![Just(String::new()), "  # [a-zé:'\"{}]{0,12}", " {1,3}"];
    let noise =
        prop_oneof![Just(String::new()), "#[ a-z:é'\"-]{0,20}\n", "( {0,3}\n){0,2}", "k0: \\|\n  a: 1\n  # text\n"];
    let line = (scalar, comment, noise, any::<bool>());
    (proptest::collection::vec(line, 1..12), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(lines, crlf, bom, end)| {
            let mut text = if bom { BOM.to_owned() } else { String::new() };
            let mut scalars = Vec::new();
            for (i, (scalar, comment, noise, nested)) in lines.into_iter().enumerate() {
                text += &noise.replace("k0", &format!("t{i}"));
                if nested {
                    text += &format!("m{i}:\n    n{i}: x # x\n    é: {scalar}{comment}\n");
                    scalars.push((format!("/m{i}/é"), scalar));
                } else {
                    text += &format!("k{i}: {scalar}{comment}\n");
                    scalars.push((format!("/k{i}"), scalar));
                }
            }
            if !end {
                text.truncate(text.trim_end_matches('\n').len());
            }
            (scalars, if crlf { text.replace('\n', "\r\n") } else { text })
        },
    )
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "\\PC{0,8}".prop_map(serde_json::Value::String),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::btree_map("\\PC{0,6}", inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// The pointers of all scalars.
fn pointers(value: &serde_json::Value, base: String, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| pointers(item, format!("{base}/{i}"), found));
        }
        serde_json::Value::Object(map) => map.iter().for_each(|(key, item)| {
            pointers(item, format!("{base}/{}", key.replace('~', "~0").replace('/', "~1")), found);
        }),
        _ => found.push(base),
    }
}

proptest! {
    #[test]
    fn yaml_keeps_all_other_bytes((scalars, text) in yaml_text(), pick: prop::sample::Index, new in "[a-z]{1,12}") {
        let (pointer, before) = pick.get(&scalars);
        let found = get_scalar(Yaml, text.as_bytes(), pointer);
        prop_assert_eq!(found.as_ref(), Ok(before));
        let edited = set_scalar(Yaml, text.as_bytes(), pointer, Some(before), &new).expect("can be edited");
        let new_text = String::from_utf8(edited.bytes).expect("UTF-8");
        // All other scalars read as before, and what stands before and after the edit is what stood there.
        for (other, value) in &scalars {
            let expected = if other == pointer { &new } else { value };
            let found = get_scalar(Yaml, new_text.as_bytes(), other);
            prop_assert_eq!(found.as_ref(), Ok(expected));
        }
        let head = text.bytes().zip(new_text.bytes()).take_while(|(a, b)| a == b).count();
        let tail = text.bytes().rev().zip(new_text.bytes().rev()).take_while(|(a, b)| a == b).count();
        prop_assert!(head + tail + before.len() >= text.len());
        let back = set_scalar(Yaml, new_text.as_bytes(), pointer, None, before).expect("can go back");
        prop_assert_eq!(back.bytes, text.as_bytes());
    }

    #[test]
    fn json_agrees_with_serde(value in json_value(), pretty: bool, pick: prop::sample::Index, new in any::<i64>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.expect("JSON");
        let mut all = Vec::new();
        pointers(&value, String::new(), &mut all);
        prop_assume!(!all.is_empty());
        let pointer = pick.get(&all);
        let edited = set_scalar(Json, text.as_bytes(), pointer, None, &new.to_string()).expect("can be edited");
        let mut expected = value.clone();
        *expected.pointer_mut(pointer).expect("is there") = new.into();
        prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&edited.bytes).expect("JSON"), expected);
        let back = set_scalar(Json, &edited.bytes, pointer, None, &edited.before).expect("can go back");
        prop_assert_eq!(back.bytes, text.as_bytes());
    }

    #[test]
    fn no_text_and_no_value_panics(text in "([-a: \\[\\]{},?'\"|>&*!#%@~=\n\r\té]|a: |\n  )*", value in "\\PC{0,6}", pointer in "(/[a0-]?){0,3}") {
        for format in [Yaml, Json, Toml] {
            if let Ok(edited) = set_scalar(format, text.as_bytes(), &pointer, None, &value) {
                let found = get_scalar(format, &edited.bytes, &pointer);
                prop_assert_eq!(found.as_deref(), Ok(value.as_str()));
            }
        }
    }
}
