//! `unship plan STORY`: the exact effects and their digest; nothing is changed.

use crate::{
    consent,
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    history::History,
    needs::Conditions,
    out::Out,
    plans,
    site::{Site, story_id},
    story, trust,
    wiring::{SystemClock, new_run_id},
};
use std::path::Path;
use unship_host::runner::{LinkedStory, PlanError, Setting};
use unship_rollback::{Clock as _, Plan, RunId, TrustUsed, Undo, UnitRole};
use unship_store::SiteStore;

/// Shows what taking a story back would do, by really running its steps against an overlay. Changes nothing.
#[derive(clap::Args)]
pub struct Args {
    /// The story's id, such as 1.3
    story: String,
    /// A variant of the story, as `unship inspect` lists them
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// Plan although the trust root, a key or a signature has expired; `apply --break-glass` then takes approvals
    #[arg(long)]
    break_glass: bool,
    /// As Markdown, with how a person would do each effect by hand
    #[arg(long)]
    markdown: bool,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let mut site = context.site()?;
    site.accept_expired = args.break_glass;
    let store = site.store()?;
    let policy = site.story(&story_id(&args.story)?)?;
    let history = History::read(&store)?;
    trust::warn(context.out, site.trust_by(history.memory())?);
    let conditions = Conditions::look(&site, &policy, &history)?;
    let story = load(&site, &store, &args.story, args.variant.as_deref())?;
    let clock_ms = SystemClock.now_ms();
    let run = run_id(clock_ms)?;
    let plan = make(&site, &story, &run, clock_ms).map_err(|e| refusal(&args.story, &e))?;
    plans::keep(&plan);
    if let Err(e) = consent::of(&site, &policy, &story.resolved().bundle) {
        context.out.note(format!("not to be applied yet: {}", e.message()));
    }
    if args.markdown && !context.out.json {
        context.out.lines(&markdown(&plan, &conditions));
    } else {
        show(context.out, &plan, &story, &conditions);
    }
    context.out.summary(serde_json::json!({
        "story": plan.story,
        "variant": plan.variant,
        "plan_digest": plan.digest(),
        "already": plan.already,
        "effects": plan.effects().count(),
        "weakens": plan.weakens.iter().map(|weakening| &weakening.property).collect::<Vec<_>>(),
        "manual_only": conditions.manual_only,
    }));
    Ok(Exit::Done)
}

/// Loads, verifies, resolves and links a story, in one of its variants or as it is by default.
pub fn load(site: &Site, store: &SiteStore, id: &str, variant: Option<&str>) -> Result<LinkedStory> {
    let resolved = site.resolved(&story_id(id)?)?.in_variant(variant).map_err(|e| CliError::user(e.to_string()))?;
    story::link(resolved, store)
}

/// A fresh run id.
pub fn run_id(clock_ms: u64) -> Result<RunId> {
    new_run_id(clock_ms).map_err(|e| CliError::user("a run cannot be given an id").cause(e))
}

/// Plans `story` against the site as it is.
pub fn make(site: &Site, story: &LinkedStory, run: &RunId, clock_ms: u64) -> std::result::Result<Plan, PlanError> {
    let setting = Setting { site: &site.path, run: run.as_str(), clock_ms };
    let mut plan = story.plan(setting, scratch().as_path())?;
    plan.trust = site.trust().ok().map(|trust| TrustUsed::of(trust, &story.resolved().bundle));
    Ok(plan)
}

/// Planned content goes, nameless, where temporary files go: outside the site.
fn scratch() -> std::path::PathBuf {
    let temp = std::env::temp_dir();
    if temp.is_dir() { temp } else { Path::new("/tmp").to_owned() }
}

/// Why there is no plan, for a person.
pub fn refusal(story: &str, e: &PlanError) -> CliError {
    let mut error = CliError::refused(format!("story {story} cannot be taken back as things are")).because(e);
    if let PlanError::Unit { lines, .. } = e {
        error = lines.iter().fold(error, |error, line| error.cause(format!("its {}: {}", line.source, line.text)));
    }
    match e {
        PlanError::Unit { denied, .. } if !denied.is_empty() => {
            let error = denied.iter().fold(error, |error, denial| error.cause(format!("denied: {denial}")));
            error.hint("nothing was changed; the bundle tried more than it holds: ask its author before granting it")
        }
        PlanError::Unit { .. } => error.hint("nothing was changed; put right what the step names, then plan again"),
        PlanError::World(_) => error,
    }
}

