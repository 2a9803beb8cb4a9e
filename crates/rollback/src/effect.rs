//! The closed set of effects: every change that can come out of the gate, in one place. What each is, how it is named for
//! people, how it could be done by hand, and by what it is taken back stands here; the host's `effects` does the probing
//! and taking back, a `match` arm a variant.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};
use unship_policy::Digest;

/// What a file holds after an effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Bytes.
    pub size: u64,
    /// SHA-256 of all of them; `None` for a file too large to be read for it.
    pub digest: Option<Digest>,
}

/// What was done to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ServiceAction {
    Start,
    Stop,
    Restart,
}

impl fmt::Display for ServiceAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ServiceAction::Start => "start",
            ServiceAction::Stop => "stop",
            ServiceAction::Restart => "restart",
        })
    }
}

/// One change made through the gate. Paths are as [`crate::path_text`] shows them, in the folder that stands before a
/// colon (`site` when none does); `{run}` stands for the run's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case", deny_unknown_fields)]
#[expect(missing_docs, reason = "each variant is documented as a whole")]
pub enum Effect {
    /// A file that was not there is made and filled.
    FileCreated { path: String, content: Option<Content> },
    /// An existing file is changed in place (or cut to nothing and written anew).
    FileWritten { path: String, content: Option<Content> },
    /// `files.replace`: the file holds the source's bytes, and was never missing.
    FileReplaced { path: String, source: String, content: Content },
    /// `files.edit`: one scalar of a structured file.
    FileEdited { path: String, pointer: String, from: String, to: String },
    /// Another name; `replaced` when something lay there.
    Renamed { from: String, to: String, replaced: bool },
    /// `files.set-aside`: renamed beside itself.
    SetAside { from: String, to: String },
    /// A file or link is gone.
    Removed { path: String },
    /// A directory is made.
    DirCreated { path: String },
    /// An empty directory is gone.
    DirRemoved { path: String },
    /// `files.clear`: a directory is empty.
    DirCleared { path: String, entries: u64 },
    /// A symbolic (`hard` false) or hard link is made.
    LinkCreated { path: String, to: String, hard: bool },
    /// Times are changed.
    MetadataChanged { path: String },
    /// A feature flag has another value.
    FlagSet { flag: String, from: String, to: String },
    /// All processes of a selector are stopped.
    ProcessStopped {
        selector: String,
        /// The service that starts such processes by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        started_by: Option<String>,
    },
    /// A service is started, stopped or restarted.
    ServiceChanged { service: String, action: ServiceAction },
    /// A command of the policy ran, with the values that the step gave it.
    CommandRan {
        command: String,
        argv: Vec<String>,
        undo: Option<Vec<String>>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        parameters: BTreeMap<String, String>,
    },
    /// A call of the policy that changes something was made over HTTP; `undo` names the call that takes it back.
    HttpCalled { call: String, method: String, url: String, undo: Option<String> },
}

/// How an effect can be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// From its before-image, or by the opposite operation.
    Automatic,
    /// By the policy's own command.
    Command(Vec<String>),
    /// By this service, which starts them by itself when it runs as before.
    Service(String),
    /// By the policy's call over HTTP of this name.
    Call(String),
    /// Not at all, for this reason.
    Cannot(&'static str),
}

impl Effect {
    /// Whether `other` is the same change to the same thing, its result aside (a file's final content is known only
    /// after the fact).
    pub fn same_thing(&self, other: &Effect) -> bool {
        match (self, other) {
            (Effect::FileCreated { path: a, .. }, Effect::FileCreated { path: b, .. })
            | (Effect::FileWritten { path: a, .. }, Effect::FileWritten { path: b, .. }) => a == b,
            _ => self == other,
        }
    }

    /// How it can be taken back.
    pub fn undo(&self) -> Undo {
        match self {
            Effect::FileCreated { .. }
            | Effect::FileWritten { .. }
            | Effect::FileReplaced { .. }
            | Effect::FileEdited { .. }
            | Effect::Renamed { .. }
            | Effect::SetAside { .. }
            | Effect::Removed { .. }
            | Effect::DirCreated { .. }
            | Effect::DirRemoved { .. }
            | Effect::DirCleared { .. }
            | Effect::LinkCreated { .. }
            | Effect::MetadataChanged { .. }
            | Effect::FlagSet { .. }
            | Effect::ServiceChanged { .. } => Undo::Automatic,
            Effect::ProcessStopped { started_by: Some(service), .. } => Undo::Service(service.clone()),
            Effect::ProcessStopped { started_by: None, .. } => {
                Undo::Cannot("a stopped process cannot be brought back; its service can be started")
            }
            Effect::CommandRan { undo: Some(argv), .. } => Undo::Command(argv.clone()),
            Effect::CommandRan { undo: None, .. } => Undo::Cannot("the policy names no command that takes it back"),
            Effect::HttpCalled { undo: Some(call), .. } => Undo::Call(call.clone()),
            Effect::HttpCalled { undo: None, .. } => Undo::Cannot("the policy names no call that takes it back"),
        }
    }

