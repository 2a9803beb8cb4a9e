//! `unship approve DIGEST`: a person's signed word that a plan may weaken a safety property, or rest on something expired.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    keys::SignerArgs,
    out::time,
    plans,
    site::{Site, story_id},
    wiring::SystemClock,
};
use std::{fs::OpenOptions, io::Write as _, path::PathBuf, time::Duration};
use unship_policy::{Digest, PublicKey, Statement};
use unship_rollback::{Clock as _, Plan};

/// Signs an approval of one exact plan, for `apply --approval FILE`. It counts on this site alone, for this plan of this
/// story and variant alone, until it expires. The key must hold the role `approver` in the trust root; a plan needs
/// approvals by different people. Look at the plan first: its digest is what `unship plan STORY --variant NAME` prints.
#[derive(clap::Args)]
pub struct Args {
    /// The plan's digest
    digest: String,
    /// The plan's story
    #[arg(long, value_name = "STORY")]
    story: String,
    /// The plan's variant
    #[arg(long, value_name = "NAME", required_unless_present = "break_glass")]
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
    /// Where the approval goes; an existing file is never overwritten
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
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
    demand_same(args, known.as_ref())?;
    let key = args.signer.signer()?;
    let owner = owner(&site, &key.public())?;
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
    let cannot = |e: &std::io::Error| {
        CliError::user(format!("{} cannot be made (an existing file is never overwritten)", args.output.display()))
            .because(e)
    };
    let mut file = OpenOptions::new().write(true).create_new(true).open(&args.output).map_err(|e| cannot(&e))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|e| cannot(&e))?;
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
    let until = time(statement.expires_ms);
    context.out.text(format!(
        "{owner} approves of story {story}{}, plan {plan}, on the site {:?} until {until}",
        args.variant.as_ref().map_or_else(String::new, |variant| format!(", variant {variant}")),
        site.policy.name
    ));
    context.out.summary(serde_json::json!({
        "story": story.as_str(), "variant": args.variant, "plan_digest": plan, "site": site.policy.name,
        "by": owner, "key": key.public().to_string(), "reason": statement.reason, "expires": until, "file": args.output,
    }));
    Ok(Exit::Done)
}

/// A plan that was shown here is what the person believes that it is.
fn demand_same(args: &Args, known: Option<&Plan>) -> Result<()> {
    let Some(plan) = known else { return Ok(()) };
    if plan.story != args.story || plan.variant != args.variant {
        let variant = plan.variant.as_ref().map_or_else(|| "its default".to_owned(), |v| format!("its variant {v}"));
        return Err(CliError::user(format!("that is a plan of story {}, {variant}", plan.story)));
    }
    if args.break_glass && plan.lapses().is_empty() {
        return Err(CliError::user("that plan rests on nothing expired, so there is nothing to accept"));
    }
    if !args.break_glass && plan.weakens.is_empty() {
        return Err(CliError::user("that plan weakens no safety property, so it needs no approval"));
    }
    Ok(())
}

fn owner<'a>(site: &'a Site, key: &PublicKey) -> Result<&'a str> {
    site.trust()?.approver(key).map(|(_, owner)| owner).ok_or_else(|| {
        CliError::refused("this key may not approve on this site").cause(key.to_string()).hint(format!(
            "by the trust root it needs the role `{}`, and must be neither expired nor revoked",
            unship_policy::APPROVER
        ))
    })
}
