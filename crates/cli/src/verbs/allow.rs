//! `unship allow STORY|BUNDLE`: a person's signed decision that a bundle may be applied here.

use crate::{
    consent::{self, FOLDER, told},
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    files::write_whole,
    keys::SignerArgs,
    site::{Site, read_bundle, story_id},
    trust,
    wiring::SystemClock,
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use unship_policy::{Basis, Decided, Digest, Moment, StoryPolicy, VerifiedBundle, requests};
use unship_rollback::Clock as _;

/// Decides that one very bundle may be applied on this site, by its digest: what it asks for was looked at (`unship inspect`). Takes a
/// key of the role `approver`; as many people as that role's threshold says decide, each for themselves. A bundle of the
/// tier owned needs none. An update that asks for nothing more goes by the decision; one that asks for more waits for the
/// next.
#[derive(clap::Args)]
pub struct Args {
    /// The story, or the bundle's file
    what: String,
    /// Refuse unless the bundle has this digest
    #[arg(long, value_name = "DIGEST")]
    expect: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// How long it counts; without it, until something else is decided
    #[arg(long, value_name = "DURATION", value_parser = unship_policy::parse_duration)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    signer: SignerArgs,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let site = context.site()?;
    let (story, bundle) = bundle(&site, &args.what)?;
    if let Some(expected) = &args.expect {
        let expected =
            Digest::parse(expected).ok_or_else(|| CliError::user(format!("{expected:?} is not a bundle's digest")))?;
        if expected != bundle.digest() {
            return Err(CliError::refused("the bundle is not the expected one")
                .cause(format!("it is {}, and not {expected}", bundle.digest())));
        }
    }
    if !bundle.tier().needs_consent() {
        return Err(CliError::user(format!("a bundle of the tier {} needs no decision", bundle.tier()))
            .hint(format!("what it may do stands in policies/{}.toml", story.id)));
    }
    let signer = args.signer.signer()?;
    let (_, owner) = trust::approver(site.trust()?, &signer.public(), "decide")?;
    let now_ms = SystemClock.now_ms();
    let expires = args.expires_in.map(|after| Moment::after(now_ms, after));
    let decided = Decided::of(&bundle, &site.policy.name, &args.reason, Moment::from_ms(now_ms), expires);
    let text = decided.sign(&*signer).map_err(|e| CliError::user("that cannot be decided").because(&e))?;
    let file = write(&site.path, &decided, &signer.public().id(), &text)?;
    let (out, powers) = (context.out, requests(bundle.manifest()));
    out.text(format!(
        "{owner} allows story {} {}, {}, tier {}, on the site {:?}:",
        story.id, decided.version, decided.bundle, decided.tier, site.policy.name
    ));
    for line in told(&site, &story, &powers) {
        out.text(format!("  {line}"));
    }
    out.text(format!("wrote {}", file.display()));
    let standing = consent::of(&site, &story, &bundle);
    match &standing {
        Ok(allowed) => out.text(match allowed.basis() {
            Basis::Declared => "it may be applied: the story's policy says so as well".to_owned(),
            _ => format!("it may be applied, by the decision of {}", allowed.people().join(" and ")),
        }),
        Err(e) => e.to_string().lines().for_each(|line| out.text(format!("it waits: {line}"))),
    }
    out.summary(serde_json::json!({
        "story": story.id.as_str(), "bundle": decided.bundle, "tier": decided.tier, "by": owner, "file": file,
        "expires": decided.expires, "requests": decided.requests, "allowed": standing.is_ok(),
    }));
    Ok(Exit::Done)
}

/// The verified bundle that is meant: of a story, or in a file.
fn bundle(site: &Site, what: &str) -> Result<(StoryPolicy, VerifiedBundle)> {
    if Path::new(what).is_file() {
        let bundle = read_bundle(Path::new(what))?;
        let story = site.story(&bundle.manifest().story.clone())?;
        let verified = bundle
            .verify(site.trust()?, &site.wanted(&story))
            .map_err(|e| CliError::refused(format!("{what} may not run against this site")).because(&e))?;
        return Ok((story, verified));
    }
    let story = site.story(&story_id(what)?)?;
    let bundle = site.verified(&story)?;
    Ok((story, bundle))
}

/// A file of its own for each decision, in one piece: two that decide at once both stand. One that is there already is of the same
/// key about the same bundle, and is replaced.
fn write(site: &Path, decided: &Decided, key: &Digest, text: &str) -> Result<PathBuf> {
    let folder = site.join(FOLDER);
    let short = |digest: &Digest| digest.hex()[..16].to_owned();
    let file = folder.join(format!("{}-{}.{}.json", decided.story, short(&decided.bundle), short(key)));
    fs::create_dir_all(&folder)
        .map_err(|e| CliError::user(format!("{} cannot be made", folder.display())).because(&e))?;
    write_whole(&file, text.as_bytes())?;
    Ok(file)
}