    /// The path that it is about, or from which it takes something away; none for what is no file by itself.
    pub fn path(&self) -> Option<&str> {
        match self {
            Effect::FileCreated { path, .. }
            | Effect::FileWritten { path, .. }
            | Effect::FileReplaced { path, .. }
            | Effect::FileEdited { path, .. }
            | Effect::Removed { path }
            | Effect::DirCreated { path }
            | Effect::DirRemoved { path }
            | Effect::DirCleared { path, .. }
            | Effect::LinkCreated { path, .. }
            | Effect::MetadataChanged { path } => Some(path),
            Effect::Renamed { from, .. } | Effect::SetAside { from, .. } => Some(from),
            Effect::FlagSet { .. }
            | Effect::ProcessStopped { .. }
            | Effect::ServiceChanged { .. }
            | Effect::CommandRan { .. }
            | Effect::HttpCalled { .. } => None,
        }
    }

    /// The names that it changes or depends on, in the form without the folder `site`.
    pub fn names(&self) -> Vec<&str> {
        let other = match self {
            Effect::Renamed { to, .. } | Effect::SetAside { to, .. } | Effect::LinkCreated { to, hard: true, .. } => {
                Some(to.as_str())
            }
            _ => None,
        };
        let names = self.path().into_iter().chain(other);
        names.map(|name| name.strip_prefix("site:").unwrap_or(name)).collect()
    }

    /// Whether going on after a crash takes it back before its step runs again. What is not a file is done again instead:
    /// a process that was stopped stays stopped, a service is brought to where the step wants it, a command runs and a call
    /// is made again.
    pub fn is_taken_back_to_go_on(&self) -> bool {
        !matches!(
            self,
            Effect::ProcessStopped { .. }
                | Effect::ServiceChanged { .. }
                | Effect::CommandRan { .. }
                | Effect::HttpCalled { .. }
        )
    }

    /// The effect of run `run` that a plan means: the opposite of [`Effect::symbolic`].
    pub fn concrete(self, run: &str) -> Effect {
        self.renamed("{run}", run)
    }

    /// The same effect with the run's id made symbolic, so that a plan's digest does not depend on it.
    pub fn symbolic(self, run: &str) -> Effect {
        self.renamed(run, "{run}")
    }

    fn renamed(mut self, old: &str, new: &str) -> Effect {
        let blur = |path: &mut String| *path = path.replace(old, new);
        match &mut self {
            Effect::FileCreated { path, .. }
            | Effect::FileWritten { path, .. }
            | Effect::Removed { path }
            | Effect::DirCreated { path }
            | Effect::DirRemoved { path }
            | Effect::DirCleared { path, .. }
            | Effect::FileEdited { path, .. }
            | Effect::MetadataChanged { path } => blur(path),
            Effect::FileReplaced { path: a, source: b, .. }
            | Effect::Renamed { from: a, to: b, .. }
            | Effect::SetAside { from: a, to: b }
            | Effect::LinkCreated { path: a, to: b, .. } => {
                blur(a);
                blur(b);
            }
            Effect::FlagSet { .. }
            | Effect::ProcessStopped { .. }
            | Effect::ServiceChanged { .. }
            | Effect::CommandRan { .. }
            | Effect::HttpCalled { .. } => {}
        }
        self
    }

    /// How a person would do it by hand: a shell line, or a sentence where no line would be safe.
    pub fn by_hand(&self) -> String {
        let q = |text: &str| quote(text);
        match self {
            Effect::FileCreated { path, .. } | Effect::FileWritten { path, .. } => {
                format!("# write {} (its content comes out of the step)", q(path))
            }
            Effect::FileReplaced { path, source, .. } if source.starts_with("git ") => by_hand_of_git(path, source),
            Effect::FileReplaced { path, source, .. } => {
                let temp = format!("{path}.new");
                format!(
                    "cp --preserve=mode {} {} && sync {} && mv {} {}",
                    q(source),
                    q(&temp),
                    q(&temp),
                    q(&temp),
                    q(path)
                )
            }
            Effect::FileEdited { path, pointer, from, to } => {
                format!("# in {}: at {pointer}, change {from} to {to}", q(path))
            }
            Effect::Renamed { from, to, .. } => format!("mv -T {} {}", q(from), q(to)),
            Effect::SetAside { from, to } => format!("mv -nT {} {}", q(from), q(to)),
            Effect::Removed { path } => format!("rm {}", q(path)),
            Effect::DirCreated { path } => format!("mkdir {}", q(path)),
            Effect::DirRemoved { path } => format!("rmdir {}", q(path)),
            Effect::DirCleared { path, .. } => format!("find {} -mindepth 1 -delete", q(path)),
            Effect::LinkCreated { path, to, hard } => {
                format!("ln {}{} {}", if *hard { "" } else { "-s " }, q(to), q(path))
            }
            Effect::MetadataChanged { path } => format!("touch {}", q(path)),
            Effect::FlagSet { flag, to, .. } => format!("# set the feature flag {flag} to {to}"),
            Effect::ProcessStopped { selector, .. } => {
                format!("# stop the processes that the policy calls {selector:?}")
            }
            Effect::ServiceChanged { service, action } => {
                format!("# {action} the service {service:?}")
            }
            Effect::CommandRan { argv, .. } => argv.iter().map(|a| q(a)).collect::<Vec<_>>().join(" "),
            Effect::HttpCalled { call, method, url, .. } => {
                format!(
                    "curl --request {method} {} # with the headers and body of `[http.{call}]` in the policies",
                    q(url)
                )
            }
        }
    }
}

