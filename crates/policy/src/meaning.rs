//! What the operator's policy says a *name* means: a command line, a service, a selector of processes, the flags file,
//! a folder, and the limits of a step. A guest only ever passes the name.

use crate::{Argument, Fill, ParameterError, ParameterKind, PathPattern, argument, fill, url::HttpUrl};
use std::{collections::BTreeMap, fmt, time::Duration};

/// A command by name: exactly this argument vector, never a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandMeaning {
    /// Program and arguments, with places for values. A program without a slash is looked up once in the fixed `PATH`; one
    /// with a slash is relative to the site.
    pub argv: Vec<Argument>,
    /// What each value may be.
    pub parameters: BTreeMap<Name, ParameterKind>,
    /// How long it may take; afterwards its whole process group is killed.
    pub timeout: Duration,
    /// The exit statuses that count as success.
    pub expect: Vec<i32>,
    /// What a *planned* (simulated) command answers on standard output.
    pub simulated_stdout: String,
    /// Paths that nobody holds open any more once it has run: what planning believes, and the run then checks for itself.
    pub simulated_releases: Vec<PathPattern>,
    /// Variables added to the otherwise empty environment (`PATH`, `HOME`, `LANG` are fixed).
    pub env: BTreeMap<String, String>,
    /// Bytes kept of each output stream; the rest is counted and dropped.
    pub output_bytes_max: usize,
    /// The command that takes this one back, if there is one. Without it the effect cannot be undone, and the plan says so.
    pub undo: Option<Vec<Argument>>,
    /// Files and directories, relative to the site or absolute, that it may read and run beside the system's own; `None`: all.
    pub reads: Option<Vec<String>>,
    /// Files and directories, relative to the site or absolute, that it may change (and read); `/` for all. One that is not
    /// there permits nothing.
    pub writes: Vec<String>,
    /// What it may use up.
    pub limits: CommandLimits,
}

/// What each process of a command may use up; `None`: as much as unship itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLimits {
    /// Computing time, in whole seconds (`RLIMIT_CPU`).
    pub cpu: Option<Duration>,
    /// Bytes of memory that is its own (`RLIMIT_DATA`).
    pub memory_bytes_max: Option<u64>,
    /// Open files (`RLIMIT_NOFILE`).
    pub files_max: Option<u64>,
    /// Processes and threads of its user together (`RLIMIT_NPROC`). The kernel does not hold root to it.
    pub processes_max: Option<u64>,
    /// Bytes of a file that it writes (`RLIMIT_FSIZE`).
    pub file_bytes_max: Option<u64>,
}

/// A command with every value in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Those of the command that takes it back.
    pub undo: Option<Vec<String>>,
}

impl CommandMeaning {
    /// The command with `values` in their places.
    ///
    /// # Errors
    /// [`ParameterError`] naming the rule: a parameter that is unknown, given twice, missing, or not what it may be.
    pub fn line(&self, values: &[(String, String)]) -> Result<CommandLine, ParameterError> {
        let fill = |arguments: &Vec<Argument>| argument::filled(arguments, &self.parameters, values);
        Ok(CommandLine { argv: fill(&self.argv)?, undo: self.undo.as_ref().map(fill).transpose()? })
    }
}

/// A service by name: who manages it, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceMeaning {
    /// Who knows whether it runs, and starts and stops it.
    pub manager: ServiceManager,
    /// How long a start, a stop and then the wait for health may take each.
    pub timeout: Duration,
    /// Variables added to the otherwise empty environment of the commands.
    pub env: BTreeMap<String, String>,
}

/// The managers of services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceManager {
    /// Nobody but a pid file and the service's own commands.
    PidFile(PidFileManager),
    /// pm2, the process manager of Node.
    Pm2(Pm2Manager),
}

/// A service that writes its own pid file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PidFileManager {
    /// File that holds the decimal process id, relative to the site.
    pub pid_file: String,
    /// The process that the pid file names must match this, or the file counts as stale.
    pub selector: SelectorMeaning,
    /// Starts the service in the background and returns.
    pub start: Vec<String>,
    /// Exits 0 when the service answers as it should.
    pub healthy: Vec<String>,
}

/// A service that pm2 knows by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pm2Manager {
    /// Its name in pm2's list, word for word; all processes of that name are the service.
    pub name: String,
    /// pm2's folder (`PM2_HOME`), relative to the site or absolute.
    pub home: String,
    /// pm2 itself, found as a command's program is.
    pub program: String,
    /// Exits 0 when the service answers as it should. `None`: it is healthy once all its processes stay up.
    pub healthy: Option<Vec<String>>,
}

