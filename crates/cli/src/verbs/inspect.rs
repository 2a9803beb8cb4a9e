//! `unship inspect BUNDLE`: what a bundle says of itself, and who signed it. Nothing is run.

use crate::{
    consent,
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    out::Out,
    site::{Site, read_bundle},
};
use std::{collections::BTreeSet, path::PathBuf};
use unship_host::sandbox::to_component;
use unship_policy::{Bundle, Manifest, Name, StoryPolicy, definitions, missing};

/// Shows a bundle: who signed it and whether that holds, what each step asks for in plain words, what its imports could reach at
/// most, whether it may run here and what it asks for beyond what was allowed last. Nothing is run, compiled or changed.
/// Outside a site, names stay as they are.
#[derive(clap::Args)]
pub struct Args {
    /// The bundle's file
    bundle: PathBuf,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let bundle = read_bundle(&args.bundle)?;
    let component = to_component(bundle.component()).map_err(|e| {
        CliError::refused(format!("{} holds no component that can be run", args.bundle.display())).because(&e)
    })?;
    let manifest = bundle.manifest();
    let site = match &context.site {
        Some(_) => Some(context.site()?),
        None => Site::find(None).ok(),
    };
    let out = context.out;
    out.text(format!("story    {} {}: {}", manifest.story, manifest.version_text(), manifest.title));
    out.text(format!("digest   {}", bundle.digest()));
    out.text(format!("size     {} bytes", bundle.component().len()));
    let imports: Vec<&str> = component.imports.iter().map(String::as_str).collect();
    out.text(format!(
        "imports  {}",
        if imports.is_empty() { "nothing of unship's own".to_owned() } else { imports.join(", ") }
    ));
    let mut signers = Vec::new();
    let trust = site.as_ref().and_then(|site| site.trust().ok());
    let holding = trust.map(|trust| bundle.clone().holding_signers(trust));
    for claimed in bundle.claimed_signers() {
        let known = trust.and_then(|trust| trust.root().keys.iter().find(|(_, known)| claimed.is(&known.public)));
        let name = known.map(|(name, _)| name);
        let holds = name.zip(holding.as_ref()).map(|(name, holding)| holding.contains(name));
        let word = match (name, holds) {
            (Some(name), Some(true)) => format!("{name}, and the signature holds"),
            (Some(name), _) => format!("{name}, and the signature does NOT hold"),
            (None, _) => "a key that is not known here (not checked)".to_owned(),
        };
        let revoked = trust.zip(known).and_then(|(trust, (_, key))| trust.revocation(&key.public));
        let word = revoked.map_or_else(|| word.clone(), |reason| format!("{word}; REVOKED: {reason}"));
        out.text(format!("signed   {claimed}: {word}"));
        signers.push(serde_json::json!({
            "key": claimed.to_string(), "name": name.map(ToString::to_string), "holds": holds, "revoked": revoked,
        }));
    }
    if let Some(narrowed) = bundle.claimed_narrowing() {
        if !narrowed.sites.is_empty() {
            out.text(format!("for      the site {}", narrowed.sites.join(", ")));
        }
        for (word, moment) in [("from    ", narrowed.not_before), ("up to   ", narrowed.expires)] {
            if let Some(moment) = moment {
                out.text(format!("{word} {moment}"));
            }
        }
    }
    if signers.is_empty() {
        out.text("signed   by nobody");
    }
    let mut variants = Vec::new();
    for variant in &manifest.variants {
        let (adds, omits) = (texts(&variant.adds), texts(&variant.omits));
        out.text(format!("variant  {}: {} ({})", variant.name, variant.title, variant.changes()));
        variants.push(serde_json::json!({
            "name": variant.name.as_str(), "title": variant.title, "adds": adds, "omits": omits,
            "already": variant.already.as_ref().map(Name::as_str),
        }));
    }
    let policy = site.as_ref().and_then(|site| site.story(&manifest.story).ok());
    let standing = site.as_ref().zip(policy.as_ref()).map(|(site, policy)| standing(out, site, policy, &bundle));
    asks(out, site.as_ref(), policy.as_ref(), manifest);
    reaches(out, &component.imports);
    out.text("");
    // Apart from what stands above: no line of the author's is one of ours.
    let quoted: Vec<String> = bundle.manifest_text().trim_end().lines().map(|line| format!("  | {line}")).collect();
    out.lines(&quoted.join("\n"));
    out.summary(serde_json::json!({
        "story": manifest.story.as_str(), "version": manifest.version_text(), "digest": bundle.digest(),
        "imports": component.imports, "signers": signers, "variants": variants, "standing": standing,
        "manifest": bundle.manifest_text(),
    }));
    Ok(Exit::Done)
}

