//! From a resolved story to one that can run: its component checked, compiled (or found compiled), linked.

use crate::error::{CliError, Result};
use unship_host::{
    runner::LinkedStory,
    sandbox::{CompileLimits, Compiler, Engine, Kind, load, seal, to_component},
};
use unship_policy::{Digest, ResolvedStory};
use unship_store::SiteStore;

/// Links `resolved`. Native code comes from the site's cache, where it was authenticated, or is made in a process of its
/// own and kept there.
pub fn link(resolved: ResolvedStory, store: &SiteStore) -> Result<LinkedStory> {
    let component = to_component(resolved.bundle.component()).map_err(|e| unfit(&e))?;
    let engine = Engine::new().map_err(|e| machine(&e))?;
    let key = key(&component.bytes, &engine);
    let cache = store.code().map_err(|e| machine(&e))?;
    let code = match cache.open(&key).map_err(|e| machine(&e))?.map(|fd| load(&engine, fd)) {
        Some(Ok(code)) => code,
        other => {
            if let Some(Err(e)) = other {
                tracing::warn!(error = %e, "cached native code does not load; making it anew");
            }
            let native = compile(&component.bytes)?;
            if let Err(e) = cache.put(&key, &native) {
                tracing::warn!(error = %e, "native code is not kept; the next command makes it again");
            }
            load(&engine, seal(&native).map_err(|e| machine(&e))?).map_err(|e| machine(&e))?
        }
    };
    LinkedStory::link(&engine, &code, component.kind, resolved).map_err(|e| unfit(&e))
}

/// Whether native code for it lies in the site's cache: else the next plan makes it first.
pub fn is_compiled(resolved: &ResolvedStory, engine: &Engine, store: &SiteStore) -> Result<bool> {
    let component = to_component(resolved.bundle.component()).map_err(|e| unfit(&e))?;
    let found = store.code().map_err(|e| machine(&e))?.open(&key(&component.bytes, engine));
    Ok(found.map_err(|e| machine(&e))?.is_some())
}

/// Checks a component and its manifest's text against each other, as `plan` will: for authors, when packing.
pub fn check_for_packing(component: &[u8], manifest: &unship_policy::Manifest) -> Result<()> {
    let component = to_component(component).map_err(|e| unfit(&e))?;
    let requested: std::collections::BTreeSet<String> = manifest.interfaces().into_iter().map(str::to_owned).collect();
    let engine = Engine::new().map_err(|e| machine(&e))?;
    let native = compile(&component.bytes)?;
    let code = load(&engine, seal(&native).map_err(|e| machine(&e))?).map_err(|e| machine(&e))?;
    let loaded = unship_host::sandbox::link(&engine, &code, component.kind, &requested).map_err(|e| unfit(&e))?;
    if component.kind == Kind::Command {
        if manifest.units.len() != 1 {
            return Err(unfit(&unship_host::runner::StoryError::NotOneStep));
        }
        return Ok(());
    }
    let limits = unship_policy::meaning::Limits::default();
    let known = unship_host::sandbox::step_names(&loaded, &limits).map_err(|e| unfit(&e))?;
    match manifest.units.iter().find(|u| !known.iter().any(|k| k == u.name.as_str())) {
        None => Ok(()),
        Some(unit) => Err(unfit(&unship_host::runner::StoryError::UnknownUnit {
            kind: unit.kind.word(),
            unit: unit.name.to_string(),
            known: known.join(", "),
        })),
    }
}

fn compile(component: &[u8]) -> Result<Vec<u8>> {
    Compiler::own().compile(component, &CompileLimits::default()).map_err(|e| unfit(&e))
}

/// Everything that native code depends on: the component as the engine gets it, and the engine. A new manifest, policy or
/// signature around the same component needs no new code.
fn key(component: &[u8], engine: &Engine) -> String {
    let fingerprint: String = engine.fingerprint().iter().map(|b| format!("{b:02x}")).collect();
    format!("{}-{}", Digest::of(component).hex(), &fingerprint[..32])
}

fn unfit(e: &(dyn std::error::Error + 'static)) -> CliError {
    CliError::refused("the bundle cannot be run").because(e)
}

fn machine(e: &(dyn std::error::Error + 'static)) -> CliError {
    CliError::user("unship cannot work on this machine").because(e)
}
