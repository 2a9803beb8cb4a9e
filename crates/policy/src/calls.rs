//! `[http.NAME]` and `[git.NAME]`: calls over HTTP and restore points of git, as policy defines them.

use crate::{
    FileError, Name,
    fill::{self, RawFill},
    meaning::{GitMeaning, HttpMeaning, HttpMethod},
    pattern::PathPattern,
    tables::{Texts, duration, name, size},
    url::HttpUrl,
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
    plaintext: bool,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    fill: BTreeMap<Spanned<String>, RawFill>,
    #[serde(default)]
    headers: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    secret_headers: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    authorities: Option<Spanned<String>>,
    timeout: Spanned<String>,
    #[serde(default)]
    expect: Option<Spanned<Vec<u16>>>,
    #[serde(default)]
    answer: Option<Spanned<String>>,
    #[serde(default)]
    simulated: Option<Spanned<RawSimulated>>,
    #[serde(default)]
    undo: Option<Spanned<String>>,
}

/// What planning believes of a call that changes something.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSimulated {
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    ends: Texts,
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
        if self.body.is_some() && !method.takes_body() {
            return Err(FileError::at(self.method.span(), format!("a {} has no body", method.as_str())));
        }
        let undo = match &self.undo {
            Some(undo) if !method.changes() => {
                return Err(FileError::at(undo.span(), format!("a {} changes nothing to undo", method.as_str())));
            }
            Some(undo) => Some(name(undo)?),
            None => None,
        };
        let (headers, secret_headers) = self.headers()?;
        let expect = self.expect()?;
        Ok(HttpMeaning {
            method,
            url: self.url()?,
            plaintext: self.plaintext,
            body: self.body.clone(),
            fill: fill::parse(&self.fill, self.body.as_deref())?,
            headers,
            secret_headers,
            authorities: self.authorities.as_ref().map(file).transpose()?,
            timeout: duration(&self.timeout)?,
            simulated: self.simulated(method, &expect)?,
            simulated_ends: self.simulated_ends()?,
            expect,
            answer_bytes_max: self.answer.as_ref().map_or(Ok(64 << 10), size)?,
            undo,
        })
    }

    fn url(&self) -> Result<HttpUrl, FileError> {
        let at = |e| FileError::at(self.url.span(), e);
        let url = HttpUrl::parse(self.url.get_ref()).map_err(at)?;
        if !url.is_tls() && !url.is_loopback() && !self.plaintext {
            return Err(at(format!("what is said to {} could be read and changed on its way", url.host()))
                .help("use `https`, or say `plaintext = true` where the network between is trusted"));
        }
        if self.plaintext && (url.is_tls() || url.is_loopback()) {
            return Err(at("`plaintext` means nothing here: nothing goes unencrypted to another machine".to_owned()));
        }
        if let Some(authorities) = self.authorities.as_ref().filter(|_| !url.is_tls()) {
            return Err(FileError::at(authorities.span(), "`authorities` means nothing without `https`"));
        }
        Ok(url)
    }

    fn expect(&self) -> Result<Vec<u16>, FileError> {
        let Some(expect) = &self.expect else { return Ok((200..300).collect()) };
        if expect.get_ref().is_empty() {
            let message = "no status would be expected: leave `expect` out for 200 to 299";
            return Err(FileError::at(expect.span(), message));
        }
        match expect.get_ref().iter().find(|status| !(100..600).contains(*status)) {
            Some(status) => Err(FileError::at(expect.span(), format!("{status} is not an HTTP status"))),
            None => Ok(expect.get_ref().clone()),
        }
    }

    fn simulated(&self, method: HttpMethod, expect: &[u16]) -> Result<(u16, String), FileError> {
        let usual = expect.first().copied().unwrap_or(200);
        let Some(simulated) = &self.simulated else { return Ok((usual, String::new())) };
        if !method.changes() {
            let message = format!("a {} is asked when planning too: there is nothing to simulate", method.as_str());
            return Err(FileError::at(simulated.span(), message));
        }
        let RawSimulated { status, body, ends: _ } = simulated.get_ref();
        match status {
            Some(status) if !expect.contains(status) => Err(FileError::at(
                simulated.span(),
                format!("no plan would come from {status}, which the call does not expect"),
            )),
            status => Ok((status.unwrap_or(usual), body.clone())),
        }
    }

    fn simulated_ends(&self) -> Result<Vec<Name>, FileError> {
        self.simulated.iter().flat_map(|simulated| &simulated.get_ref().ends).map(name).collect()
    }

    /// Open ones with their values, secret ones with their files.
    fn headers(&self) -> Result<(Headers, Headers), FileError> {
        let (mut open, mut secret) = (Headers::new(), Headers::new());
        for (header, value) in &self.headers {
            let name = header_name(header)?;
            if SECRET_HEADERS.contains(&name.as_str()) {
                return Err(FileError::at(
                    header.span(),
                    format!("`{name}` carries a secret, and policies are read by many"),
                )
                .help(format!("name a file instead: `secret-headers = {{ {name} = \"file:PATH\" }}`")));
            }
            if !is_header_value(value.get_ref()) {
                return Err(FileError::at(
                    value.span(),
                    "a header's value is visible ASCII on one line, with spaces only inside",
                ));
            }
            if open.insert(name, value.get_ref().clone()).is_some() {
                return Err(FileError::at(
                    header.span(),
                    "this header stands here twice; upper and lower case are one",
                ));
            }
        }
        for (header, source) in &self.secret_headers {
            let name = header_name(header)?;
            if open.contains_key(&name) || secret.insert(name, secret_file(source)?).is_some() {
                return Err(FileError::at(
                    header.span(),
                    "this header stands here twice; upper and lower case are one",
                ));
            }
        }
        Ok((open, secret))
    }
}

