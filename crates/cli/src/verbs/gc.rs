//! `unship gc`: removes the before-images of runs that are long over.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    session::Session,
    wiring::SystemClock,
};
use rustix::fd::AsFd as _;
use std::{path::PathBuf, sync::Arc, time::Duration};
use unship_host::{effects::SiteEffects, tree::trash::TRASH};
use unship_rollback::{Clock as _, Event, RunId, RunState};
use unship_store::{ImageError, RunImages, SpaceLimit, Usage};

/// Removes what is kept of before by runs that ended longer ago than the site keeps it (`keep-images` in
/// policies/site.toml, 30 days without it); such a run cannot be undone any more, and the journal says so. What a run in flight, a
/// Stuck one or a younger one may still need stays, and so does what stories set aside in the site itself.
#[derive(clap::Args)]
pub struct Args {
    /// Another age than the site's, such as 7d
    #[arg(long, value_name = "DURATION", value_parser = unship_policy::parse_duration)]
    older_than: Option<Duration>,
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let session = Session::open(context, &[])?;
    let keep = args.older_than.unwrap_or(session.site.policy.keep_images);
    let now_ms = SystemClock.now_ms();
    let (mut runs, mut total, mut kept) = (0u64, Usage::default(), 0u64);
    for state in session.history.runs() {
        let Some(run) = state.run() else { continue };
        // What an earlier gc was killed over is removed at once.
        let is_old = u128::from(now_ms.saturating_sub(state.ended_ms())) >= keep.as_millis();
        let goes = state.has_lost_images() || (state.may_lose_images() && is_old);
        let images = Kept::open(&session, run, state)?;
        let usage = images.walk(false)?;
        if usage.entries == 0 {
            continue;
        }
        if !goes {
            kept += 1;
            continue;
        }
        if !args.dry_run {
            if !state.has_lost_images() {
                // First: from here on nobody relies on what is about to go.
                session.note(run, state, Event::ImagesRemoved { entries: usage.entries })?;
            }
            images.walk(true)?;
        }
        runs += 1;
        total.entries += usage.entries;
        total.bytes += usage.bytes;
        let word = if args.dry_run { "would be removed" } else { "removed" };
        session.out.text(format!("run {run}: {} entries, {} bytes {word}", usage.entries, usage.bytes));
        session.out.object(&serde_json::json!({
            "type": "images", "run": run, "entries": usage.entries, "bytes": usage.bytes, "removed": !args.dry_run,
        }));
    }
    session.out.text(format!(
        "{runs} runs, {} entries, {} bytes{}; {kept} runs keep theirs",
        total.entries,
        total.bytes,
        if args.dry_run { " would be removed" } else { "" }
    ));
    session.out.summary(serde_json::json!({
        "runs": runs, "entries": total.entries, "bytes": total.bytes, "kept": kept, "dry_run": args.dry_run,
    }));
    Ok(Exit::Done)
}

/// All that one run keeps, on whatever file systems.
struct Kept<'a> {
    images: RunImages,
    effects: Option<SiteEffects>,
    state: &'a RunState,
}

impl<'a> Kept<'a> {
    fn open(session: &Session, run: &RunId, state: &'a RunState) -> Result<Kept<'a>> {
        let images = session.store.run_images(run.as_str(), Arc::new(SpaceLimit::new(0, 0))).map_err(|e| wrong(&e))?;
        // A story that is no story of the site any more leaves its trash elsewhere to whoever knows of it.
        let definitions = session.definitions(state.story()).ok();
        let effects = definitions.and_then(|definitions| {
            let images = session.images(run, 0).ok()?;
            session.effects(run, definitions, &images).ok()
        });
        Ok(Kept { images, effects, state })
    }

    fn walk(&self, remove: bool) -> Result<Usage> {
        let own = if remove { self.images.remove() } else { self.images.usage() };
        let mut usage = own.map_err(|e| wrong(&e))?;
        let homes = self.effects.as_ref().zip(self.state.plan()).map(|(effects, plan)| effects.homes_elsewhere(plan));
        for home in homes.into_iter().flatten() {
            let shown = PathBuf::from(home.place.to_string());
            let there = self.images.usage_elsewhere(home.dir.as_fd(), &shown, TRASH, remove);
            let there = there.map_err(|e| wrong(&e))?;
            usage.entries += there.entries;
            usage.bytes += there.bytes;
        }
        Ok(usage)
    }
}

fn wrong(e: &ImageError) -> CliError {
    CliError::user("what runs keep of before cannot be looked at or removed")
        .because(e)
        .hint("nothing else was touched")
}
