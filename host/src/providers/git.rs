//! What a git repository holds: commits, files, index, ignore rules. Read, never run: no hook, filter, pager or monitor of the
//! repository or its configuration is started, and nothing is written. Every object that is used is hashed again.
//!
//! What would make a file in the working tree another one than its blob (filters, line-end conversion, `ident`) is refused, so
//! that bytes are bytes. Ignore rules and attributes of the user's or the machine's own configuration are not looked at: what
//! only they ignore counts as untracked, which refuses more, not less.

use super::Deadline;
use gix_glob::{pattern::Case, wildmatch};
use gix_hash::ObjectId;
use gix_object::{Find as _, FindHeader as _, Kind, bstr::ByteSlice as _, tree::EntryKind};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

/// Bytes of one file, and of all files of one restore point.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// Files of one restore point.
pub const FILES_MAX: usize = 50_000;
/// Bytes of a tree or commit.
const OBJECT_BYTES_MAX: u64 = 16 << 20;
/// Bytes of a small text of git's own.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Bytes that the index, or an allocation for a pack, may take.
const INDEX_BYTES_MAX: usize = 256 << 20;
/// Commits that one question of descent looks at.
const COMMITS_MAX: usize = 2_000_000;
/// Of which every descendant of symbolic references stops.
const REFERENCES_MAX: usize = 5;

/// Why a repository cannot be used. Each is a sentence that reads after "the restore point qa: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum GitError {
    #[error("there is no repository with a working tree in {path}: {why}")]
    NoRepository { path: String, why: String },
    #[error("{what} cannot be read: {why}")]
    Unreadable { what: String, why: String },
    #[error("{what} cannot be restored faithfully: {why}")]
    Unsupported { what: String, why: String },
    #[error("{commit} is not a commit from which the present one ({head}) descends, so it is no state from before")]
    NotBefore { commit: String, head: String },
    #[error("out of time")]
    TimedOut,
}

/// A file as git has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// What kind of file.
    pub mode: Mode,
    /// Its content: for a symlink, its target.
    pub id: ObjectId,
}

/// The kinds of files that git has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Mode {
    Plain,
    Executable,
    Symlink,
}

/// The files of a commit or the index below some paths, by their paths in the repository.
pub type Files = BTreeMap<String, Blob>;

/// An opened repository.
pub struct Repository {
    odb: gix_odb::Handle,
    refs: gix_ref::file::Store,
    git_dir: PathBuf,
    common: PathBuf,
    hash: gix_hash::Kind,
    shallow: BTreeSet<ObjectId>,
}

fn unreadable(what: impl Into<String>, why: impl std::fmt::Display) -> GitError {
    GitError::Unreadable { what: what.into(), why: unship_rollback::neutralise(&format!("{why:#}")) }
}

fn unsupported(what: impl Into<String>, why: impl Into<String>) -> GitError {
    GitError::Unsupported { what: what.into(), why: why.into() }
}

impl Repository {
    /// The repository whose working tree is `folder`, an ordinary or a linked one.
    ///
    /// # Errors
    /// [`GitError`]: none is there, it is bare, or it needs something that is not supported.
    pub fn open(folder: &Path) -> Result<Repository, GitError> {
        let none = |why: &str| GitError::NoRepository { path: folder.display().to_string(), why: why.to_owned() };
        let dot = folder.join(".git");
        let git_dir = match fs::symlink_metadata(&dot) {
            Ok(found) if found.is_dir() => dot,
            Ok(found) if found.is_file() => {
                let text = small(&dot)?;
                let to = text.strip_prefix(b"gitdir: ").ok_or_else(|| none("its `.git` file names no directory"))?;
                folder.join(path_of(to)?)
            }
            Ok(_) => return Err(none("its `.git` is neither a directory nor a file")),
            Err(e) if e.kind() == io::ErrorKind::NotFound && folder.join("HEAD").exists() => {
                return Err(none("it is a bare one"));
            }
            Err(e) => return Err(none(&format!(".git: {e}"))),
        };
        let common = match small(&git_dir.join("commondir")) {
            Ok(to) => git_dir.join(path_of(&to)?),
            Err(_) => git_dir.clone(),
        };
        let hash = check_config(&common.join("config"), &none)?;
        let options = gix_odb::store::init::Options { alloc_limit_bytes: Some(INDEX_BYTES_MAX), ..Default::default() };
        let odb = gix_odb::at_opts(common.join("objects"), hash, None, options)
            .map_err(|e| unreadable("the repository's object store", e))?;
        let refs = if common == git_dir {
            gix_ref::file::Store::at(git_dir.clone(), hash)
        } else {
            gix_ref::file::Store::for_linked_worktree(git_dir.clone(), common.clone(), hash)
        };
        let shallow = match small(&common.join("shallow")) {
            Ok(text) => text.lines().filter_map(|line| ObjectId::from_hex(line).ok()).collect(),
            Err(_) => BTreeSet::new(),
        };
        Ok(Repository { odb, refs, git_dir, common, hash, shallow })
    }

