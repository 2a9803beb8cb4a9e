//! Bad input: each a clear error that points at the place, the exit status of the contract, and nothing changed.

use crate::support::{
    Practice, Ran, Site, fingerprint, forge, guest,
    mounts::{mount, with_tmpfs},
};
use std::{
    fs::{self, File},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

/// A user without rights, as root runs the tests of permissions.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `FILE:LINE:COLUMN` of the last `at` in `text`.
fn place(file: &str, text: &str, at: &str) -> String {
    let start = text.rfind(at).unwrap_or_else(|| panic!("{at:?} does not stand in:\n{text}"));
    let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
    let line = text[..start].matches('\n').count() + 1;
    format!("{file}:{line}:{}", text[line_start..start].chars().count() + 1)
}

/// `plan` and `apply` both end with `status`, say all of `says`, leave no trace of Rust's own, and change nothing.
#[track_caller]
fn refused(site: &Site, case: &str, status: i32, says: &[&str]) {
    let before = fingerprint(&site.path());
    for verb in [&["plan", "1.3"][..], &["apply", "1.3", "--yes"]] {
        let ran = site.unship(verb);
        assert_eq!(ran.status, Some(status), "{case}: {verb:?} said:\n{}", ran.stderr);
        assert!(ran.stderr.starts_with("Error: "), "{case}: {verb:?} said:\n{}", ran.stderr);
        for text in says {
            assert!(ran.stderr.contains(text), "{case}: {verb:?} lacks {text:?}:\n{}", ran.stderr);
        }
    }
    assert_eq!(before, fingerprint(&site.path()), "{case}: the site changed");
}

/// One line of a table of faults in a file that a person wrote.
struct Fault {
    case: &'static str,
    /// What stands there.
    from: &'static str,
    /// What is put there.
    to: &'static str,
    status: i32,
    /// The text that the error points at; empty where a whole file is at fault.
    at: &'static str,
    says: &'static [&'static str],
}

#[track_caller]
fn faults(site: &Site, file: &str, faults: &[Fault]) {
    let good = site.read(file);
    for fault in faults {
        assert!(good.contains(fault.from), "{}: {file} lacks {:?}", fault.case, fault.from);
        let bad = good.replacen(fault.from, fault.to, 1);
        site.write(file, &bad);
        let at = if fault.at.is_empty() { file.to_owned() } else { place(file, &bad, fault.at) };
        let mut says = fault.says.to_vec();
        says.push(&at);
        refused(site, fault.case, fault.status, &says);
    }
    site.write(file, &good);
}

