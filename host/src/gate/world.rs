//! The world that a step meets: the tree, what names mean, and, when planning, what earlier steps would have changed
//! in it. It goes from one step's gate to the next.

use crate::tree::{
    Tree,
    live::LiveTree,
    overlay::OverlayTree,
    trash::{Mount, TRASH, mount_of},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};
use unship_policy::{Definitions, Grant, Name, PathPattern, Place};

/// What may not be granted, below the site.
const PROTECTED: [&str; 2] = [".unship", "policies"];

/// See the module.
pub struct World {
    pub(super) tree: Box<dyn Tree>,
    /// Folder name → path that the guest sees.
    pub(super) folders: Vec<(String, String)>,
    pub(super) definitions: Definitions,
    pub(super) site: PathBuf,
    /// Folder name → where it is, canonical.
    pub(super) on_disk: Vec<(String, PathBuf)>,
    /// What every step of the story holds: none of it may decide what a command does.
    pub(super) grants: Vec<Grant>,
    pub(super) protected: Vec<Place>,
    pub(super) simulated: Option<Simulated>,
    /// Where `.unship/` lies, which holds the trash for its own file system; `None` for `exec`, which keeps nothing.
    pub(super) mount: Option<Mount>,
    /// The run's id, for names of things set aside.
    pub(super) run: String,
    pub(super) temporary: u64,
}

/// What planned steps would have done to what lies outside the tree.
#[derive(Debug, Default)]
pub(super) struct Simulated {
    pub stopped: BTreeSet<Name>,
    pub services: BTreeMap<Name, bool>,
    /// Paths that a simulated command lets go of, as policy states.
    pub released: Vec<PathPattern>,
}

/// Why a world cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// A folder of the policy cannot be opened.
    #[error("the folder {name:?} ({}) cannot be opened: {why}", path.display())]
    Folder {
        /// Its name in the policy.
        name: String,
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// A folder lies where no grant may reach.
    #[error("the folder {name:?} ({}) lies in `.unship/` or `policies/`, which no grant ever reaches", path.display())]
    Protected {
        /// Its name in the policy.
        name: String,
        /// Where it is.
        path: PathBuf,
    },
    /// Two folders of the policy give one place two names, and rights by either.
    #[error("the folders {name:?} ({}) and {other:?} overlap: a place has one name; grants for the outer one can be as narrow as the inner", path.display())]
    Overlap {
        /// Its name in the policy.
        name: String,
        /// Where it is.
        path: PathBuf,
        /// The folder that it lies in, or that lies in it.
        other: String,
    },
}

/// Which tree the steps meet.
#[derive(Debug, Clone, Copy)]
pub enum Ground<'a> {
    /// The disk.
    Live,
    /// The disk under an overlay, whose new content goes into `scratch`, `bytes_max` bytes at most.
    Planned {
        /// A folder outside the site.
        scratch: &'a Path,
        /// Bytes.
        bytes_max: u64,
    },
}