    /// An object of this kind, checked against its own name.
    fn object(&self, id: &ObjectId, kind: Kind, bytes_max: u64) -> Result<Vec<u8>, GitError> {
        let what = || format!("the {kind} {id}");
        let header = self.odb.try_header(id).map_err(|e| unreadable(what(), e))?;
        let header = header.ok_or_else(|| unreadable(what(), "the repository does not have it"))?;
        if header.kind != kind {
            return Err(unreadable(what(), format!("it is a {}", header.kind)));
        }
        if header.size > bytes_max {
            return Err(unsupported(what(), format!("it has {} bytes; at most {bytes_max} are allowed", header.size)));
        }
        let mut bytes = Vec::new();
        let found = self.odb.try_find(id, &mut bytes).map_err(|e| unreadable(what(), e))?;
        let length = found.map_or(0, |data| data.data.len());
        bytes.truncate(length);
        let hashed = gix_object::compute_hash(self.hash, kind, &bytes).map_err(|e| unreadable(what(), e))?;
        if hashed == *id { Ok(bytes) } else { Err(unreadable(what(), format!("its content is that of {hashed}"))) }
    }

    /// The commit that policy names: by its whole id, or by a tag.
    ///
    /// # Errors
    /// [`GitError`] when there is none of that name.
    pub fn resolve(&self, commit: &str) -> Result<ObjectId, GitError> {
        if let Ok(id) = ObjectId::from_hex(commit.as_bytes()) {
            if id.kind() != self.hash {
                return Err(unreadable(
                    commit,
                    format!("the repository's ids are {} digits long", self.hash.len_in_hex()),
                ));
            }
            self.object(&id, Kind::Commit, OBJECT_BYTES_MAX)?;
            return Ok(id);
        }
        self.reference(commit)
    }

    /// The commit that is checked out.
    ///
    /// # Errors
    /// [`GitError`] when there is none yet.
    pub fn head(&self) -> Result<ObjectId, GitError> {
        self.reference("HEAD")
    }

    fn reference(&self, name: &str) -> Result<ObjectId, GitError> {
        let mut at = name.to_owned();
        for _ in 0..REFERENCES_MAX {
            let found = self.refs.try_find(at.as_str()).map_err(|e| unreadable(&at, e))?;
            let found = found.filter(|found| found.name.as_bstr() == at.as_str());
            match found.ok_or_else(|| unreadable(&at, "there is no such reference"))?.target {
                gix_ref::Target::Object(id) => return self.peel(id),
                gix_ref::Target::Symbolic(next) => at = next.as_bstr().to_string(),
            }
        }
        Err(unreadable(name, "it leads from reference to reference"))
    }

    /// The commit behind annotated tags.
    fn peel(&self, mut id: ObjectId) -> Result<ObjectId, GitError> {
        for _ in 0..REFERENCES_MAX {
            let what = || format!("the object {id}");
            let header = self.odb.try_header(&id).map_err(|e| unreadable(what(), e))?;
            if header.is_none_or(|header| header.kind != Kind::Tag) {
                self.object(&id, Kind::Commit, OBJECT_BYTES_MAX)?;
                return Ok(id);
            }
            let tag = self.object(&id, Kind::Tag, OBJECT_BYTES_MAX)?;
            id = gix_object::TagRef::from_bytes(&tag, self.hash).map_err(|e| unreadable(what(), e))?.target();
        }
        Err(unreadable(id.to_string(), "it is a tag of a tag of a tag"))
    }

    fn parents(&self, commit: &ObjectId) -> Result<Vec<ObjectId>, GitError> {
        if self.shallow.contains(commit) {
            return Ok(Vec::new());
        }
        let bytes = self.object(commit, Kind::Commit, OBJECT_BYTES_MAX)?;
        Ok(gix_object::CommitRefIter::from_bytes(&bytes, self.hash).parent_ids().collect())
    }

