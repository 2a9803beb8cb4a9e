//! The invariants of `crates/ARCHITECTURE.md` that can be seen in the sources: who depends on what, who touches what, and
//! what every file has. Each rule lists its exceptions with their reasons; an exception that nothing needs fails as well.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Lines of a file at most.
const LINES_MAX: usize = 600;
/// The same for a file of acceptance tests, which is mostly a table of cases.
const TEST_LINES_MAX: usize = 1000;
/// Lines of `ARCHITECTURE.md` at most.
const ARCHITECTURE_LINES_MAX: usize = 300;

fn repo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

fn read(path: &str) -> String {
    fs::read_to_string(repo().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The Rust files below `folder`, with their text, by path relative to the repository.
fn sources(folder: &str) -> BTreeMap<String, String> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                walk(&path, found);
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&repo().join(folder), &mut found);
    assert!(!found.is_empty(), "{folder} holds no Rust file");
    let root = repo();
    let relative = |path: &Path| path.strip_prefix(&root).expect("below").to_string_lossy().into_owned();
    found.iter().map(|path| (relative(path), fs::read_to_string(path).expect("text"))).collect()
}

/// A source text without its comments. Enough for these sources: no string in them holds `//` before something forbidden.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Whether `text` holds `word` with no letter, digit or `_` right before or behind it.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(part) && !text[at + word.len()..].chars().next().is_some_and(part)
    })
}

/// Whether `text` reads a field of this name.
fn is_read(text: &str, field: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let name = format!(".{field}");
    text.match_indices(&name).any(|(at, _)| !text[at + name.len()..].chars().next().is_some_and(part))
}

