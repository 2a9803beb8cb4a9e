//! Requested ∩ permitted: what a step really holds. Built here and nowhere else, out of a bundle whose signatures were
//! checked and the operator's policies.

use crate::{
    Capabilities, ChecklistItem, Denial, Digest, FileError, FileRight, GrantError, Manifest, Name, OnFail, PathPattern,
    Place, PointerPattern, SitePolicy, StoryPolicy, Unit, UnitKind, UnknownVariant, Variant, VerifiedBundle,
    meaning::{FlagsFormat, FlagsMeaning, Limits},
    safety::demand_meanings,
    tables::Definitions,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::Path,
};

/// What one step or check holds. Its only sources are [`resolve`] and, for `exec`, [`Grant::whole_folders`].
#[derive(Debug, Clone)]
pub struct Grant {
    unit: String,
    requested: Capabilities,
    permitted: Capabilities,
    /// For `exec`: folders with every right, and folders with the reading ones.
    whole: BTreeMap<String, bool>,
}

/// A story that may be planned: verified bytes, grants for every unit, what names mean, limits.
#[derive(Debug, Clone)]
pub struct ResolvedStory {
    /// The bytes and their manifest.
    pub bundle: VerifiedBundle,
    /// The story's title in the policy.
    pub title: String,
    /// One grant a unit, in the manifest's order.
    pub grants: Vec<Grant>,
    /// Site and story together.
    pub definitions: Definitions,
    /// Of every step.
    pub limits: Limits,
    /// What happens when a step fails.
    pub on_fail: OnFail,
    /// What a person looks at once it is taken back, as the policy says it.
    pub checklist: Vec<ChecklistItem>,
    /// The variant that is meant; `None`: the default.
    pub variant: Option<Variant>,
}

/// Brings together what the author requests and what the operator permits.
///
/// # Errors
/// [`GrantError`]: a grant for a unit that does not exist, a request that is not permitted, a name without a meaning, a
/// name that site and story both define.
pub fn resolve(bundle: VerifiedBundle, story: &StoryPolicy, site: &SitePolicy) -> Result<ResolvedStory, GrantError> {
    let definitions = definitions(story, site)?;
    if let Some(first) = misfits(bundle.manifest(), story, &definitions).into_iter().next() {
        return Err(first);
    }
    let tier = bundle.tier();
    for unit in &bundle.manifest().units {
        if let Some(power) = unit.requests.powers().iter().find(|power| !tier.may_hold(power)) {
            let (kind, unit, power) = (unit.kind.word(), unit.name.to_string(), power.to_string());
            return Err(GrantError::BeyondTier { tier, kind, unit, power });
        }
    }
    let grant = |unit: &crate::Unit| Grant {
        unit: unit.name.as_str().to_owned(),
        requested: unit.requests.clone(),
        permitted: story.grants.get(&unit.name).map(|(powers, _)| powers.clone()).unwrap_or_default(),
        whole: BTreeMap::new(),
    };
    let grants = bundle.manifest().units.iter().map(grant).collect();
    let limits = tier.cap(story.limits(&site.limits)?);
    let checklist = story.checklist.clone();
    Ok(ResolvedStory {
        title: story.title.clone(),
        bundle,
        grants,
        definitions,
        limits,
        on_fail: story.on_fail,
        checklist,
        variant: None,
    })
}

/// All that keeps a manifest and a story's policy apart, in the order of the policy and then of the manifest; `resolve`
/// tells the first. `definitions` are those of site and story together.
pub fn misfits(manifest: &Manifest, story: &StoryPolicy, definitions: &Definitions) -> Vec<GrantError> {
    let mut found: Vec<GrantError> = Vec::new();
    for (unit, (permitted, span)) in &story.grants {
        let Some(known) = manifest.units.iter().find(|u| u.name == *unit) else {
            let names: Vec<&str> = manifest.units.iter().map(|u| u.name.as_str()).collect();
            let error = FileError::at(span.clone(), format!("story {} has no step or check named `{unit}`", story.id));
            found.push(error.help(format!("it has: {}", names.join(", "))).into());
            continue;
        };
        if known.kind != UnitKind::Step
            && let Some(power) = permitted.first_change()
        {
            let message =
                format!("`{unit}` is a {}: it only looks, so `{power}` cannot be granted to it", known.kind.word());
            found.push(FileError::at(span.clone(), message).into());
        }
    }
    let nothing = Capabilities::default();
    for unit in &manifest.units {
        let (permitted, span) = match story.grants.get(&unit.name) {
            Some((powers, span)) => (powers, Some(span)),
            None => (&nothing, None),
        };
        let (kind, name) = (unit.kind.word(), unit.name.as_str());
        let mut fit = Fit { story: story.id.as_str(), kind, unit: name, span, found: &mut found };
        fit.permits(&unit.requests, permitted);
        fit.names_mean(&unit.requests, definitions);
    }
    found
}

