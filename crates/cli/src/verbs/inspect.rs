//! `unship inspect BUNDLE`: what a bundle says of itself, and who signed it. Nothing is run.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    site::{Site, read_bundle},
};
use std::{collections::BTreeSet, path::PathBuf};
use unship_host::sandbox::to_component;
use unship_policy::Name;

/// Shows a bundle: its manifest, digest, imports and signatures. Nothing is run, compiled or changed. Inside a site the
/// signing keys get the names that the trust root gives them.
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
        let changes = [("adds", &adds), ("omits", &omits)].into_iter().filter(|(_, units)| !units.is_empty());
        let changes: Vec<String> = changes.map(|(word, units)| format!("{word} {}", units.join(", "))).collect();
        out.text(format!("variant  {}: {} ({})", variant.name, variant.title, changes.join("; ")));
        variants.push(serde_json::json!({
            "name": variant.name.as_str(), "title": variant.title, "adds": adds, "omits": omits,
            "already": variant.already.as_ref().map(Name::as_str),
        }));
    }
    out.text("");
    out.text(bundle.manifest_text().trim_end());
    out.summary(serde_json::json!({
        "story": manifest.story.as_str(), "version": manifest.version_text(), "digest": bundle.digest(),
        "imports": component.imports, "signers": signers, "variants": variants,
        "manifest": bundle.manifest_text(),
    }));
    Ok(Exit::Done)
}

fn texts(names: &BTreeSet<Name>) -> Vec<&str> {
    names.iter().map(Name::as_str).collect()
}
