//! `[http.NAME]` and `[git.NAME]`: calls over HTTP and restore points of git, as policy defines them.

use crate::{
    FileError, Name,
    meaning::{GitMeaning, HttpMeaning, HttpMethod},
    pattern::PathPattern,
    tables::{Texts, duration, size},
};
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawHttpMeaning {
    method: Spanned<String>,
    url: Spanned<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    timeout: Spanned<String>,
    #[serde(default)]
    expect: Option<Spanned<Vec<u16>>>,
    #[serde(default)]
    answer: Option<Spanned<String>>,
    #[serde(default)]
    undo: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawGitMeaning {
    #[serde(default)]
    repository: Option<Spanned<String>>,
    commit: Spanned<String>,
    paths: Spanned<Texts>,
}

impl RawHttpMeaning {
    pub fn parse(&self) -> Result<HttpMeaning, FileError> {
        let method = self.method.get_ref();
        let method = HttpMethod::ALL.into_iter().find(|m| m.as_str() == method).ok_or_else(|| {
            let known: Vec<&str> = HttpMethod::ALL.into_iter().map(HttpMethod::as_str).collect();
            FileError::at(self.method.span(), format!("{method:?} is not a method; known: {}", known.join(", ")))
        })?;
        if self.body.is_some() && !method.changes() {
            return Err(FileError::at(self.method.span(), format!("a {} has no body", method.as_str())));
        }
        let expect = match &self.expect {
            None => (200..300).collect(),
            Some(expect) if expect.get_ref().is_empty() => {
                return Err(FileError::at(
                    expect.span(),
                    "no status would be expected: leave `expect` out for 200 to 299",
                ));
            }
            Some(expect) => match expect.get_ref().iter().find(|status| !(100..600).contains(*status)) {
                Some(status) => return Err(FileError::at(expect.span(), format!("{status} is not an HTTP status"))),
                None => expect.get_ref().clone(),
            },
        };
        let undo = match &self.undo {
            Some(undo) if !method.changes() => {
                return Err(FileError::at(undo.span(), format!("a {} changes nothing to undo", method.as_str())));
            }
            Some(undo) => Some(Name::new(undo.get_ref()).map_err(|e| FileError::at(undo.span(), e.to_string()))?),
            None => None,
        };
        Ok(HttpMeaning {
            method,
            url: self.url.get_ref().clone(),
            body: self.body.clone(),
            headers: self.headers.clone(),
            timeout: duration(&self.timeout)?,
            expect,
            answer_bytes_max: self.answer.as_ref().map_or(Ok(64 << 10), size)?,
            undo,
        })
    }
}

impl RawGitMeaning {
    pub fn parse(&self) -> Result<GitMeaning, FileError> {
        let commit = self.commit.get_ref();
        let is_id = matches!(commit.len(), 40 | 64) && commit.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let is_tag = commit.strip_prefix("refs/tags/").is_some_and(|tag| Name::new(tag).is_ok());
        if !is_id && !is_tag {
            return Err(FileError::at(
                self.commit.span(),
                "the commit that was recorded before the story: its whole id in lower-case hexadecimal, or a tag as `refs/tags/NAME`",
            ));
        }
        if self.paths.get_ref().is_empty() {
            return Err(FileError::at(self.paths.span(), "no path would be restored"));
        }
        let mut paths = Vec::new();
        for path in self.paths.get_ref() {
            let plain = PathPattern::new(path.get_ref()).is_ok_and(|p| p.folder() == "site")
                && !path.get_ref().contains(['*', '?', '[', '{'])
                && path.get_ref() != ".";
            if !plain || paths.contains(path.get_ref()) {
                return Err(FileError::at(
                    path.span(),
                    "a file or directory of the repository is wanted here, once, and not a pattern",
                ));
            }
            paths.push(path.get_ref().clone());
        }
        let repository = match &self.repository {
            None => ".".to_owned(),
            Some(path) if path.get_ref() == "." => ".".to_owned(),
            Some(path) => crate::tables::relative_file(path)?,
        };
        Ok(GitMeaning { repository, commit: commit.clone(), paths })
    }
}
