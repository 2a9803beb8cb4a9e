//! Restore points of git, on repositories that git itself made: what is restored, what is refused, and both ways of a run that
//! is killed anywhere.

use crate::{
    property::{Kill, ended, killed},
    runs::{Killer, Site, Tape, Way},
    steps::Op,
    trees::{difference, look},
};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};
use unship_policy::{
    Bundle, Definitions, Grant, Narrowed, RootFile, SecretKey, Signer as _, SitePolicy, StoryId, StoryPolicy,
    TrustRoot, Wanted, pack, resolve, sign, sign_root,
};
use unship_rollback::Outcome;
use unship_store::SiteStore;

/// Runs git with nothing of this machine's configuration.
fn git(folder: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"]).args(args);
    command.current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    command.env("GIT_AUTHOR_DATE", "1700000000 +0000").env("GIT_COMMITTER_DATE", "1700000000 +0000");
    let ran = command.env_remove("GIT_DIR").output().expect("git runs");
    assert!(ran.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("UTF-8")
}

/// What git finds different between the recorded commit and the files, by an index of its own: what the story took away is in
/// no other.
fn unlike(root: &Path) -> String {
    let run = |args: &[&str]| {
        let mut command = Command::new("git");
        command.args(args).current_dir(root).env("GIT_INDEX_FILE", root.join(".git/index-of-test"));
        let ran = command.output().expect("git runs");
        assert!(ran.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).expect("UTF-8")
    };
    let _ = run(&["read-tree", "before"]);
    let found = run(&["diff", "--", "e2e", "qa", "package.json"]);
    fs::remove_file(root.join(".git/index-of-test")).expect("removed");
    found
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
    fs::write(path, text).expect("written");
}

fn mode(root: &Path, path: &str, mode: u32) {
    fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).expect("mode");
}

fn commit(root: &Path, message: &str) {
    git(root, &["add", "--all"]);
    git(root, &["commit", "--quiet", "--message", message]);
}

/// A repository in which a story changed, made and removed something of every kind; the state before it has the tag `before`.
fn repository(root: &Path, init: &[&str]) {
    git(root, &[&["init", "--quiet"], init].concat());
    write(root, ".gitignore", "/.unship\nresults/\n*.log\n");
    write(root, "e2e/a.txt", "a\n");
    write(root, "e2e/same.txt", "same\n");
    write(root, "e2e/run.sh", "#!/bin/sh\n");
    mode(root, "e2e/run.sh", 0o755);
    write(root, "e2e/plain.txt", "plain\n");
    write(root, "e2e/old/deep/x.txt", "x\n");
    write(root, "e2e/becomes/dir.txt", "it was a directory\n");
    symlink("a.txt", root.join("e2e/link")).expect("link");
    symlink("a.txt", root.join("e2e/unlinked")).expect("link");
    write(root, "package.json", "{}\n");
    write(root, "src/main.js", "1\n");
    commit(root, "before");
    git(root, &["tag", "--annotate", "--message", "t", "before"]);
    git(root, &["gc", "--quiet"]);
    write(root, "e2e/a.txt", "changed\n");
    mode(root, "e2e/run.sh", 0o644);
    mode(root, "e2e/plain.txt", 0o755);
    fs::remove_dir_all(root.join("e2e/old")).expect("removed");
    fs::remove_dir_all(root.join("e2e/becomes")).expect("removed");
    write(root, "e2e/becomes", "a file\n");
    for link in ["e2e/link", "e2e/unlinked"] {
        fs::remove_file(root.join(link)).expect("removed");
    }
    symlink("same.txt", root.join("e2e/link")).expect("link");
    write(root, "e2e/unlinked", "a file\n");
    write(root, "e2e/new/deep/y.txt", "y\n");
    write(root, "qa/z.txt", "z\n");
    write(root, "package.json", "{\"e2e\":1}\n");
    write(root, "src/main.js", "2\n");
    commit(root, "story");
    write(root, "e2e/results/out.txt", "ignored\n");
    write(root, "e2e/new/trace.log", "ignored\n");
}

