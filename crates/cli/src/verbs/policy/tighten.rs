//! `unship policy tighten STORY`: a smaller policy, as a diff, out of what the recorded runs used.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    history::{History, for_each},
    policy_text::{Change, File, changed, diff},
    site::{Site, read_text, story_id},
};
use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};
use unship_policy::{Manifest, Name, Place, Power, StoryPolicy, Unit, UnitKind, VerifiedBundle, definitions, misfits};
use unship_rollback::{RunId, UnitUsage, Usage};

/// Tells which grants the recorded runs of a story's bundle never used, and prints a smaller policy as a unified diff
/// (for `git apply` or `patch -p1` in the site's folder). By itself it takes away what the bundle does not even request:
/// that changes no effect. With --manifest, what was requested and never used goes from manifest and policy together;
/// the bundle must then be packed and signed anew. Never used is not the same as not needed: a run does not go down every
/// branch, so read the diff. Nothing is written.
#[derive(clap::Args)]
pub struct Args {
    /// The story's id, such as 1.3
    story: String,
    /// Look at the last N runs only
    #[arg(long, value_name = "N")]
    runs: Option<NonZeroUsize>,
    /// The manifest that the bundle was packed with: it is made smaller too
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
}

/// How the recorded runs stand to one power of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Used,
    /// The unit ended well, and did not use it.
    Unused,
    /// No recorded run shows the unit from beginning to end.
    NotSeen,
}

impl Standing {
    fn of(power: &Power, usage: Option<&UnitUsage>) -> Standing {
        match usage {
            Some(usage) if usage.uses(power) => Standing::Used,
            Some(usage) if !usage.runs.is_empty() => Standing::Unused,
            _ => Standing::NotSeen,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Standing::Used => "used",
            Standing::Unused => "unused",
            Standing::NotSeen => "not-seen",
        }
    }
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let site = context.site()?;
    let id = story_id(&args.story)?;
    let story = site.story(&id)?;
    let bundle = site.verified(&story)?;
    let (runs, usage) = usage(&site, &bundle, args.runs)?;
    let out = context.out;
    explain_runs(context, &runs, &usage, bundle.manifest());

    let mut unused = 0;
    for unit in &bundle.manifest().units {
        let permitted = permitted(&story, &unit.name);
        for power in unit.requests.powers() {
            let standing = Standing::of(&power, usage.unit(unit.name.as_str()));
            if standing == Standing::Unused {
                unused += 1;
                out.note(format!("{}: `{power}` is requested, and was never used", unit.name));
            }
            out.object(&grant_line(unit, &power, standing, true));
        }
        for power in permitted.iter().filter(|p| !is_requested(p, &unit.requests.powers())) {
            unused += 1;
            out.note(format!("{}: `{power}` is permitted, and not even requested", unit.name));
            out.object(&grant_line(unit, power, Standing::of(power, usage.unit(unit.name.as_str())), false));
        }
    }

    let mut text = String::new();
    let mut manifest = bundle.manifest().clone();
    if let Some(path) = &args.manifest {
        let old = read_text(path)?;
        if old != bundle.manifest_text() {
            return Err(CliError::user(format!(
                "{} is not the manifest that the bundle was packed with",
                path.display()
            ))
            .hint("pack, sign and run the bundle with this manifest first, or name the other one"));
        }
        let new = changed(&old, File::Manifest, &of_manifest(&manifest, &usage)).map_err(|e| bug(&e))?;
        manifest = Manifest::parse(&new).map_err(|e| bug(&e.to_string()))?;
        text.push_str(&diff(&in_diff(path, &site.path), &old, &new));
    }
    let file = format!("policies/{id}.toml");
    let old = read_text(&site.path.join(&file))?;
    let new = changed(&old, File::Policy, &of_policy(&story, &manifest)).map_err(|e| bug(&e))?;
    prove(&story, &new, &manifest, &site)?;
    text.push_str(&diff(&file, &old, &new));

