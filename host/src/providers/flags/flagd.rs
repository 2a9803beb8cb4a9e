//! flagd's JSON (flagd.dev, "flag definitions"): `flags.NAME.state`, `.variants`, `.defaultVariant`, `.targeting`.
//!
//! A flag's value is the name of its default variant. While its state is `DISABLED`, flagd serves nothing and programs fall back
//! to what is built into them: that reads as `off`. Setting writes `defaultVariant`, and `state` where it is `DISABLED`; nothing
//! else. A flag with targeting rules serves other variants than its default, so it is neither read nor set here.

use super::{FlagError, wrong};
use crate::edit::{self, Edited, Format};
use serde_json::Value;
use unship_policy::meaning::{FlagsMeaning, Name};

struct Flag {
    /// As it reads.
    value: String,
    is_disabled: bool,
    variants: Vec<String>,
}

fn pointer(flag: &Name, key: &str) -> String {
    format!("/flags/{flag}/{key}")
}

fn look(meaning: &FlagsMeaning, bytes: &[u8], flag: &Name) -> Result<Flag, FlagError> {
    let bad = |why: String| FlagError::Flagd { file: meaning.file.clone(), flag: flag.clone(), why };
    let text = |key: &str| {
        let pointer = pointer(flag, key);
        let written = edit::get_scalar(Format::Json, bytes, &pointer).map_err(|e| wrong(meaning, flag, &pointer, e))?;
        serde_json::from_str::<String>(&written).map_err(|_| bad(format!("{pointer} is not a text")))
    };
    let (state, variant) = (text("state")?, text("defaultVariant")?);
    let is_disabled = match state.as_str() {
        "ENABLED" => false,
        "DISABLED" => true,
        other => return Err(bad(format!("its state is {other:?}, neither `ENABLED` nor `DISABLED`"))),
    };
    let whole: Value = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
    let definition = whole.get("flags").and_then(|flags| flags.get(flag.as_str())).unwrap_or(&Value::Null);
    let variants = definition.get("variants").and_then(Value::as_object).map(|v| v.keys().cloned().collect::<Vec<_>>());
    let variants = variants.filter(|v| !v.is_empty()).ok_or_else(|| bad("it has no `variants`".to_owned()))?;
    if !variants.contains(&variant) {
        return Err(bad(format!("its default variant {variant:?} is none of its variants")));
    }
    let rules = definition.get("targeting").filter(|rules| !rules.is_null());
    if rules.is_some_and(|rules| rules.as_object().is_none_or(|rules| !rules.is_empty())) {
        return Err(bad("it has targeting rules, so its default variant does not decide".to_owned()));
    }
    Ok(Flag { value: if is_disabled { "off".to_owned() } else { variant }, is_disabled, variants })
}

pub(super) fn read(meaning: &FlagsMeaning, bytes: &[u8], flag: &Name) -> Result<String, FlagError> {
    look(meaning, bytes, flag).map(|flag| flag.value)
}

pub(super) fn write(meaning: &FlagsMeaning, bytes: &[u8], flag: &Name, value: &str) -> Result<Edited, FlagError> {
    let now = look(meaning, bytes, flag)?;
    let unchanged = || Edited { bytes: bytes.to_vec(), before: now.value.clone(), changed: false };
    if now.value == value {
        return Ok(unchanged());
    }
    if !now.variants.iter().any(|variant| variant == value) {
        return Err(FlagError::UnknownValue {
            file: meaning.file.clone(),
            flag: flag.clone(),
            pointer: pointer(flag, "variants"),
            value: unship_rollback::neutralise(value),
            known: now.variants.join(", "),
        });
    }
    let set = |bytes: &[u8], key: &str, value: &str| {
        let pointer = pointer(flag, key);
        let written = Value::from(value).to_string();
        edit::set_scalar(Format::Json, bytes, &pointer, None, &written).map_err(|e| wrong(meaning, flag, &pointer, e))
    };
    let mut edited = set(bytes, "defaultVariant", value)?;
    if now.is_disabled {
        edited = set(&edited.bytes, "state", "ENABLED")?;
    }
    Ok(Edited { before: now.value, changed: true, ..edited })
}

#[cfg(test)]
mod tests {
    use super::*;
    use unship_policy::meaning::FlagsFormat;

    const FILE: &str = r#"{ "flags": {
  "a": { "state": "ENABLED", "variants": { "on": true, "off": false, "half": 0.5 }, "defaultVariant": "on" },
  "b": { "state": "DISABLED", "variants": { "on": true, "off": false }, "defaultVariant": "off", "targeting": {} },
  "t": { "state": "ENABLED", "variants": { "on": 1, "off": 0 }, "defaultVariant": "on", "targeting": { "if": [1, "off"] } },
  "w": { "state": "MAYBE", "variants": { "on": 1 }, "defaultVariant": "on" },
  "v": { "state": "ENABLED", "variants": { "on": 1 }, "defaultVariant": "off" },
  "n": { "state": "ENABLED", "variants": {}, "defaultVariant": "on" }
} }
"#;

    fn meaning() -> FlagsMeaning {
        let (file, pointer) = ("flags.json".to_owned(), String::new());
        FlagsMeaning { file, format: FlagsFormat::Flagd, pointer, values: std::collections::BTreeMap::new() }
    }

    fn set(text: &str, flag: &str, value: &str) -> Result<String, String> {
        let flag = Name::new(flag).expect("a name");
        let edited = write(&meaning(), text.as_bytes(), &flag, value).map_err(|e| e.to_string())?;
        assert_eq!(read(&meaning(), &edited.bytes, &flag).as_deref(), Ok(value));
        Ok(String::from_utf8(edited.bytes).expect("UTF-8"))
    }

    #[test]
    fn the_default_variant_is_set_and_nothing_else() {
        let expected = FILE.replacen("\"defaultVariant\": \"on\"", "\"defaultVariant\": \"off\"", 1);
        assert_eq!(set(FILE, "a", "off"), Ok(expected.clone()));
        assert_eq!(set(&expected, "a", "off"), Ok(expected));
        assert_eq!(set(FILE, "b", "off").as_deref(), Ok(FILE), "a disabled flag reads as off");
        let enabled = FILE.replacen("DISABLED", "ENABLED", 1);
        let expected = enabled.replacen("\"defaultVariant\": \"off\", \"targ", "\"defaultVariant\": \"on\", \"targ", 1);
        assert_eq!(set(FILE, "b", "on"), Ok(expected));
    }

    #[test]
    fn what_flagd_would_not_serve_by_its_default_is_refused() {
        for (flag, value, said) in [
            ("a", "maybe", "no value `maybe`; the policy knows half, off, on"),
            ("t", "off", "targeting rules"),
            ("w", "on", "neither `ENABLED` nor `DISABLED`"),
            ("v", "on", "none of its variants"),
            ("n", "on", "no `variants`"),
            ("x", "on", "there is no flag `x`"),
        ] {
            let refused = set(FILE, flag, value).expect_err(flag);
            assert!(refused.contains(said), "{flag}: {refused}");
        }
        assert!(set("{\"flags\": {\"a\": {}, \"a\": {}}}", "a", "on").is_err(), "a key twice");
        assert!(set("[]", "a", "on").is_err());
    }
}
