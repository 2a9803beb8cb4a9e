//! The typed file verbs: what matters about them is their meaning, not their system calls. Same finding, same grants,
//! same writing down as for WASI's calls.

use super::{Call, CallFault, FsFault, Gate, Kind, Refusal, image_in, marked, show};
use crate::{
    edit,
    tree::{
        Found, Handle, PIECE, Source,
        trash::{Mark, TrashSlot},
    },
};
use rustix::io::Errno;
use std::ffi::OsString;
use unship_policy::{FileRight, Place};
use unship_rollback::Effect;

/// Bytes of a file that is edited as a whole.
const EDIT_BYTES_MAX: u64 = 8 << 20;

impl Gate {
    /// Finds `path` (`folder:path`, or in the folder `site`) for a typed verb.
    pub(super) fn find_named(&mut self, path: &str) -> Call<Found> {
        let (folder, inside) = path.split_once(':').unwrap_or(("site", path));
        let Ok(root) = self.world.tree.root(folder) else {
            return Err(Refusal::UnknownName(format!(
                "no folder is named {folder:?}; `[folders]` in the policy names them"
            ))
            .into());
        };
        let found = self.world.tree.find(root, inside, false);
        self.world.tree.release(root);
        match found {
            Ok(found) if self.world.is_protected(&found.place) => {
                let what = format!("reaching {}", show(&found.place));
                self.forget(&found);
                let denial = self.denial(what, "no grant reaches `.unship/` or `policies/`");
                Err(self.deny_call(denial))
            }
            Ok(found) => Ok(found),
            Err(Errno::PERM) => {
                let denial = self.denial(format!("reaching {path:?}"), "the path leads out of its folder");
                Err(self.deny_call(denial))
            }
            Err(Errno::NOENT) => Err(Refusal::NotAsExpected(format!("{path} does not exist")).into()),
            Err(e) => Err(failed(path, e)),
        }
    }

    fn with_named<T>(&mut self, path: &str, then: impl FnOnce(&mut Gate, &Found) -> Call<T>) -> Call<T> {
        let found = self.find_named(path)?;
        let result = then(self, &found);
        self.forget(&found);
        result
    }

    pub(super) fn deny_call(&mut self, denial: unship_policy::Denial) -> CallFault {
        let text = denial.to_string();
        match self.ledger.denied(denial) {
            Ok(()) => Refusal::Denied(text).into(),
            Err(stop) => stop.into(),
        }
    }

    fn demand_call(&mut self, right: FileRight, place: &Place) -> Call<()> {
        match self.grant.file(right, place) {
            Ok(()) => {
                if !right.changes() {
                    self.ledger.accessed(right.key(), show(place));
                }
                Ok(())
            }
            Err(denial) => Err(self.deny_call(denial)),
        }
    }

    fn demand_edit(&mut self, place: &Place, pointer: &str) -> Call<()> {
        self.grant.edit(place, pointer).map_err(|denial| self.deny_call(denial))
    }

