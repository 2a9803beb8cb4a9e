//! A policy (or a manifest) as the text that its author wrote: where an entry stands, and the same text without it, every
//! other byte kept. The parser that reads policies says where each value stands, and only these bytes are cut out.

use std::ops::Range;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use unship_policy::{At, Power};

/// The tables of a manifest that hold units.
const UNITS: [&str; 4] = ["check", "precondition", "step", "verification"];

/// What becomes of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It goes.
    Remove(Power),
    /// These patterns take the place of the one that it has.
    Narrow(Power, Vec<String>),
}

/// In which of the two files a unit's powers stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// `[grants.UNIT]` of a policy.
    Policy,
    /// `[[step]]` and its like of a manifest.
    Manifest,
}

/// A value that may hold others.
type Node<'a> = &'a Spanned<DeValue<'a>>;

/// The bytes of `text` that `at` speaks of; none where they are not there.
pub fn place(text: &str, at: &At) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let root = document.get_ref();
    match at {
        At::Span(span) => Some(span.clone()),
        At::File => None,
        At::Definition(table, name) if name.is_empty() => Some(entry(root, table)?.0),
        At::Definition(table, name) => Some(entry(inner(root, table)?, name)?.0),
        At::Power(unit, power) => {
            let (key, table) = entry(inner(root, "grants")?, unit.as_str())?;
            let found = table.get_ref().as_table().and_then(|table| Found::of(table, power));
            Some(found.map_or(key, |found| found.item.span()))
        }
    }
}

/// `text` with the changes made. What they do not speak of keeps its bytes, comments too; the comment beside an entry that
/// goes, or right above it in a list, goes with it.
///
/// # Errors
/// The parser's message, when `text` is not TOML.
pub fn changed(text: &str, file: File, changes: &[(String, Change)]) -> Result<String, String> {
    let mut text = text.to_owned();
    for (unit, change) in changes {
        // Read anew each time: a cut moves whatever stands behind it.
        let document = DeTable::parse(&text).map_err(|e| e.message().to_owned())?;
        let cut = unit_table(document.get_ref(), file, unit).and_then(|table| match change {
            Change::Remove(power) => Some((Found::of(table, power)?.removal(&text)?, String::new())),
            Change::Narrow(power, patterns) => Found::of(table, power)?.narrowing(&text, patterns),
        });
        if let Some((range, new)) = cut {
            text.replace_range(range, &new);
        }
    }
    Ok(text)
}

/// Where the key stands, and what it holds.
fn entry<'a>(table: &'a DeTable<'a>, key: &str) -> Option<(Range<usize>, Node<'a>)> {
    table.iter().find(|(known, _)| known.get_ref() == key).map(|(known, value)| (known.span(), value))
}

fn inner<'a>(table: &'a DeTable<'a>, key: &str) -> Option<&'a DeTable<'a>> {
    entry(table, key)?.1.get_ref().as_table()
}

fn unit_table<'a>(root: &'a DeTable<'a>, file: File, unit: &str) -> Option<&'a DeTable<'a>> {
    if file == File::Policy {
        return inner(inner(root, "grants")?, unit);
    }
    let units = UNITS.iter().filter_map(|kind| entry(root, kind)?.1.get_ref().as_array());
    let mut tables = units.flat_map(|units| units.iter()).filter_map(|unit| unit.get_ref().as_table());
    tables.find(|table| entry(table, "name").is_some_and(|(_, name)| name.get_ref().as_str() == Some(unit)))
}

/// One power's text, and the keys that lead to it from its unit's table: each with where it stands, its value, and how many
/// entries the table has that it is in.
struct Found<'a> {
    way: Vec<(Range<usize>, Node<'a>, usize)>,
    item: Node<'a>,
}

impl<'a> Found<'a> {
    fn of(unit: &'a DeTable<'a>, power: &Power) -> Option<Found<'a>> {
        let [outer, inner] = power.keys();
        let (below, text) = match power {
            Power::Files(_, paths) | Power::Holders(paths) => (None, paths.as_str()),
            Power::Named(_, name) => (None, name.as_str()),
            Power::Edit(paths, pointer) => (Some(paths.as_str()), pointer.as_str()),
            Power::FlagSet(flag, value) => (Some(flag.as_str()), value.as_str()),
        };
        let mut way: Vec<(Range<usize>, Node<'a>, usize)> = Vec::new();
        let mut table = Some(unit);
        for key in [Some(outer), Some(inner), below].into_iter().flatten() {
            let within = table?;
            let (at, value) = entry(within, key)?;
            way.push((at, value, within.len()));
            table = value.get_ref().as_table();
        }
        let (_, last, _) = way.last()?;
        let item = match last.get_ref().as_array() {
            Some(list) => list.iter().find(|item| item.get_ref().as_str() == Some(text))?,
            None => Some(*last).filter(|last| last.get_ref().as_str() == Some(text))?,
        };
        Some(Found { way, item })
    }

