//! `unship check STORY`: the verifications alone.

use super::plan;
use crate::{
    consent,
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    site::story_id,
    wiring::SystemClock,
};
use unship_host::runner::Setting;
use unship_rollback::{Clock as _, UnitEnd, Verdict};

/// Runs a story's verifications against the site as it is. Nothing is changed.
///
/// Exit status: 0 all hold · 6 one says no, or could not say.
#[derive(clap::Args)]
pub struct Args {
    /// The story's id, such as 1.3
    story: String,
    /// Those of a variant, as `unship inspect` lists them
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let site = context.site()?;
    let story = plan::load(&site, &site.store()?, &args.story, args.variant.as_deref())?;
    // Verifications look for real, which is more than planning does.
    let _ = consent::of(&site, &site.story(&story_id(&args.story)?)?, &story.resolved().bundle)?;
    let clock_ms = SystemClock.now_ms();
    let run = plan::run_id(clock_ms)?;
    let setting = Setting { site: &site.path, run: run.as_str(), clock_ms };
    let out = context.out;
    let checked = story.check(setting, |checked| {
        let (word, reason) = match &checked.end {
            UnitEnd::Succeeded => ("holds", None),
            UnitEnd::Failed(reason) => ("FAILS", Some(reason)),
            UnitEnd::Broken(reason) => ("unknown", Some(reason)),
        };
        out.text(format!("{word:>7}  {}: {}", checked.name, checked.title));
        if let Some(reason) = reason {
            out.text(format!("         {reason}"));
        }
        out.object(&serde_json::json!({ "type": "check", "name": checked.name, "result": word.to_lowercase(), "reason": reason }));
    });
    let checked = checked.map_err(|e| CliError::user("the site's folders cannot be used").because(&e))?;
    let verdict = if checked.iter().any(|c| matches!(c.end, UnitEnd::Failed(_))) {
        Verdict::NotRecovered
    } else if checked.is_empty() || checked.iter().any(|c| matches!(c.end, UnitEnd::Broken(_))) {
        Verdict::Unknown
    } else {
        Verdict::Recovered
    };
    out.text(verdict.to_string());
    out.summary(serde_json::json!({ "story": args.story, "variant": args.variant, "verdict": verdict }));
    Ok(if verdict == Verdict::Recovered { Exit::Done } else { Exit::NotRecovered })
}
