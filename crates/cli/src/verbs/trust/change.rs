//! `unship trust add | rotate | revoke | renew | clock`: the next version with one thing changed.

use super::{init::name, next::Chain};
use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    history::History,
    keys::{SignerArgs, public_key},
    site::read_bundle,
    wiring::SystemClock,
};
use std::{collections::BTreeSet, path::PathBuf, time::Duration};
use unship_policy::{APPROVER, Digest, Moment, Name, ROOT, Role, Root, StoryPattern, Tier, TrustedKey};
use unship_rollback::Clock as _;

/// Adds a key, a role, or a key to a role; or changes what a role may sign.
#[derive(clap::Args)]
pub struct AddArgs {
    /// The key's name
    name: String,
    #[command(flatten)]
    signer: SignerArgs,
    /// The key, where it is new
    #[arg(long = "add-key", value_name = "KEY")]
    new: Option<String>,
    /// Whose it is; every approver's key needs it
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// From when on it counts
    #[arg(long, value_name = "MOMENT", requires = "new")]
    not_before: Option<Moment>,
    /// Up to when it counts
    #[arg(long, value_name = "MOMENT", requires = "new")]
    not_after: Option<Moment>,
    /// The role that it gets; made where it is new
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// Which stories the role may sign, such as `1.3` or `1.*`; replaces what it had
    #[arg(long, value_name = "PATTERN", requires = "role")]
    story: Vec<String>,
    /// How far the role is trusted: owned, partner or community
    #[arg(long, value_name = "TIER", requires = "role", value_parser = tier)]
    tier: Option<Tier>,
    /// How many keys of the role must sign
    #[arg(long, value_name = "N", requires = "role")]
    threshold: Option<u32>,
}

/// Puts another key in the place of one, under a name of its own, in every role that it has. The old one is gone, and not revoked.
#[derive(clap::Args)]
pub struct RotateArgs {
    /// The name of the key that goes
    name: String,
    #[command(flatten)]
    signer: SignerArgs,
    /// The key that comes
    #[arg(long, value_name = "KEY")]
    to: String,
    /// Its name; without it, the old one's
    #[arg(long, value_name = "NAME")]
    to_name: Option<String>,
}

/// Revokes a key, or one very bundle: it counts for nothing any more, in this and every later version.
#[derive(clap::Args)]
#[group(id = "revoked", required = true, multiple = false, args = ["name", "key_text", "bundle", "digest"])]
pub struct RevokeArgs {
    /// The name of the key
    name: Option<String>,
    /// A key that the root does not name any more
    #[arg(long = "public-key", value_name = "KEY")]
    key_text: Option<String>,
    /// The bundle in this file
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// The bundle of this digest
    #[arg(long, value_name = "DIGEST")]
    digest: Option<String>,
    /// Why, for everybody who meets it
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    signer: SignerArgs,
}

/// Makes the next version with a later end, and nothing else changed.
#[derive(clap::Args)]
pub struct RenewArgs {
    /// When it expires, from now on
    #[arg(long, value_name = "DURATION", value_parser = unship_policy::parse_duration, default_value = "365d")]
    expires_in: Duration,
    #[command(flatten)]
    signer: SignerArgs,
}

/// Says that this site's clock ran ahead, so that the records that it wrote meanwhile do not stop everything until their time
/// has come: for the very moment of the journal's newest record, and no other. From then on no clock before this version's
/// issue is believed.
#[derive(clap::Args)]
pub struct ClockArgs {
    /// The moment of the newest record; without it, that of the journal here
    #[arg(long, value_name = "MOMENT")]
    ran_ahead_to: Option<Moment>,
    #[command(flatten)]
    signer: SignerArgs,
}

fn tier(text: &str) -> std::result::Result<Tier, String> {
    [Tier::Owned, Tier::Partner, Tier::Community]
        .into_iter()
        .find(|tier| tier.to_string() == text)
        .ok_or_else(|| "it is owned, partner or community".to_owned())
}

fn begin(context: &Context) -> Result<(Chain, Root)> {
    let chain = Chain::read(context)?;
    let root = Chain::next_of(chain.newest()?.root())?;
    Ok((chain, root))
}

fn known(root: &Root, text: &str) -> Result<Name> {
    let wanted = name(text)?;
    if root.keys.contains_key(&wanted) {
        return Ok(wanted);
    }
    let names: Vec<&str> = root.keys.keys().map(Name::as_str).collect();
    Err(CliError::user(format!("the trust root knows no key {text:?}")).cause(format!("it knows {}", names.join(", "))))
}