#[test]
fn a_story_policy_at_fault_is_pointed_at() {
    let site = Site::practice();
    faults(
        &site,
        "policies/1.3.toml",
        &[
            Fault {
                case: "unknown key",
                from: "title = \"DuckDB integration\"",
                to: "colour = \"red\"\ntitle = \"DuckDB integration\"",
                status: 1,
                at: "colour",
                says: &["unknown field `colour`"],
            },
            Fault {
                case: "unknown right",
                from: "files.clear =",
                to: "files.shred =",
                status: 1,
                at: "shred",
                says: &["unknown field `shred`"],
            },
            Fault {
                case: "unknown capability",
                from: "services.restart =",
                to: "sockets.connect =",
                status: 1,
                at: "sockets",
                says: &["unknown field `sockets`"],
            },
            Fault {
                case: "wrong type",
                from: "timeout = \"30s\"",
                to: "timeout = 30",
                status: 1,
                at: "30",
                says: &["expected a string"],
            },
            Fault {
                case: "wrong type of a list",
                from: "commands.run = [\"stop-analytics\"]",
                to: "commands.run = \"stop-analytics\"",
                status: 1,
                at: "\"stop-analytics\"",
                says: &["expected a sequence"],
            },
            Fault {
                case: "no duration",
                from: "timeout = \"30s\"",
                to: "timeout = \"soon\"",
                status: 1,
                at: "\"soon\"",
                says: &["soon"],
            },
            Fault {
                case: "duplicate key",
                from: "bundle = \"story-1.3.wasm\"",
                to: "bundle = \"story-1.3.wasm\"\nbundle = \"other.wasm\"",
                status: 1,
                at: "bundle = \"other.wasm\"",
                says: &["duplicate key"],
            },
            Fault {
                case: "duplicate table",
                from: "[grants.restart-analytics]",
                to: "[grants.clear-cache]\nfiles.clear = [\"x\"]\n\n[grants.restart-analytics]",
                status: 1,
                at: "clear-cache]",
                says: &["duplicate key"],
            },
            Fault {
                case: "the same path twice",
                from: "files.clear = [\".cache/queries\"]",
                to: "files.clear = [\".cache/queries\", \".cache/queries\"]",
                status: 1,
                at: "\".cache/queries\"",
                says: &["stands here twice"],
            },
            Fault {
                case: "missing key",
                from: "signed-by = [\"release\"]",
                to: "",
                status: 1,
                at: "[story]",
                says: &["missing field `signed-by`"],
            },
            Fault {
                case: "nobody has to sign",
                from: "signed-by = [\"release\"]",
                to: "signed-by = []",
                status: 1,
                at: "[]",
                says: &["nobody would have to sign"],
            },
            Fault {
                case: "no TOML",
                from: "[grants.clear-cache]",
                to: "[grants.clear-cache",
                status: 1,
                at: "",
                says: &[],
            },
            Fault {
                case: "another story's id",
                from: "id = \"1.3\"",
                to: "id = \"1.4\"",
                status: 1,
                at: "\"1.4\"",
                says: &["named after story 1.3, but speaks of story 1.4"],
            },
            Fault {
                case: "an id that is a path",
                from: "id = \"1.3\"",
                to: "id = \"../../x\"",
                status: 1,
                at: "\"../../x\"",
                says: &["is not a story id"],
            },
            Fault {
                case: "a bundle that is a path",
                from: "bundle = \"story-1.3.wasm\"",
                to: "bundle = \"../story-1.3.wasm\"",
                status: 1,
                at: "\"../story-1.3.wasm\"",
                says: &["plain file name"],
            },
            Fault {
                case: "a grant above the site",
                from: "files.clear = [\".cache/queries\"]",
                to: "files.clear = [\"../queries\"]",
                status: 1,
                at: "\"../queries\"",
                says: &["`.` and `..` are not allowed"],
            },
            Fault {
                case: "an absolute grant",
                from: "files.clear = [\".cache/queries\"]",
                to: "files.clear = [\"/etc\"]",
                status: 1,
                at: "\"/etc\"",
                says: &["it is absolute"],
            },
            Fault {
                case: "a grant on the store",
                from: "files.clear = [\".cache/queries\"]",
                to: "files.clear = [\".unship/journal\"]",
                status: 1,
                at: "\".unship/journal\"",
                says: &["no grant reaches"],
            },
            Fault {
                case: "a grant for a step that does not exist",
                from: "[grants.clear-cache]",
                to: "[grants.fly]\nfiles.read = [\"x\"]\n[grants.clear-cache]",
                status: 1,
                at: "fly",
                says: &["story 1.3 has no step or check named `fly`", "it has: "],
            },
            Fault {
                case: "a check that is given a change",
                from: "[grants.flag-off]",
                to: "[grants.flag-off]\nflags.set = { duckdb_analytics = \"off\" }",
                status: 1,
                at: "flag-off",
                says: &["`flag-off` is a verification: it only looks, so `flags.set` cannot be granted to it"],
            },
            Fault {
                case: "a precondition that is given a change",
                from: "[grants.stub-present]",
                to: "[grants.stub-present]\nfiles.remove = [\"x\"]",
                status: 1,
                at: "stub-present",
                says: &["`stub-present` is a precondition: it only looks, so `files.remove` cannot be granted to it"],
            },
            Fault {
                case: "a step without a grant",
                from: "[grants.clear-cache]\nfiles.clear = [\".cache/queries\"]",
                to: "",
                status: 3,
                at: "",
                says: &["the step `clear-cache` requests `files.clear = [\".cache/queries\"]`", "does not permit"],
            },
            Fault {
                case: "a step with too small a grant",
                from: "files.clear = [\".cache/queries\"]",
                to: "files.clear = [\".cache/other\"]",
                status: 3,
                at: "clear-cache",
                says: &["the step `clear-cache` requests `files.clear = [\".cache/queries\"]`"],
            },
            Fault {
                case: "a flag's other value",
                from: "flags.set = { duckdb_analytics = \"off\" }",
                to: "flags.set = { duckdb_analytics = \"on\" }",
                status: 3,
                at: "disable-duckdb",
                says: &["requests `flags.set = { duckdb_analytics = \"off\" }`"],
            },
            Fault {
                case: "a command without a meaning",
                from: "[commands.stop-analytics]",
                to: "[commands.stop-something]",
                status: 3,
                at: "",
                says: &[
                    "the step `stop-queries` requests `commands.run`, but no policy says what \"stop-analytics\" means",
                ],
            },
            Fault {
                case: "a service that site.toml defines already",
                from: "[grants.taken-back]",
                to: "[services.analytics]\nmanager = \"pid-file\"\npid-file = \"x\"\nprocess = { exe = \"x\", grace = \"1s\" }\nstart = [\"x\"]\nhealthy = [\"x\"]\ntimeout = \"1s\"\n[grants.taken-back]",
                status: 1,
                at: "analytics]\nmanager",
                says: &["the service \"analytics\" is defined in site.toml already"],
            },
        ],
    );
    let mut bytes = fs::read(site.at("policies/1.3.toml")).expect("readable");
    let good = bytes.clone();
    bytes.extend(b"# \xff\n");
    fs::write(site.at("policies/1.3.toml"), bytes).expect("written");
    let at = format!("1.3.toml is not UTF-8, at byte {}", good.len() + 2);
    refused(&site, "not UTF-8", 1, &[&at]);
    fs::remove_file(site.at("policies/1.3.toml")).expect("removed");
    refused(&site, "no policy", 1, &["story 1.3 has no policy at this site (it has none)", "policies/1.3.toml"]);
}

