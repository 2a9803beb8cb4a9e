//! The TOML tables that manifest and policies share, and their way into typed values. An unknown key is an error, and
//! so is a key that would mean nothing.

use crate::{
    Capabilities, FileError, FileRight, Name, PathPattern, PointerPattern,
    calls::{RawGitMeaning, RawHttpMeaning},
    duration::{parse_bytes, parse_duration},
    meaning::{
        CommandMeaning, FlagsFormat, FlagsMeaning, GitMeaning, HttpMeaning, Limits, SelectorMeaning, ServiceMeaning,
    },
    outside::{RawCommand, RawSelector, RawService},
    safety::{RawSafety, SafetyProperty, properties},
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use toml::Spanned;

pub(crate) type Texts = Vec<Spanned<String>>;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct RawFiles {
    read: Texts,
    list: Texts,
    write: Texts,
    create: Texts,
    remove: Texts,
    rename: Texts,
    replace: Texts,
    set_aside: Texts,
    clear: Texts,
    edit: BTreeMap<Spanned<String>, Texts>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawFlags {
    get: Texts,
    set: BTreeMap<Spanned<String>, OneOrMany>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawProcesses {
    list: Texts,
    stop: Texts,
    holders: Texts,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawServices {
    status: Texts,
    start: Texts,
    stop: Texts,
    restart: Texts,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawCommands {
    run: Texts,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawHttp {
    get: Texts,
    call: Texts,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawGit {
    status: Texts,
    restore: Texts,
}

/// The tables of powers, as a policy's `[grants.STEP]` has them.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawCapabilities {
    pub files: RawFiles,
    pub flags: RawFlags,
    pub processes: RawProcesses,
    pub services: RawServices,
    pub commands: RawCommands,
    pub http: RawHttp,
    pub git: RawGit,
}

/// `"off"` or `["off", "shadow"]`.
pub(crate) struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = OneOrMany;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text or a list of texts")
            }
            fn visit_str<E>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![text.to_owned()]))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = seq.next_element()? {
                    all.push(text);
                }
                Ok(OneOrMany(all))
            }
        }
        d.deserialize_any(Visitor)
    }
}

pub(crate) fn name(text: &Spanned<String>) -> Result<Name, FileError> {
    Name::new(text.get_ref()).map_err(|e| FileError::at(text.span(), e.to_string()))
}