    /// `files.replace`: see the WIT. Nothing is done when the bytes agree already.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn files_replace(&mut self, target: &str, source: &str) -> Call<()> {
        self.with_named(source, |gate, from| {
            gate.demand_call(FileRight::Read, &from.place)?;
            let source = regular(from)?;
            let handle = gate.world.tree.open(&source, false).map_err(|e| failed(&show(&from.place), e))?;
            let result = gate.with_named(target, |gate, to| gate.replace_with(to, &from.place, handle));
            gate.world.tree.release(handle);
            result
        })
    }

    fn replace_with(&mut self, to: &Found, source: &Place, handle: Handle) -> Call<()> {
        self.demand_call(FileRight::Replace, &to.place)?;
        let content = self.content(handle)?;
        if content.digest.is_none() {
            return Err(Refusal::Failed(format!("{} is too large to replace another file by", show(source))).into());
        }
        if to.object.is_some() {
            let old = regular(to)?;
            if old.size == content.size {
                let old_handle = self.world.tree.open(&old, false).map_err(|e| failed(&show(&to.place), e))?;
                let old_content = self.content(old_handle);
                self.world.tree.release(old_handle);
                if old_content? == content {
                    return Ok(());
                }
            }
        }
        self.ledger.writing(content.size)?;
        let effect = Effect::FileReplaced { path: show(&to.place), source: show(source), content: content.clone() };
        let new = self.install(to, Source::Handle(handle), effect)?;
        let now = self.content(new);
        self.world.tree.release(new);
        if now? != content {
            let what = format!("{} changed while it was being copied", show(source));
            return Err(Refusal::NotAsExpected(what).into());
        }
        Ok(())
    }

    /// Declares `effect`, then makes the found name hold `content`; what lay there is kept.
    pub(super) fn install(&mut self, to: &Found, content: Source<'_>, effect: Effect) -> Call<Handle> {
        let Some(name) = &to.name else { return Err(not_a_file(&to.place)) };
        if to.object.is_some() {
            regular(to)?;
        }
        self.world.tree.may_change(to.parent).map_err(|e| failed(&show(&to.place), e))?;
        let place = |gate: &mut Gate, slot: Option<&TrashSlot>| {
            let temp = gate.temporary_name(slot);
            let mut replace = || gate.world.tree.replace(to.parent, name, &temp, content, to.object.as_ref(), slot);
            match to.object {
                Some(_) => replace(),
                None => marked(slot, &Mark::Make, replace),
            }
        };
        let performed = self.perform(&effect, to.parent, &to.place, place);
        let (number, handle, slot) = performed.map_err(|fault| self.as_fault(fault, &to.place))?;
        let image = image_in(slot.as_ref().filter(|_| to.object.is_some()));
        self.ledger.made(number, effect, image, Vec::new())?;
        Ok(handle)
    }

    pub(super) fn as_fault(&self, fault: FsFault, place: &Place) -> CallFault {
        match fault {
            FsFault::Stop(stop) => stop.into(),
            FsFault::Errno(e) => failed(&show(place), e),
        }
    }

    /// `files.set-aside`: see the WIT.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn files_set_aside(&mut self, path: &str) -> Call<String> {
        self.with_named(path, |gate, from| {
            gate.demand_call(FileRight::SetAside, &from.place)?;
            let (Some(object), Some(name)) = (from.object, &from.name) else {
                return Err(Refusal::NotAsExpected(format!("{path} does not exist")).into());
            };
            if let Err(fault) = gate.demand_nothing_protected(&from.place) {
                return Err(gate.as_denied(fault, &from.place));
            }
            let mut new_name: OsString = name.clone();
            new_name.push(format!(".unship-{}", gate.world.run));
            let to = Place { folder: from.place.folder.clone(), path: from.place.path.with_file_name(&new_name) };
            if let Err(fault) = gate.demand_no_widening(&from.place, &to, &object) {
                return Err(gate.as_denied(fault, &from.place));
            }
            gate.world.tree.may_change(from.parent).map_err(|e| failed(&show(&from.place), e))?;
            if gate.is_taken(from.parent, &new_name).map_err(|e| failed(&show(&to), e))? {
                return Err(Refusal::NotAsExpected(format!("{} exists already", show(&to))).into());
            }
            let effect = Effect::SetAside { from: show(&from.place), to: show(&to) };
            let performed = gate.perform(&effect, from.parent, &from.place, |gate, slot| {
                let (old, new) = ((from.parent, name), (from.parent, &new_name));
                marked(slot, &Mark::Move(object.identity.1), || gate.world.tree.rename(old, new, None, None))
            });
            let (number, (), _) = performed.map_err(|fault| match fault {
                FsFault::Errno(Errno::EXIST) => Refusal::NotAsExpected(format!("{} exists already", show(&to))).into(),
                fault => gate.as_fault(fault, &from.place),
            })?;
            gate.ledger.made(number, effect, None, Vec::new())?;
            Ok(show(&to))
        })
    }

    /// Whether something has this name in a directory: asked before an effect is declared.
    fn is_taken(&mut self, directory: Handle, name: &OsString) -> Result<bool, Errno> {
        let found = self.world.tree.find(directory, name.to_str().ok_or(Errno::ILSEQ)?, false)?;
        self.forget(&found);
        Ok(found.object.is_some())
    }

    fn as_denied(&mut self, fault: FsFault, place: &Place) -> CallFault {
        match fault {
            FsFault::Stop(stop) => stop.into(),
            // The denial with its rule is journalled already.
            FsFault::Errno(Errno::ACCESS) => Refusal::Denied(format!(
                "moving {} would widen what the step may do, or reach what no grant does",
                show(place)
            ))
            .into(),
            FsFault::Errno(e) => failed(&show(place), e),
        }
    }

    /// `files.clear`: see the WIT. Nothing is done to an empty directory.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn files_clear(&mut self, path: &str) -> Call<u64> {
        self.with_named(path, |gate, found| {
            gate.demand_call(FileRight::Clear, &found.place)?;
            let (Some(object), Some(name)) = (found.object, &found.name) else {
                return Err(Refusal::NotAsExpected(format!("{path} is not a directory that can be cleared")).into());
            };
            if object.kind != Kind::Directory {
                return Err(Refusal::NotAsExpected(format!("{path} is not a directory; no symlink is followed")).into());
            }
            if let Err(fault) = gate.demand_nothing_protected(&found.place) {
                return Err(gate.as_denied(fault, &found.place));
            }
            let entries = gate.count_entries(object.handle, &found.place)?;
            if entries == 0 {
                return Ok(0);
            }
            gate.world.tree.may_change(found.parent).map_err(|e| failed(&show(&found.place), e))?;
            let effect = Effect::DirCleared { path: show(&found.place), entries };
            let performed = gate.perform(&effect, found.parent, &found.place, |gate, slot| {
                let temp = gate.temporary_name(slot);
                gate.world.tree.clear(found.parent, name, &temp, &object, slot)
            });
            let (number, (), slot) = performed.map_err(|fault| gate.as_fault(fault, &found.place))?;
            gate.ledger.made(number, effect, image_in(slot.as_ref()), Vec::new())?;
            Ok(entries)
        })
    }

    fn count_entries(&mut self, directory: Handle, place: &Place) -> Call<u64> {
        let listing = self.world.tree.list(directory).map_err(|e| failed(&show(place), e))?;
        let mut entries = 0u64;
        let result = loop {
            match self.world.tree.list_next(listing) {
                // A name that is not UTF-8 is an entry like any other here.
                Ok(Some(_)) | Err(Errno::ILSEQ) => entries += 1,
                Ok(None) => break Ok(entries),
                Err(e) => break Err(failed(&show(place), e)),
            }
            if let Err(stop) = self.in_time() {
                break Err(stop.into());
            }
        };
        self.world.tree.release(listing);
        result
    }

    /// `files.edit`: see the WIT. Nothing is done when the value stands there already.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn files_edit(&mut self, path: &str, pointer: &str, expected: &str, value: &str) -> Call<()> {
        self.with_named(path, |gate, found| {
            gate.demand_edit(&found.place, pointer)?;
            let Some(format) = edit::format_of(&found.place.path) else {
                return Err(Refusal::Failed(format!("{path} is neither YAML, JSON nor TOML by its name")).into());
            };
            let text = gate.read_whole(found)?;
            let edited = edit::set_scalar(format, &text, pointer, Some(expected), value).map_err(|e| match e {
                edit::EditError::NotAsExpected { .. } | edit::EditError::Missing { .. } => {
                    Refusal::NotAsExpected(format!("{path}: {e}"))
                }
                e => Refusal::Failed(format!("{path}: {e}")),
            })?;
            if !edited.changed {
                return Ok(());
            }
            gate.ledger.writing(edited.bytes.len() as u64)?;
            let effect = Effect::FileEdited {
                path: show(&found.place),
                pointer: pointer.to_owned(),
                from: edited.before,
                to: value.to_owned(),
            };
            let handle = gate.install(found, Source::Bytes(&edited.bytes), effect)?;
            gate.world.tree.release(handle);
            Ok(())
        })
    }

    /// The whole of a small regular file.
    pub(super) fn read_whole(&mut self, found: &Found) -> Call<Vec<u8>> {
        self.read_up_to(found, EDIT_BYTES_MAX)
    }

    /// The whole of a regular file of at most `bytes_max`.
    pub(super) fn read_up_to(&mut self, found: &Found, bytes_max: u64) -> Call<Vec<u8>> {
        let object = regular(found)?;
        let shown = show(&found.place);
        if object.size > bytes_max {
            return Err(Refusal::Failed(format!(
                "{shown} has {} bytes, more than the {bytes_max} that are read as a whole",
                object.size
            ))
            .into());
        }
        let handle = self.world.tree.open(&object, false).map_err(|e| failed(&shown, e))?;
        let mut text = Vec::new();
        let result = loop {
            match self.world.tree.read(handle, PIECE, text.len() as u64) {
                Ok(piece) if piece.is_empty() => break Ok(text),
                Ok(piece) if text.len() as u64 <= bytes_max => text.extend(piece),
                Ok(_) => break Err(Refusal::Failed(format!("{shown} grows while it is read")).into()),
                Err(e) => break Err(failed(&shown, e)),
            }
        };
        self.world.tree.release(handle);
        result
    }
}

fn failed(what: &str, e: Errno) -> CallFault {
    Refusal::Failed(format!("{what}: {}", std::io::Error::from(e))).into()
}

fn not_a_file(place: &Place) -> CallFault {
    Refusal::NotAsExpected(format!("{} is not a regular file", show(place))).into()
}

fn regular(found: &Found) -> Call<crate::tree::Object> {
    match found.object {
        Some(object) if object.kind == Kind::File => Ok(object),
        Some(_) => Err(not_a_file(&found.place)),
        None => Err(Refusal::NotAsExpected(format!("{} does not exist", show(&found.place))).into()),
    }
}
