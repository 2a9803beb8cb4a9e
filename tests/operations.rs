//! `docs/operations.md` names commands, options and metrics that exist, and all of the daemon's metrics.

use crate::support::{Ran, UNSHIP};
use std::{collections::BTreeSet, fs, path::Path, process::Command};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).expect(path)
}

/// Every command of ours on the page: in backticks, or a line behind `$ ` in a block.
fn commands(page: &str) -> BTreeSet<Vec<String>> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("$ "));
    // Blocks begin and end with three of them, so the odd parts are what stands between two.
    let inline = page.split("```").step_by(2).flat_map(|text| text.split('`').skip(1).step_by(2));
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    lines.chain(inline).map(words).filter(|words| words.first().is_some_and(|word| word == "unship")).collect()
}

#[test]
fn each_command_and_option_on_the_page_exists() {
    let commands = commands(&read("docs/operations.md"));
    assert!(commands.len() > 25, "they are not found any more: {commands:?}");
    for words in &commands {
        let nested = matches!(words.get(1).map(String::as_str), Some("trust" | "journal" | "policy" | "triggers"));
        let verb = &words[1..words.len().min(2 + usize::from(nested))];
        let help = Ran::of(Command::new(UNSHIP).args(verb).arg("--help"));
        assert_eq!(help.status, Some(0), "`{}` is no command: {}", words.join(" "), help.stderr);
        for option in words.iter().filter(|word| word.starts_with("--")) {
            let is_there = help.stdout.split([' ', '\n', ',']).any(|word| word == option);
            assert!(is_there, "`{}`: there is no {option}:\n{}", words.join(" "), help.stdout);
        }
    }
}

#[test]
fn the_page_names_the_metrics_of_the_daemon_and_no_others() {
    let (source, page) = (read("crates/controller/src/metrics.rs"), read("docs/operations.md"));
    let made: BTreeSet<&str> = source
        .split("put(")
        .skip(1)
        .filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next())
        .collect();
    assert!(made.len() >= 12, "they are not found any more: {made:?}");
    let told: BTreeSet<&str> = page.split("| `unship_").skip(1).filter_map(|row| row.split('`').next()).collect();
    assert_eq!(told, made);
}
