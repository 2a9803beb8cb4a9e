//! `[commands.NAME]`, `[services.NAME]` and `[processes.NAME]`: what runs outside the sandbox, as policy defines it.

use crate::{
    FileError,
    meaning::{CommandMeaning, SelectorMeaning, ServiceMeaning},
    tables::{Texts, duration, patterns, relative_file, size},
};
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawCommand {
    argv: Spanned<Vec<String>>,
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
    undo: Option<Spanned<Vec<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawService {
    manager: Spanned<String>,
    pid_file: Spanned<String>,
    process: RawSelector,
    start: Spanned<Vec<String>>,
    healthy: Spanned<Vec<String>>,
    timeout: Spanned<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawSelector {
    exe: Option<Spanned<String>>,
    #[serde(default)]
    args: Vec<String>,
    user: Option<Spanned<String>>,
    cgroup: Option<Spanned<String>>,
    pid_file: Option<Spanned<String>>,
    #[serde(default)]
    tree: bool,
    grace: Spanned<String>,
}

fn argv(raw: &Spanned<Vec<String>>) -> Result<Vec<String>, FileError> {
    let argv = raw.get_ref();
    match argv.first() {
        Some(program) if !program.is_empty() && !argv.iter().any(|a| a.contains('\0')) => Ok(argv.clone()),
        _ => Err(FileError::at(raw.span(), "an argument vector needs a program, and no NUL anywhere")),
    }
}

impl RawCommand {
    pub fn parse(&self) -> Result<CommandMeaning, FileError> {
        Ok(CommandMeaning {
            argv: argv(&self.argv)?,
            timeout: duration(&self.timeout)?,
            expect: self.expect.clone().unwrap_or_else(|| vec![0]),
            simulated_stdout: self.simulated_stdout.clone(),
            simulated_releases: patterns(&self.simulated_releases)?,
            env: self.env.clone(),
            output_bytes_max: self.output.as_ref().map_or(Ok(64 << 10), size)?,
            undo: self.undo.as_ref().map(argv).transpose()?,
        })
    }
}

impl RawService {
    pub fn parse(&self) -> Result<ServiceMeaning, FileError> {
        if self.manager.get_ref() != "pid-file" {
            return Err(FileError::at(self.manager.span(), format!("unknown manager {:?}", self.manager.get_ref()))
                .help("the managers of this version: `pid-file`"));
        }
        Ok(ServiceMeaning {
            pid_file: relative_file(&self.pid_file)?,
            selector: self.process.parse()?,
            start: argv(&self.start)?,
            healthy: argv(&self.healthy)?,
            timeout: duration(&self.timeout)?,
            env: self.env.clone(),
        })
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
        Ok(SelectorMeaning {
            exe: self.exe.as_ref().map(|e| e.get_ref().clone()),
            args: self.args.clone(),
            user: self.user.as_ref().map(user).transpose()?,
            cgroup: self.cgroup.as_ref().map(cgroup).transpose()?,
            pid_file: self.pid_file.as_ref().map(relative_file).transpose()?,
            tree: self.tree,
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