#[test]
fn a_site_policy_or_trust_root_at_fault_is_pointed_at() {
    let site = Site::practice();
    faults(
        &site,
        "policies/site.toml",
        &[
            Fault {
                case: "unknown key",
                from: "[folders]",
                to: "[wishes]\n[folders]",
                status: 1,
                at: "wishes",
                says: &["unknown field `wishes`"],
            },
            Fault {
                case: "wrong type",
                from: "name = \"practice\"",
                to: "name = [\"practice\"]",
                status: 1,
                at: "[\"practice\"]",
                says: &["expected a string"],
            },
            Fault {
                case: "a pointer that names no flag",
                from: "/flags/{flag}/enabled",
                to: "/flags/enabled",
                status: 1,
                at: "\"/flags/enabled\"",
                says: &["holds `{flag}`"],
            },
            Fault {
                case: "an unknown manager",
                from: "\"pid-file\"",
                to: "\"runit\"",
                status: 1,
                at: "\"runit\"",
                says: &["unknown manager \"runit\""],
            },
            Fault {
                case: "a selector that means every process",
                from: "exe = \"bin/practice-analytics\", args = [\"serve\"], grace = \"5s\"",
                to: "grace = \"6s\"",
                status: 1,
                at: "\"6s\"",
                says: &["means every process"],
            },
            Fault {
                case: "bundles outside",
                from: "bundles = \"bundles\"",
                to: "bundles = \"../bundles\"",
                status: 1,
                at: "\"../bundles\"",
                says: &["`bundles` is a folder of the site"],
            },
        ],
    );
    let (root, signatures) = (site.read("policies/trust/1.toml"), site.read("policies/trust/1.sig"));
    site.write("policies/trust/1.toml", &root.replacen("threshold = 1", "threshold = 2", 1));
    refused(&site, "a root edited by hand", 3, &["version 1 of the trust root is not the one that this site accepted"]);
    site.write("policies/trust/1.toml", &root);
    site.write("policies/trust/1.sig", &signatures.replacen("keyid", "key-id", 1));
    refused(&site, "an envelope that is none", 3, &["policies/trust/1.sig", "it is not a DSSE envelope"]);
    fs::remove_dir_all(site.at("policies/trust")).expect("removed");
    refused(&site, "no trust root", 1, &["this site has no trust root, so nothing may run", "unship trust init"]);
    let _ = site.unship([Path::new("keygen"), &site.key()]).exits(0);
    site.trust("");
    refused(&site, "nobody is trusted", 3, &["the trust root has no role `release` that signs stories"]);
    fs::remove_file(site.at("policies/site.toml")).expect("removed");
    refused(&site, "no site policy", 1, &["is not a site: it holds no policies/site.toml", "unship init"]);
}