struct Fit<'a> {
    story: &'a str,
    kind: &'static str,
    unit: &'a str,
    span: Option<&'a Range<usize>>,
    found: &'a mut Vec<GrantError>,
}

impl Fit<'_> {
    fn refuse(&mut self, power: String) {
        self.found.push(GrantError::NotPermitted {
            story: self.story.to_owned(),
            kind: self.kind,
            unit: self.unit.to_owned(),
            power,
            span: self.span.cloned(),
        });
    }

    fn permits(&mut self, asked: &Capabilities, permitted: &Capabilities) {
        for power in asked.beyond(permitted) {
            self.refuse(power.to_string());
        }
    }

    fn names_mean(&mut self, asked: &Capabilities, definitions: &Definitions) {
        let (kind, unit) = (self.kind, self.unit);
        let no_meaning = |power: &str, name: &str| GrantError::NoMeaning {
            kind,
            unit: unit.to_owned(),
            power: power.to_owned(),
            name: name.to_owned(),
        };
        for (power, names) in asked.named() {
            let [table, key] = power.keys();
            for name in names {
                let known = match table {
                    "services" => definitions.services.contains_key(name),
                    "commands" => definitions.commands.contains_key(name),
                    "processes" => definitions.processes.contains_key(name),
                    "http" => definitions.http.contains_key(name),
                    "git" => definitions.git.contains_key(name),
                    _ => definitions.flags.is_some(),
                };
                if !known {
                    self.found.push(no_meaning(&format!("{table}.{key}"), name.as_str()));
                }
            }
        }
        for call in &asked.http_get {
            if let Some(meaning) = definitions.http.get(call)
                && meaning.method.changes()
            {
                self.found.push(GrantError::NotSafe {
                    kind,
                    unit: unit.to_owned(),
                    call: call.to_string(),
                    method: meaning.method.as_str(),
                });
            }
        }
        for (flag, values) in &asked.flags_set {
            let Some(FlagsMeaning { values: known, format, .. }) = &definitions.flags else {
                self.found.push(no_meaning("flags.set", flag.as_str()));
                continue;
            };
            // Which variants a flag of flagd's has stands in its file.
            let open = *format == FlagsFormat::Flagd;
            for value in values.iter().filter(|v| !open && !known.contains_key(*v)) {
                self.found.push(no_meaning("flags.set", value));
            }
        }
        let patterns = asked.files.values().flatten().chain(&asked.processes_holders);
        for pattern in patterns {
            if !definitions.folders.contains_key(pattern.folder()) {
                self.found.push(no_meaning(pattern.as_str(), pattern.folder()));
            }
        }
    }
}