impl ServiceMeaning {
    /// The command that tells its health, if it has one.
    pub fn health(&self) -> Option<&Vec<String>> {
        match &self.manager {
            ServiceManager::PidFile(manager) => Some(&manager.healthy),
            ServiceManager::Pm2(manager) => manager.healthy.as_ref(),
        }
    }

    /// The programs by which it is started, stopped and asked for its health.
    pub fn programs(&self) -> impl Iterator<Item = &String> {
        let own = match &self.manager {
            ServiceManager::PidFile(manager) => manager.start.first(),
            ServiceManager::Pm2(manager) => Some(&manager.program),
        };
        own.into_iter().chain(self.health().and_then(|argv| argv.first()))
    }
}

/// A call over HTTP by name: exactly this request, to this origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpMeaning {
    /// The method.
    pub method: HttpMethod,
    /// Scheme, host, port, path and query.
    pub url: HttpUrl,
    /// Whether it may go unencrypted to another machine.
    pub plaintext: bool,
    /// Sent with POST, PUT and PATCH.
    pub body: Option<String>,
    /// Places `{name}` in the body, and whence they are filled when the call is made. One that stays empty: nothing is sent.
    pub fill: BTreeMap<Name, Fill>,
    /// Sent with every request; names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Header, in lower case → the file that holds its value: relative to the site, or absolute. Read when the call is made.
    pub secret_headers: BTreeMap<String, String>,
    /// PEM file of the authorities to trust instead of the public ones; relative to the site, or absolute.
    pub authorities: Option<String>,
    /// From the look-up of the host to the last byte of the answer.
    pub timeout: Duration,
    /// The statuses that count as success of `http.call`.
    pub expect: Vec<u16>,
    /// Bytes of an answer's body at most; a longer one is an error.
    pub answer_bytes_max: usize,
    /// Status and body that a *planned* (simulated) call answers, where the method changes something.
    pub simulated: (u16, String),
    /// Selectors of whose processes none lives any more once it was made: what planning believes, and the run then checks
    /// for itself.
    pub simulated_ends: Vec<Name>,
    /// The call that takes this one back, if there is one.
    pub undo: Option<Name>,
}

impl HttpMeaning {
    /// The call with `values` in the places of its body.
    #[must_use]
    pub fn filled(mut self, values: &BTreeMap<Name, Vec<String>>) -> HttpMeaning {
        self.body = self.body.map(|body| fill::filled(&body, values));
        self
    }
}

/// The methods of HTTP that a call can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum HttpMethod {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl HttpMethod {
    /// Every method.
    pub const ALL: [HttpMethod; 6] =
        [HttpMethod::Get, HttpMethod::Head, HttpMethod::Post, HttpMethod::Put, HttpMethod::Patch, HttpMethod::Delete];

    /// As it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            HttpMethod::Get => "GET",
            HttpMethod::Head => "HEAD",
            HttpMethod::Post => "POST",
            HttpMethod::Put => "PUT",
            HttpMethod::Patch => "PATCH",
            HttpMethod::Delete => "DELETE",
        }
    }

    /// Whether its request has a body (RFC 9110, 9.3; one of DELETE has no meaning).
    pub fn takes_body(self) -> bool {
        matches!(self, HttpMethod::Post | HttpMethod::Put | HttpMethod::Patch)
    }

    /// Whether its answer can have a body.
    pub fn has_answer_body(self) -> bool {
        self != HttpMethod::Head
    }

    /// Whether it may change something at the other end (RFC 9110, 9.2.1: GET and HEAD are safe).
    pub fn changes(self) -> bool {
        !matches!(self, HttpMethod::Get | HttpMethod::Head)
    }
}

/// A restore point of git: paths as they were at a commit that was recorded before the story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitMeaning {
    /// The repository's working tree, relative to the site; `.` for the site itself.
    pub repository: String,
    /// The commit's whole id, or a tag as `refs/tags/NAME`.
    pub commit: String,
    /// Files and directories in the working tree.
    pub paths: Vec<String>,
}