    if text.is_empty() {
        let requested = if unused > 0 && args.manifest.is_none() {
            ": the bundle requests what was never used; --manifest FILE takes it away in both"
        } else {
            ""
        };
        out.note(format!("policies/{id}.toml cannot be smaller{requested}"));
    } else {
        out.lines(text.trim_end());
        if args.manifest.is_some() {
            out.note("Apply the diff, then pack and sign the bundle anew: as it is, it asks for what is no longer permitted.");
        }
        out.note("Never used is not the same as not needed: what runs on another branch was not seen. Read it, then `git apply`.");
    }
    let names: Vec<&str> = runs.iter().map(RunId::as_str).collect();
    out.summary(serde_json::json!({ "story": id.as_str(), "runs": names, "unused": unused, "diff": text }));
    Ok(Exit::Done)
}

fn grant_line(unit: &Unit, power: &Power, standing: Standing, requested: bool) -> serde_json::Value {
    serde_json::json!({
        "type": "grant", "unit": unit.name.as_str(), "power": power.to_string(), "requested": requested,
        "standing": standing.word(),
    })
}

fn permitted(story: &StoryPolicy, unit: &Name) -> Vec<Power> {
    story.granted().find(|(name, _)| *name == unit).map(|(_, powers)| powers.powers()).unwrap_or_default()
}

fn is_requested(power: &Power, requested: &[Power]) -> bool {
    requested.iter().any(|asked| power.covers(asked))
}

/// The runs of this very bundle, oldest first, and what they used.
fn usage(site: &Site, bundle: &VerifiedBundle, last: Option<NonZeroUsize>) -> Result<(Vec<RunId>, Usage)> {
    let store = site.store()?;
    let history = History::read(&store)?;
    let digest = bundle.digest();
    let of_bundle = history.runs().iter().filter(|run| run.plan().is_some_and(|plan| plan.bundle == digest));
    let mut runs: Vec<RunId> = of_bundle.filter_map(|run| run.run().cloned()).collect();
    if let Some(last) = last {
        runs.drain(..runs.len().saturating_sub(last.get()));
    }
    let meant: BTreeSet<&RunId> = runs.iter().collect();
    let mut usage = Usage::default();
    for_each(&store, |_, record| {
        if meant.contains(&record.run) {
            usage.take(record);
        }
        Ok(())
    })?;
    Ok((runs, usage))
}

/// Says what the answer stands on.
fn explain_runs(context: &Context, runs: &[RunId], usage: &Usage, manifest: &Manifest) {
    let out = context.out;
    if runs.is_empty() {
        out.note(
            "No run of this bundle is recorded: nothing can be said of what it uses, only of what it does not request.",
        );
        return;
    }
    out.note(format!("By {} recorded run{} of this bundle:", runs.len(), if runs.len() == 1 { "" } else { "s" }));
    for unit in &manifest.units {
        let why = match usage.unit(unit.name.as_str()) {
            Some(usage) if usage.runs.is_empty() => format!("it failed each time ({} times)", usage.failures),
            Some(_) => continue,
            None if unit.kind == UnitKind::Already => "it is asked when planning, which no journal records".to_owned(),
            None => "no run came to it".to_owned(),
        };
        out.note(format!("{}: not judged: {why}", unit.name));
    }
}

/// What leaves the manifest: requests of units that were seen, and that no run used; and patterns become the paths that
/// every run used alike.
fn of_manifest(manifest: &Manifest, usage: &Usage) -> Vec<(String, Change)> {
    let mut changes = Vec::new();
    for unit in &manifest.units {
        let Some(used) = usage.unit(unit.name.as_str()) else { continue };
        for power in unit.requests.powers() {
            let change = match Standing::of(&power, Some(used)) {
                Standing::Unused => Some(Change::Remove(power)),
                Standing::Used => narrowed(&power, used).map(|patterns| Change::Narrow(power, patterns)),
                Standing::NotSeen => None,
            };
            changes.extend(change.map(|change| (unit.name.to_string(), change)));
        }
    }
    changes
}

