//! What acceptance tests stand on: a site in a folder of its own, bundles made on the spot, the built binary.
//!
//! Nothing outside the test's own folder is used: the environment is emptied, and the cache lies in the folder too.

pub mod exim;
pub mod mounts;
pub mod receiver;
pub mod stories;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;
use unship_policy::{Bundle, Digest, RootFile, SecretKey, Signer as _, sign_root};

/// The built binary.
pub const UNSHIP: &str = env!("CARGO_BIN_EXE_unship");

/// The folder of the built guests; `cargo xtask test` sets it.
pub fn guests() -> PathBuf {
    PathBuf::from(
        std::env::var_os("UNSHIP_GUESTS").expect("run the tests by `cargo xtask test`, which builds the guests"),
    )
}

/// A built guest by its file name.
pub fn guest(name: &str) -> PathBuf {
    let path = guests().join(name);
    assert!(path.is_file(), "{} is not built", path.display());
    path
}

/// `cargo xtask`, as it is built.
pub fn xtask() -> Command {
    Command::new(std::env::var_os("UNSHIP_XTASK").expect("run the tests by `cargo xtask test`"))
}

/// What a command printed and how it ended.
#[must_use]
#[derive(Debug)]
pub struct Ran {
    /// Exit status; `None`: a signal.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Runs `command` with no input.
    pub fn of(command: &mut Command) -> Ran {
        let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().expect("the command starts");
        Ran {
            status: status.code(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// Demands an exit status; shows everything otherwise.
    #[track_caller]
    pub fn exits(self, status: i32) -> Ran {
        assert_eq!(self.status, Some(status), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Demands a text in standard error.
    #[track_caller]
    pub fn says(self, text: &str) -> Ran {
        assert!(
            self.stderr.contains(text),
            "standard error lacks {text:?}:\n{}\nstdout:\n{}",
            self.stderr,
            self.stdout
        );
        self
    }

    /// Demands a text in standard output.
    #[track_caller]
    pub fn prints(self, text: &str) -> Ran {
        assert!(
            self.stdout.contains(text),
            "standard output lacks {text:?}:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// The JSON lines of standard output.
    pub fn json(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
    }

    /// The last JSON line.
    pub fn summary(&self) -> serde_json::Value {
        self.json().pop().expect("there is a last line")
    }
}

/// A site of a test.
pub struct Site {
    folder: TempDir,
}

impl Site {
    /// A site with a key (role `release`) and no story. `definitions` is added to its `site.toml`.
    pub fn new(definitions: &str) -> Site {
        let site = Site { folder: tempfile::tempdir().expect("a temporary folder") };
        fs::create_dir(site.path()).expect("the site");
        fs::create_dir_all(site.at("policies")).expect("policies");
        fs::create_dir_all(site.at("bundles")).expect("bundles");
        let public = site.unship(["keygen", site.key().to_str().expect("UTF-8")]).exits(0).stdout;
        let header = "[site]\nname = \"test\"\nbundles = \"bundles\"\n";
        site.write("policies/site.toml", &format!("{header}{definitions}"));
        let _ = site.unship(["init"]).exits(0);
        site.trust_tester(&public);
        site
    }

    /// Lets the site go by a trust root, version 1, that consists of these tables and of the test's key as its role `root`.
    pub fn trust(&self, tables: &str) {
        self.trust_until("2999-01-01T00:00:00Z", tables);
    }

    /// As [`Site::trust`], up to this moment.
    pub fn trust_until(&self, expires: &str, tables: &str) {
        self.trust_between("2020-01-01T00:00:00Z", expires, tables);
    }

    /// As [`Site::trust`], from one moment to another.
    pub fn trust_between(&self, issued: &str, expires: &str, tables: &str) {
        let key = SecretKey::parse(&self.read_key()).expect("a key");
        let public = key.public();
        // The tables may name the key already; one key has one name.
        let table = tables.split("[keys.").find(|table| table.contains(&public.to_string()));
        let name = table.and_then(|table| table.split(']').next()).unwrap_or("root");
        let own = if table.is_some() { String::new() } else { format!("[keys.root]\npublic = \"{public}\"\n") };
        let text = format!(
            "version = 1\nissued = {issued}\nexpires = {expires}\n{tables}{own}[roles.root]\nkeys = [\"{name}\"]\nthreshold = 1\n"
        );
        let file = RootFile { version: 1, text, signatures: Vec::new() };
        fs::create_dir_all(self.at("policies/trust")).expect("policies/trust");
        self.write(
            "policies/trust/1.sig",
            std::str::from_utf8(&sign_root(&file, &key).expect("signed")).expect("JSON"),
        );
        self.write("policies/trust/1.toml", &file.text);
        self.write(".unship/trust", &format!("1 {}\n", Digest::of(file.text.as_bytes())));
    }

    /// The tables that the site's trust root was made of.
    pub fn trust_tables(&self) -> String {
        let text = self.read("policies/trust/1.toml");
        let (_, tables) = text.split_once("Z\n[").expect("its head");
        let (tables, _) = tables.rsplit_once("[roles.root]").expect("its last table");
        format!("[{tables}")
    }

    /// Adds these to them.
    pub fn trust_also(&self, tables: &str) {
        self.trust(&format!("{}{tables}", self.trust_tables()));
    }

    /// A trust root in which this key alone, `tester`, may sign everything.
    pub fn trust_tester(&self, public: &str) {
        let role = "[roles.release]\nkeys = [\"tester\"]\nthreshold = 1\nstories = [\"*\"]\ntier = \"owned\"\n";
        self.trust(&format!("[keys.tester]\npublic = \"{}\"\n{role}", public.trim()));
    }

    fn read_key(&self) -> String {
        fs::read_to_string(self.key()).expect("the key")
    }

    /// The practice site with story 1.3, and its service running. Dropping it ends the service.
    pub fn practice() -> Practice {
        Site::practice_with("1.3")
    }

    /// The practice site with this story, and the services that it needs running.
    pub fn practice_with(story: &str) -> Practice {
        Practice(Site::laid_out(&["--story", story]))
    }

    /// What `cargo xtask site` lays out with these options. Who calls it ends what runs in it.
    pub fn laid_out(options: &[&str]) -> Site {
        let site = Site { folder: tempfile::tempdir().expect("a temporary folder") };
        let _ = Ran::of(&mut site.lay_out(&site.path(), options)).exits(0);
        site
    }

    /// The command that lays out a site in `dir`.
    pub fn lay_out(&self, dir: &Path, options: &[&str]) -> Command {
        let practice = std::env::var_os("UNSHIP_PRACTICE").expect("run the tests by `cargo xtask test`");
        let mut command = xtask();
        command.args(["site", "--unship", UNSHIP, "--practice"]).arg(practice).arg("--guests").arg(guests());
        command.args(options).arg(dir).env("XDG_CACHE_HOME", self.folder.path().join("cache"));
        command
    }

    /// An equal site in a folder of its own in `parent`: all that promise 5 speaks of is the same. Its service does not run.
    pub fn copy_in(&self, parent: &Path) -> Practice {
        let copy = Site { folder: tempfile::tempdir_in(parent).expect("a temporary folder") };
        let mut cp = Command::new("cp");
        let _ = Ran::of(cp.args(["-a", "--sparse=always"]).arg(self.path()).arg(copy.path())).exits(0);
        if self.beside().exists() {
            let _ = Ran::of(Command::new("cp").arg("-a").arg(self.beside()).arg(copy.beside())).exits(0);
        }
        Practice(copy)
    }

    /// The site's folder.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("site")
    }

    /// The folder beside the site to which a link in it leads, where story 1.5 is on it: Dagster's home is in there.
    pub fn beside(&self) -> PathBuf {
        self.folder.path().join("site.dagster")
    }

    /// A path in the site.
    pub fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    /// A folder of the test's, outside the site.
    pub fn outside(&self) -> &Path {
        self.folder.path()
    }

    /// The secret key that signs.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// Writes a file of the site, making its folders.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, text).expect("written");
    }

    /// Reads a file of the site.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).expect("readable")
    }

    /// The binary, with this site and an environment of the test's own.
    pub fn command<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(&self, args: I) -> Command {
        let mut command = Command::new(UNSHIP);
        command
            .args(args)
            .arg("--site")
            .arg(self.path())
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("XDG_CACHE_HOME", self.folder.path().join("cache"));
        command
    }

    /// Runs the binary with this site.
    pub fn unship<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(&self, args: I) -> Ran {
        Ran::of(&mut self.command(args))
    }

    /// Packs and signs `component` with `manifest` as the bundle `story-ID.wasm`, and writes the story's policy: `grants`
    /// are its `[grants.…]` tables and definitions.
    pub fn story(&self, id: &str, component: &Path, manifest: &str, grants: &str) {
        let policy = format!(
            "[story]\nid = \"{id}\"\ntitle = \"a test\"\nbundle = \"story-{id}.wasm\"\nsigned-by = [\"release\"]\n{grants}"
        );
        self.write(&format!("policies/{id}.toml"), &policy);
        let bundle = self.at(&format!("bundles/story-{id}.wasm"));
        let bytes = fs::read(component).expect("the component");
        // Of a core module only `pack` makes a component; for all others its trial compilation would be half of a test's time.
        let is_module = bytes.get(4..8) == Some(&[1, 0, 0, 0]);
        if !is_module {
            return forge(self, &bytes, manifest, &bundle);
        }
        let manifest_path = self.folder.path().join(format!("{id}.manifest.toml"));
        fs::write(&manifest_path, manifest).expect("written");
        let pack = [Path::new("pack"), component, Path::new("--manifest"), &manifest_path, Path::new("-o"), &bundle];
        let _ = self.unship(pack).exits(0);
        let _ = self.unship([Path::new("sign"), &bundle, Path::new("--key"), &self.key()]).exits(0);
    }

    /// A story of one step that runs `fsprobe` with `operations` (see its source), holding `grants` (the lines of the step's
    /// table, such as `files.read = ["a"]`), all of which it requests.
    pub fn probe(&self, id: &str, operations: &[&str], grants: &str) {
        let argv: Vec<String> = operations.iter().map(|o| format!("{o:?}")).collect();
        let manifest = format!(
            "story = \"{id}\"\nversion = \"1.0.0\"\ntitle = \"probe\"\nargv = [{}]\n[[step]]\nname = \"probe\"\ntitle = \"probe\"\n{grants}\n",
            argv.join(", ")
        );
        self.story(id, &guest("fsprobe.wasm"), &manifest, &format!("[grants.probe]\n{grants}\n"));
    }
}

impl Site {
    /// What lives on the site, by its programs: a killed command may have left a service that no pid file names.
    pub fn alive(&self) -> Vec<(String, PathBuf)> {
        let exe = |process: &fs::DirEntry| fs::read_link(process.path().join("exe")).ok();
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        all.filter_map(|process| Some((process.file_name().into_string().ok()?, exe(&process)?)))
            .filter(|(_, exe)| exe.starts_with(self.path()))
            .collect()
    }

    /// Gives the site a loopback address of its own, at which its services listen from their next start on.
    pub fn move_to_own_address(&self) {
        use std::hash::{BuildHasher as _, Hasher as _, RandomState};
        let random = RandomState::new().build_hasher().finish();
        let part = |shift: u32| (random >> shift) % 254 + 1;
        let (old, new) = (self.read("run/host"), format!("127.{}.{}.{}", part(0), part(16), part(32)));
        self.write("run/host", &new);
        let policy = self.read("policies/site.toml");
        self.write("policies/site.toml", &policy.replace(&format!("//{}:", old.trim()), &format!("//{new}:")));
    }

    /// Until nothing lives on it any more: what is about to be killed may start another first.
    pub fn kill_everything(&self) {
        for _ in 0..1000 {
            let alive = self.alive();
            if alive.is_empty() {
                return;
            }
            for (pid, _) in alive {
                let _ = Command::new("kill").arg("-KILL").arg(pid).stderr(Stdio::null()).status();
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}

/// A practice site whose service ends with the test.
pub struct Practice(pub Site);

impl std::ops::Deref for Practice {
    type Target = Site;
    fn deref(&self) -> &Site {
        &self.0
    }
}

impl Drop for Practice {
    fn drop(&mut self) {
        self.kill_everything();
    }
}

/// Everything that promise 5 speaks of, and ctime, of every path below `dir`, without `.unship`.
pub fn fingerprint(dir: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt as _;
    let mut lines = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(path) = todo.pop() {
        let metadata = fs::symlink_metadata(&path).expect("metadata");
        let content = if metadata.is_file() {
            let bytes = fs::read(&path).expect("content");
            format!("{:x?}", <sha2::Sha256 as sha2::Digest>::digest(&bytes))
        } else if metadata.is_symlink() {
            format!("{:?}", fs::read_link(&path).expect("target"))
        } else {
            String::new()
        };
        lines.push(format!(
            "{} mode {:o} owner {}:{} links {} blocks {} mtime {}.{} ctime {}.{} inode {} {content}",
            path.strip_prefix(dir).expect("below").display(),
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            metadata.nlink(),
            metadata.blocks(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
            metadata.ino(),
        ));
        if metadata.is_dir() {
            for entry in fs::read_dir(&path).expect("entries") {
                let entry = entry.expect("entry");
                if entry.file_name() != ".unship" {
                    todo.push(entry.path());
                }
            }
        }
    }
    lines.sort();
    lines
}

/// Everything that promise 5 gives back, of every path below `dir`, without what is unship's own.
pub fn promised(dir: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt as _;
    let mut lines = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(path) = todo.pop() {
        let metadata = fs::symlink_metadata(&path).expect("metadata");
        let content = if metadata.is_file() {
            format!("{:x?}", <sha2::Sha256 as sha2::Digest>::digest(fs::read(&path).expect("content")))
        } else if metadata.is_symlink() {
            format!("{:?}", fs::read_link(&path).expect("target"))
        } else {
            String::new()
        };
        lines.push(format!(
            "{:?} mode {:o} owner {}:{} links {} mtime {}.{:09} {content}",
            path.strip_prefix(dir).expect("below"),
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            // Of a directory it counts what lies in it.
            if metadata.is_dir() { 0 } else { metadata.nlink() },
            metadata.mtime(),
            metadata.mtime_nsec(),
        ));
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).expect("entries").map(|entry| entry.expect("entry"));
            let own = [".unship", ".unship-trash"];
            todo.extend(entries.filter(|e| !own.iter().any(|own| e.file_name() == *own)).map(|e| e.path()));
        }
    }
    lines.sort();
    lines
}

/// The newest run's id.
pub fn last_run(site: &Site) -> String {
    let runs = site.unship(["runs", "--json"]).exits(0).json();
    runs.last().expect("a run")["run"].as_str().expect("an id").to_owned()
}

/// Packs and signs as the verbs do, without asking whether the component can be run.
pub fn forge(site: &Site, component: &[u8], manifest: &str, to: &Path) {
    let key = SecretKey::parse(&fs::read_to_string(site.key()).expect("key")).expect("key");
    let packed = unship_policy::pack(component, manifest).expect("the bytes are a bundle");
    fs::write(to, sign_with(&packed, &key)).expect("written");
}

/// The bundle with a signature that is for every site and time.
pub fn sign_with(bundle: &[u8], key: &SecretKey) -> Vec<u8> {
    let bundle = Bundle::parse(bundle.into()).expect("bundle");
    unship_policy::sign(&bundle, unship_policy::Narrowed::default(), key).expect("signed")
}
