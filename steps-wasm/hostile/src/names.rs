//! Attacks on what is reached by name: a name without a grant, and texts that are no names.

use crate::each;
use unship_step::{Context as _, Result, commands, flags, processes, services};

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
