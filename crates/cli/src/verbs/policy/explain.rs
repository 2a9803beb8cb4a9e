//! `unship policy explain STORY [STEP]`: what a story may do here, in plain words.

use crate::{
    consent,
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    out::Out,
    site::{Site, read_bundle, story_id},
};
use std::{collections::BTreeSet, time::Duration};
use unship_policy::{
    Bundle, Definitions, Manifest, Name, OnFail, Power, Risk, StoryPolicy, Tier, UnitKind, VerifiedBundle, definitions,
    meaning::Limits,
};
use unship_rollback::trigger::duration;

/// Says what a story may do, step by step, with every name as what it means on this site: paths, command lines, pid
/// files, calls. And what it can never do, who must have signed it, what its tier rules out, by whose decision it may be
/// applied, its variants, and what takes approvals. With its bundle in place these are the grants that its steps hold;
/// without, all that the policy would permit. Nothing is run or changed.
#[derive(clap::Args)]
pub struct Args {
    /// The story's id, such as 1.3
    story: String,
    /// Only this step or check
    step: Option<String>,
}

/// A step or check, and what it may do.
struct Unit {
    name: Name,
    kind: Option<UnitKind>,
    title: String,
    powers: Vec<Power>,
    /// Requested, and not permitted: with any of these the story is refused.
    refused: Vec<Power>,
    /// Permitted, and beyond what the bundle's tier may hold: the same.
    beyond: Vec<Power>,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let site = context.site()?;
    let id = story_id(&args.story)?;
    let story = site.story(&id)?;
    let definitions = definitions(&story, &site.policy)
        .map_err(|e| CliError::user(format!("the policies of story {id} do not fit together")).because(&e))?;
    let path = site.bundle_path(&story);
    let bundle = if path.exists() { Some(read_bundle(&path)?) } else { None };
    let verified = bundle.as_ref().map(|bundle| verify(&site, &story, bundle));
    let tier = verified.as_ref().and_then(|verified| verified.as_ref().ok()).map(VerifiedBundle::tier);
    let all = units(&story, bundle.as_ref().map(Bundle::manifest), tier);
    if let Some(step) = &args.step
        && !all.iter().any(|unit| unit.name.as_str() == step)
    {
        let names: Vec<&str> = all.iter().map(|unit| unit.name.as_str()).collect();
        return Err(CliError::user(format!("story {id} has no step or check named {step:?}"))
            .hint(format!("it has: {}", names.join(", "))));
    }
    let out = context.out;
    out.text(format!("Story {id}, {}", story.title));
    must_be_signed(out, &site, &story);
    let allowed = match &verified {
        None => {
            out.text("  Its bundle is not there: this is all that its policy would permit.");
            None
        }
        Some(Err(why)) => {
            // Where there is no trust root, that was said.
            if site.trust().is_ok() {
                out.text(format!("  REFUSED as things are: {why}."));
            }
            None
        }
        Some(Ok(verified)) => Some(standing(out, &site, &story, verified)),
    };
    let signed = verified.as_ref().map(|verified| verified.is_ok());
    variants(out, bundle.as_ref());
    safety(out, tier, &definitions);
    let limits = story.limits(&site.policy.limits);
    let limits = limits.map_err(|e| CliError::user(format!("the limits of story {id} are none")).because(&e))?;
    out.text(format!("  {}.", bounds(&tier.map_or(limits.clone(), |tier| tier.cap(limits)))));
    out.text(match story.on_fail {
        OnFail::Undo => "  When a step fails, everything is taken back, newest first.",
        OnFail::Stop => "  When a step fails, everything stays as it is, for a person to look at (on-fail = \"stop\").",
    });
    let mut risks = BTreeSet::new();
    let mut steps = 0;
    for unit in &all {
        steps += u32::from(unit.kind == Some(UnitKind::Step));
        risks.extend(unit_risks(unit, &definitions));
        if args.step.as_ref().is_none_or(|step| step == unit.name.as_str()) {
            show(out, unit, steps, &definitions);
        }
    }
    never(out, &risks);
    out.summary(serde_json::json!({
        "story": id.as_str(), "title": story.title, "signed_by": story.signed_by.iter().map(Name::as_str).collect::<Vec<_>>(),
        "signed": signed, "tier": tier, "allowed": allowed, "bundle": bundle.is_some(), "can": risks.iter().map(|risk| risk.can()).collect::<Vec<_>>(),
    }));
    Ok(Exit::Done)
}