    /// Whether `head` is `commit` or descends from it.
    ///
    /// # Errors
    /// [`GitError::NotBefore`] when it does not.
    pub fn demand_before(&self, commit: &ObjectId, head: &ObjectId, deadline: Deadline) -> Result<(), GitError> {
        let mut seen = BTreeSet::from([*head]);
        let mut todo = vec![*head];
        while let Some(next) = todo.pop() {
            if next == *commit {
                return Ok(());
            }
            deadline.check("walking the history").map_err(|_| GitError::TimedOut)?;
            todo.extend(self.parents(&next)?.into_iter().filter(|parent| seen.insert(*parent)));
            if seen.len() > COMMITS_MAX {
                return Err(unsupported("a history", format!("it has more than {COMMITS_MAX} commits")));
            }
        }
        Err(GitError::NotBefore { commit: commit.to_string(), head: head.to_string() })
    }

    /// The files of a commit below `paths`, and what its `.gitattributes` say of them.
    ///
    /// # Errors
    /// [`GitError`]: submodules, names that no file can have, files that would not be their blobs.
    pub fn files(&self, commit: &ObjectId, paths: &[String]) -> Result<Files, GitError> {
        let bytes = self.object(commit, Kind::Commit, OBJECT_BYTES_MAX)?;
        let tree = gix_object::CommitRefIter::from_bytes(&bytes, self.hash)
            .tree_id()
            .map_err(|e| unreadable(format!("the commit {commit}"), e))?;
        let mut walk = Walk { repository: self, paths, files: Files::new(), attributes: Vec::new() };
        walk.tree(&tree, "")?;
        if let Ok(own) = small(&self.common.join("info/attributes")) {
            walk.attributes.push((String::new(), own));
        }
        for (folder, attributes) in &walk.attributes {
            demand_faithful(folder, attributes, &walk.files)?;
        }
        Ok(walk.files)
    }

    /// The files of the index below `paths`.
    ///
    /// # Errors
    /// [`GitError`]: a merge that is not over, a sparse checkout, submodules.
    pub fn index(&self, paths: &[String]) -> Result<Files, GitError> {
        let options = gix_index::decode::Options { alloc_limit_bytes: Some(INDEX_BYTES_MAX), ..Default::default() };
        let index = gix_index::File::at_or_default(self.git_dir.join("index"), self.hash, false, options)
            .map_err(|e| unreadable("the repository's index", e))?;
        if index.is_sparse() {
            return Err(unsupported("the repository", "the checkout is a sparse one"));
        }
        let mut files = Files::new();
        for entry in index.entries() {
            let path = entry.path(&index);
            let Ok(path) = path.to_str() else {
                if paths.iter().any(|p| path.starts_with(p.as_bytes())) {
                    return Err(unsupported(path.to_string(), "its name is not UTF-8"));
                }
                continue;
            };
            if !paths.iter().any(|wanted| is_below(path, wanted)) {
                continue;
            }
            let mode = match entry.mode {
                gix_index::entry::Mode::FILE => Mode::Plain,
                gix_index::entry::Mode::FILE_EXECUTABLE => Mode::Executable,
                gix_index::entry::Mode::SYMLINK => Mode::Symlink,
                gix_index::entry::Mode::COMMIT => return Err(unsupported(path, "it is a submodule")),
                _ => return Err(unsupported(path, "the checkout is a sparse one")),
            };
            if entry.stage_raw() != 0 {
                return Err(unsupported(path, "a merge of it is not over"));
            }
            if entry.flags.contains(gix_index::entry::Flags::SKIP_WORKTREE) {
                return Err(unsupported(path, "the checkout is a sparse one"));
            }
            files.insert(path.to_owned(), Blob { mode, id: entry.id });
        }
        Ok(files)
    }

    /// The content of a file.
    ///
    /// # Errors
    /// [`GitError`]: not there, damaged, too large, or a pointer to content that is kept elsewhere.
    pub fn content(&self, path: &str, blob: &Blob) -> Result<Vec<u8>, GitError> {
        let bytes = self.object(&blob.id, Kind::Blob, FILE_BYTES_MAX)?;
        if bytes.starts_with(b"version https://git-lfs.github.com/spec/") {
            return Err(unsupported(path, "its content is kept outside the repository (Git LFS)"));
        }
        Ok(bytes)
    }

    /// The name that git would give to this content.
    ///
    /// # Errors
    /// [`GitError`] for content made to collide.
    pub fn name_of(&self, bytes: &[u8]) -> Result<ObjectId, GitError> {
        gix_object::compute_hash(self.hash, Kind::Blob, bytes).map_err(|e| unreadable("a file's content", e))
    }

