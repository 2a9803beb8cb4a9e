//! Looking, without changing anything: what became of an effect that no record speaks of, and whether somebody changed
//! what it left.

use super::{Located, SiteEffects, kept_in};
use crate::{
    edit,
    providers::flags,
    tree::{
        live::is_empty,
        trash::{Mark, TrashSlot},
    },
};
use rustix::{
    fd::AsFd,
    fs::{FileType, OFlags},
};
use sha2::{Digest as _, Sha256};
use std::io::Read as _;
use unship_policy::{Digest, Name};
use unship_rollback::{Content, Effect, Image, Probe, UndoItem};

/// A file that is edited is read as a whole up to here.
pub(super) const EDIT_BYTES_MAX: u64 = 8 << 20;

impl SiteEffects {
    /// What its mark and the trash tell of an effect. Its own path is only a hint, since a later effect may have moved what
    /// lay there; taking back looks again when its turn comes.
    pub(super) fn look(&self, effect: &Effect, slot: &TrashSlot, mark: &Mark) -> (Probe, Option<Image>) {
        let kept = slot.kept().ok().flatten();
        let seen = |path: &str| self.locate(path).and_then(|at| at.look()).ok().flatten();
        let either = |is: bool| if is { Probe::Applied } else { Probe::Partial };
        match mark {
            // It was not made yet, or an attempt to take it back was cut off: either way there is something to be done.
            Mark::Take(_) | Mark::Swap { .. } if kept.is_none() => (Probe::Partial, None),
            Mark::Swap { new, .. } if kept.is_some_and(|kept| kept.st_ino == *new) => (Probe::Partial, None),
            Mark::Take(_) | Mark::Swap { .. } => (Probe::Applied, kept_in(slot)),
            Mark::Make => (either(self.marked_path(effect).and_then(|path| seen(&path)).is_some()), None),
            Mark::Move(inode) => {
                let (to, replaced) = match effect {
                    Effect::Renamed { to, replaced, .. } => (to, *replaced),
                    Effect::SetAside { to, .. } => (to, false),
                    _ => return (Probe::Unknown, None),
                };
                let moved = seen(to).is_some_and(|stat| stat.st_ino == *inode);
                (either(moved && (!replaced || kept.is_some())), kept.and_then(|_| kept_in(slot)))
            }
            Mark::Times(accessed, modified) => {
                let was = format!("accessed {accessed} modified {modified} ns since the epoch");
                (Probe::Applied, Some(Image::Value { was }))
            }
            Mark::Write(_) => (Probe::Partial, None),
            Mark::Service(running) => {
                let was = if *running { "running" } else { "stopped" };
                (Probe::Unknown, Some(Image::Value { was: was.to_owned() }))
            }
            Mark::Run => (Probe::Unknown, None),
        }
    }

    /// What somebody changed since the run, of the thing that the effect is about.
    pub(super) fn difference(&mut self, item: &UndoItem) -> Option<String> {
        let effect = &item.applied.effect;
        let path = self.marked_path(effect)?;
        let slot = self.slot(item.number, effect).ok()??;
        let mark = slot.begun().ok()??;
        let at = match self.locate(&path) {
            Ok(at) => at,
            Err(e) => return Some(format!("{path} cannot be reached: {}", std::io::Error::from(e))),
        };
        let now = at.look().ok()?;
        let gone = || Some(format!("{path} is not there any more"));
        // What lay there before lies there again: an earlier attempt to take it back did not get to its end.
        let came_back = |stat: Option<rustix::fs::Stat>, inode| stat.is_some_and(|stat| stat.st_ino == inode);
        match (effect, mark) {
            (_, Mark::Take(old) | Mark::Swap { old, .. }) if came_back(now, old) => None,
            (_, Mark::Write(inode)) if now.is_some_and(|now| now.st_ino != inode) => {
                Some(format!("another thing lies at {path}"))
            }
            (_, Mark::Take(_)) => now.map(|_| format!("something lies at {path} again")),
            (Effect::Renamed { from, to, .. } | Effect::SetAside { from, to }, Mark::Move(inode)) => {
                let (from_at, to_at) = (self.locate(from).ok()?, self.locate(to).ok()?);
                match to_at.look().ok()? {
                    None if came_back(from_at.look().ok()?, inode) => return None,
                    None => return Some(format!("{to} is not there any more")),
                    Some(stat) if stat.st_ino != inode => return Some(format!("another thing lies at {to}")),
                    Some(_) => {}
                }
                from_at.look().ok()?.map(|_| format!("something lies at {from} again"))
            }
            (_, Mark::Times(..) | Mark::Service(_) | Mark::Run) => now.is_none().then(gone).flatten(),
            (Effect::FlagSet { .. } | Effect::FileEdited { .. }, Mark::Swap { .. }) => {
                let Some(edit) = self.edit_of(effect) else { return Some("the policy has no flags any more".into()) };
                let value = read_small(&at).and_then(|text| edit.get(&text));
                match value {
                    Ok(value) if value == edit.to || value == edit.from => None,
                    Ok(value) => Some(format!("{} is {value} now, not {}", edit.what, edit.to)),
                    Err(why) => Some(why),
                }
            }
            (Effect::DirCleared { .. }, Mark::Swap { new, .. }) => match now {
                None => gone(),
                Some(stat) if stat.st_ino != new => Some(format!("another thing lies at {path}")),
                Some(_) => match at.open(OFlags::RDONLY).ok().and_then(|dir| is_empty(dir.as_fd()).ok()) {
                    Some(true) => None,
                    _ => Some(format!("there are entries in {path} again")),
                },
            },
            (Effect::DirCreated { .. }, Mark::Make) => match now {
                None => gone(),
                Some(_) => match at.open(OFlags::RDONLY).ok().and_then(|dir| is_empty(dir.as_fd()).ok()) {
                    Some(true) => None,
                    _ => Some(format!("there are entries in {path}")),
                },
            },
            (Effect::LinkCreated { to, hard, .. }, _) => match now {
                None => gone(),
                Some(now) => (!self.is_link(&at, &now, to, *hard)).then(|| format!("another thing lies at {path}")),
            },
            (
                Effect::FileCreated { content, .. } | Effect::FileWritten { content, .. },
                Mark::Make | Mark::Swap { .. } | Mark::Write(_),
            ) => self.content_differs(&at, &path, content.as_ref()),
            (Effect::FileReplaced { content, .. }, _) => self.content_differs(&at, &path, Some(content)),
            _ => None,
        }
    }