/// Of two names in one table that differ in case alone, a person would take one for the other.
pub(crate) fn apart<'a>(names: impl IntoIterator<Item = &'a Spanned<String>>) -> Result<(), FileError> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for name in names {
        let text = name.get_ref().as_str();
        match seen.insert(text.to_ascii_lowercase(), text) {
            Some(other) if other != text => {
                let message = format!("{text:?} and {other:?} differ in upper and lower case alone");
                return Err(FileError::at(name.span(), message).help("give one of them another name"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn names(texts: &Texts) -> Result<BTreeSet<Name>, FileError> {
    let mut set = BTreeSet::new();
    for text in texts {
        if !set.insert(name(text)?) {
            return Err(FileError::at(text.span(), format!("{:?} stands here twice", text.get_ref())));
        }
    }
    Ok(set)
}

pub(crate) fn patterns(texts: &Texts) -> Result<Vec<PathPattern>, FileError> {
    let mut all: Vec<PathPattern> = Vec::new();
    for text in texts {
        let pattern = PathPattern::new(text.get_ref()).map_err(|e| FileError::at(text.span(), e.to_string()))?;
        if all.contains(&pattern) {
            return Err(FileError::at(text.span(), format!("{:?} stands here twice", text.get_ref())));
        }
        all.push(pattern);
    }
    Ok(all)
}

fn edits(tables: &BTreeMap<Spanned<String>, Texts>) -> Result<Vec<(PathPattern, Vec<PointerPattern>)>, FileError> {
    let mut all = Vec::new();
    for (path, texts) in tables {
        let pattern = PathPattern::new(path.get_ref()).map_err(|e| FileError::at(path.span(), e.to_string()))?;
        if texts.is_empty() {
            let message =
                "no pointer is listed: say which values of the file may be changed, such as `/api/requireAuth`";
            return Err(FileError::at(path.span(), message));
        }
        let mut pointers: Vec<PointerPattern> = Vec::new();
        for text in texts {
            let pointer = PointerPattern::new(text.get_ref()).map_err(|e| FileError::at(text.span(), e.to_string()))?;
            if pointers.contains(&pointer) {
                return Err(FileError::at(text.span(), format!("{:?} stands here twice", text.get_ref())));
            }
            pointers.push(pointer);
        }
        all.push((pattern, pointers));
    }
    Ok(all)
}

impl RawCapabilities {
    pub fn parse(&self) -> Result<Capabilities, FileError> {
        let RawCapabilities { files: f, flags, processes, services, commands, http, git } = self;
        let rights = [
            (FileRight::Read, &f.read),
            (FileRight::List, &f.list),
            (FileRight::Write, &f.write),
            (FileRight::Create, &f.create),
            (FileRight::Remove, &f.remove),
            (FileRight::Rename, &f.rename),
            (FileRight::Replace, &f.replace),
            (FileRight::SetAside, &f.set_aside),
            (FileRight::Clear, &f.clear),
        ];
        let mut files = BTreeMap::new();
        for (right, texts) in rights {
            let patterns = patterns(texts)?;
            if !patterns.is_empty() {
                files.insert(right, patterns);
            }
        }
        let edits = edits(&f.edit)?;
        if !edits.is_empty() {
            files.insert(FileRight::Edit, edits.iter().map(|(path, _)| path.clone()).collect());
        }
        let mut flags_set = BTreeMap::new();
        for (flag, values) in &flags.set {
            if values.0.is_empty() {
                return Err(FileError::at(flag.span(), "no value is listed: say to which values the flag may be set"));
            }
            flags_set.insert(name(flag)?, values.0.iter().cloned().collect());
        }
        Ok(Capabilities {
            files,
            edits,
            flags_get: names(&flags.get)?,
            flags_set,
            processes_list: names(&processes.list)?,
            processes_stop: names(&processes.stop)?,
            processes_holders: patterns(&processes.holders)?,
            services_status: names(&services.status)?,
            services_start: names(&services.start)?,
            services_stop: names(&services.stop)?,
            services_restart: names(&services.restart)?,
            commands_run: names(&commands.run)?,
            http_get: names(&http.get)?,
            http_call: names(&http.call)?,
            git_status: names(&git.status)?,
            git_restore: names(&git.restore)?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawFlagsMeaning {
    file: Spanned<String>,
    #[serde(default)]
    format: Option<Spanned<String>>,
    #[serde(default)]
    pointer: Option<Spanned<String>>,
    #[serde(default)]
    values: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct RawLimits {
    cpu: Option<Spanned<String>>,
    wall: Option<Spanned<String>>,
    memory: Option<Spanned<String>>,
    tables: Option<usize>,
    handles: Option<usize>,
    output: Option<Spanned<String>>,
    effects: Option<usize>,
    written: Option<Spanned<String>>,
    images: Option<Spanned<String>>,
    denials: Option<usize>,
    entries: Option<usize>,
}

/// What the names of a site, or of one story, mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definitions {
    /// Folder name → path relative to the site (`.` for the site itself), or absolute.
    pub folders: BTreeMap<String, String>,
    /// Where the flags live.
    pub flags: Option<FlagsMeaning>,
    /// Commands by name.
    pub commands: BTreeMap<Name, CommandMeaning>,
    /// Services by name.
    pub services: BTreeMap<Name, ServiceMeaning>,
    /// Selectors of processes by name.
    pub processes: BTreeMap<Name, SelectorMeaning>,
    /// Calls over HTTP by name.
    pub http: BTreeMap<Name, HttpMeaning>,
    /// Restore points of git by name.
    pub git: BTreeMap<Name, GitMeaning>,
    /// What protects people or data, by name.
    pub safety: BTreeMap<Name, SafetyProperty>,
}

pub(crate) struct RawDefinitions<'a> {
    pub folders: &'a BTreeMap<Spanned<String>, Spanned<String>>,
    pub flags: Option<&'a RawFlagsMeaning>,
    pub commands: &'a BTreeMap<Spanned<String>, RawCommand>,
    pub services: &'a BTreeMap<Spanned<String>, RawService>,
    pub processes: &'a BTreeMap<Spanned<String>, RawSelector>,
    pub http: &'a BTreeMap<Spanned<String>, RawHttpMeaning>,
    pub git: &'a BTreeMap<Spanned<String>, RawGitMeaning>,
    pub safety: &'a BTreeMap<Spanned<String>, RawSafety>,
}

impl RawDefinitions<'_> {
    pub fn parse(&self) -> Result<Definitions, FileError> {
        let mut definitions = Definitions::default();
        apart(self.folders.keys())?;
        apart(self.commands.keys())?;
        apart(self.services.keys())?;
        apart(self.processes.keys())?;
        apart(self.http.keys())?;
        apart(self.git.keys())?;
        apart(self.safety.keys())?;
        for (folder, path) in self.folders {
            let text = path.get_ref();
            let inside = text == "." || PathPattern::new(text).is_ok_and(|p| p.folder() == "site");
            if !(inside || text.starts_with('/')) || text.contains('*') {
                return Err(FileError::at(
                    path.span(),
                    format!("{text:?} is not a folder: `.`, a path below the site without `..`, or an absolute path"),
                ));
            }
            definitions.folders.insert(name(folder)?.as_str().to_owned(), text.clone());
        }
        definitions.flags = self.flags.map(RawFlagsMeaning::parse).transpose()?;
        for (key, raw) in self.commands {
            definitions.commands.insert(name(key)?, raw.parse()?);
        }
        for (key, raw) in self.services {
            definitions.services.insert(name(key)?, raw.parse()?);
        }
        for (key, raw) in self.processes {
            definitions.processes.insert(name(key)?, raw.parse()?);
        }
        for (key, raw) in self.http {
            definitions.http.insert(name(key)?, raw.parse()?);
        }
        for (key, raw) in self.git {
            definitions.git.insert(name(key)?, raw.parse()?);
        }
        definitions.safety = properties(self.safety)?;
        Ok(definitions)
    }
}

pub(crate) fn duration(raw: &Spanned<String>) -> Result<Duration, FileError> {
    parse_duration(raw.get_ref()).map_err(|e| FileError::at(raw.span(), e))
}

/// A length of time within bounds; `standard` where none is said.
pub(crate) fn bounded(
    raw: Option<&Spanned<String>>,
    standard: Duration,
    allowed: core::ops::RangeInclusive<Duration>,
) -> Result<Duration, FileError> {
    let Some(raw) = raw else { return Ok(standard) };
    let length = duration(raw)?;
    if !allowed.contains(&length) {
        let message = format!("from {} s to {} s", allowed.start().as_secs_f64(), allowed.end().as_secs());
        return Err(FileError::at(raw.span(), message));
    }
    Ok(length)
}

/// A string as TOML writes it on one line. What is not plainly seen, such as a combining accent or a soft hyphen, is escaped.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        let is_plain = c == '\'' || c.escape_debug().len() == 1;
        match (c, u32::from(c)) {
            ('"' | '\\', _) => quoted.extend(['\\', c]),
            _ if is_plain => quoted.push(c),
            (_, code @ ..=0xffff) => quoted.push_str(&format!("\\u{code:04x}")),
            (_, code) => quoted.push_str(&format!("\\U{code:08x}")),
        }
    }
    quoted.push('"');
    quoted
}

/// The file of the site that `file:PATH` names, where that is what `text` is.
pub(crate) fn named_file(text: &str) -> Option<&str> {
    let path = text.strip_prefix("file:")?;
    let is_inside = !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    is_inside.then_some(path)
}

pub(crate) fn bytes(raw: &Spanned<String>) -> Result<u64, FileError> {
    parse_bytes(raw.get_ref()).map_err(|e| FileError::at(raw.span(), e))
}

pub(crate) fn size(raw: &Spanned<String>) -> Result<usize, FileError> {
    usize::try_from(bytes(raw)?).map_err(|_| FileError::at(raw.span(), "this machine cannot hold that much"))
}

pub(crate) fn relative_file(raw: &Spanned<String>) -> Result<String, FileError> {
    let text = raw.get_ref();
    match PathPattern::new(text) {
        Ok(p) if p.folder() == "site" && !text.contains(['*', '?', '[', '{']) => Ok(text.clone()),
        Ok(_) => Err(FileError::at(raw.span(), "one file of the site is wanted here, not a pattern")),
        Err(e) => Err(FileError::at(raw.span(), e.to_string())),
    }
}

impl RawFlagsMeaning {
    fn parse(&self) -> Result<FlagsMeaning, FileError> {
        let file = relative_file(&self.file)?;
        match self.format.as_ref().map(|format| (format.get_ref().as_str(), format.span())) {
            None => {}
            Some(("flagd", span)) => {
                if self.pointer.is_some() || !self.values.is_empty() {
                    let message =
                        "flagd's format says where a flag is and what its variants are: no `pointer`, no `values`";
                    return Err(FileError::at(span, message));
                }
                if !file.ends_with(".json") {
                    return Err(FileError::at(
                        self.file.span(),
                        "a file in flagd's format is JSON, and ends in `.json`",
                    ));
                }
                let values = BTreeMap::new();
                return Ok(FlagsMeaning { file, format: FlagsFormat::Flagd, pointer: String::new(), values });
            }
            Some((other, span)) => {
                return Err(FileError::at(span, format!("unknown format {other:?}"))
                    .help("`flagd`, or none: then `pointer` and `values` say how a flag is written"));
            }
        }
        let Some(raw) = &self.pointer else {
            return Err(FileError::at(self.file.span(), "missing field `pointer`: where in the file a flag is"));
        };
        let pointer = raw.get_ref();
        if !pointer.starts_with('/') || !pointer.contains("{flag}") {
            return Err(FileError::at(
                raw.span(),
                "a pointer starts with `/` and holds `{flag}`, such as `/flags/{flag}/enabled`",
            ));
        }
        if self.values.is_empty() {
            return Err(FileError::at(raw.span(), "`values` is empty: no flag could be read or set"));
        }
        let (format, pointer, values) = (FlagsFormat::Scalars, pointer.clone(), self.values.clone());
        Ok(FlagsMeaning { file, format, pointer, values })
    }
}

impl RawLimits {
    /// These limits, and `base` where they say nothing.
    pub fn over(&self, base: &Limits) -> Result<Limits, FileError> {
        Ok(Limits {
            cpu: self.cpu.as_ref().map_or(Ok(base.cpu), duration)?,
            wall: self.wall.as_ref().map_or(Ok(base.wall), duration)?,
            memory_bytes_max: self.memory.as_ref().map_or(Ok(base.memory_bytes_max), size)?,
            table_elements_max: self.tables.unwrap_or(base.table_elements_max),
            handles_max: self.handles.unwrap_or(base.handles_max),
            output_bytes_max: self.output.as_ref().map_or(Ok(base.output_bytes_max), size)?,
            effects_max: self.effects.unwrap_or(base.effects_max),
            written_bytes_max: self.written.as_ref().map_or(Ok(base.written_bytes_max), bytes)?,
            images_bytes_max: self.images.as_ref().map_or(Ok(base.images_bytes_max), bytes)?,
            denials_max: self.denials.unwrap_or(base.denials_max),
            entries_max: self.entries.unwrap_or(base.entries_max),
        })
    }
}