/// Which processes a name means. All that is said must hold for one; at least one of `exe`, `args` and `cgroup` is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelectorMeaning {
    /// The executable, as `/proc/PID/exe` has it: absolute, or relative to the site. `None`: any.
    pub exe: Option<String>,
    /// Arguments (after the program's own name) that must stand in this order, next to each other, anywhere in the command line.
    pub args: Vec<String>,
    /// One of these must stand among the arguments, anywhere. Empty: any may.
    pub any_arg: Vec<String>,
    /// The user as whom it runs, by name or number: real, effective and saved id alike. `None`: any.
    pub user: Option<String>,
    /// Path of the control group (the unified hierarchy; where there is none, systemd's) in or below which it is. `None`: any.
    pub cgroup: Option<String>,
    /// File, relative to the site, that holds its decimal process id. `None`: any.
    pub pid_file: Option<String>,
    /// Those that it started, and those that these started, are meant as well, whatever they are.
    pub tree: bool,
    /// The service that starts such processes by itself, so that stopping them is taken back once it runs as before.
    pub started_by: Option<Name>,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
}

/// Where the site's feature flags live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagsMeaning {
    /// The file, relative to the site.
    pub file: String,
    /// How it holds them.
    pub format: FlagsFormat,
    /// JSON pointer of a flag's scalar, with `{flag}` for its name, such as `/flags/{flag}/enabled`.
    pub pointer: String,
    /// Flag value (`on`, `off`, a variant) → the scalar as written in the file (`true`, `false`).
    pub values: BTreeMap<String, String>,
}

/// How a file holds feature flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagsFormat {
    /// One scalar a flag, at `pointer`, written as `values` say.
    Scalars,
    /// flagd's JSON: a flag's value is the name of its default variant, or `off` while its state is `DISABLED`.
    Flagd,
}

/// What one step may use up. Every limit has a safe default; a policy may set it lower or higher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Time the guest's own code may compute.
    pub cpu: Duration,
    /// From the start of the step to its end, host calls and sleeping included.
    pub wall: Duration,
    /// Bytes over all linear memories of the instance together.
    pub memory_bytes_max: usize,
    /// Elements over all tables together.
    pub table_elements_max: usize,
    /// Open WASI resources (descriptors, streams, pollables) at a time.
    pub handles_max: usize,
    /// Bytes of standard output, standard error and log lines together; more are dropped, and the step fails.
    pub output_bytes_max: usize,
    /// Effects of one step.
    pub effects_max: usize,
    /// Bytes that one step may write into files.
    pub written_bytes_max: u64,
    /// Bytes that before-images and planning copies of one run may take.
    pub images_bytes_max: u64,
    /// Denials journalled one by one; the step ends at the next.
    pub denials_max: usize,
    /// Directory entries that one check of a directory rename or one clear looks at.
    pub entries_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            cpu: Duration::from_secs(10),
            wall: Duration::from_secs(120),
            memory_bytes_max: 256 << 20,
            table_elements_max: 100_000,
            handles_max: 256,
            output_bytes_max: 1 << 20,
            effects_max: 10_000,
            written_bytes_max: 1 << 30,
            images_bytes_max: 4 << 30,
            denials_max: 100,
            entries_max: 200_000,
        }
    }
}

/// The name of a flag, service, command, selector, folder, step, role or key: letters and digits of ASCII, `-`, `_` and `.`,
/// at most 64. Names are compared to the byte; where two of them stand in one table, they differ in more than case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// A name that is not one.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error(
    "{name:?} is not a name: 1 to 64 letters, digits, `-`, `_` or `.`, the first one a letter or digit{why}",
    name = .0,
    why = stranger(.0, is_of_a_name)
)]
pub struct BadName(pub String);

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// Which character of `text` is none of those permitted, for the end of a sentence: it may look like one, or like nothing.
pub(crate) fn stranger(text: &str, is_permitted: impl Fn(char) -> bool) -> String {
    let Some((at, c)) = text.chars().enumerate().find(|(_, c)| !is_permitted(*c)) else {
        return String::new();
    };
    let looks = match c {
        c if c.is_ascii_graphic() || c == ' ' => "",
        c if c.escape_debug().len() == 1 => ", which is not of ASCII, whatever it looks like",
        _ => ", which may not be seen at all",
    };
    format!("; its character {} is {c:?} (U+{:04X}){looks}", at + 1, u32::from(c))
}

impl Name {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`BadName`] when it is empty, too long or holds another character.
    pub fn new(text: &str) -> Result<Name, BadName> {
        let good = text.len() <= 64
            && text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric())
            && text.chars().all(is_of_a_name);
        if good { Ok(Name(text.to_owned())) } else { Err(BadName(text.to_owned())) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