/// What a story holds that may look at and restore the point, as policies and a bundle give it.
fn point(table: &str) -> (Definitions, Grant) {
    let key = SecretKey::from_seed(&[1; 32]);
    let text = format!(
        "version = 1\nissued = 2020-01-01T00:00:00Z\nexpires = 2030-01-01T00:00:00Z\n[keys.one]\npublic = \"{}\"\n\
         [roles.root]\nkeys = [\"one\"]\nthreshold = 1\n\
         [roles.release]\nkeys = [\"one\"]\nthreshold = 1\nstories = [\"*\"]\ntier = \"owned\"\n",
        key.public()
    );
    let mut root = RootFile { version: 1, text, signatures: Vec::new() };
    root.signatures = sign_root(&root, &key).expect("signed");
    let trust = TrustRoot::begin(&[root], 1_800_000_000_000).expect("a trust root");
    let id = StoryId::new("1.8").expect("an id");
    let requests = "git.status = [\"qa\"]\ngit.restore = [\"qa\"]\n";
    let manifest = format!(
        "story = \"1.8\"\nversion = \"1.0.0\"\ntitle = \"t\"\n[[step]]\nname = \"exec\"\ntitle = \"t\"\n{requests}"
    );
    let packed = pack(b"\0asm\x0d\0\x01\0", &manifest).expect("packed");
    let signed = sign(&Bundle::parse(packed.into()).expect("a bundle"), Narrowed::default(), &key).expect("signed");
    let story = format!(
        "[story]\nid = \"1.8\"\ntitle = \"t\"\nbundle = \"b.wasm\"\nsigned-by = [\"release\"]\n[git.qa]\n{table}\n[grants.exec]\n{requests}"
    );
    let story = StoryPolicy::parse(&story, &id).unwrap_or_else(|e| panic!("{e}: {story}"));
    let site = SitePolicy::parse("[site]\nname = \"t\"\nbundles = \"bundles\"\n").expect("a site policy");
    let wanted = Wanted { story: &id, site: "t", roles: &story.signed_by, accept_expired: false };
    let verified = Bundle::parse(signed.into()).and_then(|b| b.verify(&trust, &wanted)).expect("verified");
    let resolved = resolve(verified, &story, &site).expect("it fits");
    (resolved.definitions, resolved.grants[0].clone())
}

const QA: &str = "commit = \"refs/tags/before\"\npaths = [\"e2e\", \"qa\", \"package.json\"]";

fn site_with(root: &Path, table: &str, steps: &[Op]) -> Site {
    let (definitions, grant) = point(table);
    Site {
        root: root.canonicalize().expect("a path"),
        steps: vec![steps.to_vec()],
        told: Vec::new(),
        definitions,
        grant,
    }
}

/// A site that is such a repository.
fn made(folder: &Path) -> std::path::PathBuf {
    let root = folder.join("site");
    fs::create_dir(&root).expect("a folder");
    repository(&root, &[]);
    SiteStore::create(&root).expect("a store");
    root
}

fn workshop() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let scratch = folder.path().join("scratch");
    fs::create_dir(&scratch).expect("a folder");
    (folder, scratch)
}

