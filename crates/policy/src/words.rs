//! A power in plain words, and what its name means on this site: what `policy explain` says of a story. No value of a header,
//! a body or an environment is shown: it may be a secret.

use crate::{
    FileRight, Name, PathPattern,
    meaning::{CommandMeaning, HttpMeaning, SelectorMeaning, ServiceManager, ServiceMeaning},
    power::{NamedPower, Power},
    tables::Definitions,
};
use std::fmt;

/// What a person wants to know before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// Things go: removed, emptied.
    Deletes,
    /// Things are elsewhere afterwards.
    Moves,
    /// Content is another one afterwards.
    Overwrites,
    /// Processes end.
    StopsProcesses,
    /// A program of this machine runs, with the rights of whoever runs unship.
    RunsPrograms,
    /// Something at the other end of a connection may change.
    CallsOut,
}

impl Risk {
    /// Every risk, in the order in which they are told.
    pub const ALL: [Risk; 6] =
        [Risk::Deletes, Risk::Moves, Risk::Overwrites, Risk::StopsProcesses, Risk::RunsPrograms, Risk::CallsOut];

    /// After "can".
    pub fn can(self) -> &'static str {
        match self {
            Risk::Deletes => "delete",
            Risk::Moves => "move things away",
            Risk::Overwrites => "overwrite",
            Risk::StopsProcesses => "stop processes",
            Risk::RunsPrograms => "run programs",
            Risk::CallsOut => "make calls that change something elsewhere",
        }
    }
}

/// A power in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// After "may".
    pub may: String,
    /// What the names in it mean here, a line each.
    pub means: Vec<String>,
    /// What it can do to you.
    pub risks: Vec<Risk>,
}

impl Power {
    /// In plain words. `None` where a name has no meaning.
    pub fn words(&self, definitions: &Definitions) -> Option<Words> {
        let words = |may: String, means: Vec<String>, risks: &[Risk]| Words { may, means, risks: risks.to_vec() };
        Some(match self {
            Power::Files(right, paths) => {
                let (may, risks) = file_words(*right, &paths_words(paths));
                words(may, folder(paths, definitions)?, risks)
            }
            Power::Edit(paths, pointer) => {
                let may = match pointer.as_str().strip_suffix("/**") {
                    Some("") => format!("change any value in {}", paths_words(paths)),
                    Some(above) => format!("change any value below {above} in {}", paths_words(paths)),
                    None => format!("change the value at {} in {}", pointer.as_str(), paths_words(paths)),
                };
                words(may, folder(paths, definitions)?, &[Risk::Overwrites])
            }
            Power::Holders(paths) => {
                words(format!("ask which processes hold {} open", paths_words(paths)), folder(paths, definitions)?, &[])
            }
            Power::FlagSet(flag, value) => {
                let flags = definitions.flags.as_ref()?;
                let written = flags.values.get(value)?;
                let at = flags.pointer.replace("{flag}", flag.as_str());
                let means = vec![format!("{}, at {at}: {value} is written {written}", flags.file)];
                words(format!("set the flag {flag} to {value}"), means, &[])
            }
            Power::Named(power, name) => named_words(*power, name, definitions)?,
        })
    }
}

fn file_words(right: FileRight, paths: &str) -> (String, &'static [Risk]) {
    match right {
        FileRight::Read => (format!("read {paths}"), &[]),
        FileRight::List => (format!("see the names in {paths}, not what they hold"), &[]),
        FileRight::Write => (format!("change the content of {paths}"), &[Risk::Overwrites]),
        FileRight::Create => (format!("make {paths} where nothing is"), &[]),
        FileRight::Remove => (format!("remove {paths}"), &[Risk::Deletes]),
        FileRight::Rename => (format!("rename or move {paths}"), &[Risk::Moves]),
        FileRight::Replace => (format!("replace {paths} by a copy of a file that it may read"), &[Risk::Overwrites]),
        FileRight::SetAside => (format!("set {paths} aside, under a new name beside it"), &[Risk::Moves]),
        FileRight::Clear => (format!("empty the directory {paths}, hidden files too"), &[Risk::Deletes]),
        // `Power::Edit` says it with its pointer.
        FileRight::Edit => (format!("change values in {paths}"), &[Risk::Overwrites]),
    }
}

fn paths_words(paths: &PathPattern) -> String {
    let text = paths.as_str();
    match text.strip_suffix("**").map(|above| above.trim_end_matches('/')) {
        Some("") => "everything in the site".to_owned(),
        Some(above) if above.ends_with(':') => format!("everything in the folder {}", above.trim_end_matches(':')),
        Some(above) => format!("{above} and everything below it"),
        None if text == "." => "the site's top folder".to_owned(),
        None if text.contains(['*', '?', '[', '{']) => format!("whatever is called {text}"),
        None => text.to_owned(),
    }
}

fn folder(paths: &PathPattern, definitions: &Definitions) -> Option<Vec<String>> {
    let path = definitions.folders.get(paths.folder())?;
    let is_site = path == "." && !paths.as_str().contains(':');
    Some(if is_site { Vec::new() } else { vec![format!("the folder {} is {path}", paths.folder())] })
}

