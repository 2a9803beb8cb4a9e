//! Restore points of git: paths of a working tree brought back to what they were at a commit that was recorded before the
//! story. The repository is only read; every change is a change of files as any other, with its before-image, and the index and
//! the branch stay as they are. The paths that policy names are the bound, and what no grant reaches stays out of reach.
//!
//! The working tree is read through the gate's own tree, so that a plan sees what earlier steps would have changed.

use super::{Call, CallFault, Gate, Kind, Refusal, RestoreState, Stop, paths::leads_out, show};
use crate::{
    providers::git::{Blob, FILE_BYTES_MAX, FILES_MAX, Files, GitError, Ignores, Mode, Repository, is_below},
    tree::{Found, Source},
};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use unship_policy::{Digest, Name, Place, meaning::GitMeaning};
use unship_rollback::{Content, Effect, path_text};

/// What lies at a path of the working tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    File(Blob),
    /// FIFO, socket or device.
    Other,
}

/// Everything that is to be compared, for the paths of one point.
struct Compared {
    repository: Repository,
    commit: gix_hash::ObjectId,
    /// As they were recorded, and as they are.
    target: Files,
    present: BTreeMap<String, Seen>,
    state: RestoreState,
}

impl Gate {
    /// `git.status`.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn git_status(&mut self, point: &str) -> Call<RestoreState> {
        let name = self.demand_named("git.status", point)?;
        let meaning = self.git_meaning(&name)?;
        Ok(self.compare(&name, &meaning)?.state)
    }

    /// `git.restore`. Nothing is done where nothing differs.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn git_restore(&mut self, point: &str) -> Call<u64> {
        let name = self.demand_named("git.restore", point)?;
        let meaning = self.git_meaning(&name)?;
        let compared = self.compare(&name, &meaning)?;
        let differing = &compared.state.differing;
        if differing.is_empty() {
            return Ok(0);
        }
        if !compared.state.uncommitted.is_empty() {
            let what = listed(&compared.state.uncommitted);
            return Err(Refusal::NotAsExpected(format!(
                "the restore point {name}: {what} would be lost, as nobody committed what is there; commit it, or take it away"
            ))
            .into());
        }
        self.restore(&name, &meaning, &compared)?;
        let left = self.compare(&name, &meaning)?.state.differing;
        if !left.is_empty() {
            return Err(
                Refusal::Failed(format!("the restore point {name}: {} differ all the same", listed(&left))).into()
            );
        }
        let (count, commit) = (differing.len(), compared.commit.to_string());
        self.ledger.line(
            "info",
            &format!(
                "{name}: {count} files are as in {commit}; git's index and branch are as they were, so commit them when the \
                 story stays taken back"
            ),
        )?;
        Ok(count as u64)
    }

    fn git_meaning(&self, name: &Name) -> Call<GitMeaning> {
        let meaning = self.world.definitions.git.get(name).cloned();
        meaning.ok_or_else(|| Refusal::UnknownName(format!("no `[git.{name}]` in the policies")).into())
    }

    fn compare(&mut self, name: &Name, meaning: &GitMeaning) -> Call<Compared> {
        let told = |e: GitError| -> CallFault {
            match e {
                GitError::TimedOut => Refusal::TimedOut(format!("the restore point {name}: {e}")),
                GitError::NotBefore { .. } => Refusal::NotAsExpected(format!("the restore point {name}: {e}")),
                e => Refusal::Failed(format!("the restore point {name}: {e}")),
            }
            .into()
        };
        let repository = Repository::open(&self.world.site.join(&meaning.repository)).map_err(told)?;
        let (commit, head) = (repository.resolve(&meaning.commit).map_err(told)?, repository.head().map_err(told)?);
        repository.demand_before(&commit, &head, self.deadline).map_err(told)?;
        let target = repository.files(&commit, &meaning.paths).map_err(told)?;
        let recorded = repository.files(&head, &meaning.paths).map_err(told)?;
        let index = repository.index(&meaning.paths).map_err(told)?;
        let known: BTreeSet<&String> = target.keys().chain(recorded.keys()).chain(index.keys()).collect();
        let ignores = repository.ignores();
        let mut look =
            Look { repository: &repository, meaning, known: &known, ignores, present: BTreeMap::new(), bytes: 0 };
        for path in &meaning.paths {
            self.look_at(&mut look, path).map_err(|fault| match fault {
                Fault::Git(e) => told(e),
                Fault::Call(fault) => fault,
            })?;
        }
        let present = look.present;
        let file = |path: &str| match present.get(path) {
            Some(Seen::File(blob)) => Some(blob),
            Some(Seen::Other) | None => None,
        };
        let all: BTreeSet<&String> = known.into_iter().chain(present.keys()).collect();
        let is_other = |path: &str| present.get(path) == Some(&Seen::Other);
        let differs = |path: &str| is_other(path) || file(path) != target.get(path);
        let is_uncommitted =
            |path: &str| is_other(path) || file(path) != recorded.get(path) || file(path) != index.get(path);
        let which = |is: &dyn Fn(&str) -> bool| all.iter().filter(|p| is(p)).map(|p| path_text(p.as_bytes())).collect();
        let state = RestoreState { differing: which(&differs), uncommitted: which(&is_uncommitted) };
        Ok(Compared { repository, commit, target, present, state })
    }

    fn restore(&mut self, name: &Name, meaning: &GitMeaning, compared: &Compared) -> Call<()> {
        let Compared { repository, commit, target, present, .. } = compared;
        let failed = |e: GitError| -> CallFault { Refusal::Failed(format!("the restore point {name}: {e}")).into() };
        let is_right = |path: &str| match (present.get(path), target.get(path)) {
            (Some(Seen::File(now)), Some(then)) => now == then,
            _ => false,
        };
        // What goes: files that are not in the commit, and what is no longer, or not yet, a symlink.
        let mut emptied = BTreeSet::new();
        for (path, seen) in present {
            let stays = target.get(path).is_some_and(|then| match seen {
                Seen::File(now) => now == then || (now.mode != Mode::Symlink && then.mode != Mode::Symlink),
                Seen::Other => false,
            });
            if !stays {
                self.remove_at(meaning, path, false)?;
                let folders = path.match_indices('/').map(|(slash, _)| path[..slash].to_owned());
                emptied.extend(folders.filter(|folder| meaning.paths.iter().any(|bound| is_below(folder, bound))));
            }
        }
        emptied.retain(|folder| !target.keys().any(|path| is_below(path, folder)));
        for folder in emptied.iter().rev() {
            self.remove_at(meaning, folder, true)?;
        }
        for (path, blob) in target.iter().filter(|(path, _)| !is_right(path)) {
            self.in_time()?;
            let content = repository.content(path, blob).map_err(failed)?;
            for (slash, _) in path.match_indices('/') {
                self.make_folder(meaning, &path[..slash])?;
            }
            let Some(found) = self.find_below(meaning, path)? else {
                return Err(Refusal::NotAsExpected(format!("{path}: its directory is gone")).into());
            };
            let source = format!("git {}:{}", commit.to_hex_with_len(12), path_text(path.as_bytes()));
            let done = match blob.mode {
                Mode::Symlink => self.link_to(&found, &content),
                mode => self.place_blob(&found, &content, mode == Mode::Executable, source),
            };
            self.forget(&found);
            done?;
        }
        Ok(())
    }

    fn place_blob(&mut self, found: &Found, bytes: &[u8], executable: bool, source: String) -> Call<()> {
        self.ledger.writing(bytes.len() as u64)?;
        let digest = Digest::from_bytes(Sha256::digest(bytes).into());
        let content = Content { size: bytes.len() as u64, digest: Some(digest) };
        let effect = Effect::FileReplaced { path: show(&found.place), source, content };
        let handle = self.install(found, Source::Blob { bytes, executable }, effect)?;
        self.world.tree.release(handle);
        Ok(())
    }

    fn link_to(&mut self, found: &Found, target: &[u8]) -> Call<()> {
        let Some(name) = &found.name else { return Err(Refusal::Failed("a symlink needs a name".to_owned()).into()) };
        let target = std::str::from_utf8(target).ok().filter(|target| !leads_out(&found.place, target));
        let Some(target) = target else {
            let denial = self.denial(
                format!("the symlink {} of the commit", show(&found.place)),
                "its target leads out of the site, where other programs would follow it",
            );
            return Err(self.deny_call(denial));
        };
        self.world.tree.may_change(found.parent).map_err(|e| at(&found.place, e))?;
        let effect = Effect::LinkCreated { path: show(&found.place), to: path_text(target.as_bytes()), hard: false };
        let link = |gate: &mut Gate| gate.world.tree.symlink(target, found.parent, name);
        let made = self.perform_new(&effect, found.parent, &found.place, link);
        let (number, ()) = made.map_err(|fault| self.as_fault(fault, &found.place))?;
        Ok(self.ledger.made(number, effect, None, Vec::new())?)
    }

    fn make_folder(&mut self, meaning: &GitMeaning, folder: &str) -> Call<()> {
        let Some(found) = self.find_below(meaning, folder)? else { return Ok(()) };
        let made = match (&found.object, &found.name) {
            (Some(object), _) if object.kind == Kind::Directory => Ok(()),
            (None, Some(name)) => {
                let effect = Effect::DirCreated { path: show(&found.place) };
                let make = |gate: &mut Gate| {
                    gate.world.tree.may_change(found.parent)?;
                    gate.world.tree.make_dir(found.parent, name)
                };
                match self.perform_new(&effect, found.parent, &found.place, make) {
                    Ok((number, ())) => self.ledger.made(number, effect, None, Vec::new()).map_err(CallFault::from),
                    Err(fault) => Err(self.as_fault(fault, &found.place)),
                }
            }
            _ => Err(Refusal::NotAsExpected(format!("{} is not a directory", show(&found.place))).into()),
        };
        self.forget(&found);
        made
    }

    /// Removes a file, or a directory if nothing is left in it.
    fn remove_at(&mut self, meaning: &GitMeaning, path: &str, directory: bool) -> Call<()> {
        let Some(found) = self.find_below(meaning, path)? else { return Ok(()) };
        let removed = match (&found.object, &found.name) {
            (Some(object), Some(name)) if directory == (object.kind == Kind::Directory) => {
                let path = show(&found.place);
                let effect = if directory { Effect::DirRemoved { path } } else { Effect::Removed { path } };
                let (object, name) = (*object, name.clone());
                match self.take_away(&found, &object, &name, effect) {
                    // Something that nobody restores, such as an ignored file, is still in it.
                    Err(super::FsFault::Errno(Errno::NOTEMPTY)) if directory => Ok(()),
                    Err(fault) => Err(self.as_fault(fault, &found.place)),
                    Ok(()) => Ok(()),
                }
            }
            (None, _) => Ok(()),
            _ => Err(Refusal::NotAsExpected(format!("{} is another thing now", show(&found.place))).into()),
        };
        self.forget(&found);
        removed
    }

    /// What lies at a path of the repository, by no symlink on the way; `None` where its directory is not there.
    fn find_below(&mut self, meaning: &GitMeaning, path: &str) -> Call<Option<Found>> {
        let inside = match meaning.repository.as_str() {
            "." => path.to_owned(),
            repository => format!("{repository}/{path}"),
        };
        let root = self.world.tree.root("site").map_err(|e| Refusal::Failed(format!("the site: {e}")))?;
        let found = self.world.tree.find(root, &inside, false);
        self.world.tree.release(root);
        let rule = match &found {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(Errno::PERM) => "the path leads out of its folder",
            Err(e) => return Err(Refusal::Failed(format!("{inside}: {}", std::io::Error::from(*e))).into()),
            Ok(found) if self.world.is_protected(&found.place) => "no grant reaches `.unship/` or `policies/`",
            Ok(found) if found.place.path != Path::new(&inside) => "a symlink stands on the way, and none is followed",
            Ok(_) => return found.map(Some).map_err(|_| Refusal::Failed(inside).into()),
        };
        if let Ok(found) = &found {
            self.forget(found);
        }
        let denial = self.denial(format!("reaching {:?}", path_text(inside.as_bytes())), rule);
        Err(self.deny_call(denial))
    }

    /// Takes down what lies at `path`, and below it.
    fn look_at(&mut self, look: &mut Look<'_>, path: &str) -> Result<(), Fault> {
        self.in_time()?;
        let Some(found) = self.find_below(look.meaning, path)? else { return Ok(()) };
        let seen = self.look_at_found(look, path, &found);
        self.forget(&found);
        seen
    }

    fn look_at_found(&mut self, look: &mut Look<'_>, path: &str, found: &Found) -> Result<(), Fault> {
        let Some(object) = found.object else { return Ok(()) };
        let is_dir = object.kind == Kind::Directory;
        let is_known = look.knows(path, is_dir);
        if !is_known && self.is_ignored(look, path, is_dir)? {
            return Ok(());
        }
        if look.present.len() >= FILES_MAX {
            let why = format!("there are more than {FILES_MAX} files in the working tree");
            return Err(Fault::Call(Refusal::Failed(why).into()));
        }
        let (mode, content) = match object.kind {
            Kind::Directory => return self.look_below(look, path, object.handle),
            Kind::Other => {
                look.present.insert(path.to_owned(), Seen::Other);
                return Ok(());
            }
            Kind::Symlink => {
                (Mode::Symlink, self.world.tree.read_link(&object).map_err(|e| Fault::Call(at(&found.place, e)))?)
            }
            Kind::File => {
                let stat = self.world.tree.stat(object.handle).map_err(|e| Fault::Call(at(&found.place, e)))?;
                let mode = if stat.executable { Mode::Executable } else { Mode::Plain };
                (mode, self.read_up_to(found, FILE_BYTES_MAX)?)
            }
        };
        look.bytes += content.len() as u64;
        if look.bytes > TOTAL_BYTES_MAX {
            let why = format!("the files of the restore point have more than {TOTAL_BYTES_MAX} bytes");
            return Err(Fault::Call(Refusal::Failed(why).into()));
        }
        let id = look.repository.name_of(&content)?;
        look.present.insert(path.to_owned(), Seen::File(Blob { mode, id }));
        Ok(())
    }

    fn look_below(&mut self, look: &mut Look<'_>, path: &str, directory: crate::tree::Handle) -> Result<(), Fault> {
        let place = || format!("{path} cannot be listed");
        let failed =
            |e: Errno| Fault::Call(Refusal::Failed(format!("{}: {}", place(), std::io::Error::from(e))).into());
        let listing = self.world.tree.list(directory).map_err(failed)?;
        let mut names = Vec::new();
        let listed = loop {
            match self.world.tree.list_next(listing) {
                Ok(Some(entry)) if names.len() < self.limits().entries_max => names.push(entry.name),
                Ok(Some(_)) => {
                    let allowed = format!("{} entries", self.limits().entries_max);
                    break Err(Fault::from(Stop::Limit { limit: "entries", allowed }));
                }
                Ok(None) => break Ok(()),
                Err(e) => break Err(failed(e)),
            }
        };
        self.world.tree.release(listing);
        listed?;
        if names.iter().any(|name| name.eq_ignore_ascii_case(".git")) {
            let why = format!("{path} is a repository of its own, which cannot be restored from another");
            return Err(Fault::Call(Refusal::Failed(why).into()));
        }
        names.sort();
        for name in names {
            self.look_at(look, &format!("{path}/{name}"))?;
        }
        Ok(())
    }

    fn is_ignored(&mut self, look: &mut Look<'_>, path: &str, is_dir: bool) -> Result<bool, Fault> {
        let folders = std::iter::once("").chain(path.match_indices('/').map(|(slash, _)| &path[..slash]));
        for folder in folders {
            if look.ignores.knows(folder) {
                continue;
            }
            let file = if folder.is_empty() { ".gitignore".to_owned() } else { format!("{folder}/.gitignore") };
            let found = self.find_below(look.meaning, &file)?;
            let text = match &found {
                Some(found) if found.object.is_some_and(|object| object.kind == Kind::File) => {
                    self.read_up_to(found, IGNORE_BYTES_MAX)
                }
                _ => Ok(Vec::new()),
            };
            if let Some(found) = &found {
                self.forget(found);
            }
            look.ignores.add(folder, &text?);
        }
        Ok(look.ignores.ignores(path, is_dir))
    }
}

