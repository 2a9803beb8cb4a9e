//! Whatever a guest tries to use up, its limit ends it, the message says which, and the host goes on: item 3 of the main
//! job. Powers that it was not given are refused with the rule.

use crate::support::{Ran, Site, fingerprint, guest};
use std::time::{Duration, Instant};

/// Far below what the attacks take, far above what an honest step of these tests needs.
const TIGHT: &str = "[limits]
cpu = \"300ms\"
wall = \"3s\"
memory = \"48MiB\"
tables = 1000
handles = 40
output = \"16KiB\"
effects = 20
written = \"1MiB\"
denials = 5
";

/// The meanings of all names that the attackers' manifest requests, and of some that nobody was given.
const NAMES: &str = r#"
[flags]
file = "flags.yaml"
pointer = "/flags/{flag}/enabled"
values = { on = "true", off = "false" }
[commands.harmless]
argv = ["touch", "harmless-ran"]
timeout = "5s"
[commands.forbidden]
argv = ["touch", "forbidden-ran"]
timeout = "5s"
[processes.workers]
exe = "bin/no-such-worker"
grace = "1s"
[processes.everything]
exe = "bin/everything"
grace = "1s"
[services.analytics]
manager = "pid-file"
pid-file = "run/analytics.pid"
process = { exe = "bin/no-such-service", grace = "1s" }
start = ["touch", "started"]
healthy = ["false"]
timeout = "1s"
[services.database]
manager = "pid-file"
pid-file = "run/database.pid"
process = { exe = "bin/no-such-service", grace = "1s" }
start = ["touch", "database-started"]
healthy = ["false"]
timeout = "1s"
"#;

/// The attackers' component imports every interface, so some step must request each.
const EVERY_INTERFACE: &str = r#"
files.clear = ["never"]
flags.get = ["duckdb_analytics"]
processes.list = ["workers"]
services.status = ["analytics"]
commands.run = ["harmless"]
"#;

const FILES: &str = "files.read = [\"pub/**\"]\nfiles.write = [\"box/**\"]\nfiles.create = [\"box/**\"]\n";

fn site() -> Site {
    let site = Site::new(NAMES);
    site.write(
        "flags.yaml",
        "flags:\n  duckdb_analytics:\n    enabled: true\n  security_enabled:\n    enabled: true\n",
    );
    site.write("pub/readable.txt", "readable\n");
    site.write("box/old.txt", "old\n");
    site.write("secret.txt", "secret\n");
    site
}

/// The attackers' step `step` as story 999, first of two.
fn attack(site: &Site, step: &str, requests: &str, grants: &str, limits: &str) {
    let other = if step == "panic" { "exit-zero" } else { "panic" };
    let manifest = format!(
        "story = \"999\"\nversion = \"1.0.0\"\ntitle = \"attack\"\n[[step]]\nname = \"{step}\"\ntitle = \"attack\"\n{requests}\n\
         [[step]]\nname = \"{other}\"\ntitle = \"never reached\"\n{EVERY_INTERFACE}"
    );
    let policy = format!("{limits}[grants.{step}]\n{grants}\n[grants.{other}]\n{EVERY_INTERFACE}");
    site.story("999", &guest("hostile.wasm"), &manifest, &policy);
}