/// Whether it may run here, and what it asks for beyond what it may: in the policy, and since it was allowed last.
fn standing(out: Out, site: &Site, policy: &StoryPolicy, bundle: &Bundle) -> serde_json::Value {
    let verified = site.trust().and_then(|trust| {
        bundle.clone().verify(trust, &site.wanted(policy)).map_err(|e| CliError::refused(e.to_string()))
    });
    let verified = match verified {
        Ok(verified) => verified,
        Err(e) => {
            out.text(format!("here     it may NOT run: {}", e.text()));
            return serde_json::json!({ "verified": false, "why": e.text() });
        }
    };
    out.text(format!("tier     {}", verified.tier()));
    let missing = missing(verified.manifest(), policy);
    if !missing.is_empty() {
        out.text("beyond   what the story's policy grants:");
        missing.lines().for_each(|line| out.text(format!("           {line}")));
    }
    let allowed = consent::of(site, policy, &verified);
    match &allowed {
        Ok(allowed) => out.text(format!("allowed  {}", consent::by_whom(allowed))),
        Err(e) => {
            out.text("allowed  NOT YET:");
            e.text().lines().for_each(|line| out.text(format!("           {line}")));
        }
    }
    serde_json::json!({
        "verified": true, "tier": verified.tier(), "granted": missing.is_empty(), "allowed": allowed.is_ok(),
        "why": allowed.as_ref().err().map(CliError::text),
    })
}

/// What each step and check asks for, in plain words where the site says what names mean.
fn asks(out: Out, site: Option<&Site>, policy: Option<&StoryPolicy>, manifest: &Manifest) {
    let known = site.zip(policy).and_then(|(site, policy)| definitions(policy, &site.policy).ok());
    for unit in &manifest.units {
        let powers = unit.requests.powers();
        let asks = if powers.is_empty() { "asks for nothing" } else { "asks for" };
        out.text(format!(
            "{:8} {} ({}): {asks}",
            unit.kind.word().split(' ').next().unwrap_or_default(),
            unit.name,
            unit.title
        ));
        for power in &powers {
            out.text(format!("           {}", consent::told_one(power, known.as_ref())));
        }
        let lines: Vec<String> = powers.iter().map(ToString::to_string).collect();
        out.object(&serde_json::json!({
            "type": "unit", "kind": unit.kind.word(), "name": unit.name.as_str(), "title": unit.title, "requests": lines,
        }));
    }
}

/// What an interface of `unship:step` can do at most, with every grant there is.
const REACH: &[(&str, &str)] = &[
    ("files", "replace, set aside, clear and edit files, each within its grants"),
    ("feature-flags", "read and set flags, by name and value"),
    ("processes", "see and stop processes that policy describes, and ask who holds a path open"),
    ("services", "look at, start, stop and restart services that policy names"),
    ("commands", "run command lines that policy names"),
    ("http", "make calls that policy names"),
    ("git", "look at and restore paths of a repository that policy names"),
    ("progress", "say how far it is"),
];

/// What the imports could reach at most, whatever is requested: the upper bound that needs no belief in the manifest.
fn reaches(out: Out, imports: &[String]) {
    out.text("reaches  at most:");
    out.text("           files of the site, each call within its grants; no socket, no environment, a pinned clock (standard WASI)");
    for import in imports {
        let words =
            REACH.iter().find(|(name, _)| name == import).map_or("what this version does not know", |(_, words)| words);
        out.text(format!("           {words} (unship:step/{import})"));
    }
}

fn texts(names: &BTreeSet<Name>) -> Vec<&str> {
    names.iter().map(Name::as_str).collect()
}