#[test]
fn a_restore_gives_the_recorded_state_and_undo_the_present_one() {
    let (folder, scratch) = workshop();
    let root = made(folder.path());
    let (index, head) = (fs::read(root.join(".git/index")).expect("index"), git(&root, &["rev-parse", "HEAD"]));
    let id = git(&root, &["rev-parse", "before^{commit}"])[..12].to_owned();
    let mut site = site_with(&root, QA, &[Op::Status, Op::Restore, Op::Restore]);
    let original = look(&root);
    let plan = site.plan(&scratch).expect("a plan");
    let effects: Vec<String> = plan.effects().map(|(_, effect)| effect.to_string().replace(&id, "ID")).collect();
    let expected = [
        "remove e2e/becomes",
        "remove e2e/link",
        "remove e2e/new/deep/y.txt",
        "remove e2e/unlinked",
        "remove qa/z.txt",
        "remove directory qa",
        "remove directory e2e/new/deep",
        "replace e2e/a.txt by git ID:e2e/a.txt (2 bytes)",
        "make directory e2e/becomes",
        "replace e2e/becomes/dir.txt by git ID:e2e/becomes/dir.txt (19 bytes)",
        "symlink e2e/link -> a.txt",
        "make directory e2e/old",
        "make directory e2e/old/deep",
        "replace e2e/old/deep/x.txt by git ID:e2e/old/deep/x.txt (2 bytes)",
        "replace e2e/plain.txt by git ID:e2e/plain.txt (6 bytes)",
        "replace e2e/run.sh by git ID:e2e/run.sh (10 bytes)",
        "symlink e2e/unlinked -> a.txt",
        "replace package.json by git ID:package.json (3 bytes)",
    ];
    assert_eq!(effects, expected);
    let differing = "differ [\"e2e/a.txt\", \"e2e/becomes\", \"e2e/becomes/dir.txt\", \"e2e/link\", \"e2e/new/deep/y.txt\", \
        \"e2e/old/deep/x.txt\", \"e2e/plain.txt\", \"e2e/run.sh\", \"e2e/unlinked\", \"package.json\", \"qa/z.txt\"] uncommitted []";
    let told = [format!("Status: {differing}"), "Restore: 11 restored".to_owned(), "Restore: 0 restored".to_owned()];
    assert_eq!(site.told[0], told);
    difference(&original, &look(&root)).expect("planning changes nothing");

    let tape = Tape::default();
    let done = site.attempt(&tape, Way::Execute(&plan), &Killer::at(0));
    ended(&site, done, Outcome::Succeeded).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(unlike(&root), "", "git finds a difference");
    assert_eq!(fs::read(root.join("src/main.js")).expect("beside the paths"), b"2\n");
    assert_eq!(fs::read(root.join("e2e/new/trace.log")).expect("ignored"), b"ignored\n");
    assert!(root.join("e2e/results/out.txt").exists() && !root.join("qa").exists());
    assert_eq!(git(&root, &["rev-parse", "HEAD"]), head);
    // (`git diff` may have refreshed its times, so what it lists is compared.)
    assert_eq!(fs::read(root.join(".git/index")).expect("index").len(), index.len());
    let undone = site.attempt(&tape, Way::Undo(Vec::new()), &Killer::at(0));
    ended(&site, undone, Outcome::Undone).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(git(&root, &["status", "--porcelain"]), "");
    fs::write(root.join(".git/index"), index).expect("as it was");
    let beside = |seen: crate::trees::Seen| seen.into_iter().filter(|(path, _)| !path.starts_with(".git")).collect();
    difference(&beside(original), &beside(look(&root))).expect("undo gives everything back");
}

#[test]
fn a_restore_killed_anywhere_goes_on_or_back() {
    let (folder, scratch) = workshop();
    let root = made(folder.path());
    let original = look(&root);
    let mut site = site_with(&root, QA, &[Op::Restore]);
    let plan = site.plan(&scratch).expect("a plan");
    let copy = |name: &str| {
        let to = folder.path().join(name);
        assert!(Command::new("cp").arg("-a").arg(&root).arg(&to).status().expect("cp runs").success());
        Site { root: to, steps: site.steps.clone(), told: site.told.clone(), ..site_with(&root, QA, &[]) }
    };
    let mut points = 0;
    for at in 1.. {
        let mut is_over = false;
        for back in [true, false] {
            let copy = copy(&format!("{at}-{back}"));
            let tape = Tape::default();
            let kill = Kill { at, kept: 0, back };
            let outcome =
                killed(&copy, &tape, Way::Execute(&plan), &[kill]).unwrap_or_else(|e| panic!("{at} {back}: {e}"));
            if outcome == Outcome::Undone {
                difference(&original, &look(&copy.root)).unwrap_or_else(|e| panic!("killed at {at}, taken back:\n{e}"));
            } else {
                let differ = unlike(&copy.root);
                assert_eq!(differ, "", "killed at {at}, gone on");
                is_over |= back;
            }
            fs::remove_dir_all(&copy.root).expect("removed");
        }
        points = at;
        if is_over {
            break;
        }
    }
    assert!(points > 50, "it was killed at {points} points");
}