/// The modules of std that a text names: `std::fmt`, and each of `use std::{fmt, sync::Arc}`.
fn std_modules(text: &str) -> BTreeSet<String> {
    let ident = |s: &str| s.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("std::") {
        let rest = &text[at + 5..];
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(ident(rest));
            continue;
        };
        let (mut depth, mut begin) = (0, 0);
        for (i, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                ',' | '}' if depth == 0 => {
                    found.insert(ident(&list[begin..i]));
                    begin = i + 1;
                    if c == '}' {
                        break;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    found.remove("");
    found
}

/// Package → its dependencies of a kind (`normal`, `dev`, `build`).
fn dependencies(kinds: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    for manifest in ["Cargo.toml", "crates/step/Cargo.toml"] {
        let out = Command::new("cargo")
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
            .arg(repo().join(manifest))
            .output()
            .expect("cargo metadata");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let metadata: Value = serde_json::from_slice(&out.stdout).expect("JSON");
        for package in metadata["packages"].as_array().expect("packages") {
            let wanted = |d: &&Value| kinds.contains(&d["kind"].as_str().unwrap_or("normal"));
            let names = package["dependencies"].as_array().expect("dependencies").iter().filter(wanted);
            let names = names.map(|d| d["name"].as_str().expect("a name").to_owned()).collect();
            all.insert(package["name"].as_str().expect("a name").to_owned(), names);
        }
    }
    all
}

/// Every package that depends on something that `is_meant`.
fn dependents(is_meant: impl Fn(&str) -> bool) -> Vec<String> {
    let all = dependencies(&["normal", "dev", "build"]);
    all.into_iter().filter(|(_, names)| names.iter().any(|n| is_meant(n))).map(|(package, _)| package).collect()
}

#[test]
fn only_host_knows_wasmtime() {
    let engine = |n: &str| ["wasmtime", "cranelift", "wasi-", "cap-std"].iter().any(|start| n.starts_with(start));
    assert_eq!(dependents(engine), ["unship-host"]);
    assert_eq!(dependents(|n| n == "tokio"), ["unship-controller", "unship-host"]);
}

#[test]
fn dependencies_of_the_pure_crates_are_as_listed() {
    let all = dependencies(&["normal", "build"]);
    let listed = |package: &str| all[package].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(
        listed("unship-policy"),
        ["base64ct", "blake2", "ed25519-dalek", "globset", "pkcs8", "serde", "serde_json", "sha2", "thiserror", "toml"]
    );
    assert_eq!(listed("unship-rollback"), ["csv-core", "serde", "serde_json", "thiserror", "unship-policy"]);
    assert_eq!(listed("unship-processes"), ["rustix", "thiserror", "unship-policy", "unship-rollback"]);
    assert_eq!(listed("unship-step"), ["wit-bindgen"]);
    assert!(!all["unship-store"].iter().any(|n| n.starts_with("unship-")), "the store knows bytes, not meanings");
    // Two crates sign, each for itself: policy judges who signed a bundle, the store signs its journal's head. One shared
    // crate would let the store know policy or policy know files, for thirty lines.
    let signing = dependencies(&["normal", "build"]).into_iter().filter(|(_, names)| names.contains("ed25519-dalek"));
    assert_eq!(signing.map(|(package, _)| package).collect::<Vec<_>>(), ["unship-policy", "unship-store"]);
    assert_eq!(dependents(|n| n == "anyhow"), ["xtask"], "errors of libraries and of the binary are typed");
}

#[test]
fn policy_and_rollback_touch_no_world() {
    // What of std has no way to a clock, an environment, a file, a socket or a process. `path` and `os` only for spelling.
    let pure = ["cmp", "collections", "ffi", "fmt", "iter", "mem", "ops", "os", "path", "slice", "str", "sync", "time"];
    let mut used = BTreeSet::new();
    for folder in ["crates/policy/src", "crates/rollback/src"] {
        for (path, text) in sources(folder) {
            let text = code(&text);
            for module in std_modules(&text) {
                assert!(pure.contains(&module.as_str()), "{path} uses std::{module}");
                used.insert(module);
            }
            // The rest of `time`, `os` and `path`.
            for word in
                ["Instant", "SystemTime", "exists", "is_file", "is_dir", "metadata", "canonicalize", "read_link"]
            {
                assert!(!has_word(&text, word), "{path} names `{word}`");
            }
            assert!(!text.contains("os::fd") && !text.contains("unix::fs") && !text.contains("unsafe"), "{path}");
        }
    }
    assert!(used.contains("collections"), "the scan sees what is used");
}

#[test]
fn only_cli_and_xtask_print() {
    // File → why.
    let excepted: BTreeMap<&str, &str> = [
        ("host/src/sandbox/stdio.rs", "`exec` joins the guest's streams to those of the process"),
        ("host/src/sandbox/compile.rs", "the compiling child hands its result over by its standard streams"),
    ]
    .into();
    let mut printing = BTreeSet::new();
    for folder in [
        "crates/policy/src",
        "crates/rollback/src",
        "crates/store/src",
        "crates/step/src",
        "crates/controller/src",
        "host/src",
    ] {
        for (path, text) in sources(folder) {
            // Tests may say why they pass over something.
            if path.contains("test") {
                continue;
            }
            let text = code(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default());
            let macros = ["println!", "eprintln!", "print!", "eprint!", "dbg!"].iter().any(|m| text.contains(m));
            let streams = text.contains("io::stdout") || text.contains("io::stderr");
            if macros || streams || text.contains("tracing_subscriber") {
                printing.insert(path);
            }
        }
    }
    assert_eq!(printing.iter().map(String::as_str).collect::<Vec<_>>(), excepted.into_keys().collect::<Vec<_>>());
    assert_eq!(dependents(|n| n == "tracing-subscriber"), ["unship-cli"]);
}

#[test]
fn the_sandbox_reaches_the_world_only_through_the_gate() {
    for (path, text) in sources("host/src/sandbox") {
        let text = code(&text);
        for way in
            ["crate::tree", "crate::providers", "std::fs", "rustix::fs::open", "preopened_dir", "inherit_network"]
        {
            assert!(!text.contains(way), "{path} knows `{way}`");
        }
    }
}

#[test]
fn proofs_have_no_public_field() {
    let policy = sources("crates/policy/src");
    for (file, proof) in [
        ("grant.rs", "Grant"),
        ("bundle/mod.rs", "Bundle"),
        ("bundle/verified.rs", "VerifiedBundle"),
        ("trust/chain.rs", "TrustRoot"),
        ("approval.rs", "ApprovedPlan"),
    ] {
        let text = &policy[&format!("crates/policy/src/{file}")];
        let (_, body) = text.split_once(&format!("pub struct {proof} {{")).expect("the proof's type");
        let (fields, _) = body.split_once("\n}").expect("its end");
        assert!(!code(fields).contains("pub"), "{proof} has a public field:\n{fields}");
        let before = text.split(&format!("pub struct {proof} {{")).next().unwrap_or_default();
        let derived = before.lines().next_back().unwrap_or_default();
        assert!(
            derived.starts_with("#[derive(") && !derived.contains("Deserialize") && !derived.contains("Default"),
            "{derived}"
        );
    }
    // Each is written out in its own file alone.
    for (path, text) in &policy {
        let text = code(text);
        let makes =
            |proof: &str| text.contains(&format!("{proof} {{")) && !text.contains(&format!("struct {proof} {{"));
        assert!(
            !makes("Grant") && !makes("VerifiedBundle") && !makes("ApprovedPlan"),
            "{path} builds a proof that is another file's"
        );
    }
}

/// The `pub` fields of every struct in `text`, as `Struct.field`.
fn fields(text: &str, of: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for part in code(text).split("struct ").skip(1) {
        let name: String = part.chars().take_while(|c| c.is_alphanumeric()).collect();
        let body = part.split_once(" {\n").map(|(_, rest)| rest.split("\n}").next().unwrap_or_default());
        for line in body.filter(|_| of(&name)).unwrap_or_default().lines() {
            let line = line.trim().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            if let Some((field, _)) = line.split_once(": ")
                && field.chars().all(|c| c.is_alphanumeric() || c == '_')
            {
                all.push((name.clone(), field.to_owned()));
            }
        }
    }
    all
}

#[test]
fn every_policy_key_is_read_and_what_it_means_is_used() {
    let policy = sources("crates/policy/src");
    let whole: String = policy.values().map(|text| code(text)).collect();
    // Every raw table refuses a key that it does not know, and every key that it knows is read.
    let mut keys = 0;
    for (path, text) in &policy {
        for (at, _) in text.match_indices("struct Raw") {
            let head: Vec<&str> = text[..at].lines().rev().take(4).collect();
            let derived = head.iter().any(|l| l.starts_with("#[derive(") && l.contains("Deserialize"));
            let strict = head.iter().any(|l| l.contains("deny_unknown_fields"));
            assert!(!derived || strict, "{path}: {} takes unknown keys", text[at..].lines().next().unwrap_or_default());
        }
        for (table, key) in fields(text, |name| name.starts_with("Raw")) {
            assert!(is_read(&whole, &key), "{table}.{key} is not read");
            keys += 1;
        }
    }
    assert!(keys > 40, "the scan sees the keys");
    // What the keys mean is used where things are done.
    let users: String = ["host/src", "crates/cli/src", "crates/processes/src"]
        .iter()
        .flat_map(|f| sources(f).into_values())
        .map(|t| code(&t))
        .collect();
    let uses = |word: &str| has_word(&users, word);
    let meanings = fields(&policy["crates/policy/src/meaning.rs"], |_| true);
    assert!(meanings.len() > 25, "the scan sees the meanings");
    for (meaning, field) in meanings {
        // A meaning's own methods may be the ones that use it: the host calls those.
        let own = policy["crates/policy/src/meaning.rs"].contains(&format!("self.{field}"));
        assert!(own || is_read(&users, &field), "nothing enforces {meaning}.{field}");
    }
    let capability = &policy["crates/policy/src/capability.rs"];
    let (_, rights) = capability.split_once("pub enum FileRight {").expect("the rights");
    for right in code(rights.split("\n}").next().unwrap_or_default()).lines().map(|l| l.trim().trim_end_matches(',')) {
        // The right to edit is judged together with the pointer, in the grant itself.
        let in_grant = policy["crates/policy/src/grant.rs"].contains(&format!("self.file(FileRight::{right}, "));
        let enforced = in_grant || uses(&format!("FileRight::{right}"));
        assert!(right.is_empty() || enforced, "nothing enforces the right {right}");
    }
    for (_, list) in fields(capability, |name| name == "Capabilities") {
        let held =
            ["grant.rs", "capability.rs"].iter().any(|f| is_read(&policy[&format!("crates/policy/src/{f}")], &list));
        assert!(held, "no grant looks at {list}");
    }
}

#[test]
fn every_file_says_what_it_is_and_is_not_too_long() {
    for (path, text) in sources(".") {
        assert!(text.starts_with("//!"), "{path} does not begin with `//!`");
        let lines = text.lines().count();
        let lines_max = if path.starts_with("tests/") { TEST_LINES_MAX } else { LINES_MAX };
        assert!(lines <= lines_max, "{path} has {lines} lines; at most {lines_max}");
        assert!(
            !text.contains(concat!("#![", "allow(")) && !text.contains(concat!("#[", "allow(")),
            "{path}: `expect`, with a reason"
        );
    }
}

/// The tests that a page names exist, and so do the files; each of its bold entries names a test. The page without its folds.
fn names_what_exists(page: &str) -> String {
    let text = read(page);
    let all = sources(".");
    let mut named = 0;
    // One line an entry; the names of its tests stand between "Held by" and the end of that sentence.
    let flat = text.replace("\n  ", " ");
    for part in flat.split("Held by ").skip(1) {
        let sentence = part.split("`.").next().unwrap_or_default();
        for test in sentence.split('`').skip(1).step_by(2) {
            let found = all.values().any(|t| t.contains(&format!("fn {test}(")));
            assert!(found, "{page} names a test that does not exist: {test}");
            named += 1;
        }
    }
    assert!(named > 20, "the scan sees the tests of {page}");
    let quoted: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    for file in quoted.iter().filter(|q| q.contains('/') && q.ends_with(".rs")) {
        assert!(repo().join(file).is_file(), "{page} names a file that does not exist: {file}");
    }
    flat
}

#[test]
fn architecture_names_tests_and_files_that_exist() {
    assert!(read("crates/ARCHITECTURE.md").lines().count() <= ARCHITECTURE_LINES_MAX);
    let flat = names_what_exists("crates/ARCHITECTURE.md");
    // Bold invariants, each with a test.
    for invariant in flat.split("\n- **").skip(1) {
        let entry = invariant.lines().next().unwrap_or_default();
        let how_to = ["A new ", "Before a commit"].iter().any(|start| entry.starts_with(start));
        assert!(how_to || entry.contains("Held by `"), "no test holds: {entry}");
    }
}

#[test]
fn the_threat_model_names_tests_that_exist() {
    let flat = names_what_exists("crates/THREAT-MODEL.md");
    let (promises, _) = flat.split_once("## What is not promised").expect("its last section");
    for promise in promises.split("\n- **").skip(1) {
        assert!(promise.contains("Held by `"), "no test holds: {promise}");
    }
}

/// `cargo xtask fuzz` runs what lies in `fuzz_targets`; a target that is in one list alone is never run, or cannot be built.
#[test]
fn every_fuzz_target_is_built_and_run() {
    let names = |text: &str, before: &str, after: &str| -> BTreeSet<String> {
        let pieces = text.split(before).skip(1).filter_map(|piece| Some(piece.split_once(after)?.0.to_owned()));
        pieces.collect()
    };
    let binaries: BTreeSet<String> = sources("fuzz/fuzz_targets")
        .iter()
        .map(|(path, text)| {
            let name = Path::new(path).file_stem().expect("a name").to_string_lossy().into_owned();
            assert!(text.contains(&format!("unship_fuzz::{name}(data)")), "{path} runs another target");
            name
        })
        .collect();
    let library = read("fuzz/src/lib.rs");
    let (_, listed) = library.split_once("pub const TARGETS").expect("the targets");
    assert_eq!(names(listed, "    (\"", "\""), binaries, "fuzz/src/lib.rs");
    assert_eq!(names(&read("fuzz/Cargo.toml"), "path = \"fuzz_targets/", ".rs\""), binaries, "fuzz/Cargo.toml");
}

#[test]
fn a_newcomer_finds_the_way_in() {
    for (path, must) in [
        ("README.md", "cargo xtask demo"),
        ("README.md", "cargo xtask test"),
        ("CHANGELOG.md", "## [Unreleased]"),
        ("LICENSE-MIT", "MIT"),
        ("LICENSE-APACHE", "Version 2.0"),
        (".ci/run", "cargo xtask lint"),
    ] {
        assert!(read(path).contains(must), "{path} does not say {must:?}");
    }
}

#[test]
fn the_scans_see_what_they_look_for() {
    let modules = std_modules("use std::{fs, io::{Read, Write}, sync::Arc};\nlet x = std::env::var(\"x\");");
    assert_eq!(modules.iter().map(String::as_str).collect::<Vec<_>>(), ["env", "fs", "io", "sync"]);
    assert!(has_word("a.exists()", "exists") && !has_word("a.exists_not()", "exists"));
    assert_eq!(code("let a = 1; // std::fs\n/// std::env"), "let a = 1; \n");
}