/// Bytes of all files of a point, and of one `.gitignore`.
const TOTAL_BYTES_MAX: u64 = 1 << 30;
const IGNORE_BYTES_MAX: u64 = 1 << 20;

/// A look at the working tree in progress.
struct Look<'a> {
    repository: &'a Repository,
    meaning: &'a GitMeaning,
    known: &'a BTreeSet<&'a String>,
    ignores: Ignores,
    present: BTreeMap<String, Seen>,
    bytes: u64,
}

impl Look<'_> {
    /// Whether git knows the file, or one in the directory.
    fn knows(&self, path: &str, is_dir: bool) -> bool {
        self.known.contains(&path.to_owned())
            || (is_dir && self.known.range(format!("{path}/")..).next().is_some_and(|next| is_below(next, path)))
    }
}

/// Why a look came to nothing.
enum Fault {
    Git(GitError),
    Call(CallFault),
}

impl From<GitError> for Fault {
    fn from(e: GitError) -> Self {
        Fault::Git(e)
    }
}

impl From<CallFault> for Fault {
    fn from(fault: CallFault) -> Self {
        Fault::Call(fault)
    }
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Self {
        Fault::Call(stop.into())
    }
}

fn at(place: &Place, e: Errno) -> CallFault {
    Refusal::Failed(format!("{}: {}", show(place), std::io::Error::from(e))).into()
}

/// The first few of many paths.
fn listed(paths: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<&str> = paths.iter().take(SHOWN).map(String::as_str).collect();
    match paths.len().checked_sub(SHOWN) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}
