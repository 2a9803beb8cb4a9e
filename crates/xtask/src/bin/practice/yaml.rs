//! As much of YAML as the practice site's own files need: mappings by indentation or in braces, and plain scalars.

/// The scalar at `path`, without its comment.
pub fn scalar<'a>(text: &'a str, path: &[&str]) -> Option<&'a str> {
    let is_content = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let lines: Vec<&str> = text.lines().filter(is_content).collect();
    in_block(&lines, path)
}

fn in_block<'a>(lines: &[&'a str], path: &[&str]) -> Option<&'a str> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let (key, rest) = path.split_first()?;
    let level = indent(lines.first()?);
    let is_head = |line: &&str| indent(line) == level && value_of(line, key).is_some();
    let at = lines.iter().position(is_head)?;
    let value = value_of(lines[at], key)?;
    let Some(next) = rest.first() else { return Some(value).filter(|value| !value.is_empty()) };
    if let Some(inside) = value.strip_prefix('{') {
        return inside.split(['}', ',']).find_map(|pair| value_of(pair, next)).filter(|_| rest.len() == 1);
    }
    let below = &lines[at + 1..];
    let end = below.iter().position(|line| indent(line) <= level).unwrap_or(below.len());
    in_block(&below[..end], rest)
}

/// What stands behind `key:`, without its comment.
fn value_of<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let value = line.trim().strip_prefix(key)?.strip_prefix(':')?;
    Some(value.split(" #").next().unwrap_or(value).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_is_found_at_its_own_path_alone() {
        let text = "# a: 1\na:\n  b:\n    # c: 2\n    c: true   # why\n\n  bc: 4\n  d: {c: five, e: six}\nc: 7\n";
        for (path, found) in [
            (&["a", "b", "c"][..], Some("true")),
            (&["a", "bc"], Some("4")),
            (&["a", "d", "c"], Some("five")),
            (&["a", "d", "e"], Some("six")),
            (&["c"], Some("7")),
            (&["a", "c"], None),
            (&["a", "b"], None),
            (&["b", "c"], None),
            (&["a", "d", "c", "x"], None),
            (&[], None),
        ] {
            assert_eq!(scalar(text, path), found, "{path:?}");
        }
    }
}