/// What names mean for a story: the site's definitions and its own. Taking a run back needs these, and no bundle.
///
/// # Errors
/// [`FileError`] for a name that both define, and for a service that is named and not defined.
pub fn definitions(policy: &StoryPolicy, site: &SitePolicy) -> Result<Definitions, FileError> {
    let mut all = site.definitions.clone();
    let story = &policy.definitions;
    let twice = |what: &'static str, name: &str| FileError {
        message: format!("the {what} {name:?} is defined in site.toml already"),
        span: policy.places.get(&(what, name.to_owned())).cloned(),
        help: Some("one name has one meaning: rename or remove one of the two".to_owned()),
    };
    for (name, folder) in &story.folders {
        if all.folders.get(name).is_some_and(|known| known != folder) {
            return Err(twice("folder", name));
        }
        all.folders.insert(name.clone(), folder.clone());
    }
    if let Some(flags) = &story.flags {
        if all.flags.is_some() {
            return Err(twice("table", "flags"));
        }
        all.flags = Some(flags.clone());
    }
    for (name, meaning) in &story.commands {
        if all.commands.insert(name.clone(), meaning.clone()).is_some() {
            return Err(twice("command", name.as_str()));
        }
    }
    for (name, meaning) in &story.services {
        if all.services.insert(name.clone(), meaning.clone()).is_some() {
            return Err(twice("service", name.as_str()));
        }
    }
    for (name, meaning) in &story.http {
        if all.http.insert(name.clone(), meaning.clone()).is_some() {
            return Err(twice("http call", name.as_str()));
        }
    }
    for (name, meaning) in &story.git {
        if all.git.insert(name.clone(), meaning.clone()).is_some() {
            return Err(twice("git restore point", name.as_str()));
        }
    }
    for (name, meaning) in &story.processes {
        if all.processes.insert(name.clone(), meaning.clone()).is_some() {
            return Err(twice("process selector", name.as_str()));
        }
    }
    for (name, meaning) in &all.processes {
        if let Some(service) = meaning.started_by.as_ref().filter(|service| !all.services.contains_key(*service)) {
            return Err(FileError {
                message: format!("{name:?} is `started-by` a service that no policy knows: {:?}", service.as_str()),
                span: policy.places.get(&("process selector", name.to_string())).cloned(),
                help: Some(format!("define `[services.{service}]`, or leave `started-by` out: then a stop stays")),
            });
        }
    }
    undo_calls_mean(&all, policy)?;
    names_in_calls_mean(&all, policy)?;
    for (name, property) in &story.safety {
        if all.safety.insert(name.clone(), property.clone()).is_some() {
            return Err(twice("safety property", name.as_str()));
        }
    }
    demand_meanings(&all, &policy.places)?;
    all.folders.entry(crate::pattern::DEFAULT_FOLDER.to_owned()).or_insert_with(|| ".".to_owned());
    Ok(all)
}

/// A call that is to take another one back is one that policy defines, and that changes something.
fn undo_calls_mean(all: &Definitions, policy: &StoryPolicy) -> Result<(), FileError> {
    for (name, meaning) in &all.http {
        let Some(undo) = &meaning.undo else { continue };
        let why = match all.http.get(undo) {
            None => "no policy defines",
            Some(back) if !back.method.changes() => "changes nothing",
            Some(_) => continue,
        };
        return Err(FileError {
            message: format!("the http call `{name}` would be taken back by `{undo}`, which {why}"),
            span: policy.places.get(&("http call", name.to_string())).cloned(),
            help: Some(format!("define `[http.{undo}]` with a method that changes something, or leave `undo` out")),
        });
    }
    Ok(())
}

/// What a call is filled from is a call that policy defines and that changes nothing; what it ends is a selector of policy's.
fn names_in_calls_mean(all: &Definitions, policy: &StoryPolicy) -> Result<(), FileError> {
    for (name, meaning) in &all.http {
        let wrong = |message: String, help: String| FileError {
            message,
            span: policy.places.get(&("http call", name.to_string())).cloned(),
            help: Some(help),
        };
        for from in meaning.fill.values().map(|fill| &fill.from) {
            let why = match all.http.get(from) {
                None => "no policy defines",
                Some(asked) if asked.method.changes() => "changes something",
                Some(_) => continue,
            };
            return Err(wrong(
                format!("the http call `{name}` would be filled from `{from}`, which {why}"),
                format!("define `[http.{from}]` with the method GET"),
            ));
        }
        if let Some(unknown) = meaning.simulated_ends.iter().find(|name| !all.processes.contains_key(*name)) {
            return Err(wrong(
                format!("the http call `{name}` would end the processes `{unknown}`, which no policy defines"),
                format!("define `[processes.{unknown}]`, or leave it out of `ends`"),
            ));
        }
    }
    Ok(())
}

impl Grant {
    /// The grant of `exec`: whole folders, by name, with `true` for read-only ones. No story, no other power.
    pub fn whole_folders(folders: impl IntoIterator<Item = (String, bool)>) -> Grant {
        Grant {
            unit: "exec".to_owned(),
            requested: Capabilities::default(),
            permitted: Capabilities::default(),
            whole: folders.into_iter().collect(),
        }
    }

    /// A grant of nothing, for asking a component which steps it knows.
    pub fn nothing(unit: &str) -> Grant {
        Grant { unit: unit.to_owned(), ..Grant::whole_folders([]) }
    }

    /// The step or check that holds it.
    pub fn unit(&self) -> &str {
        &self.unit
    }

    fn denial(&self, what: String, rule: impl Into<String>) -> Denial {
        Denial { unit: self.unit.clone(), what, rule: rule.into() }
    }

