//! `unship approve DIGEST`: a person's signed word that a plan may weaken a safety property, rest on something expired, or be
//! carried out by the daemon that asks for it.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    keys::SignerArgs,
    out::time,
    plans,
    site::{Site, story_id},
    trust, watching,
    wiring::SystemClock,
};
use std::{fs::OpenOptions, io::Write as _, path::PathBuf, time::Duration};
use unship_policy::{Digest, Statement};
use unship_rollback::{
    Clock as _, Plan,
    incident::{Incident, IncidentId, Wish},
};

/// Signs an approval of one exact plan, for `apply --approval FILE`. It counts on this site alone, for this plan of this
/// story and variant alone, until it expires. The key must hold the role `approver` in the trust root; a plan needs
/// approvals by different people. Where an incident of `unship watch` waits for this very plan, it goes there. Look at the plan first: its digest is what `unship plan STORY --variant NAME` prints.
#[derive(clap::Args)]
pub struct Args {
    /// The plan's digest
    digest: String,
    /// The plan's story
    #[arg(long, value_name = "STORY")]
    story: String,
    /// The plan's variant
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// Approve that what has expired is accepted, and not that something is weakened
    #[arg(long)]
    break_glass: bool,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// How long it counts, 24h at most
    #[arg(long, value_name = "DURATION", value_parser = unship_policy::parse_duration, default_value = "4h")]
    expires_in: Duration,
    #[command(flatten)]
    signer: SignerArgs,
    /// Where the approval goes; an existing file is never overwritten. Not needed where an incident of `unship watch` waits for it
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The incident that it is for; otherwise the one that waits for this very plan
    #[arg(long, value_name = "INCIDENT")]
    incident: Option<String>,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let mut site = context.site()?;
    site.accept_expired = args.break_glass;
    let plan = Digest::parse(&args.digest).ok_or_else(|| {
        CliError::user(format!("{:?} is not a plan's digest", args.digest))
            .hint("`unship plan` prints it: `sha256:` and 64 digits")
    })?;
    let policy = site.story(&story_id(&args.story)?)?;
    let bundle = site.verified(&policy)?;
    if let Some(variant) = &args.variant {
        bundle.manifest().variant(variant).map_err(|e| CliError::user(e.to_string()))?;
    }
    let story = policy.id;
    let known = plans::find(&plan);
    let incident = waiting(args, &site, &plan)?;
    demand_same(args, known.as_ref(), incident.is_some())?;
    if args.output.is_none() && incident.is_none() {
        return Err(CliError::user("no incident waits for an approval of this plan, so it has to go into a file")
            .hint("`--output FILE` names it; `unship incidents` lists what people are asked"));
    }
    let key = args.signer.signer()?;
    let (_, owner) = trust::approver(site.trust()?, &key.public(), "approve")?;
    let approved_ms = SystemClock.now_ms();
    let term_ms = u64::try_from(args.expires_in.as_millis()).unwrap_or(u64::MAX);
    let statement = Statement {
        site: site.policy.name.clone(),
        story: story.to_string(),
        variant: args.variant.clone(),
        break_glass: args.break_glass,
        plan,
        reason: args.reason.trim().to_owned(),
        approved_ms,
        expires_ms: approved_ms.saturating_add(term_ms),
    };
    let text = statement.sign(&*key).map_err(|e| CliError::user("that cannot be approved").because(&e))?;
    if let Some(output) = &args.output {
        let cannot = |e: &std::io::Error| {
            CliError::user(format!("{} cannot be made (an existing file is never overwritten)", output.display()))
                .because(e)
        };
        let mut file = OpenOptions::new().write(true).create_new(true).open(output).map_err(|e| cannot(&e))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|e| cannot(&e))?;
    }
    match &known {
        Some(plan) => {
            for weakening in &plan.weakens {
                context.out.text(format!("weakens  {weakening}"));
            }
            for lapse in plan.lapses() {
                context.out.text(format!("expired  {lapse}"));
            }
        }
        None => context.out.note("the plan was not made here, so what it does was not shown by this command"),
    }
    if let Some(incident) = incident.clone() {
        watching::hand_in(context, &site, owner, Wish::Approve { incident, approval: text })?;
    }
    let until = time(statement.expires_ms);
    context.out.text(format!(
        "{owner} approves of story {story}{}, plan {plan}, on the site {:?} until {until}",
        args.variant.as_ref().map_or_else(String::new, |variant| format!(", variant {variant}")),
        site.policy.name
    ));
    context.out.summary(serde_json::json!({
        "story": story.as_str(), "variant": args.variant, "plan_digest": plan, "site": site.policy.name,
        "by": owner, "key": key.public().to_string(), "reason": statement.reason, "expires": until, "file": args.output,
        "incident": incident,
    }));
    Ok(Exit::Done)
}

/// The incident that waits for a yes to this plan, or the one that was named.
fn waiting(args: &Args, site: &Site, plan: &Digest) -> Result<Option<IncidentId>> {
    let Some(store) = site.store()?.watched().map_err(|e| crate::history::not_intact(&e))? else {
        return match &args.incident {
            None => Ok(None),
            Some(_) => watching::watched(site).map(|_| None),
        };
    };
    let book = watching::book(&store)?;
    if let Some(text) = &args.incident {
        return watching::incident(&book, text).map(Some);
    }
    let waits = |i: &&Incident| i.can_be_approved() && i.plan == Some(*plan);
    Ok(book.incidents().find(waits).map(|incident| incident.id.clone()).filter(|_| args.variant.is_none()))
}

/// A plan that was shown here is what the person believes that it is.
fn demand_same(args: &Args, known: Option<&Plan>, is_asked: bool) -> Result<()> {
    if args.variant.is_none() && !args.break_glass && !is_asked {
        return Err(CliError::user("it is not said what is approved of: nobody asks for this plan").hint(
            "`--variant NAME`: a variant that weakens; `--break-glass`: what has expired; or an incident's plan",
        ));
    }
    let Some(plan) = known else { return Ok(()) };
    if plan.story != args.story || plan.variant != args.variant {
        let variant = plan.variant.as_ref().map_or_else(|| "its default".to_owned(), |v| format!("its variant {v}"));
        return Err(CliError::user(format!("that is a plan of story {}, {variant}", plan.story)));
    }
    if args.break_glass && plan.lapses().is_empty() {
        return Err(CliError::user("that plan rests on nothing expired, so there is nothing to accept"));
    }
    if !args.break_glass && !is_asked && plan.weakens.is_empty() {
        return Err(CliError::user("that plan weakens no safety property, so it needs no approval"));
    }
    Ok(())
}
