//! From a resolved story to its plan, its run and its checks: each unit in a fresh instance behind a gate of its own, one
//! world handed from gate to gate.

use crate::{
    gate::{Gate, Ground, Images, Pinned, RunUse, SafetyLook, Use, World, WorldError, Written},
    sandbox::{
        Code, Engine, Entry, Interrupt, Kind, LinkError, Loaded, Stdio, StepEnd, StepNamesError, link, run_step,
        step_names,
    },
};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};
use unship_policy::{Denial, Digest, ResolvedStory, Unit, UnitKind};
use unship_rollback::{Faults, Line, Plan, PlannedUnit, Recorder, StepRunner, UnitEnd, UnitRole, Weakening};

/// A story whose component is compiled, linked to what its manifest requests, and knows every step that the manifest
/// names.
pub struct LinkedStory {
    resolved: ResolvedStory,
    loaded: Loaded,
    kind: Kind,
}

/// Why a story's component does not fit its manifest.
#[derive(Debug, thiserror::Error)]
pub enum StoryError {
    /// It imports what is not requested or not offered.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It does not say which steps it knows.
    #[error(transparent)]
    Names(#[from] StepNamesError),
    /// The manifest names a step that it does not know.
    #[error("the manifest names the {kind} `{unit}`, which the component does not know (it knows: {known})")]
    UnknownUnit {
        /// What the unit is.
        kind: &'static str,
        /// Its name.
        unit: String,
        /// What it does know.
        known: String,
    },
    /// A plain WASI program is one step.
    #[error("a plain WASI program is one step: the manifest must hold exactly one `[[step]]` and no checks")]
    NotOneStep,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The site's folders.
    #[error(transparent)]
    World(#[from] WorldError),
    /// A unit came to nothing when it was tried against the overlay.
    #[error("{role} `{unit}`: {reason}")]
    Unit {
        /// The unit's part.
        role: &'static str,
        /// Its name.
        unit: String,
        /// What it said, or what ended it.
        reason: String,
        /// The calls that were denied to it.
        denied: Vec<Denial>,
        /// The last lines that it printed or logged.
        lines: Vec<Line>,
    },
}

/// Where and as what a story is planned, run or checked.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// The site, absolute and canonical.
    pub site: &'a Path,
    /// The run's id, for the names of things set aside.
    pub run: &'a str,
    /// The guest's clock, milliseconds since the epoch.
    pub clock_ms: u64,
}

/// How one check ended.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Its end.
    pub end: UnitEnd,
}

impl LinkedStory {
    /// Links `code`, which must be the native code of the story's verified bytes.
    ///
    /// # Errors
    /// [`StoryError`] when component and manifest do not fit.
    pub fn link(engine: &Engine, code: &Code, kind: Kind, resolved: ResolvedStory) -> Result<LinkedStory, StoryError> {
        let manifest = resolved.bundle.manifest();
        let requested: BTreeSet<String> = manifest.interfaces().into_iter().map(str::to_owned).collect();
        let loaded = link(engine, code, kind, &requested)?;
        match kind {
            Kind::Step => {
                let known = step_names(&loaded, &resolved.limits)?;
                if let Some(unit) = manifest.units.iter().find(|u| !known.iter().any(|k| k == u.name.as_str())) {
                    return Err(StoryError::UnknownUnit {
                        kind: unit.kind.word(),
                        unit: unit.name.to_string(),
                        known: known.join(", "),
                    });
                }
            }
            Kind::Command if manifest.units.len() == 1 => {}
            Kind::Command => return Err(StoryError::NotOneStep),
        }
        Ok(LinkedStory { resolved, loaded, kind })
    }

    /// How a person ends a step of it.
    pub fn interrupt(&self) -> Interrupt {
        self.loaded.engine().interrupt().clone()
    }

    /// What was resolved.
    pub fn resolved(&self) -> &ResolvedStory {
        &self.resolved
    }

