//! Plans that were shown, kept by their digest in the user's cache, so that `--expect` can say what has changed since.
//!
//! Nothing here is trusted: a plan is used only if its own digest is the one that was asked for. Without a cache folder
//! everything works; only the difference cannot be shown.

use std::{fs, io::Write as _, path::PathBuf};
use unship_policy::Digest;
use unship_rollback::Plan;

/// Plans kept at most; the oldest go first.
const PLANS_MAX: usize = 100;

fn folder() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("unship/plans"))
}

/// Keeps a plan that was shown.
pub fn keep(plan: &Plan) {
    let kept = folder().map(|folder| {
        fs::create_dir_all(&folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&folder)?;
        file.write_all(&serde_json::to_vec(plan)?)?;
        file.persist(folder.join(format!("{}.json", plan.digest().hex())))?;
        prune(&folder)
    });
    if let Some(Err(e)) = kept {
        tracing::debug!(error = %e, "the plan is not kept; `--expect` will not be able to show a difference");
    }
}

fn prune(folder: &std::path::Path) -> std::io::Result<()> {
    let mut plans: Vec<_> = fs::read_dir(folder)?
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    plans.sort();
    let surplus = plans.len().saturating_sub(PLANS_MAX);
    plans.iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
}

/// The plan with this digest, if it was shown here.
pub fn find(digest: &Digest) -> Option<Plan> {
    let bytes = fs::read(folder()?.join(format!("{}.json", digest.hex()))).ok()?;
    serde_json::from_slice::<Plan>(&bytes).ok().filter(|plan| plan.digest() == *digest)
}