    /// Ignore rules: the repository's own to begin with.
    pub fn ignores(&self) -> Ignores {
        let mut ignores = Ignores { search: gix_ignore::Search::default(), folders: BTreeSet::new() };
        if let Ok(own) = small(&self.common.join("info/exclude")) {
            ignores.add_text(None, &own);
        }
        ignores
    }
}

/// Refuses configurations in which files are not their blobs, and formats that this reader does not know.
fn check_config(path: &Path, none: &impl Fn(&str) -> GitError) -> Result<gix_hash::Kind, GitError> {
    let text = match small(path) {
        Ok(text) => text,
        Err(e) => return Err(none(&e.to_string())),
    };
    let meta = gix_config::file::Metadata::api();
    let config = gix_config::File::from_bytes_no_includes(&text, meta, gix_config::file::init::Options::default())
        .map_err(|e| unreadable("the repository's configuration", e))?;
    let told = |e: &dyn std::fmt::Display| unreadable("the repository's configuration", e);
    if config.boolean("core.bare").map_err(|e| told(&e))?.unwrap_or(false) {
        return Err(none("it is a bare one"));
    }
    if config.string("core.worktree").is_some() {
        return Err(none("its working tree is elsewhere (`core.worktree`)"));
    }
    let value = |key: &str| config.string(key).map(|value| value.to_string().to_ascii_lowercase());
    if value("core.autocrlf").is_some_and(|v| v != "false" && v != "input") {
        return Err(unsupported("the repository", "git changes line ends when it checks out (`core.autocrlf`)"));
    }
    if value("core.eol").is_some_and(|v| v == "crlf") {
        return Err(unsupported("the repository", "git changes line ends when it checks out (`core.eol`)"));
    }
    let extensions = config.sections_by_name("extensions").into_iter().flatten();
    for extension in extensions.flat_map(|section| section.value_names().collect::<Vec<_>>()) {
        let known = ["objectformat", "worktreeconfig", "noop", "preciousobjects", "partialclone"];
        if !known.contains(&extension.to_ascii_lowercase().as_str()) {
            return Err(unsupported("the repository", format!("its format has the unknown extension {extension}")));
        }
    }
    match value("extensions.objectformat").as_deref() {
        None | Some("sha1") => Ok(gix_hash::Kind::Sha1),
        Some("sha256") => Ok(gix_hash::Kind::Sha256),
        Some(other) => Err(unsupported("the repository", format!("its objects are named by {other}"))),
    }
}

/// Collects a commit's files.
struct Walk<'a> {
    repository: &'a Repository,
    paths: &'a [String],
    files: Files,
    attributes: Vec<(String, Vec<u8>)>,
}

impl Walk<'_> {
    fn tree(&mut self, id: &ObjectId, folder: &str) -> Result<(), GitError> {
        let bytes = self.repository.object(id, Kind::Tree, OBJECT_BYTES_MAX)?;
        for entry in gix_object::TreeRefIter::from_bytes(&bytes, self.repository.hash) {
            let entry = entry.map_err(|e| unreadable(format!("the tree {id}"), e))?;
            let shown = || unship_rollback::path_text(entry.filename);
            if entry.filename == ".gitattributes" && entry.mode.is_blob() {
                let text = self.repository.object(&entry.oid.to_owned(), Kind::Blob, TEXT_BYTES_MAX)?;
                self.attributes.push((folder.to_owned(), text));
            }
            let Ok(name) = entry.filename.to_str() else {
                if self.paths.iter().any(|wanted| is_below(folder, wanted)) {
                    return Err(unsupported(shown(), "its name is not UTF-8"));
                }
                continue;
            };
            let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            let inside = self.paths.iter().any(|wanted| is_below(&path, wanted));
            let on_the_way = self.paths.iter().any(|wanted| is_below(wanted, &path));
            if !inside && !on_the_way {
                continue;
            }
            let is_dotgit = name.eq_ignore_ascii_case(".git");
            if is_dotgit || matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
                return Err(unsupported(shown(), "no file may have this name"));
            }
            let mode = match entry.mode.kind() {
                EntryKind::Tree => {
                    self.tree(&entry.oid.to_owned(), &path)?;
                    continue;
                }
                EntryKind::Blob => Mode::Plain,
                EntryKind::BlobExecutable => Mode::Executable,
                EntryKind::Link => Mode::Symlink,
                EntryKind::Commit => return Err(unsupported(path, "it is a submodule")),
            };
            if !inside {
                return Err(unsupported(path, "a directory of the restore point is a file there"));
            }
            self.files.insert(path, Blob { mode, id: entry.oid.to_owned() });
            if self.files.len() > FILES_MAX {
                return Err(unsupported("the restore point", format!("it has more than {FILES_MAX} files")));
            }
        }
        Ok(())
    }
}