    /// The bytes without which the power is gone, and the text is as valid as before.
    fn removal(&self, text: &str) -> Option<Range<usize>> {
        let (_, list, _) = self.way.last()?;
        match list.get_ref().as_array() {
            Some(items) if items.len() > 1 => {
                let at = items.iter().position(|item| item.span() == self.item.span())?;
                let before = if at == 0 { list.span().start + 1 } else { items.get(at - 1)?.span().end };
                Some(item_removal(text, before, &self.item.span(), items.get(at + 1).map(Spanned::span)))
            }
            _ => self.key_removal(text),
        }
    }

    /// The innermost key goes, or the first one above it that holds anything else.
    fn key_removal(&self, text: &str) -> Option<Range<usize>> {
        for (n, (key, value, siblings)) in self.way.iter().enumerate().rev() {
            let line = text[..key.start].rfind('\n').map_or(0, |at| at + 1);
            let is_inline = text[line..key.start].contains(['{', ',']);
            if is_inline && *siblings == 1 && n > 0 {
                continue;
            }
            let end = value.span().end;
            if !is_inline {
                return Some(line..text[end..].find('\n').map_or(text.len(), |at| end + at + 1));
            }
            let start = text[..key.start].rfind(['{', ','])?;
            let rest = text[end..].trim_start_matches([' ', '\t']);
            return Some(if rest.starts_with(',') {
                // The entry and the comma behind it.
                let begin = start + 1;
                begin..text.len() - rest.len() + 1
            } else {
                // The last one goes with the comma before it.
                let is_only = text[start..].starts_with('{');
                start + usize::from(is_only)..end
            });
        }
        None
    }

    /// The bytes of the item, and what stands there instead.
    fn narrowing(&self, text: &str, patterns: &[String]) -> Option<(Range<usize>, String)> {
        let items = self.way.last()?.1.get_ref().as_array()?;
        let is_new = |pattern: &&String| !items.iter().any(|item| item.get_ref().as_str() == Some(pattern.as_str()));
        let new: Vec<String> = patterns.iter().filter(is_new).map(|pattern| format!("{pattern:?}")).collect();
        if new.is_empty() {
            return Some((self.removal(text)?, String::new()));
        }
        let span = self.item.span();
        let line = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let indent = &text[line..span.start];
        let is_alone = indent.chars().all(char::is_whitespace) && !indent.is_empty();
        let between = if is_alone { format!(",\n{indent}") } else { ", ".to_owned() };
        Some((span, new.join(&between)))
    }
}

/// An item of a list with others. `before` is where what stands before it ends, and `next` the item behind it.
fn item_removal(text: &str, before: usize, item: &Range<usize>, next: Option<Range<usize>>) -> Range<usize> {
    let line_end = |from: usize| text[from..].find('\n').map(|at| from + at);
    // Alone on its lines: from the end of the line before to the end of its own.
    let own_end = line_end(item.end).filter(|end| next.as_ref().is_none_or(|next| *end < next.start));
    if let (Some(start), Some(end)) = (line_end(before).filter(|start| *start < item.start), own_end) {
        return start..end;
    }
    match next {
        Some(next) => item.start..next.start,
        None => before..item.end,
    }
}