/// Story 999 is refused by `plan` and by `apply`, soon, with these words and few others; the site stays as it is, the
/// refusal stands in the journal, and the next story is taken back.
#[track_caller]
fn refused(site: &Site, words: &[&str]) -> Ran {
    let before = fingerprint(&site.path());
    let begun = Instant::now();
    let planned = site.unship(["plan", "999"]).exits(3);
    let applied = site.unship(["apply", "999", "--yes", "--json"]).exits(3);
    assert!(begun.elapsed() < Duration::from_secs(60), "two attempts took {:?}", begun.elapsed());
    let summary = applied.json().into_iter().find(|line| line["type"] == "summary").expect("a summary");
    assert_eq!(summary["outcome"], "Refused");
    assert_eq!(before, fingerprint(&site.path()), "the site changed");
    let journal = site.unship(["journal", "show"]).exits(0);
    let mut planned = planned;
    for word in words {
        planned = planned.says(word);
        assert!(applied.stderr.contains(word), "apply lacks {word:?}:\n{}", applied.stderr);
        assert!(journal.stdout.contains(word), "the journal lacks {word:?}:\n{}", journal.stdout);
    }
    for text in [&planned.stderr, &planned.stdout, &applied.stderr, &applied.stdout] {
        assert!(text.len() < 64 * 1024, "{} bytes were shown", text.len());
    }
    site.probe(
        "2",
        &["write", "box/next.txt", "next"],
        "files.create = [\"box/next.txt\"]\nfiles.write = [\"box/next.txt\"]",
    );
    // A plain program has no verifications, so nobody can say whether the site is well again.
    let next = site.unship(["apply", "2", "--yes", "--json"]).exits(6).summary();
    assert_eq!((next["outcome"].as_str(), next["effects"].as_u64()), (Some("Succeeded"), Some(1)));
    assert_eq!(site.read("box/next.txt"), "next");
    let _ = site.unship(["journal", "verify"]).exits(0);
    planned
}

#[track_caller]
fn ends(step: &str, words: &[&str]) {
    let site = site();
    attack(&site, step, FILES, FILES, TIGHT);
    let _ = refused(&site, words);
}

#[test]
fn a_loop_ends_at_its_computing_time() {
    ends("loop-forever", &["limit reached: cpu (0.3s)"]);
}

/// A Rust guest's frames lie in its own memory, whose lower end they run into.
#[test]
fn recursion_ends_at_the_guests_own_stack() {
    ends("recurse", &["wasm trap: out of bounds memory access", " frames)"]);
}

#[test]
fn recursion_without_frames_in_memory_ends_at_the_call_stack() {
    core_ends("(func $deep (call $deep) (call $deep))", "(call $deep)", &["call stack exhausted", "at deep ("]);
}

#[test]
fn a_sleeper_ends_at_the_wall() {
    ends("sleep-forever", &["limit reached: wall (3s)"]);
}

#[test]
fn many_naps_end_at_the_wall() {
    let site = site();
    attack(&site, "poll-forever", FILES, FILES, "[limits]\ncpu = \"30s\"\nwall = \"2s\"\n");
    let _ = refused(&site, &["limit reached: wall (2s)"]);
}

#[test]
fn nobody_waits_for_standard_input() {
    ends("block-on-stdin", &["standard input ended after 0 bytes"]);
}

#[test]
fn memory_ends_at_its_limit() {
    ends("grow-memory", &["limit reached: memory (50331648 bytes over all memories)"]);
}

#[test]
fn open_files_end_at_the_handles() {
    ends("open-many-files", &["limit reached: handles (40 open at a time)"]);
}

#[test]
fn output_ends_at_its_limit() {
    ends("flood-stdout", &["limit reached: output (16384 bytes)"]);
}

#[test]
fn log_lines_end_at_the_output_limit() {
    ends("flood-log", &["limit reached: output (16384 bytes)"]);
}

