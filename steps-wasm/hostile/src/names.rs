//! Attacks on what is reached by name: a name without a grant, and texts that are no names.

use crate::each;
use unship_step::{Context as _, HostError, Result, commands, flags, processes, services};

/// Not an attack: what a line of `script` says, by name. `run COMMAND [PARAMETER=VALUE]…`, `list SELECTOR`,
/// `stop-processes SELECTOR`, `status SERVICE`, `start SERVICE`, `stop SERVICE`, `restart SERVICE`.
pub fn verb(words: &[&str]) -> Option<std::result::Result<String, HostError>> {
    Some(match *words {
        ["run", command] => commands::run(command).map(|output| output.stdout),
        ["run", command, ref values @ ..] => {
            let values: Vec<_> = values.iter().map(|value| value.split_once('=').unwrap_or((value, ""))).collect();
            commands::run_with(command, &values).map(|output| output.stdout)
        }
        ["list", selector] => processes::list(selector).map(|all| all.len().to_string()),
        ["stop-processes", selector] => processes::stop(selector).map(|stopped| stopped.to_string()),
        ["status", service] => services::status(service).map(|seen| format!("{} {}", seen.running, seen.healthy)),
        ["start", service] => services::start(service).map(|()| String::new()),
        ["stop", service] => services::stop(service).map(|()| String::new()),
        ["restart", service] => services::restart(service).map(|()| String::new()),
        _ => return None,
    })
}

pub fn get_ungranted_flag() -> Result {
    each(["security_enabled", "no_such_flag", "../secret", ""], flags::get)
}

pub fn set_ungranted_flag() -> Result {
    each(["security_enabled", "no_such_flag", "duckdb_analytics/enabled", "duckdb_analytics\n"], |flag| {
        flags::set(flag, "off")
    })
}

pub fn set_flag_to_ungranted_value() -> Result {
    each(["on", "OFF", "off ", "", "false", "true\nsecurity_enabled: false"], |value| {
        flags::set("duckdb_analytics", value)
    })
}

pub fn run_ungranted_command() -> Result {
    each(["forbidden", "harmless --all", "harmless; true", "/bin/sh", "../harmless", ""], commands::run)
}

pub fn list_ungranted_processes() -> Result {
    each(["everything", "1", "*", ""], processes::list)
}

pub fn stop_ungranted_processes() -> Result {
    each(["everything", "1", "-1", "*", ""], processes::stop)
}

pub fn holders_of_ungranted_path() -> Result {
    each(["secret.txt", "secrets", ".", "..", "/", "/etc", "pub/../secret.txt"], processes::holders)
}

pub fn status_of_ungranted_service() -> Result {
    each(["database", "no-such-service", ""], services::status)
}

pub fn restart_ungranted_service() -> Result {
    each(["database", "no-such-service", ""], services::restart)
        .or_else(|first| each(["analytics", "database"], services::stop).context(first))
        .or_else(|first| each(["analytics", "database"], services::start).context(first))
}