/// A unified diff from `old` to `new`, as `git apply` and `patch -p1` take it; empty where they are equal.
pub fn diff(path: &str, old: &str, new: &str) -> String {
    let diff = similar::TextDiff::from_lines(old, new);
    diff.unified_diff().header(&format!("a/{path}"), &format!("b/{path}")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use unship_policy::{FileRight, Name, NamedPower, PathPattern, PointerPattern};

    const POLICY: &str = r#"# The whole.
[grants.a] # of a
# Two engines.
files.read = [
    "x", # the first
    # The second is old.
    "y", # and goes
    "z/*",
]
files.write = ["w"] # alone
files.edit = { "c.yaml" = ["/p", "/q"], "d.yaml" = ["/r"] }
flags.set = { f = "off", g = ["on", "off"] }
services = { restart = ["api", "core"], stop = ["api"] }

# Nothing of a.
[grants.b]
commands.run = ["go"]
"#;

    fn files(right: FileRight, path: &str) -> Power {
        Power::Files(right, PathPattern::new(path).expect("a pattern"))
    }

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    fn removed(unit: &str, power: Power) -> String {
        diff("p", POLICY, &changed(POLICY, File::Policy, &[(unit.into(), Change::Remove(power))]).expect("TOML"))
    }

    fn lines(diff: &str) -> Vec<&str> {
        let changed = |l: &&str| l.starts_with(['+', '-']) && !l.starts_with("---") && !l.starts_with("+++");
        diff.lines().filter(changed).collect()
    }

    #[test]
    fn an_entry_goes_with_its_comment_and_the_others_keep_theirs() {
        let edit = |path: &str, pointer: &str| {
            Power::Edit(PathPattern::new(path).expect("a pattern"), PointerPattern::new(pointer).expect("a pointer"))
        };
        let cases: Vec<(&str, Power, &[&str])> = vec![
            ("a", files(FileRight::Read, "y"), &["-    # The second is old.", "-    \"y\", # and goes"]),
            ("a", files(FileRight::Read, "x"), &["-    \"x\", # the first"]),
            ("a", files(FileRight::Read, "z/*"), &["-    \"z/*\","]),
            ("a", files(FileRight::Write, "w"), &["-files.write = [\"w\"] # alone"]),
            ("b", Power::Named(NamedPower::CommandsRun, name("go")), &["-commands.run = [\"go\"]"]),
            ("b", Power::Named(NamedPower::CommandsRun, name("come")), &[]),
            ("c", Power::Named(NamedPower::CommandsRun, name("go")), &[]),
            (
                "a",
                Power::FlagSet(name("g"), "on".into()),
                &["-flags.set = { f = \"off\", g = [\"on\", \"off\"] }", "+flags.set = { f = \"off\", g = [\"off\"] }"],
            ),
            (
                "a",
                edit("c.yaml", "/p"),
                &[
                    "-files.edit = { \"c.yaml\" = [\"/p\", \"/q\"], \"d.yaml\" = [\"/r\"] }",
                    "+files.edit = { \"c.yaml\" = [\"/q\"], \"d.yaml\" = [\"/r\"] }",
                ],
            ),
            (
                "a",
                Power::Named(NamedPower::ServicesRestart, name("core")),
                &[
                    "-services = { restart = [\"api\", \"core\"], stop = [\"api\"] }",
                    "+services = { restart = [\"api\"], stop = [\"api\"] }",
                ],
            ),
        ];
        for (unit, power, expect) in cases {
            assert_eq!(lines(&removed(unit, power.clone())), expect, "{power}");
        }
    }

    #[test]
    fn patterns_take_the_place_of_a_wider_one() {
        let narrowed = |patterns: &[&str]| {
            let patterns = patterns.iter().map(|p| (*p).to_owned()).collect();
            let change = Change::Narrow(files(FileRight::Read, "z/*"), patterns);
            diff("p", POLICY, &changed(POLICY, File::Policy, &[("a".into(), change)]).expect("TOML"))
        };
        assert_eq!(lines(&narrowed(&["z/1", "z/2"])), ["-    \"z/*\",", "+    \"z/1\",", "+    \"z/2\","]);
        assert_eq!(lines(&narrowed(&["x"])), ["-    \"z/*\","], "what stands there already is not written twice");
    }

    #[test]
    fn entries_have_their_places() {
        let at = |at: At| place(POLICY, &at).map(|span| &POLICY[span]);
        assert_eq!(at(At::Power(name("a"), files(FileRight::Read, "y"))), Some("\"y\""));
        assert_eq!(at(At::Power(name("a"), Power::FlagSet(name("f"), "off".into()))), Some("\"off\""));
        assert_eq!(at(At::Power(name("b"), files(FileRight::Read, "y"))), Some("b"), "at least its table");
        assert_eq!(at(At::Power(name("c"), files(FileRight::Read, "y"))), None);
        assert_eq!(at(At::Definition("grants", "b".into())), Some("b"));
        assert_eq!(at(At::Definition("commands", "b".into())), None);
        assert!(place("not [ TOML", &At::Definition("grants", "b".into())).is_none());
    }

    #[test]
    fn a_manifests_units_are_found_by_name() {
        let manifest = "[[step]]\nname = \"a\"\nfiles.read = [\"x\"]\n[[verification]]\nname = \"b\"\nfiles.read = [\"x\", \"y\"]\n";
        let change = Change::Remove(files(FileRight::Read, "x"));
        let new = changed(manifest, File::Manifest, &[("b".into(), change)]).expect("TOML");
        assert_eq!(new, manifest.replace("[\"x\", \"y\"]", "[\"y\"]"));
        let change = Change::Remove(files(FileRight::Read, "x"));
        assert!(changed("not [ TOML", File::Manifest, &[("b".into(), change)]).is_err());
    }
}