impl World {
    /// The world of `site`, whose absolute canonical path is given.
    ///
    /// # Errors
    /// [`WorldError`] for a folder that is not there or must not be reached.
    pub fn open(site: &Path, definitions: Definitions, run: &str, ground: Ground<'_>) -> Result<World, WorldError> {
        let mut on_disk: Vec<(String, PathBuf)> = Vec::new();
        let mut folders = Vec::new();
        let mut protected = Vec::new();
        for (name, path) in folders_on_disk(site, &definitions)? {
            for hidden in PROTECTED {
                let hidden = site.join(hidden);
                let hidden = hidden.canonicalize().unwrap_or(hidden);
                if path.starts_with(&hidden) {
                    return Err(WorldError::Protected { name: name.clone(), path });
                }
                if let Ok(inside) = hidden.strip_prefix(&path) {
                    protected.push(Place { folder: name.clone(), path: inside.to_owned() });
                }
            }
            let overlaps = |known: &Path| path.starts_with(known) || known.starts_with(&path);
            if let Some((other, _)) = on_disk.iter().find(|(_, known)| overlaps(known)) {
                return Err(WorldError::Overlap { name, other: other.clone(), path });
            }
            let guest = if name == "site" { "/".to_owned() } else { format!("/{name}") };
            folders.push((name.clone(), guest));
            on_disk.push((name, path));
        }
        let opened: Result<Box<dyn Tree>, _> = match ground {
            Ground::Live => LiveTree::open(on_disk.clone()).map(|tree| Box::new(tree) as _),
            Ground::Planned { scratch, bytes_max } => {
                OverlayTree::open(on_disk.clone(), scratch, bytes_max).map(|tree| Box::new(tree) as _)
            }
        };
        let tree = opened.map_err(|(path, e)| WorldError::Folder { name: String::new(), path, why: e.to_string() })?;
        let mount = store_mount(site);
        let simulated = matches!(ground, Ground::Planned { .. }).then(Simulated::default);
        Ok(World {
            tree,
            folders,
            definitions,
            site: site.to_owned(),
            on_disk,
            grants: Vec::new(),
            protected,
            simulated,
            mount,
            run: run.to_owned(),
            temporary: 0,
        })
    }

    /// The world in which steps with these grants run, one after the other.
    pub fn held_by(self, grants: &[Grant]) -> World {
        World { grants: grants.to_vec(), ..self }
    }

    /// The world of `exec`: folders only. `(guest path, folder on disk)`.
    ///
    /// # Errors
    /// [`WorldError`] for a folder that cannot be opened.
    pub fn of_folders(folders: &[(String, PathBuf)]) -> Result<World, WorldError> {
        let named: Vec<(String, String)> =
            folders.iter().enumerate().map(|(i, (guest, _))| (format!("dir{i}"), guest.clone())).collect();
        let on_disk = named.iter().zip(folders).map(|((name, _), (_, path))| (name.clone(), path.clone()));
        let tree = LiveTree::open(on_disk).map_err(|(path, e)| WorldError::Folder {
            name: "--dir".to_owned(),
            path,
            why: e.to_string(),
        })?;
        Ok(World {
            tree: Box::new(tree),
            folders: named,
            definitions: Definitions::default(),
            site: PathBuf::new(),
            on_disk: Vec::new(),
            grants: Vec::new(),
            protected: Vec::new(),
            simulated: None,
            mount: None,
            run: String::new(),
            temporary: 0,
        })
    }

    /// Whether `place` is, or lies in, what no grant reaches.
    pub(super) fn is_protected(&self, place: &Place) -> bool {
        place.path.components().any(|part| part.as_os_str() == TRASH)
            || self.protected.iter().any(|p| p.folder == place.folder && place.path.starts_with(&p.path))
    }

    /// Whether what no grant reaches lies in `place`, so that moving it would move that too.
    pub(super) fn holds_protected(&self, place: &Place) -> bool {
        self.protected.iter().any(|p| p.folder == place.folder && p.path.starts_with(&place.path))
    }
}

/// The folders of policy, by name, with their canonical paths.
///
/// # Errors
/// [`WorldError::Folder`].
pub(crate) fn folders_on_disk(site: &Path, definitions: &Definitions) -> Result<Vec<(String, PathBuf)>, WorldError> {
    let folders = definitions.folders.iter().map(|(name, path)| {
        let wanted = site.join(path);
        match wanted.canonicalize() {
            Ok(path) => Ok((name.clone(), path)),
            Err(e) => Err(WorldError::Folder { name: name.clone(), path: wanted, why: e.to_string() }),
        }
    });
    folders.collect()
}

/// Where the site's `.unship/` lies.
pub(crate) fn store_mount(site: &Path) -> Option<Mount> {
    let store = std::fs::File::open(site.join(".unship")).or_else(|_| std::fs::File::open(site)).ok()?;
    mount_of(std::os::fd::AsFd::as_fd(&store)).ok()
}