    /// Whether `right` is held on `place`.
    pub fn holds(&self, right: FileRight, place: &Place) -> bool {
        if let Some(read_only) = self.whole.get(&place.folder) {
            return !(*read_only && right.changes());
        }
        let means = |powers: &Capabilities, right| {
            powers.files.get(&right).is_some_and(|patterns| patterns.iter().any(|p| p.matches(place)))
        };
        let both = |right| means(&self.requested, right) && means(&self.permitted, right);
        both(right) || (right == FileRight::List && both(FileRight::Read))
    }

    /// Every right held on `place`.
    pub fn rights(&self, place: &Place) -> BTreeSet<FileRight> {
        FileRight::ALL.into_iter().filter(|right| self.holds(*right, place)).collect()
    }

    /// Whether the step may know that `place` exists and pass through it: it holds some right on it, or on something
    /// that may lie below it.
    pub fn may_see(&self, place: &Place) -> bool {
        if self.whole.contains_key(&place.folder) || !self.rights(place).is_empty() {
            return true;
        }
        let mut patterns = self.requested.files.values().flatten().chain(&self.requested.processes_holders);
        patterns.any(|p| p.lies_below(place))
            || self.requested.processes_holders.iter().any(|p| p.matches(place))
            || place.path.as_os_str().is_empty()
    }

    /// Whether any right is held on something below `place`, so that a moved directory there could widen rights.
    pub fn reaches_below(&self, place: &Place) -> bool {
        let inside = Place { folder: place.folder.clone(), path: place.path.join("\u{0}") };
        self.whole.contains_key(&place.folder)
            || self.requested.files.values().flatten().any(|p| p.lies_below(place) || p.matches(&inside))
    }

