//! The closed set of powers that the host can hand out, as sets: what an author requests and what a policy permits have
//! the same shape, and a [`crate::Grant`] is where both agree.

use crate::{Name, NamedPower, PathPattern, PointerPattern};
use std::collections::{BTreeMap, BTreeSet};

/// What may be done to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileRight {
    /// Read content, metadata, link targets; list a directory.
    Read,
    /// List a directory without reading its files.
    List,
    /// Change content, size or times of an existing file.
    Write,
    /// Make a file, directory or link that was not there.
    Create,
    /// Remove a file, link or empty directory; replace it by a rename.
    Remove,
    /// Move away under another name.
    Rename,
    /// `files.replace`.
    Replace,
    /// `files.set-aside`.
    SetAside,
    /// `files.clear`.
    Clear,
    /// `files.edit`.
    Edit,
}

impl FileRight {
    /// Every right, in the order of the policy reference.
    pub const ALL: [FileRight; 10] = [
        FileRight::Read,
        FileRight::List,
        FileRight::Write,
        FileRight::Create,
        FileRight::Remove,
        FileRight::Rename,
        FileRight::Replace,
        FileRight::SetAside,
        FileRight::Clear,
        FileRight::Edit,
    ];

    /// The key in manifest and policy, after `files.`.
    pub fn key(self) -> &'static str {
        match self {
            FileRight::Read => "read",
            FileRight::List => "list",
            FileRight::Write => "write",
            FileRight::Create => "create",
            FileRight::Remove => "remove",
            FileRight::Rename => "rename",
            FileRight::Replace => "replace",
            FileRight::SetAside => "set-aside",
            FileRight::Clear => "clear",
            FileRight::Edit => "edit",
        }
    }

    /// Whether using it changes anything.
    pub fn changes(self) -> bool {
        !matches!(self, FileRight::Read | FileRight::List)
    }

    /// Whether it is one of the typed verbs, whose interface a component must import.
    fn is_verb(self) -> bool {
        matches!(self, FileRight::Replace | FileRight::SetAside | FileRight::Clear | FileRight::Edit)
    }
}

/// A set of powers over named things.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Paths by right.
    pub files: BTreeMap<FileRight, Vec<PathPattern>>,
    /// For `files.edit`: which values of the files that a pattern covers may be changed.
    pub edits: Vec<(PathPattern, Vec<PointerPattern>)>,
    /// Flags that may be read.
    pub flags_get: BTreeSet<Name>,
    /// Flags that may be set, each to these values only.
    pub flags_set: BTreeMap<Name, BTreeSet<String>>,
    /// Selectors whose processes may be listed.
    pub processes_list: BTreeSet<Name>,
    /// Selectors whose processes may be stopped.
    pub processes_stop: BTreeSet<Name>,
    /// Paths whose holders may be asked for.
    pub processes_holders: Vec<PathPattern>,
    /// Services whose state may be read.
    pub services_status: BTreeSet<Name>,
    /// Services that may be started.
    pub services_start: BTreeSet<Name>,
    /// Services that may be stopped.
    pub services_stop: BTreeSet<Name>,
    /// Services that may be restarted.
    pub services_restart: BTreeSet<Name>,
    /// Commands that may be run.
    pub commands_run: BTreeSet<Name>,
    /// Calls that only ask (GET, HEAD).
    pub http_get: BTreeSet<Name>,
    /// Calls that may change something at the other end.
    pub http_call: BTreeSet<Name>,
    /// Restore points of git whose state may be looked at.
    pub git_status: BTreeSet<Name>,
    /// Restore points of git that may be restored.
    pub git_restore: BTreeSet<Name>,
}

impl Capabilities {
    /// The first power that changes anything, by its key: a check must hold none.
    pub fn first_change(&self) -> Option<String> {
        // Every field is named, so that a new power must say here whether it changes anything.
        let Capabilities {
            files,
            edits: _,
            flags_get: _,
            flags_set,
            processes_list: _,
            processes_stop,
            processes_holders: _,
            services_status: _,
            services_start,
            services_stop,
            services_restart,
            commands_run,
            http_get: _,
            http_call,
            git_status: _,
            git_restore,
        } = self;
        if let Some(right) = files.iter().find(|(right, paths)| right.changes() && !paths.is_empty()) {
            return Some(format!("files.{}", right.0.key()));
        }
        let changing = [
            ("flags.set", flags_set.is_empty()),
            ("processes.stop", processes_stop.is_empty()),
            ("services.start", services_start.is_empty()),
            ("services.stop", services_stop.is_empty()),
            ("services.restart", services_restart.is_empty()),
            ("commands.run", commands_run.is_empty()),
            ("http.call", http_call.is_empty()),
            ("git.restore", git_restore.is_empty()),
        ];
        changing.into_iter().find(|(_, empty)| !empty).map(|(key, _)| key.to_owned())
    }

    /// The powers over plain names.
    pub(crate) fn named(&self) -> [(NamedPower, &BTreeSet<Name>); 12] {
        [
            (NamedPower::FlagsGet, &self.flags_get),
            (NamedPower::ProcessesList, &self.processes_list),
            (NamedPower::ProcessesStop, &self.processes_stop),
            (NamedPower::ServicesStatus, &self.services_status),
            (NamedPower::ServicesStart, &self.services_start),
            (NamedPower::ServicesStop, &self.services_stop),
            (NamedPower::ServicesRestart, &self.services_restart),
            (NamedPower::CommandsRun, &self.commands_run),
            (NamedPower::HttpGet, &self.http_get),
            (NamedPower::HttpCall, &self.http_call),
            (NamedPower::GitStatus, &self.git_status),
            (NamedPower::GitRestore, &self.git_restore),
        ]
    }

    /// The interfaces of `unship:step` that these powers speak through, by their short names.
    pub fn interfaces(&self) -> BTreeSet<&'static str> {
        let Capabilities {
            files,
            edits: _,
            flags_get,
            flags_set,
            processes_list,
            processes_stop,
            processes_holders,
            services_status,
            services_start,
            services_stop,
            services_restart,
            commands_run,
            http_get,
            http_call,
            git_status,
            git_restore,
        } = self;
        let asked = [
            ("files", files.iter().any(|(right, paths)| right.is_verb() && !paths.is_empty())),
            ("feature-flags", !flags_get.is_empty() || !flags_set.is_empty()),
            ("processes", !processes_list.is_empty() || !processes_stop.is_empty() || !processes_holders.is_empty()),
            (
                "services",
                ![services_status, services_start, services_stop, services_restart].iter().all(|s| s.is_empty()),
            ),
            ("commands", !commands_run.is_empty()),
            ("http", !http_get.is_empty() || !http_call.is_empty()),
            ("git", !git_status.is_empty() || !git_restore.is_empty()),
        ];
        asked.into_iter().filter(|(_, asked)| *asked).map(|(name, _)| name).collect()
    }
}