/// Runs `trust add`.
pub fn add(context: &Context, args: &AddArgs) -> Result<Exit> {
    let (chain, mut root) = begin(context)?;
    let key = match &args.new {
        None => known(&root, &args.name)?,
        Some(text) => {
            let key = name(&args.name)?;
            if root.keys.contains_key(&key) {
                return Err(CliError::user(format!("the trust root has a key `{key}` already"))
                    .hint("`unship trust rotate` puts another in its place"));
            }
            let (not_before, not_after) = (args.not_before, args.not_after);
            let new = TrustedKey { public: public_key(text)?, owner: None, not_before, not_after };
            if let Some((known, _)) = root.key_by_id(new.public.id()) {
                return Err(CliError::user(format!("that is the key `{known}`: with two names it would count twice")));
            }
            root.keys.insert(key.clone(), new);
            key
        }
    };
    if let (Some(owner), Some(known)) = (&args.owner, root.keys.get_mut(&key)) {
        known.owner = Some(owner.clone());
    }
    if let Some(role) = &args.role {
        let role_name = name(role)?;
        let signs_stories = !matches!(role_name.as_str(), ROOT | APPROVER);
        let stories = args.story.iter().map(|text| StoryPattern::parse(text).map_err(CliError::user));
        let stories = stories.collect::<Result<Vec<_>>>()?;
        let is_new = !root.roles.contains_key(&role_name);
        if is_new && signs_stories && (stories.is_empty() || args.tier.is_none()) {
            return Err(CliError::user(format!(
                "the role {role:?} is new: which stories may it sign, and how far is it trusted?"
            ))
            .hint("give --story PATTERN and --tier owned, partner or community"));
        }
        if !signs_stories && (!stories.is_empty() || args.tier.is_some()) {
            return Err(CliError::user(format!(
                "the role {role:?} signs no stories, so it has no --story and no --tier"
            )));
        }
        let new = Role { keys: BTreeSet::new(), threshold: 1, stories: Vec::new(), tier: Tier::Owned };
        let role = root.roles.entry(role_name).or_insert(new);
        role.keys.insert(key);
        if !stories.is_empty() {
            role.stories = stories;
        }
        role.tier = args.tier.unwrap_or(role.tier);
        role.threshold = args.threshold.unwrap_or(role.threshold);
    }
    chain.publish(context, &root, &*args.signer.signer()?)
}

/// Runs `trust rotate`.
pub fn rotate(context: &Context, args: &RotateArgs) -> Result<Exit> {
    let (chain, mut root) = begin(context)?;
    let old = known(&root, &args.name)?;
    let new = args.to_name.as_deref().map_or_else(|| Ok(old.clone()), name)?;
    let public = public_key(&args.to)?;
    if let Some((known, _)) = root.key_by_id(public.id()) {
        return Err(CliError::user(format!("the trust root has that key already, as `{known}`")));
    }
    if new != old && root.keys.contains_key(&new) {
        return Err(CliError::user(format!("the trust root has a key `{new}` already")));
    }
    let owner = root.keys.remove(&old).and_then(|key| key.owner);
    root.keys.insert(new.clone(), TrustedKey { public, owner, not_before: None, not_after: None });
    for role in root.roles.values_mut() {
        if role.keys.remove(&old) {
            role.keys.insert(new.clone());
        }
    }
    chain.publish(context, &root, &*args.signer.signer()?)
}

/// Runs `trust revoke`. A revoked key leaves its roles; where too few are left for a threshold, nothing is changed.
pub fn revoke(context: &Context, args: &RevokeArgs) -> Result<Exit> {
    let (chain, mut root) = begin(context)?;
    let reason = args.reason.trim().to_owned();
    let digest = match (&args.bundle, &args.digest) {
        (Some(file), _) => Some(read_bundle(file)?.digest()),
        (None, Some(text)) => Some(Digest::parse(text).ok_or_else(|| {
            CliError::user(format!("{text:?} is not a bundle's digest")).hint("`unship inspect` prints it")
        })?),
        (None, None) => None,
    };
    if let Some(digest) = digest {
        if root.revoked_bundles.insert(digest, reason).is_some() {
            return Err(CliError::user(format!("{digest} is revoked already")));
        }
        return chain.publish(context, &root, &*args.signer.signer()?);
    }
    let public = match (&args.name, &args.key_text) {
        (Some(text), _) => {
            let key = known(&root, text)?;
            for (role_name, role) in &mut root.roles {
                if role.keys.remove(&key) && role.keys.len() < role.threshold as usize {
                    return Err(CliError::refused(format!("without `{key}` the role `{role_name}` has too few keys"))
                        .cause(format!("its threshold is {}, and {} would be left", role.threshold, role.keys.len()))
                        .hint("`unship trust rotate` first puts another key in its place"));
                }
            }
            root.keys.remove(&key).map(|key| key.public)
        }
        (None, Some(text)) => {
            let public = public_key(text)?;
            if let Some((known, _)) = root.key_by_id(public.id()) {
                return Err(CliError::user(format!("the trust root names that key: revoke it as `{known}`")));
            }
            Some(public)
        }
        (None, None) => None,
    };
    let public = public.ok_or_else(|| CliError::user("what is to be revoked?"))?;
    root.revoked_keys.insert(public.id(), (public, reason));
    chain.publish(context, &root, &*args.signer.signer()?)
}

/// Runs `trust renew`.
pub fn renew(context: &Context, args: &RenewArgs) -> Result<Exit> {
    let (chain, mut root) = begin(context)?;
    root.expires = Moment::after(SystemClock.now_ms(), args.expires_in);
    chain.publish(context, &root, &*args.signer.signer()?)
}

/// Runs `trust clock`.
pub fn clock(context: &Context, args: &ClockArgs) -> Result<Exit> {
    let (chain, mut root) = begin(context)?;
    let written = match (args.ran_ahead_to, chain.store()?) {
        (Some(moment), _) => Some(moment),
        (None, Some(store)) => History::read(&store)?.memory().newest_of_all(),
        (None, None) => None,
    };
    let now = Moment::from_ms(SystemClock.now_ms());
    let written = written.ok_or_else(|| {
        CliError::user("there is no journal here to say how far the clock ran ahead").hint("give --ran-ahead-to MOMENT")
    })?;
    if written <= now {
        return Err(CliError::user("no clock ran ahead")
            .cause(format!("the newest record is of {written}, and it is {now}"))
            .hint("set the clock right first; a clock that was set back is mended by nothing else"));
    }
    if !root.clock_ran_ahead_to.insert(written) {
        return Err(CliError::user(format!("the trust root says so of {written} already")));
    }
    chain.publish(context, &root, &*args.signer.signer()?)
}