    /// By which right what lies at `place` could become something else: one held on it, on a directory above it, or on any
    /// name beside it, as the key in a policy.
    pub fn could_change(&self, place: &Place) -> Option<&'static str> {
        let changing = || FileRight::ALL.into_iter().filter(|right| right.changes());
        let at = |path: &Path| Place { folder: place.folder.clone(), path: path.to_owned() };
        let on_it = changing().find(|right| self.holds(*right, place));
        // A directory that is there cannot be created.
        let above = || {
            let mut directories = place.path.ancestors().skip(1);
            directories.find_map(|path| {
                changing().filter(|right| *right != FileRight::Create).find(|right| self.holds(*right, &at(path)))
            })
        };
        // A name that nobody would write into a policy: who may use that may use any.
        let beside = || {
            let any = place.path.with_file_name("\u{0}");
            changing().find(|right| self.holds(*right, &at(&any)))
        };
        on_it.or_else(above).or_else(beside).map(FileRight::key)
    }

    /// Whether hard links may be written through: only where every name of a file is the step's own, as with `exec`.
    pub fn allows_hard_links(&self, folder: &str) -> bool {
        self.whole.contains_key(folder)
    }

    /// Demands `right` on `place`.
    ///
    /// # Errors
    /// [`Denial`] naming the rule.
    pub fn file(&self, right: FileRight, place: &Place) -> Result<(), Denial> {
        if self.holds(right, place) {
            return Ok(());
        }
        let key = right.key();
        let rule = if self.whole.contains_key(&place.folder) {
            format!("the folder {:?} is read-only", place.folder)
        } else {
            let patterns: Vec<&str> =
                self.requested.files.get(&right).into_iter().flatten().map(PathPattern::as_str).collect();
            let held = if patterns.is_empty() {
                format!("it holds no `files.{key}`")
            } else {
                format!("its `files.{key}` is {patterns:?}")
            };
            format!("{held}; `files.{key} = [\"{place}\"]` in manifest and policy would allow it")
        };
        Err(self.denial(format!("files.{key} on {place}"), rule))
    }

    /// Demands `files.edit` of the value at `pointer` in the file at `place`.
    ///
    /// # Errors
    /// [`Denial`] naming the rule, which may be about the file or about the value.
    pub fn edit(&self, place: &Place, pointer: &str) -> Result<(), Denial> {
        self.file(FileRight::Edit, place)?;
        let means = |powers: &Capabilities| {
            let mut covering = powers.edits.iter().filter(|(path, _)| path.matches(place));
            covering.any(|(_, pointers)| pointers.iter().any(|p| p.matches(pointer)))
        };
        if self.whole.contains_key(&place.folder) || (means(&self.requested) && means(&self.permitted)) {
            return Ok(());
        }
        let listed: Vec<&str> = (self.requested.edits.iter().filter(|(path, _)| path.matches(place)))
            .flat_map(|(_, pointers)| pointers.iter().map(PointerPattern::as_str))
            .collect();
        Err(self.denial(
            format!("files.edit on {place} at {pointer:?}"),
            format!("of that file it may change {listed:?} only"),
        ))
    }

    /// Demands that `place` may be seen at all.
    ///
    /// # Errors
    /// [`Denial`] naming the rule.
    pub fn see(&self, place: &Place) -> Result<(), Denial> {
        if self.may_see(place) {
            return Ok(());
        }
        Err(self.denial(
            format!("looking at {place}"),
            format!("it holds no right there; `files.read = [\"{place}\"]` would allow it"),
        ))
    }

    /// Demands to ask who holds `place` open.
    ///
    /// # Errors
    /// [`Denial`] naming the rule.
    pub fn holders(&self, place: &Place) -> Result<(), Denial> {
        let means = |powers: &Capabilities| powers.processes_holders.iter().any(|p| p.matches(place));
        if means(&self.requested) && means(&self.permitted) {
            return Ok(());
        }
        Err(self.denial(
            format!("processes.holders on {place}"),
            format!("`processes.holders = [\"{place}\"]` in manifest and policy would allow it"),
        ))
    }

    /// Demands a power over a plain name: `key` is one of `flags.get`, `processes.list`, `processes.stop`,
    /// `services.status|start|stop|restart`, `commands.run`, `http.get|call`, `git.status|restore`.
    ///
    /// # Errors
    /// [`Denial`] naming the rule.
    pub fn named(&self, key: &str, name: &str) -> Result<Name, Denial> {
        let find = |powers: &Capabilities| {
            let (_, names) = powers.named().into_iter().find(|(power, _)| key.split('.').eq(power.keys()))?;
            names.iter().find(|n| n.as_str() == name).cloned()
        };
        find(&self.requested).and_then(|_| find(&self.permitted)).ok_or_else(|| {
            self.denial(
                format!("{key} {name:?}"),
                format!("`{key} = [{name:?}]` in manifest and policy would allow it"),
            )
        })
    }

    /// Demands to set `flag` to `value`.
    ///
    /// # Errors
    /// [`Denial`] naming the rule, which may be about the flag or about the value.
    pub fn set_flag(&self, flag: &str, value: &str) -> Result<Name, Denial> {
        let find = |powers: &Capabilities| {
            powers.flags_set.iter().find(|(n, _)| n.as_str() == flag).map(|(n, v)| (n.clone(), v.clone()))
        };
        let what = format!("flags.set {flag:?} to {value:?}");
        let (Some((name, asked)), Some((_, permitted))) = (find(&self.requested), find(&self.permitted)) else {
            let rule = format!("`flags.set = {{ {flag} = {value:?} }}` in manifest and policy would allow it");
            return Err(self.denial(what, rule));
        };
        let both: Vec<&String> = asked.intersection(&permitted).collect();
        if both.iter().any(|v| *v == value) {
            return Ok(name);
        }
        Err(self.denial(what, format!("this flag may only be set to {both:?}")))
    }
}

impl ResolvedStory {
    /// The same story in a variant of its manifest; `None`: as it is by default.
    ///
    /// # Errors
    /// [`UnknownVariant`] with those that there are.
    pub fn in_variant(mut self, name: Option<&str>) -> Result<ResolvedStory, UnknownVariant> {
        self.variant = name.map(|name| self.bundle.manifest().variant(name)).transpose()?.cloned();
        Ok(self)
    }

    /// The units that run, each with its index in the manifest and in `grants`.
    pub fn units(&self) -> impl Iterator<Item = (usize, &Unit)> {
        self.bundle.manifest().units_of(self.variant.as_ref())
    }

    /// Digest over everything that decides what a run may do: bundle, grants, meanings, limits, and what a
    /// failed step leads to. The same for each variant: which of them runs, the plan's own digest covers.
    pub fn digest(&self) -> Digest {
        let grants = format!("{:?}", self.grants);
        let meanings = format!("{:?} {:?} {:?}", self.definitions, self.limits, self.on_fail);
        Digest::of_parts(&[self.bundle.digest().bytes(), grants.as_bytes(), meanings.as_bytes()])
    }
}
