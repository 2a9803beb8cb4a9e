//! What each parser says of a fault, word for word, and where. One snapshot a parser: the messages are read by people
//! at 3 a.m., so a change of one is looked at.

use crate::support::{key, release, root_text, signed_by, verify};
use unship_policy::{
    Bundle, FileError, Manifest, Narrowed, PathPattern, PublicKey, Root, SecretKey, Signer as _, SitePolicy, StoryId,
    StoryPolicy, pack, parse_bytes, parse_duration, resolve, sign,
};

mod notices;
mod outside;

/// `case: LINE:COLUMN «text at fault» message (help)`, a line a case.
fn report<T>(cases: &[(&str, String)], parse: impl Fn(&str) -> Result<T, FileError>) -> String {
    let mut out = String::new();
    for (case, text) in cases {
        let Err(error) = parse(text) else { panic!("{case}: is taken:\n{text}") };
        out.push_str(&format!("{case}\n  {}\n", shown(&error, text)));
    }
    out
}

fn shown(error: &FileError, text: &str) -> String {
    let place = error.line_column(text).map_or_else(|| "no place".to_owned(), |(l, c)| format!("{l}:{c}"));
    let span = error.span.clone().and_then(|span| text.get(span)).unwrap_or_default();
    let span = span.lines().next().unwrap_or_default();
    let help = error.help.as_ref().map_or_else(String::new, |help| format!("\n  help: {help}"));
    format!("{place} «{span}» {}{help}", error.message.replace('\n', "\n  "))
}