/// The plan for people and programs.
pub fn show(out: Out, plan: &Plan, story: &LinkedStory, conditions: &Conditions) {
    let signers: Vec<&str> = story.resolved().bundle.signers().iter().map(unship_policy::Name::as_str).collect();
    out.text(format!("Plan: take back story {}, {}", plan.story, plan.title));
    if let Some(variant) = &story.resolved().variant {
        out.text(format!("  variant {}: {}", variant.name, variant.title));
    }
    out.text(format!("  bundle {} {}, signed by {}", plan.version, plan.bundle, signers.join(", ")));
    for lapse in plan.lapses() {
        out.text(format!("  EXPIRED: {lapse}"));
    }
    conditions.show(out);
    for weakening in &plan.weakens {
        out.text(format!("  WEAKENS the safety property {}: {}", weakening.property, weakening.title));
        for change in &weakening.changes {
            out.text(format!("       {change}"));
        }
        out.text(format!("       needs {} approvals; ends after {}", weakening.approvals, weakening.lasts()));
        let mut object = serde_json::to_value(weakening).unwrap_or_default();
        object["type"] = "weakens".into();
        out.object(&object);
    }
    if plan.already {
        out.text("  It is taken back already: no step runs, the verifications alone do.");
    }
    let mut number = 0;
    for unit in plan.units.iter().filter(|u| !plan.already || u.role == UnitRole::Verification) {
        let label = match unit.role {
            UnitRole::Step => {
                number += 1;
                format!("{number:>3}.")
            }
            role => format!("  {}", role.word()),
        };
        out.text(format!("{label} {}: {}", unit.name, unit.title));
        if unit.role == UnitRole::Step && unit.effects.is_empty() {
            out.text("       (changes nothing)");
        }
        for planned in &unit.effects {
            let undo = match planned.effect.undo() {
                Undo::Automatic => String::new(),
                Undo::Command(argv) => format!("  [undone by: {}]", argv.join(" ")),
                Undo::Service(service) => format!("  [undone by: the service {service}, which starts them]"),
                Undo::Call(call) => format!("  [undone by: http call {call}]"),
                Undo::Cannot(why) => format!("  [cannot be undone: {why}]"),
            };
            out.text(format!("       {}{undo}", planned.effect));
            for note in &planned.notes {
                out.text(format!("         {note}"));
            }
        }
        out.object(&serde_json::json!({
            "type": "unit", "role": unit.role, "name": unit.name, "title": unit.title,
            "effects": unit.effects,
        }));
    }
    // One that the plan gave itself says what stands above once more.
    for item in &plan.checklist {
        if !story.resolved().checklist.is_empty() {
            out.text(format!("  then a person: {}: {}", item.name, item.title));
        }
        out.object(&serde_json::json!({ "type": "item", "name": item.name, "title": item.title }));
    }
    out.text(format!("Digest {}", plan.digest()));
}

/// Prose of others is escaped, so that it stays prose where this is rendered.
fn markdown(plan: &Plan, conditions: &Conditions) -> String {
    use unship_rollback::{neutralise, neutralise_markdown as prose};
    let mut text = format!("# Taking back story {}: {}\n\nPlan `{}`.\n", plan.story, prose(&plan.title), plan.digest());
    if let Some(variant) = &plan.variant {
        text.push_str(&format!("\nVariant `{variant}`.\n"));
    }
    for weakening in &plan.weakens {
        text.push_str(&format!(
            "\n> **It weakens the safety property `{}`: {}.**\n",
            weakening.property,
            prose(&weakening.title)
        ));
        for change in &weakening.changes {
            text.push_str(&format!("> {}\n", prose(&change.to_string())));
        }
        text.push_str(&format!(
            "> It needs {} approvals, and ends after {}.\n",
            weakening.approvals,
            weakening.lasts()
        ));
    }
    for need in &conditions.needs {
        text.push_str(&format!("\nNeeds story {} first: {}.\n", need.story, prose(&need.words())));
    }
    if conditions.manual_only {
        text.push_str("\nBy a person's command only: nothing applies it by itself.\n");
    }
    for unit in &plan.units {
        text.push_str(&format!("\n## {} `{}`\n\n{}\n", capital(unit.role.word()), unit.name, prose(&unit.title)));
        if !unit.effects.is_empty() {
            text.push('\n');
        }
        for planned in &unit.effects {
            // On one line, so that nothing ends the block before it ends.
            let (effect, by_hand) = (prose(&planned.effect.to_string()), neutralise(&planned.effect.by_hand()));
            text.push_str(&format!("- [ ] {effect}\n\n  ```sh\n  {by_hand}\n  ```\n"));
        }
    }
    if !plan.checklist.is_empty() {
        text.push_str("\n## Checklist\n\n");
    }
    for item in &plan.checklist {
        text.push_str(&format!("- [ ] `{}` {}\n", item.name, prose(&item.title)));
    }
    text
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