fn units(story: &StoryPolicy, manifest: Option<&Manifest>, tier: Option<Tier>) -> Vec<Unit> {
    let granted: Vec<(&Name, Vec<Power>)> = story.granted().map(|(name, powers)| (name, powers.powers())).collect();
    let Some(manifest) = manifest else {
        let unit = |(name, powers): &(&Name, Vec<Power>)| Unit {
            name: (*name).clone(),
            kind: None,
            title: String::new(),
            powers: powers.clone(),
            refused: Vec::new(),
            beyond: Vec::new(),
        };
        return granted.iter().map(unit).collect();
    };
    let units = manifest.units.iter().map(|unit| {
        let permitted = granted.iter().find(|(name, _)| **name == unit.name).map_or(&[][..], |(_, powers)| powers);
        let is_permitted = |asked: &Power| permitted.iter().any(|power| power.covers(asked));
        let (permitted, refused): (Vec<Power>, _) = unit.requests.powers().into_iter().partition(is_permitted);
        let (powers, beyond) = permitted.into_iter().partition(|power| tier.is_none_or(|tier| tier.may_hold(power)));
        Unit { name: unit.name.clone(), kind: Some(unit.kind), title: unit.title.clone(), powers, refused, beyond }
    });
    units.collect()
}

/// Who must have signed.
fn must_be_signed(out: Out, site: &Site, story: &StoryPolicy) {
    let trust = match site.trust() {
        Ok(trust) => trust,
        Err(e) => return out.text(format!("  REFUSED as things are: {}.", e.message())),
    };
    for name in &story.signed_by {
        let needed = match trust.root().role(name.as_str()) {
            None => "the trust root has no such role".to_owned(),
            Some(role) => {
                let keys: Vec<&str> = role.keys.iter().map(Name::as_str).collect();
                format!("{} of {} (tier {})", role.threshold, keys.join(", "), role.tier)
            }
        };
        out.text(format!("  Must be signed by the role {name}: {needed}."));
    }
}

fn verify(site: &Site, story: &StoryPolicy, bundle: &Bundle) -> std::result::Result<VerifiedBundle, String> {
    let trust = site.trust().map_err(|e| e.message().to_owned())?;
    bundle.clone().verify(trust, &site.wanted(story)).map_err(|e| e.to_string())
}

/// Who signed it, what its tier rules out, and whether it may be applied; whether it may.
fn standing(out: Out, site: &Site, story: &StoryPolicy, verified: &VerifiedBundle) -> bool {
    let names: Vec<&str> = verified.signers().iter().map(Name::as_str).collect();
    out.text(format!("  Its bundle {} is signed by {}.", story.bundle, names.join(", ")));
    match verified.tier() {
        Tier::Owned => {}
        Tier::Partner => out.text("  Its tier is partner, so it never weakens a safety property."),
        Tier::Community => out.text(
            "  Its tier is community, so it never runs a command, makes a call or weakens a safety property, and its limits \
             are smaller.",
        ),
    }
    let allowed = consent::of(site, story, verified);
    match &allowed {
        Ok(allowed) => out.text(format!("  It may be applied: allowed {}.", consent::by_whom(allowed))),
        Err(e) => {
            out.text("  It may NOT be applied:");
            e.text().lines().for_each(|line| out.text(format!("    {line}")));
        }
    }
    allowed.is_ok()
}