fn named_words(power: NamedPower, name: &Name, definitions: &Definitions) -> Option<Words> {
    let words = |may: String, means: Vec<String>, risks: &[Risk]| Words { may, means, risks: risks.to_vec() };
    Some(match power {
        NamedPower::FlagsGet => {
            let flags = definitions.flags.as_ref()?;
            let at = flags.pointer.replace("{flag}", name.as_str());
            words(format!("read the flag {name}"), vec![format!("{}, at {at}", flags.file)], &[])
        }
        NamedPower::ProcessesList => {
            let means = vec![selector(definitions.processes.get(name)?)];
            words(format!("see the processes called {name}, with their command lines"), means, &[])
        }
        NamedPower::ProcessesStop => {
            let means = vec![selector(definitions.processes.get(name)?)];
            words(format!("stop the processes called {name}"), means, &[Risk::StopsProcesses])
        }
        NamedPower::ServicesStatus => {
            let means = service(definitions.services.get(name)?, &[]);
            words(format!("see whether the service {name} runs and is well"), means, &[Risk::RunsPrograms])
        }
        NamedPower::ServicesStart => {
            let means = service(definitions.services.get(name)?, &["start"]);
            words(format!("start the service {name}"), means, &[Risk::RunsPrograms])
        }
        NamedPower::ServicesStop => {
            let means = service(definitions.services.get(name)?, &["stop"]);
            words(format!("stop the service {name}"), means, &[Risk::StopsProcesses, Risk::RunsPrograms])
        }
        NamedPower::ServicesRestart => {
            let means = service(definitions.services.get(name)?, &["stop", "start"]);
            words(format!("restart the service {name}"), means, &[Risk::StopsProcesses, Risk::RunsPrograms])
        }
        NamedPower::CommandsRun => {
            let means = command(definitions.commands.get(name)?);
            words(format!("run the command {name}"), means, &[Risk::RunsPrograms])
        }
        NamedPower::HttpGet => {
            let means = http(definitions.http.get(name)?);
            words(format!("ask {name} over HTTP"), means, &[])
        }
        NamedPower::HttpCall => {
            let means = http(definitions.http.get(name)?);
            words(format!("call {name} over HTTP"), means, &[Risk::CallsOut])
        }
        NamedPower::GitStatus => {
            let git = definitions.git.get(name)?;
            let means = vec![format!("in the repository {}, against {}", git.repository, git.commit)];
            words(format!("see how {} differ from the restore point {name}", git.paths.join(", ")), means, &[])
        }
        NamedPower::GitRestore => {
            let git = definitions.git.get(name)?;
            let means = vec![format!("in the repository {}, as they were at {}", git.repository, git.commit)];
            let may = format!("bring {} back to the restore point {name}", git.paths.join(", "));
            words(may, means, &[Risk::Deletes, Risk::Overwrites])
        }
    })
}

/// A command line as a person reads it: each word that a shell would take apart in quotes.
fn line<T: ToString>(argv: &[T]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+,@%".contains(c);
    let word = |text: &T| {
        let text = text.to_string();
        if !text.is_empty() && text.chars().all(plain) { text } else { format!("{text:?}") }
    };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn command(meaning: &CommandMeaning) -> Vec<String> {
    let mut lines = vec![format!("runs: {}", line(&meaning.argv))];
    lines.push(match &meaning.undo {
        Some(undo) => format!("taken back by: {}", line(undo)),
        None => "cannot be taken back".to_owned(),
    });
    lines
}

fn service(meaning: &ServiceMeaning, actions: &[&str]) -> Vec<String> {
    match &meaning.manager {
        ServiceManager::PidFile(manager) => {
            let mut lines = vec![format!("pid file {}: {}", manager.pid_file, selector(&manager.selector))];
            if actions.contains(&"start") {
                lines.push(format!("started by: {}", line(&manager.start)));
            }
            lines.push(format!("asked by: {}", line(&manager.healthy)));
            lines
        }
        ServiceManager::Pm2(manager) => {
            let mut lines = vec![format!("pm2's {}, in {}, by {}", manager.name, manager.home, manager.program)];
            lines.extend(manager.healthy.iter().map(|healthy| format!("asked by: {}", line(healthy))));
            lines
        }
    }
}

impl fmt::Display for SelectorMeaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&selector(self))
    }
}

fn selector(meaning: &SelectorMeaning) -> String {
    let exe = meaning.exe.as_ref().map_or_else(|| "any program".to_owned(), |exe| format!("the program {exe}"));
    let mut text = if meaning.args.is_empty() { exe } else { format!("{exe} with {}", line(&meaning.args)) };
    let more = [
        (!meaning.any_arg.is_empty()).then(|| format!("with one of {}", line(&meaning.any_arg))),
        meaning.user.as_ref().map(|user| format!("of the user {user}")),
        meaning.cgroup.as_ref().map(|cgroup| format!("in the control group {cgroup}")),
        meaning.pid_file.as_ref().map(|file| format!("named by {file}")),
        meaning.tree.then(|| "and all that they started".to_owned()),
        meaning.started_by.as_ref().map(|service| format!("(the service {service} starts them by itself)")),
    ];
    for part in more.into_iter().flatten() {
        text.push(' ');
        text.push_str(&part);
    }
    text
}

fn http(meaning: &HttpMeaning) -> Vec<String> {
    let mut lines = vec![format!("{} {}", meaning.method.as_str(), meaning.url)];
    let names: Vec<&str> = meaning.headers.keys().chain(meaning.secret_headers.keys()).map(String::as_str).collect();
    if !names.is_empty() {
        lines.push(format!("with the headers {}", names.join(", ")));
    }
    if meaning.body.is_some() {
        lines.push("with the body that policy states".to_owned());
    }
    for (place, fill) in &meaning.fill {
        lines.push(format!("in it, as {place}: what the call {} answers at {}", fill.from, fill.pointer));
    }
    if meaning.method.changes() {
        lines.push(match &meaning.undo {
            Some(undo) => format!("taken back by: the call {undo}"),
            None => "cannot be taken back".to_owned(),
        });
    }
    lines
}