/// `source` is `git COMMIT:PATH`, with the path in the repository whose working tree ends with it.
fn by_hand_of_git(path: &str, source: &str) -> String {
    let (commit, inside) = source.trim_start_matches("git ").split_once(':').unwrap_or((source, path));
    let folder = path.strip_suffix(inside).map_or("", |folder| folder.trim_end_matches('/'));
    let folder = if folder.is_empty() { "." } else { folder };
    format!(
        "git -C {} restore --source={commit} --worktree -- {}",
        quote(folder),
        quote(&format!(":(top,literal){inside}"))
    )
}

/// One shell word.
fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::FileCreated { path, content } => {
                write!(f, "create {path}{}", size(content.as_ref()))
            }
            Effect::FileWritten { path, content } => {
                write!(f, "write {path}{}", size(content.as_ref()))
            }
            Effect::FileReplaced { path, source, content } => {
                write!(f, "replace {path} by {source}{}", size(Some(content)))
            }
            Effect::FileEdited { path, pointer, from, to } => write!(f, "edit {path} {pointer}: {from} -> {to}"),
            Effect::Renamed { from, to, replaced } => {
                write!(f, "rename {from} to {to}{}", if *replaced { ", replacing it" } else { "" })
            }
            Effect::SetAside { from, to } => write!(f, "set aside {from} as {to}"),
            Effect::Removed { path } => write!(f, "remove {path}"),
            Effect::DirCreated { path } => write!(f, "make directory {path}"),
            Effect::DirRemoved { path } => write!(f, "remove directory {path}"),
            Effect::DirCleared { path, entries } => {
                write!(f, "clear {path} ({entries} {})", if *entries == 1 { "entry" } else { "entries" })
            }
            Effect::LinkCreated { path, to, hard } => {
                write!(f, "{} {path} -> {to}", if *hard { "hard link" } else { "symlink" })
            }
            Effect::MetadataChanged { path } => write!(f, "change times of {path}"),
            Effect::FlagSet { flag, from, to } => write!(f, "flag {flag}: {from} -> {to}"),
            Effect::ProcessStopped { selector, .. } => write!(f, "stop processes {selector}"),
            Effect::ServiceChanged { service, action } => write!(f, "{action} service {service}"),
            Effect::CommandRan { command, argv, .. } => {
                write!(f, "run command {command}: {}", argv.iter().map(|a| quote(a)).collect::<Vec<_>>().join(" "))
            }
            Effect::HttpCalled { call, method, url, .. } => write!(f, "call {call}: {method} {url}"),
        }
    }
}

fn size(content: Option<&Content>) -> String {
    content.map_or_else(String::new, |c| format!(" ({} {})", c.size, if c.size == 1 { "byte" } else { "bytes" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand_quotes_what_a_shell_would_take_apart() {
        let effect = Effect::Removed { path: "a b'; rm -rf $HOME".into() };
        assert_eq!(effect.by_hand(), r"rm 'a b'\''; rm -rf $HOME'");
    }

    #[test]
    fn a_file_from_git_is_restored_by_git() {
        let content = Content { size: 1, digest: None };
        let replaced = |path: &str| Effect::FileReplaced {
            path: path.into(),
            source: "git 0123456789ab:e2e/a b".into(),
            content: content.clone(),
        };
        let expected = "git -C . restore --source=0123456789ab --worktree -- ':(top,literal)e2e/a b'";
        assert_eq!(replaced("e2e/a b").by_hand(), expected);
        assert_eq!(replaced("app/e2e/a b").by_hand(), expected.replace("-C .", "-C app"));
    }

    #[test]
    fn a_plan_forgets_the_run() {
        let effect = Effect::SetAside { from: ".duckdb".into(), to: ".duckdb.unship-r7".into() };
        assert_eq!(
            effect.symbolic("r7"),
            Effect::SetAside { from: ".duckdb".into(), to: ".duckdb.unship-{run}".into() }
        );
    }

    #[test]
    fn an_unknown_effect_is_refused() {
        assert!(serde_json::from_str::<Effect>(r#"{"effect":"formatted","path":"/"}"#).is_err());
        assert!(serde_json::from_str::<Effect>(r#"{"effect":"removed","path":"a","force":true}"#).is_err());
    }
}