#[test]
fn a_story_id_is_never_a_path() {
    let site = Site::new("");
    let before = fingerprint(&site.path());
    for id in ["../../x", "..", "/etc/passwd", "1.3/../1.3", "1.3.toml", "1..3", "", "1.3\n"] {
        for verb in [&["plan", id][..], &["apply", id, "--yes"], &["check", id]] {
            let _ = site.unship(verb).exits(1).says("is not a story id");
        }
    }
    let _ = site.unship(["plan", "7.7"]).exits(1).says("story 7.7 has no policy at this site");
    assert_eq!(before, fingerprint(&site.path()));
}

/// A site with story 1.3's component, in which `manifest` says all; no grants.
fn with_manifest(manifest: &str) -> Site {
    let site = Site::new("");
    let policy = "[story]\nid = \"1.3\"\ntitle = \"a test\"\nbundle = \"story-1.3.wasm\"\nsigned-by = [\"release\"]\n";
    site.write("policies/1.3.toml", policy);
    let component = fs::read(guest("story_1_3.wasm")).expect("component");
    forge(&site, &component, manifest, &site.at("bundles/story-1.3.wasm"));
    site
}

#[track_caller]
fn refused_by_pack(manifest: &str, status: i32, says: &[&str]) {
    let site = Site::new("");
    let path = site.outside().join("manifest.toml");
    fs::write(&path, manifest).expect("written");
    let bundle = site.outside().join("bundle.wasm");
    let component = guest("story_1_3.wasm");
    let mut ran = site
        .unship([Path::new("pack"), &component, Path::new("--manifest"), &path, Path::new("-o"), &bundle])
        .exits(status);
    for text in says {
        ran = ran.says(text);
    }
    assert!(!bundle.exists(), "a refused bundle was written");
}

#[test]
fn an_import_that_the_manifest_does_not_request_is_refused_by_pack_and_by_plan() {
    let manifest =
        "story = \"1.3\"\nversion = \"1.0.0\"\ntitle = \"t\"\n[[step]]\nname = \"clear-cache\"\ntitle = \"t\"\n";
    let says = ["unship:step/", "does not request"];
    refused_by_pack(manifest, 3, &says);
    refused(&with_manifest(manifest), "an import that is not requested", 3, &says);
}

#[test]
fn a_step_that_the_component_does_not_know_is_refused_by_pack_and_by_plan() {
    // Requests all that the component imports, so that only the name is wrong.
    let real = include_str!("../steps-wasm/story-1-3/unship.toml");
    let unknown = real.replacen("name = \"clear-cache\"", "name = \"clear-everything\"", 1);
    let says = ["clear-everything", "clear-cache"];
    refused_by_pack(&unknown, 3, &says);
    let site = Site::practice();
    let policy = site.read("policies/1.3.toml").replacen("[grants.clear-cache]", "[grants.clear-everything]", 1);
    site.write("policies/1.3.toml", &policy);
    let public = site.unship([Path::new("keygen"), &site.key()]).exits(0).stdout;
    site.trust_tester(&public);
    let component = fs::read(guest("story_1_3.wasm")).expect("component");
    forge(&site, &component, &unknown, &site.at("bundles/story-1.3.wasm"));
    refused(&site, "a step that the component does not know", 3, &says);
}

#[test]
fn a_manifest_at_fault_is_pointed_at() {
    let good = "story = \"1.3\"\nversion = \"1.0.0\"\ntitle = \"t\"\n[[step]]\nname = \"clear-cache\"\ntitle = \"t\"\n";
    for (from, to, at, says) in [
        ("title = \"t\"\n", "titel = \"t\"\n", "titel", "unknown field `titel`"),
        ("\"1.0.0\"", "1.0", "1.0\n", "expected a string"),
        ("\"1.0.0\"", "\"1\"", "\"1\"", "three numbers"),
        ("\"1.3\"", "\"../../x\"", "\"../../x\"", "is not a story id"),
        ("[[step]]", "[[check]]", "[[check]]", "missing field `step`"),
        ("[[step]]", "[[step]]\nname = \"clear-cache\"\ntitle = \"t\"\n[[step]]", "\"clear-cache\"", "used twice"),
    ] {
        let bad = good.replacen(from, to, 1);
        let place =
            if says.starts_with("missing") { "manifest.toml".to_owned() } else { place("manifest.toml", &bad, at) };
        refused_by_pack(&bad, 1, &[says, &place]);
    }
}