#[test]
fn a_failure_of_64_mib_is_cut() {
    let site = site();
    attack(&site, "long-failure", FILES, FILES, "");
    let _ = refused(&site, &["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]);
}

#[test]
fn bytes_written_end_at_their_limit() {
    ends("write-much", &["limit reached: written (1048576 bytes)"]);
}

#[test]
fn effects_end_at_their_limit() {
    ends("many-effects", &["limit reached: effects (20 effects)"]);
}

#[test]
fn denials_end_at_their_limit() {
    ends("many-denials", &["limit reached: denials (5 denied calls)"]);
}

#[test]
fn a_panic_is_a_failure_that_names_its_function() {
    ends("panic", &["panic"]);
}

#[test]
fn leaving_with_status_0_is_no_success() {
    ends("exit-zero", &["it exited with status 0"]);
}

/// A core module as a story of one step.
fn core_story(site: &Site, id: &str, text: &str, limits: &str) {
    let wasm = site.outside().join(format!("{id}.core.wasm"));
    std::fs::write(&wasm, wat::parse_str(text).expect("valid WAT")).expect("written");
    let manifest = format!(
        "story = \"{id}\"\nversion = \"1.0.0\"\ntitle = \"core\"\n[[step]]\nname = \"core\"\ntitle = \"core\"\n"
    );
    site.story(id, &wasm, &manifest, limits);
}

#[track_caller]
fn core_ends(rest: &str, body: &str, words: &[&str]) {
    let site = site();
    let text = format!("(module (memory (export \"memory\") 1) {rest} (func (export \"_start\") {body}))");
    core_story(&site, "999", &text, TIGHT);
    let _ = refused(&site, words);
}

#[test]
fn memories_count_together() {
    let memories: String = (0..9).map(|n| format!("(memory $m{n} 1)")).collect();
    let grow: String = (0..9).map(|n| format!("(drop (memory.grow $m{n} (i32.const 100)))")).collect();
    core_ends(&memories, &grow, &["limit reached: memory (50331648 bytes over all memories)"]);
}

#[test]
fn a_memory_that_begins_too_large_is_refused() {
    core_ends("(memory 65536)", "", &["limit reached: memory (50331648 bytes over all memories)"]);
}

#[test]
fn tables_end_at_their_limit() {
    let grow = "(loop (drop (table.grow $t (ref.null func) (i32.const 100))) (br 0))";
    core_ends("(table $t 1 funcref)", grow, &["limit reached: tables (1000 elements over all tables)"]);
}

#[test]
fn a_loop_before_the_start_ends_too() {
    core_ends("(func $early (loop (br 0))) (start $early)", "", &["limit reached: cpu (0.3s)"]);
}

/// What a terminal or a line-based log would take for orders.
fn no_orders(text: &str) {
    let order = text.chars().find(|c| (c.is_control() && !matches!(c, '\n' | '\t')) || *c == '\u{202e}');
    assert_eq!(order, None, "{text:?}");
    // The guest's `INFO all is well` is no line of its own.
    assert!(!text.lines().any(|line| line.starts_with("INFO")), "{text}");
}

#[test]
fn control_characters_of_a_failure_are_neutralised() {
    let site = site();
    attack(&site, "control-characters", FILES, FILES, TIGHT);
    let planned = refused(&site, &["\\x1b[2J\\x1b]0;owned\\x07"]);
    no_orders(&planned.stderr);
    no_orders(&site.unship(["apply", "999", "--yes"]).exits(3).stderr);
    no_orders(&site.unship(["journal", "show"]).exits(0).stdout);
    no_orders(&site.unship(["journal", "export"]).exits(0).stdout);
}

#[test]
fn control_characters_of_lines_are_neutralised_on_screen_and_in_the_journal() {
    let site = site();
    let text = "(module
        (import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export \"memory\") 1)
        (data (i32.const 0) \"\\10\\00\\00\\00\\2b\\00\\00\\00\")
        (data (i32.const 16) \"\\1b[2J\\1b]0;owned\\07\\0d\\nINFO all is well\\08\\e2\\80\\ae\\n....\")
        (func (export \"_start\")
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100)))
            (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 100)))))";
    core_story(&site, "3", text, "[grants.core]\n");
    let shown = site.unship(["apply", "3", "--yes"]).exits(6).says("\\x1b[2J\\x1b]0;owned\\x07");
    no_orders(&shown.stderr);
    no_orders(&shown.stdout);
    let journal = site.unship(["journal", "show"]).exits(0).prints("\\x1b[2J\\x1b]0;owned\\x07");
    no_orders(&journal.stdout);
    let lines: Vec<String> = site
        .unship(["journal", "export"])
        .exits(0)
        .stdout
        .lines()
        .filter(|line| line.contains("line-logged"))
        .map(str::to_owned)
        .collect();
    assert!(lines.len() >= 4, "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("\\\\u{202e}")), "{lines:?}");
    no_orders(&lines.join("\n"));
}

/// A power that a step lacks is refused with the rule, and the denial is journalled.
#[track_caller]
fn lacks(step: &str, requests: &str, words: &[&str]) {
    let site = site();
    attack(&site, step, requests, requests, "");
    let planned = refused(&site, words);
    assert!(planned.stderr.contains("denied: "), "{}", planned.stderr);
    assert!(!planned.stderr.contains("got through"), "{}", planned.stderr);
    let journal = site.unship(["journal", "export"]).exits(0).stdout;
    let refusal = journal.lines().find(|line| line.contains("run-refused")).expect("a record of the refusal");
    assert!(refusal.contains("is not granted to"), "{refusal}");
}

#[test]
fn another_flag_is_refused_to_be_read() {
    lacks("get-ungranted-flag", "flags.get = [\"duckdb_analytics\"]", &["security_enabled", "flags.get"]);
}

#[test]
fn another_flag_is_refused_to_be_set() {
    lacks("set-ungranted-flag", "flags.set = { duckdb_analytics = [\"off\"] }", &["security_enabled", "flags.set"]);
}

#[test]
fn another_value_of_its_flag_is_refused() {
    lacks(
        "set-flag-to-ungranted-value",
        "flags.set = { duckdb_analytics = [\"off\"] }",
        &["duckdb_analytics", "flags.set"],
    );
}

#[test]
fn another_command_is_refused() {
    lacks("run-ungranted-command", "commands.run = [\"harmless\"]", &["forbidden", "commands.run"]);
}

#[test]
fn other_processes_are_refused_to_be_listed() {
    lacks("list-ungranted-processes", "processes.list = [\"workers\"]", &["everything", "processes.list"]);
}

#[test]
fn other_processes_are_refused_to_be_stopped() {
    lacks("stop-ungranted-processes", "processes.stop = [\"workers\"]", &["everything", "processes.stop"]);
}

#[test]
fn the_holders_of_another_path_are_refused() {
    lacks("holders-of-ungranted-path", "processes.holders = [\"pub/**\"]", &["secret.txt", "processes.holders"]);
}

#[test]
fn another_service_is_refused_to_be_looked_at() {
    lacks("status-of-ungranted-service", "services.status = [\"analytics\"]", &["database", "services.status"]);
}

#[test]
fn another_service_is_refused_to_be_restarted_and_its_own_to_be_stopped() {
    lacks(
        "restart-ungranted-service",
        "services.restart = [\"analytics\"]",
        &["database", "services.restart", "services.stop", "services.start"],
    );
}

#[test]
fn what_the_policy_does_not_grant_is_refused_up_front() {
    let requests = [
        ("set-ungranted-flag", "flags.set = { security_enabled = [\"off\"] }", "flags.set"),
        ("run-ungranted-command", "commands.run = [\"forbidden\"]", "commands.run"),
        ("stop-ungranted-processes", "processes.stop = [\"everything\"]", "processes.stop"),
        ("holders-of-ungranted-path", "processes.holders = [\"secret.txt\"]", "processes.holders"),
        ("restart-ungranted-service", "services.stop = [\"database\"]", "services.stop"),
        ("read-outside", "files.read = [\"secret.txt\"]", "files.read"),
    ];
    let site = site();
    for (step, request, power) in requests {
        attack(&site, step, request, "", "");
        let before = fingerprint(&site.path());
        for verb in [&["plan", "999"][..], &["apply", "999", "--yes"]] {
            let _ = site
                .unship(verb)
                .exits(3)
                .says(power)
                .says(&format!("the step `{step}` requests"))
                .says("which the policy of story 999 does not permit")
                .says("grant it in policies/999.toml");
        }
        assert_eq!(before, fingerprint(&site.path()));
    }
}