    fn content_differs(&self, at: &Located, path: &str, expected: Option<&Content>) -> Option<String> {
        let expected = expected?;
        let Ok(Some(stat)) = at.look() else { return Some(format!("{path} is not there any more")) };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Some(format!("{path} is not a file any more"));
        }
        if u64::try_from(stat.st_size) != Ok(expected.size) {
            return Some(format!("{path} has {} bytes now, not {}", stat.st_size, expected.size));
        }
        let digest = expected.digest?;
        match at.open(OFlags::RDONLY).map_err(Into::into).and_then(digest_of) {
            Ok(now) if now == digest => None,
            Ok(_) => Some(format!("the content of {path} is another one now")),
            Err(e) => Some(format!("{path} cannot be read: {e}")),
        }
    }

    /// The edit that an effect made, in terms that can be made again the other way round.
    pub(super) fn edit_of(&self, effect: &Effect) -> Option<Edit> {
        match effect {
            Effect::FlagSet { flag, from, to } => Some(Edit {
                what: format!("the flag {flag}"),
                from: from.clone(),
                to: to.clone(),
                how: How::Flag(Name::new(flag).ok()?, self.definitions.flags.clone()?),
            }),
            Effect::FileEdited { path, pointer, from, to } => Some(Edit {
                what: format!("{path} {pointer}"),
                from: from.clone(),
                to: to.clone(),
                how: How::Scalar(edit::format_of(path)?, pointer.clone()),
            }),
            _ => None,
        }
    }
}

/// One scalar of a file, from one value to another.
pub(super) struct Edit {
    pub what: String,
    pub from: String,
    pub to: String,
    how: How,
}

enum How {
    Flag(Name, unship_policy::meaning::FlagsMeaning),
    Scalar(edit::Format, String),
}

impl Edit {
    pub fn get(&self, text: &[u8]) -> Result<String, String> {
        match &self.how {
            How::Flag(flag, meaning) => flags::read(meaning, text, flag).map_err(|e| e.to_string()),
            How::Scalar(format, pointer) => edit::get_scalar(*format, text, pointer).map_err(|e| e.to_string()),
        }
    }

    pub fn set(&self, text: &[u8], value: &str) -> Result<Vec<u8>, String> {
        match &self.how {
            How::Flag(flag, meaning) => {
                flags::write(meaning, text, flag, value).map(|e| e.bytes).map_err(|e| e.to_string())
            }
            How::Scalar(format, pointer) => {
                edit::set_scalar(*format, text, pointer, None, value).map(|e| e.bytes).map_err(|e| e.to_string())
            }
        }
    }
}

/// The whole of a file that can be edited.
pub(super) fn read_small(at: &Located) -> Result<Vec<u8>, String> {
    let name = super::shown(&at.name);
    let told = |e: std::io::Error| format!("{name}: {e}");
    let file = at.open(OFlags::RDONLY).map_err(|e| told(e.into()))?;
    let mut text = Vec::new();
    file.take(EDIT_BYTES_MAX + 1).read_to_end(&mut text).map_err(told)?;
    if text.len() as u64 > EDIT_BYTES_MAX {
        return Err(format!("{name} has more than the {EDIT_BYTES_MAX} bytes that can be edited"));
    }
    Ok(text)
}

fn digest_of(mut file: std::fs::File) -> std::io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; crate::tree::PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(Digest::from_bytes(hash.finalize().into())),
            read => hash.update(&piece[..read]),
        }
    }
}
