//! Attacks on the sandbox, one step each.
//!
//! **A step that succeeds has got through; one that was refused fails and says with what.** So a test expects each of
//! them to fail, and looks at the message, the journal and the site. The steps of [`limits`] never fail by themselves:
//! they end only where the host ends them, or succeed at an amount that no sane limit allows.
//!
//! What `unship.toml` requests for each step is what it holds when the policy grants all; what it then tries lies just
//! outside. (`verbs` and `more-verbs` are no attacks: they do what a test writes into the files `script` and `more-script`; `there` is a check.) The site that the attacks are written for (an attack on something absent proves nothing):
//!
//! | path | what |
//! |---|---|
//! | `secret.txt` | a file that no step holds a grant for; begins with `secret` |
//! | `secrets/` | a directory with one file, likewise |
//! | `pub/readable.txt`, `pub/other.txt` | files |
//! | `pub/planted` → `../secret.txt`, `pub/planted-absolute` → `/etc/passwd`, `pub/planted-dir` → `..` | symlinks |
//! | `pub/chain` → `planted`, `pub/loop` → `loop` | symlinks |
//! | `pub/fifo`, `pub/socket` | a FIFO without a writer, a Unix socket |
//! | `pub/swapped` | a file that the test swaps against a symlink to `../secret.txt`, over and over |
//! | `box/`, `box/frozen/keep.txt`, `box/a/x.txt` | what may be written, but for `frozen` |
//! | `drop/hidden.txt` | a file that may be removed and not read; begins with `secret` |
//! | `config.yaml` | `key: old` |
//! | `../outside.txt` | a file beside the site |
//!
//! Names in the policy: flags `duckdb_analytics` (granted: to `off`) and `security_enabled`, commands `harmless`
//! (granted) and `forbidden`, services `analytics` (granted) and `database`, selectors `workers` (granted) and
//! `everything`.

mod files;
mod limits;
mod names;
mod sys;

use std::io;
use unship_step::{HostError, Result, fail, warn};

unship_step::steps! {
    "read-outside" => files::read_outside,
    "read-absolute" => files::read_absolute,
    "read-sibling" => files::read_sibling,
    "read-fifo" => files::read_fifo,
    "list-ungranted" => files::list_ungranted,
    "follow-planted-symlink" => files::follow_planted_symlink,
    "plant-symlink" => files::plant_symlink,
    "rename-into-read-grant" => files::rename_into_read_grant,
    "rename-widens-read" => files::rename_widens_read,
    "rename-onto-ungranted" => files::rename_onto_ungranted,
    "hard-link-into-read-grant" => files::hard_link_into_read_grant,
    "truncate-under-read" => files::truncate_under_read,
    "create-under-read" => files::create_under_read,
    "remove-under-write" => files::remove_under_write,
    "write-nested-readonly" => files::write_nested_readonly,
    "touch-unship" => files::touch_unship,
    "touch-policies" => files::touch_policies,
    "kept-directory-handle" => files::kept_directory_handle,
    "swapped-directory" => files::swapped_directory,
    "swapped-name" => files::swapped_name,
    "replace-ungranted" => files::replace_ungranted,
    "set-aside-ungranted" => files::set_aside_ungranted,
    "clear-ungranted" => files::clear_ungranted,
    "edit-ungranted" => files::edit_ungranted,
    "verbs" => files::verbs,
    "more-verbs" => files::more_verbs,
    "there" => files::is_there,

    "get-ungranted-flag" => names::get_ungranted_flag,
    "set-ungranted-flag" => names::set_ungranted_flag,
    "set-flag-to-ungranted-value" => names::set_flag_to_ungranted_value,
    "run-ungranted-command" => names::run_ungranted_command,
    "list-ungranted-processes" => names::list_ungranted_processes,
    "stop-ungranted-processes" => names::stop_ungranted_processes,
    "holders-of-ungranted-path" => names::holders_of_ungranted_path,
    "status-of-ungranted-service" => names::status_of_ungranted_service,
    "restart-ungranted-service" => names::restart_ungranted_service,

    "loop-forever" => limits::loop_forever,
    "recurse" => limits::recurse,
    "sleep-forever" => limits::sleep_forever,
    "poll-forever" => limits::poll_forever,
    "block-on-stdin" => limits::block_on_stdin,
    "grow-memory" => limits::grow_memory,
    "open-many-files" => limits::open_many_files,
    "flood-stdout" => limits::flood_stdout,
    "flood-log" => limits::flood_log,
    "long-failure" => limits::long_failure,
    "write-much" => limits::write_much,
    "many-effects" => limits::many_effects,
    "many-denials" => limits::many_denials,
    "panic" => limits::panic,
    "exit-zero" => limits::exit_zero,
    "control-characters" => limits::control_characters,
}

/// How a refusal reads in the failure's message.
trait Refusal {
    fn shown(&self) -> String;
}

/// By its kind: texts and numbers differ between targets.
impl Refusal for io::Error {
    fn shown(&self) -> String {
        format!("{:?}", self.kind())
    }
}

impl Refusal for HostError {
    fn shown(&self) -> String {
        self.to_string()
    }
}

/// Tries each target in turn. Succeeds at the first that gets through; fails with all refusals when none does.
fn each<'a, T, E: Refusal>(
    targets: impl IntoIterator<Item = &'a str>,
    attempt: impl Fn(&str) -> std::result::Result<T, E>,
) -> Result {
    let mut refused = Vec::new();
    for target in targets {
        match attempt(target) {
            Ok(_) => {
                warn!("got through: {target}");
                return Ok(());
            }
            Err(error) => refused.push(format!("{target}: {}", error.shown())),
        }
    }
    fail!("refused: {}", refused.join("; "))
}