type Headers = BTreeMap<String, String>;

/// Those that open doors.
const SECRET_HEADERS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];

/// Those by which HTTP itself works: another value would make two readers of one message.
const OWN_HEADERS: [&str; 11] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "accept-encoding",
    "proxy-connection",
];

fn header_name(header: &Spanned<String>) -> Result<String, FileError> {
    let text = header.get_ref();
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(token) {
        return Err(FileError::at(header.span(), format!("{text:?} is not the name of a header")));
    }
    let name = text.to_ascii_lowercase();
    if OWN_HEADERS.contains(&name.as_str()) {
        return Err(FileError::at(header.span(), format!("`{text}` is set by HTTP itself, and not by a policy")));
    }
    Ok(name)
}

/// Whether `value` can be a header's value: nothing that could begin another header or line.
pub fn is_header_value(value: &str) -> bool {
    let inner = |b: u8| (b' '..=b'~').contains(&b);
    value.len() <= 4096 && value.bytes().all(inner) && value.trim() == value && !value.is_empty()
}

fn secret_file(source: &Spanned<String>) -> Result<String, FileError> {
    match source.get_ref().strip_prefix("file:") {
        Some(path) => file(&Spanned::new(source.span(), path.to_owned())),
        None => Err(FileError::at(source.span(), "a secret does not stand in a policy: name its file as `file:PATH`")),
    }
}

/// A file of the site, or any other by its absolute path.
fn file(path: &Spanned<String>) -> Result<String, FileError> {
    let text = path.get_ref();
    if !text.starts_with('/') {
        return crate::tables::relative_file(path);
    }
    if text.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) || text.contains('\0') {
        return Err(FileError::at(path.span(), "an absolute path to a file has no empty parts, `.` or `..`"));
    }
    Ok(text.clone())
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
            let text = path.get_ref();
            let plain = PathPattern::new(text).is_ok_and(|p| p.folder() == "site")
                && !text.contains(['*', '?', '[', '{'])
                && text != "."
                && !text.split('/').any(|part| part.eq_ignore_ascii_case(".git"));
            let below =
                |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if !plain || paths.iter().any(|known: &String| below(known, text) || below(text, known)) {
                return Err(FileError::at(
                    path.span(),
                    "a file or directory of the repository is wanted here, once, not a pattern and nothing of git's own",
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