/// What the guest is told of the point, after `change` was made to an ordinary repository; nothing may come of it.
fn told_after(table: &str, change: impl FnOnce(&Path)) -> Result<String, String> {
    let (folder, scratch) = workshop();
    let root = made(folder.path());
    change(&root);
    let mut site = site_with(&root, table, &[Op::Restore]);
    let plan = site.plan(&scratch)?;
    match plan.effects().count() {
        0 => Ok(site.told[0][0].clone()),
        effects => Err(format!("{effects} effects")),
    }
}

#[test]
fn what_nobody_committed_is_not_lost() {
    type Change = fn(&Path);
    let cases: [(&str, Change, &str); 9] = [
        ("changed", |root| write(root, "e2e/same.txt", "mine"), "e2e/same.txt"),
        ("of the same size", |root| write(root, "e2e/same.txt", "SAME\n"), "e2e/same.txt"),
        (
            "staged",
            |root| {
                write(root, "e2e/same.txt", "mine");
                git(root, &["add", "e2e"]);
            },
            "e2e/same.txt",
        ),
        (
            "staged and taken back",
            |root| {
                write(root, "e2e/same.txt", "mine");
                git(root, &["add", "e2e"]);
                write(root, "e2e/same.txt", "same\n");
            },
            "e2e/same.txt",
        ),
        ("deleted", |root| fs::remove_file(root.join("qa/z.txt")).expect("removed"), "qa/z.txt"),
        ("made executable", |root| mode(root, "qa/z.txt", 0o755), "qa/z.txt"),
        ("untracked", |root| write(root, "e2e/new/mine.txt", "mine"), "e2e/new/mine.txt"),
        (
            "in the way, though ignored",
            |root| {
                write(root, ".gitignore", "results/\n*.log\nold/\n/.unship\n");
                write(root, "e2e/old/deep/x.txt", "mine");
            },
            "e2e/old/deep/x.txt",
        ),
        (
            "no file",
            |root| {
                let fifo = root.join("e2e/fifo");
                rustix::fs::mknodat(rustix::fs::CWD, fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0)
                    .expect("a FIFO");
            },
            "e2e/fifo",
        ),
    ];
    for (case, change, path) in cases {
        let told = told_after(QA, change).unwrap_or_else(|e| panic!("{case}: {e}"));
        let expected = format!(
            "Restore: NotAsExpected(\"the restore point qa: {path} would be lost, as nobody committed what is there; commit it, or take it away\")"
        );
        assert_eq!(told, expected, "{case}");
    }
    let beside = told_after(QA, |root| write(root, "src/main.js", "mine"));
    assert!(beside.is_err_and(|e| e.ends_with("effects")), "what lies beside the paths is nobody's business");
}

