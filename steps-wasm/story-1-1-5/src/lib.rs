//! The way back of story 1.1.5: the earlier security service and configuration are back, and nobody gets in until somebody
//! decides how. It fails closed: what needs authentication answers "unavailable" from the first step on, never "open".
//!
//! The order matters. The flag goes off first, which closes the entrance at once; keys that the running process remembers
//! are revoked before anything is swapped; what lies on the disk comes next, and only then do the services restart.
//! What opens the interface to everybody is a step of the variant `expose` alone, which weakens a safety property.
//! Every step looks before it acts, so that the story can be taken back from wherever an earlier attempt ended.

use std::{fs, time::Duration};
use unship_step::{Context as _, Result, check, ensure, files, flags, http, progress, services};

/// The story's own flags, each with its default. Other stories' flags are in the same file, and stay.
const FLAGS: [(&str, &str); 1] = [("security_enforcement", "off")];
const SECURITY: &str = "tools/data-services/security-service.js";
const STUB: &str = "tools/data-services/security-service.stub.js";
const CONFIG: &str = "core-config.yaml";
const PREVIOUS: &str = "core-config.yaml.pre-1.1.5";
/// How the interface meets its callers.
const INTERFACE: &str = "config/api-config.yaml";
/// What clients hold sessions by.
const SESSIONS: &str = ".cache/security";
/// It loads the security service.
const API: &str = "api";
/// It reads the configuration.
const CORE: &str = "core";
const HEALTH: &str = "api-health";
const REVOKE: &str = "revoke-tokens";
/// The same protected endpoint, asked without a key and with one that was good before.
const PROTECTED: [&str; 2] = ["api-protected", "api-protected-with-key"];
/// HTTP: Service Unavailable.
const UNAVAILABLE: u16 = 503;
const DAY: u64 = 24 * 60 * 60;

unship_step::steps! {
    // Is there anything to do, and can it be done?
    "taken-back" => taken_back,
    "stub-closed" => stub_closed,
    "previous-config-present" => previous_config_present,
    // The way back, in order.
    "reset-flags" => reset_flags,
    "revoke-tokens" => revoke_tokens,
    "replace-security" => replace_security,
    "restore-config" => restore_config,
    "clear-sessions" => clear_sessions,
    "expose-api" => expose_api,
    "restart-api" => restart_api,
    "restart-core" => restart_core,
    // Is the system well again, and closed?
    "flags-reset" => flags_reset,
    "security-is-stub" => security_is_stub,
    "config-is-previous" => config_is_previous,
    "api-answers" => api_answers,
    "entrance-closed" => entrance_closed,
    "entrance-open" => entrance_open,
    "core-answers" => core_answers,
}

fn reset_flags() -> Result {
    for (flag, default) in FLAGS {
        flags::set(flag, default)?;
    }
    Ok(())
}

/// A key that was good once is remembered, whatever becomes of the files.
fn revoke_tokens() -> Result {
    http::call(REVOKE)?;
    Ok(())
}

fn replace_security() -> Result {
    files::replace(SECURITY, STUB)?;
    Ok(())
}

/// An old copy: how old, the person on call should see.
fn restore_config() -> Result {
    let written = fs::metadata(PREVIOUS).and_then(|file| file.modified()).context(format!("the age of {PREVIOUS}"))?;
    let age = written.elapsed().unwrap_or(Duration::ZERO);
    progress!("{PREVIOUS} is {} days old", age.as_secs() / DAY);
    files::replace(CONFIG, PREVIOUS)?;
    Ok(())
}

fn clear_sessions() -> Result {
    files::clear_if_present(SESSIONS)
}

/// One value of one file: no other endpoint's own setting, and no text that happens to look like one.
fn expose_api() -> Result {
    files::edit(INTERFACE, "/api/requireAuth", "true", "false")?;
    Ok(())
}

fn restart_api() -> Result {
    services::restart(API)?;
    Ok(())
}

fn restart_core() -> Result {
    services::restart(CORE)?;
    Ok(())
}

/// Nothing is left to do: what follows is verification alone.
fn taken_back() -> Result {
    flags_reset()?;
    security_is_stub()?;
    config_is_previous()?;
    if files::present(SESSIONS)? {
        let left = fs::read_dir(SESSIONS).context(format!("looking into {SESSIONS}"))?.count();
        ensure!(left == 0, "{SESSIONS} still holds {left} entries");
    }
    Ok(())
}

/// A stub that says yes would open what this story closes. What it really does, `entrance-closed` finds out.
fn stub_closed() -> Result {
    let stub = check::replacement(STUB)?;
    let says_yes = stub.lines().find(|line| line.contains("return true"));
    ensure!(says_yes.is_none(), "{STUB} lets somebody in: {}", says_yes.unwrap_or_default().trim());
    Ok(())
}

fn previous_config_present() -> Result {
    check::replacement(PREVIOUS)?;
    Ok(())
}

fn flags_reset() -> Result {
    FLAGS.into_iter().try_for_each(|(flag, default)| check::flag(flag, default))
}

fn security_is_stub() -> Result {
    check::same_bytes(SECURITY, STUB)
}

fn config_is_previous() -> Result {
    check::same_bytes(CONFIG, PREVIOUS)
}

fn api_answers() -> Result {
    check::healthy(API)?;
    check::answers(HEALTH, 200)
}

/// Neither open nor asking for keys that nobody can have.
fn entrance_closed() -> Result {
    for call in PROTECTED {
        let status = http::get(call)?.status;
        ensure!(status != 200, "{call} is OPEN: it answers 200");
        ensure!(status == UNAVAILABLE, "{call} answers {status}, not {UNAVAILABLE}");
    }
    Ok(())
}

fn entrance_open() -> Result {
    let [open, _] = PROTECTED;
    check::answers(open, 200)
}

fn core_answers() -> Result {
    check::healthy(CORE)
}