/// Where a step that goes wrong ends by itself.
fn bounds(limits: &Limits) -> String {
    let time = |time: Duration| duration(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
    format!(
        "Each step ends after {} of computing or {} in all, and may take {} MiB of memory, make {} effects and write {} MiB",
        time(limits.cpu),
        time(limits.wall),
        limits.memory_bytes_max >> 20,
        limits.effects_max,
        limits.written_bytes_max >> 20
    )
}

fn variants(out: Out, bundle: Option<&Bundle>) {
    for variant in bundle.into_iter().flat_map(|bundle| &bundle.manifest().variants) {
        let changes = variant.changes();
        out.text(format!(
            "  Its variant {} runs only if somebody asks for it: {} ({changes}).",
            variant.name, variant.title
        ));
    }
}

/// What takes approvals of this site's people.
fn safety(out: Out, tier: Option<Tier>, definitions: &Definitions) {
    if tier.is_some_and(|tier| !tier.may_weaken()) {
        return;
    }
    for (name, property) in &definitions.safety {
        out.text(format!(
            "  A plan of a variant that weakens {name} ({}) takes the approvals of {} people; any other that does is refused.",
            property.title, property.approvals
        ));
    }
}

fn unit_risks(unit: &Unit, definitions: &Definitions) -> BTreeSet<Risk> {
    unit.powers.iter().filter_map(|power| power.words(definitions)).flat_map(|words| words.risks).collect()
}

fn show(out: Out, unit: &Unit, number: u32, definitions: &Definitions) {
    let head = match unit.kind {
        Some(UnitKind::Step) => format!("{number}. {}: {}", unit.name, unit.title),
        Some(kind) => format!("{} {}: {}", kind.word(), unit.name, unit.title),
        None => unit.name.to_string(),
    };
    let risks: Vec<&str> = unit_risks(unit, definitions).into_iter().map(Risk::can).collect();
    let hint = if risks.is_empty() { String::new() } else { format!("  [can {}]", risks.join(", ")) };
    out.text("");
    out.text(format!("{head}{hint}"));
    if unit.powers.is_empty() && unit.refused.is_empty() && unit.beyond.is_empty() {
        out.text("     may touch nothing");
    }
    let mut powers = Vec::new();
    for power in &unit.powers {
        let words = power.words(definitions);
        let (may, means) = match &words {
            Some(words) => (words.may.clone(), words.means.clone()),
            None => (format!("`{power}`"), vec!["REFUSED: no policy says what that means".to_owned()]),
        };
        out.text(format!("     may {may}"));
        means.iter().for_each(|line| out.text(format!("         {line}")));
        powers.push(serde_json::json!({ "power": power.to_string(), "may": may, "means": means }));
    }
    for power in &unit.refused {
        out.text(format!("     asks for `{power}`, which is NOT permitted"));
    }
    for power in &unit.beyond {
        out.text(format!("     asks for `{power}`, which its tier NEVER holds, whatever a policy grants"));
    }
    out.object(&serde_json::json!({
        "type": "unit", "unit": unit.name.as_str(), "kind": unit.kind.map(UnitKind::word), "title": unit.title,
        "powers": powers, "can": risks, "not_permitted": unit.refused.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "beyond_tier": unit.beyond.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }));
}

fn never(out: Out, risks: &BTreeSet<Risk>) {
    out.text("");
    out.text("What it can never do");
    out.text("     touch a path, flag, process, service, command or call that is not named above");
    out.text(
        "     choose a command line, a process or an address: it only says a name, and what that means stands above",
    );
    out.text("     use a shell, the network by itself, or anything below .unship/ and policies/");
    let not: Vec<&str> = Risk::ALL.into_iter().filter(|risk| !risks.contains(risk)).map(Risk::can).collect();
    if !not.is_empty() {
        out.text(format!("     with these grants: {}", not.join("; ")));
    }
}