#[test]
fn what_cannot_be_restored_faithfully_is_refused() {
    type Change = fn(&Path);
    let cases: [(&str, Change, &str); 15] = [
        ("no repository", |root| fs::remove_dir_all(root.join(".git")).expect("removed"), "there is no repository"),
        (
            "a bare one",
            |root| {
                git(root, &["config", "core.bare", "true"]);
            },
            "it is a bare one",
        ),
        (
            "line ends",
            |root| {
                git(root, &["config", "core.autocrlf", "true"]);
            },
            "line ends",
        ),
        (
            "an unknown format",
            |root| {
                git(root, &["config", "core.repositoryformatversion", "1"]);
                git(root, &["config", "extensions.refstorage", "reftable"]);
            },
            "unknown extension refstorage",
        ),
        ("a filter", |root| write(root, ".git/info/attributes", "*.sh filter=evil\n"), "attribute `filter`"),
        ("ident", |root| write(root, ".git/info/attributes", "/e2e/a.txt ident\n"), "attribute `ident`"),
        ("a macro", |root| write(root, ".git/info/attributes", "[attr]lfs filter=lfs\n"), "attribute `filter`"),
        (
            "no such tag",
            |root| {
                git(root, &["tag", "--delete", "before"]);
            },
            "there is no such reference",
        ),
        (
            "a commit of another branch",
            |root| {
                git(root, &["checkout", "--quiet", "--orphan", "other"]);
                git(root, &["commit", "--quiet", "--message", "other"]);
            },
            "descends",
        ),
        (
            "a damaged object",
            |root| {
                let id = git(root, &["rev-parse", "HEAD^{tree}"]);
                let object = root.join(format!(".git/objects/{}/{}", &id[..2], id[2..].trim()));
                mode(root, object.to_str().expect("UTF-8"), 0o644);
                fs::write(&object, b"x").expect("written");
            },
            "cannot be read",
        ),
        (
            "another object under its name",
            |root| {
                let object = |id: String| format!(".git/objects/{}/{}", &id[..2], id[2..].trim());
                let (tree, blob) = (git(root, &["rev-parse", "HEAD^{tree}"]), git(root, &["rev-parse", "HEAD:e2e"]));
                let (tree, blob) = (root.join(object(tree)), root.join(object(blob)));
                fs::remove_file(&tree).expect("removed");
                fs::copy(blob, tree).expect("copied");
            },
            "its content is that of",
        ),
        (
            "a repository in it",
            |root| {
                fs::create_dir(root.join("e2e/inner")).expect("a folder");
                git(&root.join("e2e/inner"), &["init", "--quiet"]);
            },
            "a repository of its own",
        ),
        (
            "a merge that is not over",
            |root| {
                let id = git(root, &["rev-parse", "HEAD:qa/z.txt"]);
                let info = format!("100644 {} 1\tqa/z.txt\n", id.trim());
                fs::write(root.join(".git/info/merge"), &info).expect("written");
                let file = fs::File::open(root.join(".git/info/merge")).expect("opened");
                let mut update = Command::new("git");
                update.args(["update-index", "--index-info"]).current_dir(root).stdin(file);
                assert!(update.status().expect("git runs").success());
            },
            "a merge of it is not over",
        ),
        (
            "a sparse checkout",
            |root| {
                git(root, &["update-index", "--skip-worktree", "qa/z.txt"]);
            },
            "sparse",
        ),
        (
            "a directory that is a symlink",
            |root| {
                fs::rename(root.join("qa"), root.join("elsewhere")).expect("moved");
                symlink("elsewhere", root.join("qa")).expect("link");
            },
            "qa/z.txt would be lost, as nobody committed what is there",
        ),
    ];
    for (case, change, said) in cases {
        let told = told_after(QA, change).unwrap_or_else(|e| panic!("{case}: {e}"));
        assert!(told.contains(said), "{case}: {told}");
    }
    let short = told_after(&QA.replace("refs/tags/before", &"0".repeat(40)), |_| ()).expect("no effects");
    assert!(short.contains("the repository does not have it"), "{short}");
}