/// Refuses attributes by which git would write something else than the blob.
fn demand_faithful(folder: &str, attributes: &[u8], files: &Files) -> Result<(), GitError> {
    for line in gix_attributes::parse(attributes) {
        let (kind, assignments, number) = line.map_err(|e| unreadable(format!("{folder}/.gitattributes"), e))?;
        let mut changing = None;
        for assignment in assignments {
            let assignment = assignment.map_err(|e| unreadable(format!("{folder}/.gitattributes"), e))?;
            let name = assignment.name.as_str();
            let value = assignment.state.as_bstr().map(ToString::to_string);
            let is_set = assignment.state.is_set() || value.is_some();
            let changes = matches!(name, "filter" | "ident" | "working-tree-encoding")
                || (name == "eol" && value.as_deref() == Some("crlf"));
            if is_set && changes {
                changing = Some(name.to_owned());
            }
        }
        let Some(changing) = changing else { continue };
        let why = format!("git writes another content for it (attribute `{changing}`, line {number})");
        let pattern = match kind {
            gix_attributes::parse::Kind::Pattern(pattern) => pattern,
            gix_attributes::parse::Kind::Macro(_) => return Err(unsupported(format!("{folder}/.gitattributes"), why)),
        };
        for path in files.keys() {
            let relative = match folder {
                "" => Some(path.as_str()),
                folder => path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')),
            };
            let matches = relative.is_some_and(|relative| {
                let name = relative.rfind('/').map(|slash| slash + 1);
                let mode = wildmatch::Mode::NO_MATCH_SLASH_LITERAL;
                pattern.matches_repo_relative_path(relative.into(), name, Some(false), Case::Sensitive, mode)
            });
            if matches {
                return Err(unsupported(path, why));
            }
        }
    }
    Ok(())
}

/// Which untracked files nobody counts.
pub struct Ignores {
    search: gix_ignore::Search,
    folders: BTreeSet<String>,
}

impl Ignores {
    /// Whether the `.gitignore` of a folder (empty: the repository itself) was added already.
    pub fn knows(&self, folder: &str) -> bool {
        self.folders.contains(folder)
    }

    /// Adds the text of the `.gitignore` of a folder; those above it come first.
    pub fn add(&mut self, folder: &str, text: &[u8]) {
        self.folders.insert(folder.to_owned());
        self.add_text(Some(folder), text);
    }

    fn add_text(&mut self, folder: Option<&str>, text: &[u8]) {
        // Only names, relative to each other; nothing is opened by them.
        let root = Path::new("/");
        let source = root.join(folder.unwrap_or_default()).join(".gitignore");
        let parse = gix_ignore::search::Ignore { support_precious: false };
        let added = self.search.add_patterns_buffer(text, source, folder.map(|_| root), parse);
        debug_assert!(added.is_ok(), "nothing is read");
    }

    /// Whether `path`, or a directory above it, is ignored.
    pub fn ignores(&self, path: &str, is_dir: bool) -> bool {
        let above = path.match_indices('/').map(|(slash, _)| (&path[..slash], true));
        above.chain([(path, is_dir)]).any(|(path, is_dir)| {
            let found = self.search.pattern_matching_relative_path(path.into(), Some(is_dir), Case::Sensitive);
            found.is_some_and(|found| !found.pattern.is_negative())
        })
    }
}

/// Whether `path` is `folder` or lies in it.
pub fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A small file of git's own, or an error that names it.
fn small(path: &Path) -> Result<Vec<u8>, GitError> {
    use io::Read as _;
    let told = |e: io::Error| unreadable(path.display().to_string(), e);
    let mut bytes = Vec::new();
    let kind = fs::metadata(path).map_err(told)?;
    if !kind.is_file() {
        return Err(unreadable(path.display().to_string(), "it is not a regular file"));
    }
    fs::File::open(path).map_err(told)?.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(told)?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(unreadable(path.display().to_string(), format!("it has more than {TEXT_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// The path that a line of git's own names.
fn path_of(line: &[u8]) -> Result<PathBuf, GitError> {
    use std::os::unix::ffi::OsStrExt as _;
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line.is_empty() || line.contains(&b'\n') || line.contains(&0) {
        return Err(unreadable("the place of the repository", "it is not one line"));
    }
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(line)))
}