    /// Runs every step and precondition for real against an overlay whose new content goes into `scratch`. The site is
    /// not changed.
    ///
    /// # Errors
    /// [`PlanError`] with the unit that came to nothing.
    pub fn plan(&self, setting: Setting<'_>, scratch: &Path) -> Result<Plan, PlanError> {
        let ground = Ground::Planned { scratch, bytes_max: self.resolved.limits.images_bytes_max };
        let definitions = self.resolved.definitions.clone();
        let mut world =
            Box::new(World::open(setting.site, definitions, setting.run, ground)?.held_by(&self.resolved.grants));
        let manifest = self.resolved.bundle.manifest();
        let mut plan = Plan {
            format: Plan::FORMAT,
            story: manifest.story.to_string(),
            variant: self.resolved.variant.as_ref().map(|variant| variant.name.to_string()),
            version: manifest.version_text(),
            title: self.resolved.title.clone(),
            bundle: self.resolved.bundle.digest(),
            resolved: self.resolved.digest(),
            on_fail: self.resolved.on_fail,
            already: false,
            clock_ms: setting.clock_ms,
            units: Vec::new(),
            weakens: Vec::new(),
            checklist: Vec::new(),
            trust: None,
        };
        let before = world.look_at_safety();
        for (index, unit) in self.resolved.units() {
            let mut effects = Vec::new();
            let wanted = unit.kind != UnitKind::Verification && !plan.already;
            if wanted {
                let (back, written, end) = self.unit(index, world, setting.clock_ms, Use::Plan);
                world = back;
                match (unit.kind, end) {
                    (UnitKind::Already, end) => {
                        plan.already = end == UnitEnd::Succeeded;
                        continue;
                    }
                    (_, UnitEnd::Succeeded) => effects = written.effects,
                    (kind, UnitEnd::Failed(reason) | UnitEnd::Broken(reason)) => {
                        let (role, unit) = (kind.word(), unit.name.to_string());
                        let (denied, lines) = (written.denied, written.last_lines);
                        return Err(PlanError::Unit { role, unit, reason, denied, lines });
                    }
                }
            }
            if let Some(role) = UnitRole::of(unit.kind) {
                plan.units.push(PlannedUnit { name: unit.name.to_string(), title: unit.title.clone(), role, effects });
            }
        }
        let after = world.look_at_safety();
        plan.weakens = world.weakened(&before, &after);
        Ok(plan.with_checklist(&self.resolved.checklist))
    }

    /// Runs the verifications of its variant alone, against the site as it is; nothing is changed or journalled.
    ///
    /// # Errors
    /// [`WorldError`] for the site's folders.
    pub fn check(&self, setting: Setting<'_>, mut seen: impl FnMut(&Checked)) -> Result<Vec<Checked>, WorldError> {
        let definitions = self.resolved.definitions.clone();
        let mut world =
            Box::new(World::open(setting.site, definitions, setting.run, Ground::Live)?.held_by(&self.resolved.grants));
        let mut all = Vec::new();
        for (index, unit) in self.resolved.units() {
            if unit.kind != UnitKind::Verification {
                continue;
            }
            let (back, _, end) = self.unit(index, world, setting.clock_ms, Use::Plan);
            world = back;
            let checked = Checked { name: unit.name.to_string(), title: unit.title.clone(), end };
            seen(&checked);
            all.push(checked);
        }
        Ok(all)
    }

    /// Asks the check named by `already` of the site as it is: whether the story is taken back. `None`: it has none.
    ///
    /// # Errors
    /// [`WorldError`] for the site's folders.
    pub fn already(&self, setting: Setting<'_>) -> Result<Option<UnitEnd>, WorldError> {
        let mut units = self.resolved.units();
        let Some((index, _)) = units.find(|(_, unit)| unit.kind == UnitKind::Already) else { return Ok(None) };
        let definitions = self.resolved.definitions.clone();
        let world = Box::new(World::open(setting.site, definitions, setting.run, Ground::Live)?);
        let (_, _, end) = self.unit(index, world, setting.clock_ms, Use::Plan);
        Ok(Some(end))
    }