#[test]
fn what_a_commit_may_not_bring_is_refused() {
    type Change = fn(&Path);
    let cases: [(&str, Change, &str); 3] = [
        (
            "a symlink out of the site",
            |root| symlink("../../../etc/passwd", root.join("e2e/out")).expect("link"),
            "leads out",
        ),
        (
            "a pointer to content elsewhere",
            |root| write(root, "e2e/big", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
            "Git LFS",
        ),
        (
            "a submodule",
            |root| {
                let id = git(root, &["rev-parse", "HEAD"]);
                git(root, &["update-index", "--add", "--cacheinfo", &format!("160000,{},e2e/sub", id.trim())]);
            },
            "it is a submodule",
        ),
    ];
    for (case, change, said) in cases {
        let (folder, scratch) = workshop();
        let root = made(folder.path());
        change(&root);
        if case != "a submodule" {
            git(&root, &["add", "--all"]);
        }
        git(&root, &["commit", "--quiet", "--message", "bad"]);
        git(&root, &["tag", "bad"]);
        git(&root, &["rm", "--quiet", "-r", "--cached", "e2e"]);
        fs::remove_dir_all(root.join("e2e")).expect("removed");
        git(&root, &["commit", "--quiet", "--message", "gone"]);
        let mut site = site_with(&root, "commit = \"refs/tags/bad\"\npaths = [\"e2e\"]", &[Op::Restore]);
        let planned = site.plan(&scratch);
        let told = planned.map_or_else(|e| e, |_| site.told[0][0].clone());
        assert!(told.contains(said), "{case}: {told}");
    }
}

#[test]
fn other_kinds_of_repositories_are_restored_alike_and_nothing_of_theirs_runs() {
    type Make = fn(&Path) -> std::path::PathBuf;
    let kinds: [(&str, Make); 3] = [
        ("SHA-256", |folder| {
            let root = folder.join("site");
            fs::create_dir(&root).expect("a folder");
            repository(&root, &["--object-format=sha256"]);
            root
        }),
        ("a linked working tree", |folder| {
            let main = folder.join("main");
            fs::create_dir(&main).expect("a folder");
            repository(&main, &[]);
            git(&main, &["worktree", "add", "--quiet", "../site", "-b", "linked"]);
            folder.join("site")
        }),
        ("programs in its configuration", |folder| {
            let root = folder.join("site");
            fs::create_dir(&root).expect("a folder");
            repository(&root, &[]);
            let evil = folder.join("evil");
            fs::write(&evil, format!("#!/bin/sh\ntouch {}\n", folder.join("ran").display())).expect("written");
            mode(folder, "evil", 0o755);
            let config = fs::read_to_string(root.join(".git/config")).expect("config");
            let program = evil.display();
            let more = format!(
                "[core]\n\tfsmonitor = {program}\n\thooksPath = {}\n\tsshCommand = {program}\n[filter \"x\"]\n\tsmudge = {program}\n[include]\n\tpath = {program}\n",
                folder.display()
            );
            fs::write(root.join(".git/config"), config + &more).expect("written");
            root
        }),
    ];
    for (kind, make) in kinds {
        let (folder, scratch) = workshop();
        let root = make(folder.path());
        SiteStore::create(&root).expect("a store");
        let mut site = site_with(&root, QA, &[Op::Restore]);
        let plan = site.plan(&scratch).expect("a plan");
        let tape = Tape::default();
        let done = site.attempt(&tape, Way::Execute(&plan), &Killer::at(0));
        ended(&site, done, Outcome::Succeeded).unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert_eq!(site.told[0], ["Restore: 11 restored"], "{kind}");
        assert_eq!(fs::read(root.join("e2e/old/deep/x.txt")).expect("restored"), b"x\n", "{kind}");
        assert!(!folder.path().join("ran").exists(), "{kind}: something ran");
    }
}

#[test]
fn a_shallow_clone_reaches_as_far_as_it_goes() {
    let (folder, scratch) = workshop();
    let main = folder.path().join("main");
    fs::create_dir(&main).expect("a folder");
    repository(&main, &[]);
    let from = format!("file://{}", main.display());
    for (depth, said) in [("2", "11 restored"), ("1", "cannot be read")] {
        let name = format!("site{depth}");
        git(folder.path(), &["clone", "--quiet", "--depth", depth, "--no-tags", &from, &name]);
        let root = folder.path().join(name);
        SiteStore::create(&root).expect("a store");
        let id = git(&main, &["rev-parse", "before^{commit}"]);
        let mut site = site_with(&root, &QA.replace("refs/tags/before", id.trim()), &[Op::Restore]);
        let _ = site.plan(&scratch).expect("a plan");
        assert!(site.told[0][0].contains(said), "depth {depth}: {:?}", site.told);
    }
}