#[test]
fn a_bundle_that_is_none_is_refused() {
    let site = Site::practice();
    let path = site.at("bundles/story-1.3.wasm");
    let good = fs::read(&path).expect("bundle");
    for cut in [4, 8, 9, good.len() / 3, good.len() / 2, good.len() - 1] {
        fs::write(&path, &good[..cut]).expect("written");
        refused(&site, &format!("cut after {cut} bytes"), 3, &["bundles/story-1.3.wasm is not a bundle"]);
    }
    fs::write(&path, "#!/bin/sh\nrm -rf /\n").expect("written");
    refused(&site, "no wasm at all", 3, &["is not a bundle", "magic bytes"]);
    fs::write(&path, b"").expect("written");
    refused(&site, "an empty file", 3, &["is not a bundle"]);
    fs::write(&path, b"\0asm\x01\0\0\0").expect("written");
    refused(&site, "a core module", 3, &["is not a bundle", "core module"]);
    fs::copy(guest("story_1_3.wasm"), &path).expect("copied");
    refused(&site, "no manifest", 3, &["the bundle holds no manifest"]);
    File::create(&path).and_then(|f| f.set_len(100 << 20)).expect("a sparse file");
    refused(&site, "100 MB", 1, &["story-1.3.wasm has 104857600 bytes; at most 67108864 are read"]);
    fs::remove_file(&path).expect("removed");
    refused(&site, "no bundle", 1, &["bundles/story-1.3.wasm cannot be read", "No such file"]);
    fs::create_dir(&path).expect("a folder");
    refused(&site, "a folder", 1, &["is not a regular file"]);
    fs::remove_dir(&path).expect("removed");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).expect("a FIFO");
    refused(&site, "a FIFO", 1, &["is not a regular file"]);
}

#[test]
fn modules_at_fault_are_refused_by_pack_and_exec() {
    let site = Site::new("");
    let good = fs::read(guest("exiter.wasm")).expect("module");
    let file = site.outside().join("module.wasm");
    let manifest = site.outside().join("manifest.toml");
    fs::write(&manifest, "story = \"1\"\nversion = \"1.0.0\"\ntitle = \"t\"\n[[step]]\nname = \"s\"\ntitle = \"t\"\n")
        .expect("written");
    let bundle = site.outside().join("bundle.wasm");
    let big = vec![0; 100 << 20];
    for (case, bytes, says) in [
        ("cut", &good[..good.len() / 2], ""),
        ("cut in its preamble", &good[..6], ""),
        ("no wasm at all", b"hello", ""),
        ("empty", b"", ""),
        ("100 MB", &big, "has 104857600 bytes; at most 67108864 are read"),
    ] {
        fs::write(&file, bytes).expect("written");
        let packed =
            site.unship([Path::new("pack"), &file, Path::new("--manifest"), &manifest, Path::new("-o"), &bundle]);
        let _ = packed.exits(1).says("module.wasm").says(says);
        assert!(!bundle.exists(), "{case}");
        let _ = Ran::of(Command::new(crate::support::UNSHIP).arg("exec").arg(&file))
            .exits(126)
            .says("module.wasm")
            .says(says);
    }
    let nowhere = site.outside().join("nowhere.wasm");
    let _ = site
        .unship([Path::new("pack"), &nowhere, Path::new("--manifest"), &manifest, Path::new("-o"), &bundle])
        .exits(1)
        .says("nowhere.wasm cannot be read");
    let _ = Ran::of(Command::new(crate::support::UNSHIP).arg("exec").arg(&nowhere)).exits(126).says("nowhere.wasm");
    let _ = site
        .unship([Path::new("pack"), &file, Path::new("--manifest"), &nowhere, Path::new("-o"), &bundle])
        .exits(1)
        .says("nowhere.wasm cannot be read");
}