    /// One unit from gate to end.
    fn unit(&self, index: usize, world: Box<World>, clock_ms: u64, use_: Use) -> (Box<World>, Written, UnitEnd) {
        let manifest = self.resolved.bundle.manifest();
        let unit: &Unit = &manifest.units[index];
        let seed = Digest::of_parts(&[self.resolved.bundle.digest().bytes(), unit.name.as_str().as_bytes()]);
        let (seed, _) = seed.bytes().split_at(8);
        let pinned = Pinned {
            clock: SystemTime::UNIX_EPOCH + Duration::from_millis(clock_ms),
            seed: seed.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)),
        };
        let grant = self.resolved.grants[index].clone();
        let gate = Gate::new(world, grant, self.resolved.limits.clone(), pinned, use_);
        let program: Vec<String>;
        let entry = match self.kind {
            Kind::Step => Entry::Step(unit.name.as_str()),
            Kind::Command => {
                program = std::iter::once(unit.name.to_string()).chain(manifest.argv.iter().cloned()).collect();
                Entry::Command { args: &program, env: &[] }
            }
        };
        let (gate, end) = run_step(&self.loaded, entry, gate, Stdio::Captured);
        let (world, written, finished) = gate.finish(end == StepEnd::Succeeded);
        let end = match (end, finished) {
            (StepEnd::Succeeded, Ok(())) => UnitEnd::Succeeded,
            (StepEnd::Succeeded, Err(stop)) | (StepEnd::Stopped(stop), _) => UnitEnd::Broken(stop.to_string()),
            (StepEnd::Failed(message), _) => UnitEnd::Failed(unship_rollback::neutralise(message.trim_end())),
            (StepEnd::ExitedWith(status), _) => UnitEnd::Failed(format!("it exited with status {status}")),
            (StepEnd::Trapped(text), _) => UnitEnd::Broken(unship_rollback::neutralise_lines(&text)),
        };
        (world, written, end)
    }
}

/// The runner of one live run.
pub struct LiveRunner<'a> {
    story: &'a LinkedStory,
    world: Option<Box<World>>,
    /// By what safety properties are told, before the first step of this process; what was cut off before is taken back by
    /// then.
    safety: Option<SafetyLook>,
    recorder: Recorder,
    images: Box<dyn FnMut() -> Box<dyn Images> + 'a>,
    faults: Arc<dyn Faults>,
    clock_ms: u64,
}

impl<'a> LiveRunner<'a> {
    /// A runner on the disk itself. `images` gives each step its way to the before-images.
    ///
    /// # Errors
    /// [`WorldError`] for the site's folders.
    pub fn new(
        story: &'a LinkedStory,
        setting: Setting<'_>,
        recorder: Recorder,
        images: Box<dyn FnMut() -> Box<dyn Images> + 'a>,
        faults: Arc<dyn Faults>,
    ) -> Result<LiveRunner<'a>, WorldError> {
        let definitions = story.resolved.definitions.clone();
        let world = Box::new(
            World::open(setting.site, definitions, setting.run, Ground::Live)?.held_by(&story.resolved.grants),
        );
        Ok(LiveRunner { story, world: Some(world), safety: None, recorder, images, faults, clock_ms: setting.clock_ms })
    }
}

impl StepRunner for LiveRunner<'_> {
    fn run(&mut self, position: usize, unit: &PlannedUnit, made_before: &[usize]) -> UnitEnd {
        let index = self.story.resolved.units().find(|(_, u)| u.name.as_str() == unit.name).map(|(index, _)| index);
        let (Some(index), Some(mut world)) = (index, self.world.take()) else {
            return UnitEnd::Broken("the plan names a step that the bundle does not have".to_owned());
        };
        let before = self.safety.get_or_insert_with(|| world.look_at_safety());
        let first = self.recorder.state().plan().map_or(0, |plan| plan.number(position, 0));
        let use_ = Use::Run(RunUse {
            recorder: self.recorder.clone(),
            planned: unit.effects.clone(),
            made_before: made_before.to_vec(),
            first,
            images: (self.images)(),
            faults: self.faults.clone(),
        });
        let (mut world, _, mut end) = self.story.unit(index, world, self.clock_ms, use_);
        // A plan cannot see what a command does; what it did is seen here.
        if unit.role == UnitRole::Step && end == UnitEnd::Succeeded {
            let after = world.look_at_safety();
            let planned = |w: &Weakening| {
                self.recorder.state().plan().is_some_and(|p| p.weakens.iter().any(|p| p.property == w.property))
            };
            let beside_plan: Vec<String> =
                world.weakened(before, &after).iter().filter(|w| !planned(w)).map(ToString::to_string).collect();
            if !beside_plan.is_empty() {
                end = UnitEnd::Broken(format!("it weakened, beside the plan, {}", beside_plan.join("; ")));
            }
        }
        self.world = Some(world);
        end
    }
}