/// `good` with one change each.
fn changes(good: &str, changes: &[(&'static str, &str, &str)]) -> Vec<(&'static str, String)> {
    let change = |(case, from, to): &(&'static str, &str, &str)| {
        assert!(good.contains(from), "{case}: {from:?} is not there");
        (*case, good.replacen(from, to, 1))
    };
    changes.iter().map(change).collect()
}

const MANIFEST: &str = r#"story = "1.3"
version = "1.0.0"
title = "t"
already = "gone"

[[check]]
name = "gone"
title = "t"
files.read = ["a"]

[[step]]
name = "remove"
title = "t"
files.remove = ["a"]
flags.set = { analytics = "off" }

[[verification]]
name = "well"
title = "t"
"#;

#[test]
fn manifest() {
    assert!(Manifest::parse(MANIFEST).is_ok());
    let mut cases = changes(
        MANIFEST,
        &[
            ("no TOML", "[[step]]", "[[step"),
            ("unknown key", "title = \"t\"", "titel = \"t\""),
            ("unknown key of a step", "files.remove = [\"a\"]", "sockets = 1"),
            ("unknown right", "files.remove", "files.shred"),
            ("wrong type", "version = \"1.0.0\"", "version = 1"),
            ("wrong type of a list", "files.remove = [\"a\"]", "files.remove = \"a\""),
            ("wrong type of a flag's values", "analytics = \"off\"", "analytics = false"),
            ("duplicate key", "title = \"t\"", "title = \"t\"\ntitle = \"u\""),
            ("missing key", "story = \"1.3\"\n", ""),
            ("missing key of a step", "name = \"remove\"\n", ""),
            ("a story id that is a path", "\"1.3\"", "\"../../x\""),
            ("a version that is none", "\"1.0.0\"", "\"1.0\""),
            ("a version with zeros in front", "\"1.0.0\"", "\"1.00.0\""),
            ("a name that is none", "name = \"remove\"", "name = \"re move\""),
            ("a name used twice", "name = \"well\"", "name = \"remove\""),
            ("a check that nothing names", "already = \"gone\"\n", ""),
            ("a check that is not there", "already = \"gone\"", "already = \"other\""),
            (
                "a check that changes",
                "name = \"well\"\ntitle = \"t\"",
                "name = \"well\"\ntitle = \"t\"\nfiles.clear = [\"a\"]",
            ),
            ("a path above", "files.read = [\"a\"]", "files.read = [\"../a\"]"),
            ("a path twice", "files.read = [\"a\"]", "files.read = [\"a\", \"a\"]"),
            ("no value of a flag", "analytics = \"off\"", "analytics = []"),
        ],
    );
    cases.push(("no step", "story = \"1\"\nversion = \"1.0.0\"\ntitle = \"t\"\nstep = []\n".to_owned()));
    cases.push(("too long", "#".repeat(300 << 10)));
    insta::assert_snapshot!("manifest", report(&cases, Manifest::parse));
}

const STORY: &str = r#"[story]
id = "1.3"
title = "t"
bundle = "b.wasm"
signed-by = ["release"]

[commands.stop]
argv = ["bin/stop"]
timeout = "30s"

[limits]
cpu = "10s"
memory = "256 MiB"

[grants.remove]
files.remove = ["a"]
flags.set = { analytics = "off" }
"#;

#[test]
fn story_policy() {
    let id = StoryId::new("1.3").expect("an id");
    assert!(StoryPolicy::parse(STORY, &id).is_ok());
    let cases = changes(
        STORY,
        &[
            ("no TOML", "id = ", "id "),
            ("unknown table", "[limits]", "[wishes]"),
            ("unknown key", "title", "titel"),
            ("unknown limit", "cpu =", "gpu ="),
            ("unknown key of a grant", "files.remove", "sockets.connect"),
            ("wrong type", "timeout = \"30s\"", "timeout = 30"),
            ("duplicate key", "id = \"1.3\"", "id = \"1.3\"\nid = \"1.3\""),
            ("duplicate table", "[limits]", "[commands.stop]"),
            ("missing key", "signed-by = [\"release\"]", ""),
            ("nobody signs", "[\"release\"]", "[]"),
            ("a role that is none", "[\"release\"]", "[\"Release Team\"]"),
            ("another story", "\"1.3\"", "\"1.4\""),
            ("an id that is a path", "\"1.3\"", "\"../../x\""),
            ("a bundle that is a path", "b.wasm", "../b.wasm"),
            ("a hidden bundle", "b.wasm", ".b.wasm"),
            ("no program", "[\"bin/stop\"]", "[]"),
            ("no duration", "\"30s\"", "\"soon\""),
            ("no size", "\"256 MiB\"", "\"much\""),
            ("a name that is none", "[commands.stop]", "[commands.\"st op\"]"),
            ("a step's name that is none", "[grants.remove]", "[grants.\"../x\"]"),
            ("a grant on the store", "[\"a\"]", "[\".unship/key\"]"),
            ("a grant on the policies", "[\"a\"]", "[\"policies/**\"]"),
            ("an absolute grant", "[\"a\"]", "[\"/etc/passwd\"]"),
            ("a broken glob", "[\"a\"]", "[\"a[\"]"),
            ("a `**` in the middle", "[\"a\"]", "[\"**/a\"]"),
            ("an edit of no pointer", "files.remove = [\"a\"]", "files.edit = { \"a.json\" = [] }"),
            ("an edit of a whole file", "files.remove = [\"a\"]", "files.edit = [\"a.json\"]"),
            ("a pointer that is none", "files.remove = [\"a\"]", "files.edit = { \"a.json\" = [\"a/b\"] }"),
            ("a pointer with a bad escape", "files.remove = [\"a\"]", "files.edit = { \"a.json\" = [\"/a~2\"] }"),
            ("a pointer twice", "files.remove = [\"a\"]", "files.edit = { \"a.json\" = [\"/a\", \"/a\"] }"),
            ("an edit above", "files.remove = [\"a\"]", "files.edit = { \"../a.json\" = [\"/a\"] }"),
        ],
    );
    insta::assert_snapshot!("story_policy", report(&cases, |text| StoryPolicy::parse(text, &id)));
}

const SITE: &str = r#"[site]
name = "practice"
bundles = "bundles"

[folders]
data = "/srv/data"

[flags]
file = "config/flags.yaml"
pointer = "/flags/{flag}/enabled"
values = { on = "true", off = "false" }

[services.web]
manager = "pid-file"
pid-file = "run/web.pid"
process = { exe = "bin/web", grace = "5s" }
start = ["bin/web"]
healthy = ["bin/healthy"]
timeout = "20s"

[processes.workers]
exe = "bin/worker"
grace = "10s"
"#;

#[test]
fn site_policy() {
    assert!(SitePolicy::parse(SITE).is_ok());
    let cases = changes(
        SITE,
        &[
            ("unknown table", "[folders]", "[wishes]"),
            ("unknown key", "name =", "nom ="),
            ("missing table", "[site]\nname = \"practice\"\nbundles = \"bundles\"\n", ""),
            ("wrong type", "\"practice\"", "1"),
            ("duplicate table", "[folders]", "[site]"),
            ("bundles outside", "\"bundles\"", "\"../bundles\""),
            ("absolute bundles", "\"bundles\"", "\"/bundles\""),
            ("a folder above", "\"/srv/data\"", "\"../data\""),
            ("a folder that is a pattern", "\"/srv/data\"", "\"/srv/*\""),
            ("a pointer without a flag", "/flags/{flag}/enabled", "/flags"),
            ("a pointer that does not begin", "/flags/{flag}/enabled", "{flag}"),
            ("no values", "{ on = \"true\", off = \"false\" }", "{}"),
            ("no pointer", "pointer = \"/flags/{flag}/enabled\"\n", ""),
            ("an unknown format of flags", "pointer = \"/flags", "format = \"toggles\"\npointer = \"/flags"),
            ("a pointer for flagd", "pointer = \"/flags", "format = \"flagd\"\npointer = \"/flags"),
            (
                "a file of flagd's that is no JSON",
                "pointer = \"/flags/{flag}/enabled\"\nvalues = { on = \"true\", off = \"false\" }",
                "format = \"flagd\"",
            ),
            ("a flags file that is a pattern", "config/flags.yaml", "config/*.yaml"),
            ("a flags file outside", "config/flags.yaml", "/etc/flags.yaml"),
            ("an unknown manager", "\"pid-file\"", "\"runit\""),
            ("a selector of everything", "exe = \"bin/worker\"\n", ""),
            ("no grace", "grace = \"10s\"", "grace = \"-1s\""),
            ("a selector of a user alone", "exe = \"bin/worker\"", "user = \"web\""),
            ("a selector of a pid file alone", "exe = \"bin/worker\"", "pid-file = \"run/worker.pid\""),
            ("an empty executable", "exe = \"bin/worker\"", "exe = \"\""),
            ("a user that is none", "grace = \"10s\"", "user = \"w eb\"\ngrace = \"10s\""),
            ("a user's number that is none", "grace = \"10s\"", "user = \"-1\"\ngrace = \"10s\""),
            ("a control group of all", "exe = \"bin/worker\"", "cgroup = \"/\""),
            ("a control group that is no path", "exe = \"bin/worker\"", "cgroup = \"web.service\""),
            ("a control group above", "exe = \"bin/worker\"", "cgroup = \"/a/../b\""),
            ("a pid file outside", "grace = \"10s\"", "pid-file = \"/run/x.pid\"\ngrace = \"10s\""),
            ("a tree that is no yes or no", "grace = \"10s\"", "tree = \"yes\"\ngrace = \"10s\""),
        ],
    );
    insta::assert_snapshot!("site_policy", report(&cases, SitePolicy::parse));
}

#[test]
fn trust_root() {
    let public = key(1).public().to_string();
    let good = root_text(&[("one", 1, "")], &[("release", &["one"], 1)]);
    assert!(Root::parse(&good).is_ok());
    let twice = format!("{good}[keys.two]\npublic = \"{public}\"\n");
    let weak = format!("unship-public-ed25519:{}", "0".repeat(64));
    let no_point = format!("unship-public-ed25519:02{}", "0".repeat(62));
    let mut cases = changes(
        &good,
        &[
            ("unknown key", "version", "edition"),
            ("wrong type", "version = 1", "version = \"1\""),
            ("no version", "version = 1\n", ""),
            ("version 0", "version = 1", "version = 0"),
            ("no end", "expires = 2028-01-01T00:00:00Z\n", ""),
            ("an end that is a text", "2028-01-01T00:00:00Z", "\"2028\""),
            ("an end in local time", "2028-01-01T00:00:00Z", "2028-01-01T00:00:00"),
            ("an end before the beginning", "2028-01-01T", "2026-01-01T"),
            ("no root", "[roles.root]\nkeys = [\"root\"]\nthreshold = 1\n", ""),
            ("unknown key of a key", "[keys.one]", "[keys.one]\nroles = []"),
            ("unknown key of a role", "[roles.release]", "[roles.release]\ncolour = 1"),
            ("a key's name that is none", "keys.one", "keys.\"o ne\""),
            ("a role that is none", "roles.release", "roles.\"Release!\""),
            ("a role of a key that is not there", "keys = [\"one\"]", "keys = [\"two\"]"),
            ("a role that names a key twice", "keys = [\"one\"]", "keys = [\"one\", \"one\"]"),
            ("a role without stories", "stories = [\"*\"]\n", ""),
            ("a role for no stories", "stories = [\"*\"]", "stories = []"),
            ("a pattern that is none", "stories = [\"*\"]", "stories = [\"1*\"]"),
            ("a role without a tier", "tier = \"owned\"\n", ""),
            ("an unknown tier", "tier = \"owned\"", "tier = \"friend\""),
            ("a root with stories", "keys = [\"root\"]", "stories = [\"*\"]\nkeys = [\"root\"]"),
            ("a root with a tier", "keys = [\"root\"]", "tier = \"owned\"\nkeys = [\"root\"]"),
            ("a threshold of none", "threshold = 1", "threshold = 0"),
            ("a threshold that its keys cannot reach", "threshold = 1", "threshold = 2"),
            (
                "a key that ends before it begins",
                "[keys.one]",
                "[keys.one]\nnot-before = 2027-02-01T00:00:00Z\nnot-after = 2027-01-01T00:00:00Z",
            ),
            ("a root's key with a time", "[keys.root]", "[keys.root]\nnot-after = 2027-05-01T00:00:00Z"),
            ("an exception by one", "[keys.one]", "[break-glass]\napprovals = 1\n[keys.one]"),
            (
                "a revoked bundle that is none",
                "[keys.one]",
                "[[revoked.bundle]]\ndigest = \"sha256:12\"\nreason = \"r\"\n[keys.one]",
            ),
            ("revoked without a reason", "[keys.one]", "[[revoked.bundle]]\ndigest = \"sha256:12\"\n[keys.one]"),
            ("a minisign key that is none", "unship-public-ed25519:", "minisign:"),
            ("another kind of key", "unship-public-ed25519:", "ssh-ed25519 "),
            ("a secret key", "unship-public-", "unship-secret-"),
            ("a key cut short", &public, &public[..40]),
            ("a weak key", &public, &weak),
            ("no point of the curve", &public, &no_point),
        ],
    );
    cases.push(("one key under two names", twice));
    insta::assert_snapshot!("trust_root", report(&cases, Root::parse));
}

/// What the bundle `bytes` are refused with, by a site with key 1 in the role `release`.
fn refusal(bytes: &[u8]) -> String {
    let id = StoryId::new("1.3").expect("an id");
    let story = StoryPolicy::parse(STORY, &id).expect("a policy");
    let demanded: Vec<&str> = story.signed_by.iter().map(unship_policy::Name::as_str).collect();
    let verified = verify(bytes, &release(1), &demanded);
    match verified {
        Err(e) => e.to_string(),
        Ok(_) => panic!("the bundle is taken"),
    }
}

fn section(name: &str, content: &[u8]) -> Vec<u8> {
    let size = u8::try_from(1 + name.len() + content.len()).expect("a small section");
    assert!(size < 128);
    [&[0, size, u8::try_from(name.len()).expect("short")], name.as_bytes(), content].concat()
}

#[test]
fn bundle() {
    let component = b"\0asm\x0d\0\x01\0";
    let packed = pack(component, MANIFEST).expect("packed");
    let signed = |bytes: &[u8], seed| signed_by(bytes, &[seed]);
    let good = signed(&packed, 1);
    let signature = &good[packed.len()..];
    let other = signed(&pack(component, &MANIFEST.replacen("1.0.0", "1.0.1", 1)).expect("packed"), 1);
    let mut altered = good.clone();
    let at = packed.windows(5).position(|w| w == b"1.0.0").expect("the version");
    altered[at] = b'2';
    let mut invalid = good.clone();
    invalid[at] = b'x';
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("no wasm", b"#!/bin/sh\n".to_vec()),
        ("a core module", b"\0asm\x01\0\0\0".to_vec()),
        ("an unknown version", b"\0asm\x0e\0\x01\0".to_vec()),
        ("no manifest", component.to_vec()),
        ("unsigned", packed.clone()),
        ("cut short", good[..good.len() - 1].to_vec()),
        ("altered", altered),
        ("a manifest that is not valid any more", invalid),
        ("signed by an unknown key", signed(&packed, 2)),
        ("another bundle's signature", [&packed, &other[other.len() - signature.len()..]].concat()),
        ("signed twice", [&good, signature].concat()),
        ("a section behind the signature", [&good[..], &section("x", b"y")].concat()),
        ("bytes behind the signature", [&good[..], b"x"].concat()),
        ("a section behind the manifest", [&packed[..], &section("x", b"y"), signature].concat()),
        ("a signature before the manifest", [&component[..], signature, &packed[8..]].concat()),
        ("two manifests", [&packed, &packed[8..], signature].concat()),
        ("an envelope that is none", [&packed[..], &section("unship:signatures", b"\x02")].concat()),
        ("a minisign signature that is none", [&packed[..], &section("unship:minisign", b"\x02")].concat()),
        ("64 MiB and one byte", vec![0; (64 << 20) + 1]),
    ];
    let mut out = String::new();
    for (case, bytes) in &cases {
        out.push_str(&format!("{case}\n  {}\n", refusal(bytes)));
    }
    let again =
        |e: Result<Vec<u8>, _>| e.map_or_else(|e: unship_policy::BundleError| e.to_string(), |_| "taken".to_owned());
    out.push_str(&format!(
        "signing twice\n  {}\n",
        again(sign(&Bundle::parse(good.clone().into()).expect("a bundle"), Narrowed::default(), &key(1)))
    ));
    out.push_str(&format!("packing a bundle\n  {}\n", again(pack(&packed, MANIFEST))));
    out.push_str(&format!("packing with a bad manifest\n  {}\n", again(pack(component, "story = 1"))));
    insta::assert_snapshot!("bundle", out);
}

/// A call with a place that the call `y` fills.
const FILLED: &str = "[http.x]\nmethod = \"POST\"\nurl = \"https://a/\"\nbody = \"{ids}\"\nfill = { ids = { from = \"y\", \
                      pointer = \"/a\" } }\ntimeout = \"1s\"\n";

#[test]
fn grants() {
    let id = StoryId::new("1.3").expect("an id");
    let bundle = signed_by(&pack(b"\0asm\x0d\0\x01\0", MANIFEST).expect("packed"), &[1]);
    let site = SitePolicy::parse(SITE).expect("a site policy");
    let good = format!("{STORY}\n[grants.gone]\nfiles.read = [\"a\"]\n");
    let check = |text: &str| {
        let story = StoryPolicy::parse(text, &id).expect("a policy that parses");
        let verified = verify(&bundle, &release(1), &["release"]).expect("verified");
        resolve(verified, &story, &site)
    };
    check(&good).expect("as it is, all fits");
    let service = "[services.web]\nmanager = \"pid-file\"\npid-file = \"x\"\nprocess = { exe = \"x\", grace = \"1s\" }\nstart = [\"x\"]\nhealthy = [\"x\"]\ntimeout = \"1s\"\n[limits]";
    let cases = changes(
        &good,
        &[
            ("a grant for nobody", "[grants.gone]", "[grants.fly]"),
            ("a check that is given a change", "[grants.gone]", "[grants.gone]\nfiles.clear = [\"a\"]"),
            ("no grant", "[grants.gone]\nfiles.read = [\"a\"]", ""),
            ("another path", "files.remove = [\"a\"]", "files.remove = [\"b\"]"),
            ("another value", "analytics = \"off\"", "analytics = \"on\""),
            ("another flag", "analytics = \"off\"", "search = \"off\""),
            ("a service defined twice", "[limits]", service),
            (
                "flags defined twice",
                "[limits]",
                "[flags]\nfile = \"f\"\npointer = \"/{flag}\"\nvalues = { on = \"1\" }\n[limits]",
            ),
            ("a folder defined twice", "[limits]", "[folders]\ndata = \"/elsewhere\"\n[limits]"),
            (
                "an http call that is to be taken back by none",
                "[limits]",
                "[http.x]\nmethod = \"POST\"\nurl = \"https://a/\"\ntimeout = \"1s\"\nundo = \"y\"\n[limits]",
            ),
            (
                "an http call that is to be taken back by a GET",
                "[limits]",
                "[http.x]\nmethod = \"POST\"\nurl = \"https://a/\"\ntimeout = \"1s\"\nundo = \"y\"\n\
                 [http.y]\nmethod = \"GET\"\nurl = \"https://a/\"\ntimeout = \"1s\"\n[limits]",
            ),
            ("an http call that is filled from none", "[limits]", &format!("{FILLED}[limits]")),
            (
                "an http call that is filled from one that changes something",
                "[limits]",
                &format!("{FILLED}[http.y]\nmethod = \"POST\"\nurl = \"https://a/\"\ntimeout = \"1s\"\n[limits]"),
            ),
            (
                "an http call that ends processes that nobody knows",
                "[limits]",
                "[http.x]\nmethod = \"POST\"\nurl = \"https://a/\"\ntimeout = \"1s\"\nsimulated = { ends = [\"y\"] }\n[limits]",
            ),
            (
                "a process selector defined twice",
                "[limits]",
                "[processes.workers]\nexe = \"x\"\ngrace = \"1s\"\n[limits]",
            ),
        ],
    );
    let mut out = String::new();
    for (case, text) in &cases {
        let said = match check(text).err().unwrap_or_else(|| panic!("{case}: is taken")) {
            unship_policy::GrantError::Policy(e) => shown(&e, text),
            unship_policy::GrantError::NotPermitted { span: Some(ref span), ref power, .. } => {
                format!("«{}» {power} is not permitted", &text[span.clone()])
            }
            e => e.to_string(),
        };
        out.push_str(&format!("{case}\n  {said}\n"));
    }
    insta::assert_snapshot!("grants", out);
}

#[test]
fn words() {
    let mut out = String::new();
    for text in
        ["", "../a", "/a", "a//b", "a/./b", "a/**/b", "a**", "a[", "x y:a", ".unship", "policies/site.toml", "a\\b"]
    {
        let error = PathPattern::new(text).map(|_| ()).expect_err(text);
        out.push_str(&format!("pattern {error}\n"));
    }
    for text in ["", "5", "5 parsecs", "-1s", "s", "99999999999999999999s", "1.5s"] {
        out.push_str(&format!("duration {text:?}: {}\n", parse_duration(text).map(|_| ()).expect_err(text)));
    }
    for text in ["", "MiB", "5 apples", "-1", "99999999999999999999", "999999999 TiB"] {
        out.push_str(&format!("bytes {text:?}: {}\n", parse_bytes(text).map(|_| ()).expect_err(text)));
    }
    for text in ["", "1..3", "../x", "1.2.3.4.5.6.7"] {
        out.push_str(&format!("story {}\n", StoryId::new(text).expect_err(text)));
    }
    out.push_str(&format!("public key: {}\n", PublicKey::parse("hello").expect_err("no key")));
    let secret = SecretKey::parse("unship-secret-ed25519:hush").expect_err("no key").to_string();
    assert!(!secret.contains("hush"), "a secret stands in its error");
    out.push_str(&format!("secret key: {secret}\n"));
    insta::assert_snapshot!("words", out);
}