#[test]
fn arguments_of_exec_at_fault_are_named() {
    let module = guest("exiter.wasm");
    for (args, status, says) in [
        (&["--dir", ""][..], 125, "a folder is HOST"),
        (&["--dir", "::x"], 125, "a folder is HOST"),
        (&["--dir", "/nowhere/at/all"], 125, "\"/nowhere/at/all\" cannot be used"),
        (&["--dir", "/dev/null"], 125, "is not a folder"),
        (&["--env", "NOVALUE"], 125, "a variable is NAME=VALUE"),
        (&["--env", "=x"], 125, "a variable is NAME=VALUE"),
        (&["--limit", "cpu"], 125, "it is NAME=VALUE"),
        (&["--limit", "cpu=5"], 125, "\"cpu=5\" is not a limit"),
        (&["--limit", "speed=1s"], 125, "the limits are cpu, wall, memory"),
        (&["--limit", "handles=many"], 125, "handles is a number"),
        (&["--colour", "red"], 2, "unexpected argument '--colour'"),
    ] {
        let mut command = Command::new(crate::support::UNSHIP);
        let _ = Ran::of(command.arg("exec").args(args).arg(&module)).exits(status).says(says);
    }
}

#[test]
fn words_that_no_verb_knows_are_usage_errors() {
    let site = Site::new("");
    for args in [
        &["fly"][..],
        &["apply"],
        &["apply", "1.3", "--force"],
        &["plan", "1.3", "1.4"],
        &["journal"],
        &["journal", "burn"],
        &["keygen"],
        &["pack", "x.wasm"],
    ] {
        let ran = site.unship(args).exits(2).says("Usage: ");
        assert!(ran.stdout.is_empty(), "{args:?}: {}", ran.stdout);
    }
    let _ = site.unship(["show", "r20260101t000000z-0000"]).exits(1).says("there is no run \"r20260101t000000z-0000\"");
    let _ = site.unship(["show", "../../x"]).exits(1).says("there is no run");
    let _ = site.unship(["journal", "show", "--run", "../../x"]).exits(1).says("there is no run");
    let _ = site.unship(["apply", "1.3", "--expect", "sha256:12"]).exits(1).says("is not a plan's digest");
}

#[test]
fn a_flags_file_at_fault_is_pointed_at() {
    let site = Site::practice();
    let file = "config/feature-flags.yaml";
    let good = site.read(file);
    let key = "duckdb_analytics:\n    enabled: true";
    assert!(good.contains(key), "{good}");
    let twice = good.replacen("duckdb_analytics:", "duckdb_analytics:\n    enabled: false\n  duckdb_analytics:", 1);
    for (case, text, says) in [
        ("no YAML", good.replacen(key, "duckdb_analytics: [\n    enabled: true", 1), vec!["feature-flags.yaml:"]),
        ("no such flag", good.replacen(key, "other_analytics:\n    enabled: true", 1), vec!["duckdb_analytics"]),
        ("no such key", good.replacen(key, "duckdb_analytics:\n    on: true", 1), vec!["enabled"]),
        ("a key twice", twice, vec!["duckdb_analytics", "feature-flags.yaml:"]),
        ("an unknown value", good.replacen(key, "duckdb_analytics:\n    enabled: maybe", 1), vec!["maybe"]),
        ("empty", String::new(), vec!["duckdb_analytics"]),
    ] {
        site.write(file, &text);
        let mut says = says;
        says.push("config/feature-flags.yaml");
        refused(&site, case, 3, &says);
    }
    fs::remove_file(site.at(file)).expect("removed");
    refused(&site, "no flags file", 3, &["config/feature-flags.yaml"]);
}

#[test]
fn a_missing_stub_is_a_precondition_that_does_not_hold() {
    let site = Site::practice();
    fs::remove_file(site.at("tools/data-services/stubs/simple-query-engine.js")).expect("removed");
    refused(&site, "no stub", 3, &["stub-present", "tools/data-services/stubs/simple-query-engine.js"]);
}

