//! `unship trust init`: the first version of a trust root.

use super::next::Chain;
use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    keys::{SignerArgs, public_key},
    trust,
    wiring::SystemClock,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use unship_policy::{APPROVER, Moment, Name, PublicKey, ROOT, Role, Root, StoryPattern, Tier, TrustedKey};
use unship_rollback::Clock as _;

/// Makes the first version of the trust root, signed by its own keys, and lets this site go by it. Further keys and roles come
/// by `unship trust add`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    signer: SignerArgs,
    /// A further key of the role `root`, beside the one that signs
    #[arg(long, value_name = "KEY")]
    root: Vec<String>,
    /// How many keys of the role `root` must sign each version
    #[arg(long, value_name = "N", default_value_t = 1)]
    threshold: u32,
    /// A key that may sign every story (role `release`, tier owned, one signature); more precise roles come by `trust add`
    #[arg(long, value_name = "KEY")]
    release: Vec<String>,
    /// A person and the key by which they approve, as `ada=KEY`
    #[arg(long, value_name = "OWNER=KEY")]
    approver: Vec<String>,
    /// How many people must approve before what has expired is accepted; without it, it never is
    #[arg(long, value_name = "N")]
    break_glass: Option<u32>,
    /// When it expires
    #[arg(long, value_name = "DURATION", value_parser = unship_policy::parse_duration, default_value = "365d")]
    expires_in: Duration,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let chain = Chain::read(context)?;
    if let Some(file) = chain.files().last() {
        return Err(CliError::user(format!("{} holds version {} already", chain.folder().display(), file.version))
            .hint("`unship trust add`, `rotate`, `revoke` and `renew` make the next one"));
    }
    let signer = args.signer.signer()?;
    let mut keys = Keys::default();
    let further = args.root.iter().map(|text| public_key(text)).collect::<Result<Vec<_>>>()?;
    let release = args.release.iter().map(|text| public_key(text)).collect::<Result<Vec<_>>>()?;
    let release = keys.take("release", release, None)?;
    let root_keys = keys.take("root", [signer.public()].into_iter().chain(further), None)?;
    let mut approvers = BTreeSet::new();
    for text in &args.approver {
        let (owner, key) = text
            .split_once('=')
            .ok_or_else(|| CliError::user(format!("{text:?} does not say whose key it is, as in `ada=KEY`")))?;
        approvers.extend(keys.take(owner, [public_key(key)?], Some(owner))?);
    }
    let all = vec![StoryPattern::parse("*").map_err(CliError::user)?];
    let role = |keys, threshold, stories| Role { keys, threshold, stories, tier: Tier::Owned };
    let mut roles = BTreeMap::from([(name(ROOT)?, role(root_keys, args.threshold, Vec::new()))]);
    if !release.is_empty() {
        roles.insert(name("release")?, role(release, 1, all));
    }
    if !approvers.is_empty() {
        roles.insert(name(APPROVER)?, role(approvers, 1, Vec::new()));
    }
    let now_ms = SystemClock.now_ms();
    let root = Root {
        version: 1,
        issued: Moment::from_ms(now_ms),
        expires: Moment::after(now_ms, args.expires_in),
        keys: keys.0,
        roles,
        revoked_keys: BTreeMap::new(),
        revoked_bundles: BTreeMap::new(),
        break_glass: args.break_glass,
        clock_ran_ahead_to: BTreeSet::new(),
    };
    let exit = chain.publish(context, &root, &*signer)?;
    // Whoever makes it knows that it is the right one.
    if let Some(store) = chain.store()?
        && trust::accepted(&store)?.is_none()
        && let Ok(trust) = Chain::read(context)?.newest()
    {
        trust::accept(&store, trust.accepted())?;
        context.out.note("this site goes by it from now on");
    }
    Ok(exit)
}

/// A name from the command line.
pub fn name(text: &str) -> Result<Name> {
    Name::new(text).map_err(|e| CliError::user("that is no name").because(&e))
}

/// Keys by their names; one key keeps the name that it got first.
#[derive(Default)]
struct Keys(BTreeMap<Name, TrustedKey>);

impl Keys {
    fn take(
        &mut self,
        base: &str,
        new: impl IntoIterator<Item = PublicKey>,
        owner: Option<&str>,
    ) -> Result<BTreeSet<Name>> {
        let mut names = BTreeSet::new();
        for public in new {
            let known = self.0.iter_mut().find(|(_, known)| known.public.id() == public.id());
            if let Some((known_name, known)) = known {
                known.owner = known.owner.take().or_else(|| owner.map(str::to_owned));
                names.insert(known_name.clone());
                continue;
            }
            let mut free = name(base)?;
            let mut number = 2;
            while self.0.contains_key(&free) {
                free = name(&format!("{base}-{number}"))?;
                number += 1;
            }
            let key = TrustedKey { public, owner: owner.map(str::to_owned), not_before: None, not_after: None };
            self.0.insert(free.clone(), key);
            names.insert(free);
        }
        Ok(names)
    }
}
