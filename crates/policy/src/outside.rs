//! `[commands.NAME]`, `[services.NAME]` and `[processes.NAME]`: what runs outside the sandbox, as policy defines it.

use crate::{
    Argument, FileError, Name, ParameterKind,
    meaning::{
        CommandLimits, CommandMeaning, PidFileManager, Pm2Manager, SelectorMeaning, ServiceManager, ServiceMeaning,
    },
    tables::{Texts, bytes, duration, name, patterns, relative_file, size},
};
use serde::Deserialize;
use std::{collections::BTreeMap, ops::Range};
use toml::Spanned;

const NO_PROGRAM: &str = "an argument vector needs a program, and no NUL anywhere";
/// Characters of a parameter's name kind at most: as long as a file's name can be.
const NAME_CHARS_MAX: usize = 255;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawCommand {
    argv: Spanned<Texts>,
    #[serde(default)]
    parameters: BTreeMap<Spanned<String>, RawParameter>,
    timeout: Spanned<String>,
    #[serde(default)]
    expect: Option<Vec<i32>>,
    #[serde(default)]
    simulated_stdout: String,
    #[serde(default)]
    simulated_releases: Texts,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    output: Option<Spanned<String>>,
    #[serde(default)]
    undo: Option<Spanned<Texts>>,
    reads: Option<Texts>,
    #[serde(default)]
    writes: Texts,
    #[serde(default)]
    limits: RawCommandLimits,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct RawCommandLimits {
    cpu: Option<Spanned<String>>,
    memory: Option<Spanned<String>>,
    files: Option<u64>,
    processes: Option<u64>,
    file_size: Option<Spanned<String>>,
}

/// `{ one-of = ["a", "b"] }`, `{ integer = { min = 1, max = 8 } }` or `{ name = { longest = 32 } }`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawParameter {
    OneOf(Spanned<Texts>),
    Integer(Spanned<RawInteger>),
    Name(RawNameKind),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInteger {
    min: i64,
    max: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNameKind {
    longest: Spanned<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawService {
    manager: Spanned<String>,
    timeout: Spanned<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    healthy: Option<Spanned<Vec<String>>>,
    // Of a service with a pid file.
    pid_file: Option<Spanned<String>>,
    process: Option<Spanned<RawSelector>>,
    start: Option<Spanned<Vec<String>>>,
    // Of a service under pm2.
    name: Option<Spanned<String>>,
    home: Option<Spanned<String>>,
    program: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawSelector {
    exe: Option<Spanned<String>>,
    #[serde(default)]
    args: Vec<String>,
    any_arg: Option<Spanned<Vec<String>>>,
    user: Option<Spanned<String>>,
    cgroup: Option<Spanned<String>>,
    pid_file: Option<Spanned<String>>,
    #[serde(default)]
    tree: bool,
    started_by: Option<Spanned<String>>,
    grace: Spanned<String>,
}

pub(crate) fn argv(raw: &Spanned<Vec<String>>) -> Result<Vec<String>, FileError> {
    let argv = raw.get_ref();
    match argv.first() {
        Some(program) if !program.is_empty() && !argv.iter().any(|a| a.contains('\0')) => Ok(argv.clone()),
        _ => Err(FileError::at(raw.span(), NO_PROGRAM)),
    }
}

impl RawCommand {
    pub fn parse(&self) -> Result<CommandMeaning, FileError> {
        let mut parameters = BTreeMap::new();
        for (key, raw) in &self.parameters {
            parameters.insert(name(key)?, raw.parse()?);
        }
        let arguments = arguments(&self.argv, &parameters)?;
        let used: Vec<&Name> = arguments.iter().flat_map(Argument::parameters).collect();
        if let Some((unused, _)) =
            self.parameters.iter().find(|(key, _)| !used.iter().any(|n| n.as_str() == key.get_ref()))
        {
            let message =
                format!("nothing in `argv` uses this parameter; its place would be `{{{}}}`", unused.get_ref());
            return Err(FileError::at(unused.span(), message));
        }
        Ok(CommandMeaning {
            argv: arguments,
            undo: self.undo.as_ref().map(|undo| self::arguments(undo, &parameters)).transpose()?,
            parameters,
            timeout: duration(&self.timeout)?,
            expect: self.expect.clone().unwrap_or_else(|| vec![0]),
            simulated_stdout: self.simulated_stdout.clone(),
            simulated_releases: patterns(&self.simulated_releases)?,
            env: self.env.clone(),
            output_bytes_max: self.output.as_ref().map_or(Ok(64 << 10), size)?,
            reads: self.reads.as_ref().map(|texts| paths(texts, true)).transpose()?,
            writes: paths(&self.writes, false)?,
            limits: self.limits.parse()?,
        })
    }
}

impl RawCommandLimits {
    fn parse(&self) -> Result<CommandLimits, FileError> {
        Ok(CommandLimits {
            cpu: self.cpu.as_ref().map(duration).transpose()?,
            memory_bytes_max: self.memory.as_ref().map(bytes).transpose()?,
            files_max: self.files,
            processes_max: self.processes,
            file_bytes_max: self.file_size.as_ref().map(bytes).transpose()?,
        })
    }
}

/// Files and directories that a command may reach: of the site, or absolute; no patterns.
fn paths(texts: &Texts, whole_site: bool) -> Result<Vec<String>, FileError> {
    let mut all: Vec<String> = Vec::new();
    for text in texts {
        let path = text.get_ref();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let is_absolute = path == "/"
            || (path.starts_with('/')
                && !parts.iter().any(|part| matches!(*part, "" | "." | ".."))
                && !path.contains(['\0', '*', '?', '[', '{']));
        if path == "." && !whole_site {
            return Err(FileError::at(
                text.span(),
                "the whole site holds `.unship/` and `policies/`, which nothing may change",
            )
            .help("name the files and directories of the site that it changes"));
        }
        if !is_absolute && path != "." {
            if path.starts_with('/') {
                return Err(FileError::at(
                    text.span(),
                    "an absolute path without `.`, `..` or a pattern is wanted here",
                ));
            }
            relative_file(text)?;
        }
        if all.contains(path) {
            return Err(FileError::at(text.span(), format!("{path:?} stands here twice")));
        }
        all.push(path.clone());
    }
    Ok(all)
}

impl RawParameter {
    fn parse(&self) -> Result<ParameterKind, FileError> {
        match self {
            RawParameter::OneOf(raw) => {
                if raw.get_ref().is_empty() {
                    return Err(FileError::at(raw.span(), "no value is listed, so the command could never run"));
                }
                let mut values: Vec<String> = Vec::new();
                for text in raw.get_ref() {
                    let value = text.get_ref();
                    if value.is_empty() || value.contains('\0') || values.contains(value) {
                        return Err(FileError::at(
                            text.span(),
                            "a value is not empty, holds no NUL, and stands here once",
                        ));
                    }
                    values.push(value.clone());
                }
                Ok(ParameterKind::OneOf(values))
            }
            RawParameter::Integer(raw) => {
                let (min, max) = (raw.get_ref().min, raw.get_ref().max);
                if min > max {
                    return Err(FileError::at(raw.span(), format!("no number is at least {min} and at most {max}")));
                }
                Ok(ParameterKind::Integer { min, max })
            }
            RawParameter::Name(raw) => match *raw.longest.get_ref() {
                longest @ 1..=NAME_CHARS_MAX => Ok(ParameterKind::Name { longest }),
                _ => Err(FileError::at(raw.longest.span(), format!("a name has 1 to {NAME_CHARS_MAX} characters"))),
            },
        }
    }
}

/// The program, which is policy's alone, and its arguments, whose places all have a parameter.
fn arguments(raw: &Spanned<Texts>, parameters: &BTreeMap<Name, ParameterKind>) -> Result<Vec<Argument>, FileError> {
    let texts = raw.get_ref();
    if texts.first().is_none_or(|program| program.get_ref().is_empty())
        || texts.iter().any(|t| t.get_ref().contains('\0'))
    {
        return Err(FileError::at(raw.span(), NO_PROGRAM));
    }
    let mut all = Vec::new();
    for (place, text) in texts.iter().enumerate() {
        let wrong = |message: String| FileError::at(text.span(), message);
        let argument = Argument::parse(text.get_ref()).map_err(wrong)?;
        if let Some(parameter) = argument.parameters().next().filter(|_| place == 0) {
            return Err(wrong(format!(
                "the program is policy's alone to name; {{{parameter}}} would be a guest's choice"
            )));
        }
        if let Some(unknown) = argument.parameters().find(|name| !parameters.contains_key(*name)) {
            return Err(wrong(format!("there is no parameter `{unknown}`"))
                .help("say in `parameters` what it may be; a brace itself is written twice"));
        }
        if let Some(open) = argument.open_to_options(parameters) {
            return Err(wrong(format!("a value of `{open}` can begin with `-`, and would be read as an option here"))
                .help("write the option before it in the same argument, such as `--level={level}`"));
        }
        all.push(argument);
    }
    Ok(all)
}

impl RawService {
    pub fn parse(&self) -> Result<ServiceMeaning, FileError> {
        let manager = match self.manager.get_ref().as_str() {
            "pid-file" => ServiceManager::PidFile(self.pid_file_manager()?),
            "pm2" => ServiceManager::Pm2(self.pm2_manager()?),
            other => {
                return Err(FileError::at(self.manager.span(), format!("unknown manager {other:?}"))
                    .help("the managers of this version: `pid-file`, `pm2`"));
            }
        };
        Ok(ServiceMeaning { manager, timeout: duration(&self.timeout)?, env: self.env.clone() })
    }

    fn pid_file_manager(&self) -> Result<PidFileManager, FileError> {
        let pm2 = [("name", &self.name), ("home", &self.home), ("program", &self.program)];
        self.refuse(pm2.map(|(key, value)| (key, value.as_ref().map(Spanned::span))))?;
        let process = self.need("process", self.process.as_ref())?.get_ref();
        if let Some(key) = &process.started_by {
            return Err(FileError::at(key.span(), "a service's own process is started by `start`"));
        }
        Ok(PidFileManager {
            pid_file: relative_file(self.need("pid-file", self.pid_file.as_ref())?)?,
            selector: process.parse()?,
            start: argv(self.need("start", self.start.as_ref())?)?,
            healthy: argv(self.need("healthy", self.healthy.as_ref())?)?,
        })
    }

    fn pm2_manager(&self) -> Result<Pm2Manager, FileError> {
        self.refuse([
            ("pid-file", self.pid_file.as_ref().map(Spanned::span)),
            ("process", self.process.as_ref().map(Spanned::span)),
            ("start", self.start.as_ref().map(Spanned::span)),
        ])?;
        let text = |key, value: Option<&Spanned<String>>| {
            let value = self.need(key, value)?;
            if value.get_ref().is_empty() || value.get_ref().contains('\0') {
                return Err(FileError::at(value.span(), format!("`{key}` is empty, or holds a NUL")));
            }
            Ok(value.get_ref().clone())
        };
        let home = text("home", self.home.as_ref())?;
        if !home.starts_with('/')
            && let Some(raw) = &self.home
        {
            relative_file(raw)?;
        }
        Ok(Pm2Manager {
            name: text("name", self.name.as_ref())?,
            home,
            program: self.program.as_ref().map_or(Ok("pm2".to_owned()), |raw| text("program", Some(raw)))?,
            healthy: self.healthy.as_ref().map(argv).transpose()?,
        })
    }

    fn need<'t, T>(&self, key: &str, value: Option<&'t T>) -> Result<&'t T, FileError> {
        let manager = self.manager.get_ref();
        value
            .ok_or_else(|| FileError::at(self.manager.span(), format!("the manager `{manager}` needs the key `{key}`")))
    }

    fn refuse(&self, keys: [(&str, Option<Range<usize>>); 3]) -> Result<(), FileError> {
        match keys.into_iter().find_map(|(key, span)| Some((key, span?))) {
            Some((key, span)) => {
                let manager = self.manager.get_ref();
                Err(FileError::at(span, format!("`{key}` means nothing to the manager `{manager}`")))
            }
            None => Ok(()),
        }
    }
}

impl RawSelector {
    pub fn parse(&self) -> Result<SelectorMeaning, FileError> {
        if self.exe.is_none() && self.args.is_empty() && self.cgroup.is_none() {
            let (at, message) = match (&self.pid_file, &self.user) {
                (Some(key), _) => (key, "a pid file is only a claim: in time its number is another program's"),
                (None, Some(key)) => (key, "a selector of a user alone means everything that the user runs"),
                (None, None) => (&self.grace, "a selector with neither `exe`, `args` nor `cgroup` means every process"),
            };
            return Err(FileError::at(at.span(), message)
                .help("name the executable, or arguments that only the meant process has, or its control group"));
        }
        if let Some(exe) = self.exe.as_ref().filter(|exe| exe.get_ref().is_empty() || exe.get_ref().contains('\0')) {
            return Err(FileError::at(exe.span(), "an executable is a path, absolute or relative to the site"));
        }
        if let Some(any) = self.any_arg.as_ref().filter(|any| any.get_ref().is_empty()) {
            return Err(FileError::at(any.span(), "no argument would do: leave `any-arg` out if any may stand there"));
        }
        Ok(SelectorMeaning {
            exe: self.exe.as_ref().map(|e| e.get_ref().clone()),
            args: self.args.clone(),
            any_arg: self.any_arg.as_ref().map(|any| any.get_ref().clone()).unwrap_or_default(),
            user: self.user.as_ref().map(user).transpose()?,
            cgroup: self.cgroup.as_ref().map(cgroup).transpose()?,
            pid_file: self.pid_file.as_ref().map(relative_file).transpose()?,
            tree: self.tree,
            started_by: self.started_by.as_ref().map(name).transpose()?,
            grace: duration(&self.grace)?,
        })
    }
}

/// A user's name or number, in the form that every system takes.
fn user(raw: &Spanned<String>) -> Result<String, FileError> {
    let text = raw.get_ref();
    let is_number = text.parse::<u32>().is_ok() && text.bytes().all(|b| b.is_ascii_digit());
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if is_number || (begins && text.len() <= 64 && text.chars().all(is_part)) {
        Ok(text.clone())
    } else {
        Err(FileError::at(raw.span(), format!("{text:?} is neither a user's name nor a number")))
    }
}

fn cgroup(raw: &Spanned<String>) -> Result<String, FileError> {
    let text = raw.get_ref();
    let is_path = text.strip_prefix('/').is_some_and(|rest| {
        rest.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains(['\0', '\n', '*']))
    });
    if is_path {
        return Ok(text.clone());
    }
    Err(FileError::at(
        raw.span(),
        "a control group is its path below the mount point, such as `/system.slice/web.service`; `/` would mean every process",
    ))
}