#[test]
fn a_store_that_cannot_be_used_is_named() {
    let site = Site::practice();
    let format = site.read(".unship/format");
    site.write(".unship/format", &format.replacen("unship-store 1", "unship-store 2", 1));
    refused(&site, "a newer store", 1, &["layout version 2", "use a newer unship"]);
    site.write(".unship/format", "hello\n");
    refused(&site, "no format", 1, &["format is missing or not as unship wrote it"]);
    site.write(".unship/format", &format);
    let moved = site.outside().join("journal");
    fs::rename(site.at(".unship/journal"), &moved).expect("moved");
    let before = fingerprint(&site.path());
    let _ = site.unship(["apply", "1.3", "--yes"]).exits(1).says(".unship/journal").says("No such file");
    assert_eq!(before, fingerprint(&site.path()));
    assert!(!site.at(".unship/journal").exists(), "a lost journal is never made anew");
    fs::rename(&moved, site.at(".unship/journal")).expect("moved");
    fs::set_permissions(site.at(".unship"), fs::Permissions::from_mode(0o777)).expect("mode");
    refused(&site, "a store for all", 1, &["other users have rights to it"]);
    fs::rename(site.at(".unship"), site.outside().join("store")).expect("moved");
    refused(&site, "no store", 1, &["this site has no store yet", "unship init"]);
    std::os::unix::fs::symlink(site.outside().join("store"), site.at(".unship")).expect("linked");
    refused(&site, "a link to a store", 1, &["it is a symbolic link"]);
}

#[test]
fn a_journal_that_may_not_be_written_stops_all() {
    let site = Site::practice();
    let _ = site.unship(["plan", "1.3"]).exits(0);
    fs::set_permissions(site.at(".unship/journal"), fs::Permissions::from_mode(0o400)).expect("mode");
    let mut command = site.command(["apply", "1.3", "--yes"]);
    if is_root() {
        // Root may write whatever the mode says: a user without rights owns the site and runs the command.
        let owned = Command::new("chown").args(["-R", "65534:65534"]).arg(site.outside()).status().expect("chown");
        assert!(owned.success());
        command.uid(NOBODY).gid(NOBODY);
    }
    let before = fingerprint(&site.path());
    let _ = Ran::of(&mut command).exits(1).says(".unship/journal").says("no permission");
    assert_eq!(before, fingerprint(&site.path()));
}

/// Copies the practice site, its service stays with the original, into `to`.
fn copied(site: &Practice, to: &Path) -> PathBuf {
    let path = to.join("site");
    let copy = Command::new("cp").arg("-a").arg(site.path()).arg(&path).status().expect("cp");
    assert!(copy.success());
    path
}

#[test]
fn a_full_disk_is_told_before_anything_is_changed() {
    let practice = Site::practice();
    let _ = practice.unship(["plan", "1.3"]).exits(0);
    with_tmpfs("a full disk", 256 << 20, |folder| {
        let path = copied(&practice, folder);
        let stat = rustix::fs::statvfs(folder).expect("statvfs");
        // What is left is less than any run needs, then nothing at all.
        for (left, status, says) in
            [(2 << 20, 3, "the disk of the folder \"site\" is full"), (0, 1, "its file system or quota is full")]
        {
            let filler = folder.join("filler");
            let free = rustix::fs::statvfs(folder).expect("statvfs").f_bavail * stat.f_frsize;
            let file = fs::OpenOptions::new().create(true).append(true).open(&filler).expect("filler");
            let have = file.metadata().expect("metadata").len();
            let _ = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, have + free - left);
            let before = fingerprint(&path);
            let mut command = Command::new(crate::support::UNSHIP);
            command.args(["apply", "1.3", "--yes", "--site"]).arg(&path).env_clear().env("PATH", "/usr/bin:/bin");
            let ran = Ran::of(&mut command).exits(status);
            let _ = ran.says(says);
            assert_eq!(before, fingerprint(&path), "{left} bytes left");
        }
    });
}

#[test]
fn a_journal_on_a_read_only_file_system_stops_all() {
    let practice = Site::practice();
    let _ = practice.unship(["plan", "1.3"]).exits(0);
    with_tmpfs("a read-only file system", 256 << 20, |folder| {
        let path = copied(&practice, folder);
        mount(None, folder, libc::MS_REMOUNT | libc::MS_RDONLY, "").expect("read-only");
        let before = fingerprint(&path);
        let mut command = Command::new(crate::support::UNSHIP);
        command.args(["apply", "1.3", "--yes", "--site"]).arg(&path).env_clear().env("PATH", "/usr/bin:/bin");
        let _ = Ran::of(&mut command).exits(1).says("read-only");
        assert_eq!(before, fingerprint(&path));
    });
}
