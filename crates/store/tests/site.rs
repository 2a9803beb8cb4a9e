//! The site's directory as a whole: making it, opening it, its lock, and who may not.
//!
//! Some tests need another process or another user: the test binary runs one of its own tests again as a child.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use unship_store::{Durability, IoErrorKind, JournalError, LockError, SiteError, SiteStore, SpaceLimit, Tail, verify};

/// Names the child's site; a test that finds it plays the child.
const CHILD_SITE: &str = "UNSHIP_STORE_TEST_SITE";

const NOBODY: u32 = 65534;

fn child_site() -> Option<PathBuf> {
    std::env::var_os(CHILD_SITE).map(PathBuf::from)
}

/// This binary again, one test of it, with a site. The copy lies where every user can run it.
fn child(test: &str, site: &Path, copy_in: &Path) -> Command {
    let program = copy_in.join("test-binary");
    if !program.exists() {
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(program);
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD_SITE, site).current_dir("/");
    command
}

/// A folder that other users can enter.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

/// As the user nobody where the tests run as root, else as who we are.
fn unprivileged(mut command: Command) -> Command {
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn assert_passes(mut command: Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn makes_what_it_promises_and_opens_it_again() {
    let site = tempfile::tempdir().unwrap();
    assert!(matches!(SiteStore::open(site.path()), Err(SiteError::Missing { .. })));
    let store = SiteStore::create(site.path()).unwrap();
    let dir = site.path().join(".unship");
    assert_eq!(store.path(), dir);
    for folder in ["", "code", "images", "trash"] {
        assert_eq!(mode(&dir.join(folder)), 0o700, "{folder}");
    }
    for file in ["key", "journal", "format", "lock", ".gitignore"] {
        assert_eq!(mode(&dir.join(file)), 0o600, "{file}");
    }
    assert_eq!(fs::read(dir.join(".gitignore")).unwrap(), b"*\n");
    assert_eq!(fs::read(dir.join("key")).unwrap().len(), 32);
    assert_eq!(fs::read_to_string(dir.join("format")).unwrap(), format!("unship-store 1 {}\n", store.id()));

    let journal = store.journal(&mut |_| panic!("a record in a new journal")).unwrap();
    journal.append(vec![b"{}".to_vec()], Durability::Flush).unwrap();
    assert!(matches!(store.journal(&mut |_| ()), Err(JournalError::InUse { .. })));
    drop(journal);
    // Making it again changes nothing.
    let key = fs::read(dir.join("key")).unwrap();
    let again = SiteStore::create(site.path()).unwrap();
    assert_eq!((again.id(), fs::read(dir.join("key")).unwrap()), (store.id(), key));
    let mut seen = 0;
    again.journal(&mut |_| seen += 1).unwrap();
    assert_eq!(seen, 1);
    let report = verify(&again.journal_path()).unwrap();
    assert_eq!((report.site, report.records, report.tail), (store.id(), 1, Tail::Clean));

    again.code().unwrap().put("k", b"code").unwrap();
    assert!(store.code().unwrap().open("k").unwrap().is_some());
    let images = store.run_images("r1", Arc::new(SpaceLimit::new(0, 0))).unwrap();
    assert_eq!(images.trash().unwrap().path(), dir.join("trash/r1"));
}

#[test]
fn completes_what_was_made_in_part() {
    let whole = tempfile::tempdir().unwrap();
    let id = SiteStore::create(whole.path()).unwrap().id();
    let made = |names: &[&str]| {
        let site = tempfile::tempdir().unwrap();
        let dir = site.path().join(".unship");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
        for name in names {
            fs::copy(whole.path().join(".unship").join(name), dir.join(name)).unwrap();
        }
        site
    };
    for names in [&[][..], &["key"], &["key", "journal"]] {
        let site = made(names);
        assert!(matches!(SiteStore::open(site.path()), Err(SiteError::Missing { .. })));
        let store = SiteStore::create(site.path()).unwrap();
        assert_eq!(store.id() == id, names.contains(&"journal"));
        assert!(store.journal(&mut |_| ()).is_ok());
    }
    // A store that once was whole is never completed: its history would be lost without a word.
    let site = made(&["key", "format"]);
    assert!(SiteStore::create(site.path()).unwrap().journal(&mut |_| ()).is_err());
    let site = made(&["journal", "format"]);
    assert!(matches!(SiteStore::create(site.path()), Err(SiteError::Incomplete { file: "key", .. })));
}

#[test]
fn refuses_newer_unreadable_and_foreign_stores() {
    let site = tempfile::tempdir().unwrap();
    let store = SiteStore::create(site.path()).unwrap();
    let format = store.path().join("format");
    fs::write(&format, "unship-store 2 something else\n").unwrap();
    let error = SiteStore::open(site.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("it has layout version 2, and this unship knows versions up to 1; use a newer unship"),
        "{error}"
    );
    fs::write(&format, "nonsense").unwrap();
    assert!(matches!(SiteStore::open(site.path()), Err(SiteError::Incomplete { file: "format", .. })));
    // The journal of another site.
    let other = tempfile::tempdir().unwrap();
    let other = SiteStore::create(other.path()).unwrap();
    fs::write(&format, format!("unship-store 1 {}\n", other.id())).unwrap();
    let journal = SiteStore::open(site.path()).unwrap().journal(&mut |_| ());
    assert!(matches!(journal, Err(JournalError::Foreign { .. })));
}

#[test]
fn refuses_what_others_could_have_made() {
    let real = tempfile::tempdir().unwrap();
    let store = SiteStore::create(real.path()).unwrap();
    let site = tempfile::tempdir().unwrap();
    symlink(store.path(), site.path().join(".unship")).unwrap();
    for opened in [SiteStore::open(site.path()), SiteStore::create(site.path())] {
        let error = opened.unwrap_err().to_string();
        assert!(error.contains("it is a symbolic link"), "{error}");
    }
    for (name, bad, good) in [("", 0o770, 0o700), ("", 0o755, 0o700), ("", 0o702, 0o700), ("key", 0o640, 0o600)] {
        let path = store.path().join(name);
        fs::set_permissions(&path, Permissions::from_mode(bad)).unwrap();
        let error = SiteStore::open(real.path()).unwrap_err().to_string();
        assert!(error.contains("other users have rights to it"), "{error}");
        fs::set_permissions(&path, Permissions::from_mode(good)).unwrap();
    }
    SiteStore::open(real.path()).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(store.path(), Some(NOBODY), None).unwrap();
        let error = SiteStore::open(real.path()).unwrap_err().to_string();
        assert!(error.contains("it belongs to another user"), "{error}");
    }
}

/// A child of another user: it may do nothing with the store, and the refusal says what helps.
#[test]
fn another_user_gets_a_clear_refusal() {
    if let Some(site) = child_site() {
        let error = SiteStore::open(&site).unwrap_err();
        let SiteError::Io(io) = &error else { panic!("{error}") };
        assert_eq!(io.kind(), IoErrorKind::Denied);
        assert!(
            error.to_string().contains(".unship: no permission; repeat the command as the user that owns"),
            "{error}"
        );
        let sealed = site.join("sealed");
        let error = SiteStore::create(&sealed).unwrap_err();
        assert!(error.to_string().starts_with("create "), "{error}");
        assert!(matches!(&error, SiteError::Io(io) if io.kind() == IoErrorKind::Denied));
        return;
    }
    let folder = open_folder();
    let site = folder.path().join("site");
    fs::create_dir_all(site.join("sealed")).unwrap();
    let dir = SiteStore::create(&site).unwrap().path().to_owned();
    if !rustix::process::geteuid().is_root() {
        // No other user at hand: taking our own rights away is the same to the kernel.
        fs::set_permissions(&dir, Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(site.join("sealed"), Permissions::from_mode(0o500)).unwrap();
    }
    assert_passes(unprivileged(child("another_user_gets_a_clear_refusal", &site, folder.path())));
    fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(site.join("sealed"), Permissions::from_mode(0o700)).unwrap();
}

/// Everything works without root.
#[test]
fn an_unprivileged_user_has_a_whole_store() {
    if let Some(site) = child_site() {
        assert!(!rustix::process::geteuid().is_root());
        let store = SiteStore::create(&site).unwrap();
        let _lock = store.try_lock().unwrap();
        store.journal(&mut |_| ()).unwrap().append(vec![b"1".to_vec()], Durability::Flush).unwrap();
        let code = store.code().unwrap();
        code.put("k", b"code").unwrap();
        assert!(code.open("k").unwrap().is_some());
        return;
    }
    let folder = open_folder();
    let site = folder.path().join("site");
    fs::create_dir(&site).unwrap();
    fs::set_permissions(&site, Permissions::from_mode(0o777)).unwrap();
    assert_passes(unprivileged(child("an_unprivileged_user_has_a_whole_store", &site, folder.path())));
    assert_eq!(verify(&site.join(".unship/journal")).unwrap().records, 1);
}

/// A child takes the lock and waits; killing it gives the lock back at once, and nothing stale remains.
#[test]
fn the_lock_names_its_holder_and_dies_with_it() {
    if let Some(site) = child_site() {
        let _lock = SiteStore::open(&site).unwrap().try_lock().unwrap();
        println!("locked");
        // Until it is killed.
        let _ = std::io::read_to_string(std::io::stdin());
        return;
    }
    let folder = open_folder();
    let site = folder.path().join("site");
    fs::create_dir(&site).unwrap();
    let store = SiteStore::create(&site).unwrap();
    let lock = store.try_lock().unwrap();
    let locked = SiteStore::open(&site).unwrap().try_lock();
    assert!(matches!(locked, Err(LockError::Locked { pid: Some(pid), .. }) if pid == std::process::id()));
    drop(lock);

    let mut command = child("the_lock_names_its_holder_and_dies_with_it", &site, folder.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("locked") {
        line.clear();
        assert_ne!(std::io::BufRead::read_line(&mut said, &mut line).unwrap(), 0);
    }
    let error = store.try_lock().unwrap_err();
    assert!(matches!(error, LockError::Locked { pid: Some(pid), .. } if pid == child.id()));
    assert_eq!(
        error.to_string(),
        format!("lock the site: the unship process {} is at work on it; wait for it to end", child.id())
    );
    child.kill().unwrap();
    child.wait().unwrap();
    drop(store.try_lock().unwrap());
}