/// The paths that may stand for the power's pattern: fewer than would make a policy longer rather than smaller.
fn narrowed(power: &Power, used: &UnitUsage) -> Option<Vec<String>> {
    const PATHS_MAX: usize = 8;
    let is_list = matches!(power, Power::Files(..) | Power::Holders(_));
    let pattern = power.paths().filter(|p| is_list && p.as_str().contains(['*', '?', '[', '{']))?;
    let places = used.places(power).filter(|places| places.len() <= PATHS_MAX)?;
    let texts = places.iter().map(as_pattern).collect::<Option<Vec<_>>>()?;
    // What is narrower must be covered by what was there, or it would be no narrowing.
    let covered = |text: &String| unship_policy::PathPattern::new(text).is_ok_and(|new| pattern.covers(&new));
    texts.iter().all(covered).then_some(texts)
}

/// A place as the pattern that means it alone; none for a name that a pattern would read as something else.
fn as_pattern(place: &Place) -> Option<String> {
    let path = place.path.to_str()?;
    let path = if path.is_empty() { "." } else { path };
    let text = if place.folder == "site" { path.to_owned() } else { format!("{}:{path}", place.folder) };
    let plain = !path.contains(['*', '?', '[', ']', '{', '}', '\\', ':']) && !path.chars().any(char::is_control);
    (plain && unship_policy::PathPattern::new(&text).is_ok()).then_some(text)
}

/// What leaves the policy: what `manifest` does not request; and a pattern that is wider than the requests becomes these.
fn of_policy(story: &StoryPolicy, manifest: &Manifest) -> Vec<(String, Change)> {
    let mut changes = Vec::new();
    for unit in &manifest.units {
        let requested = unit.requests.powers();
        for power in permitted(story, &unit.name) {
            let asked: Vec<&Power> = requested.iter().filter(|asked| power.covers(asked)).collect();
            let is_exact = asked.iter().any(|asked| asked.covers(&power));
            let change = match (&power, asked.is_empty()) {
                (_, true) => Change::Remove(power),
                (Power::Files(..) | Power::Holders(_), false) if !is_exact => {
                    let patterns = asked.iter().filter_map(|asked| asked.paths()).map(|p| p.as_str().to_owned());
                    Change::Narrow(power.clone(), patterns.collect())
                }
                _ => continue,
            };
            changes.push((unit.name.to_string(), change));
        }
    }
    changes
}

/// A diff that would widen anything, or have the story refused, is not shown.
fn prove(old: &StoryPolicy, new: &str, manifest: &Manifest, site: &Site) -> Result<()> {
    let new = StoryPolicy::parse(new, &old.id).map_err(|e| bug(&e.to_string()))?;
    for (unit, powers) in new.granted() {
        let before = permitted(old, unit);
        if let Some(wider) = powers.powers().iter().find(|power| !before.iter().any(|p| p.covers(power))) {
            return Err(bug(&format!("`{wider}` of `{unit}` would be new")));
        }
    }
    let judge = |story: &StoryPolicy| {
        definitions(story, &site.policy).map(|definitions| misfits(manifest, story, &definitions).len())
    };
    let (before, after) = (judge(old).unwrap_or_default(), judge(&new).map_err(|e| bug(&e.to_string()))?);
    if after > before { Err(bug("requests would be refused")) } else { Ok(()) }
}

fn bug(why: &str) -> CliError {
    CliError::user("no smaller policy was found that is certain to work; this is a fault of unship's").cause(why)
}

/// How a diff names a file: below the site, or else from the root.
fn in_diff(path: &Path, site: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let relative = whole.strip_prefix(site).or_else(|_| whole.strip_prefix("/")).unwrap_or(&whole);
    relative.display().to_string()
}
