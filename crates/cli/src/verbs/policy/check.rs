//! `unship policy check [STORY…]`: everything that is wrong with the site's files, in one go.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    missing,
    out::Out,
    policy_text,
    site::{Site, policy_files, read_bundle, read_text, story_id},
    trust,
};
use std::path::{Path, PathBuf};
use unship_policy::{
    FileError, Finding, Gravity, Manifest, SitePolicy, StoryId, StoryPolicy, TrustRoot, findings, unused_of_site,
};

/// Tells all that is wrong with site.toml, the trust root and the stories' policies, each with its place: what does not parse,
/// names without a meaning, requests that are not permitted, grants that nobody requests, definitions that nothing uses,
/// and what is not on this machine. Exit status 1 for errors, 3 where a story would be refused, 0 for warnings alone.
#[derive(clap::Args)]
pub struct Args {
    /// The stories' ids; all of them without any
    stories: Vec<String>,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let path = Site::locate(context.site.as_deref())?;
    let wanted = args.stories.iter().map(|text| story_id(text)).collect::<Result<Vec<_>>>()?;
    let stems = policy_files(&path)?;
    if let Some(unknown) = wanted.iter().find(|id| !stems.iter().any(|stem| stem == id.as_str())) {
        return Err(CliError::user(format!("story {unknown} has no policy at this site"))
            .cause(format!("{} does not exist", path.join(format!("policies/{unknown}.toml")).display())));
    }
    let mut check = Check { path: &path, out: context.out, errors: 0, refusals: 0, warnings: 0, files: 0 };
    let site = check.file("policies/site.toml", SitePolicy::parse);
    let mut stories = Vec::new();
    let mut whole = true;
    for stem in stems.iter().filter(|stem| stem.as_str() != "site") {
        let Ok(id) = StoryId::new(stem) else {
            let message = format!("policies/{stem}.toml is nobody's policy: {stem:?} is not a story's id");
            check.tell(Gravity::Warning, CliError::user(message).hint("rename or remove it; nothing reads it"));
            continue;
        };
        let is_wanted = wanted.is_empty() || wanted.contains(&id);
        let name = format!("policies/{id}.toml");
        let parse = |text: &str| StoryPolicy::parse(text, &id);
        let story = if is_wanted { check.file(&name, parse) } else { quietly(&path.join(&name), parse) };
        match story {
            Some(story) => stories.push((story, is_wanted)),
            None => whole = false,
        }
    }
    let opened = site.clone().map(|policy| Site::with(path.clone(), policy));
    let root = opened.as_ref().and_then(|site| site.trust().map_err(|e| check.tell(Gravity::Refusal, e)).ok());
    check.files += u32::try_from(trust::files(&path.join(trust::FOLDER))?.len()).unwrap_or(u32::MAX);
    for warning in root.into_iter().flat_map(TrustRoot::warnings) {
        check.tell(Gravity::Warning, CliError::user(warning).hint("`unship trust renew` makes the next version"));
    }
    if let (Some(site), Some(opened)) = (&site, &opened) {
        check.machine_of_site(site);
        if let Err(e) = crate::watching::notices(opened) {
            check.tell(Gravity::Error, e);
        }
        for (story, _) in stories.iter().filter(|(_, is_wanted)| *is_wanted) {
            check.story(story, opened, root);
        }
        // Feeds and language of the triggers; where they stand, compiling says.
        let owners = stories.iter().filter(|(_, is_wanted)| *is_wanted).map(|(story, _)| Some(&story.id));
        for owner in owners.chain(wanted.is_empty().then_some(None)) {
            if let Err(e) = crate::triggers::of(opened, owner) {
                check.tell(Gravity::Error, e);
            }
        }
        // With a file that does not parse, nobody knows what it would have used.
        if whole {
            let all: Vec<StoryPolicy> = stories.into_iter().map(|(story, _)| story).collect();
            check.findings("policies/site.toml", unused_of_site(site, &all));
        }
    }
    Ok(check.end())
}

fn quietly<T>(path: &Path, parse: impl Fn(&str) -> std::result::Result<T, FileError>) -> Option<T> {
    parse(&read_text(path).ok()?).ok()
}

struct Check<'a> {
    path: &'a Path,
    out: Out,
    errors: u32,
    refusals: u32,
    warnings: u32,
    files: u32,
}

impl Check<'_> {
    fn file<T>(&mut self, name: &str, parse: impl Fn(&str) -> std::result::Result<T, FileError>) -> Option<T> {
        self.files += 1;
        let path = self.path.join(name);
        let parsed =
            read_text(&path).and_then(|text| parse(&text).map_err(|e| CliError::in_file(Path::new(name), &text, e)));
        parsed.map_err(|e| self.tell(Gravity::Error, e)).ok()
    }

    /// What each story's bundle, policy and programs say. A further rule of policies is one more line here or in `findings`.
    fn story(&mut self, story: &StoryPolicy, site: &Site, trust: Option<&TrustRoot>) {
        let name = format!("policies/{}.toml", story.id);
        let manifest = self.manifest(&name, story, site, trust);
        self.findings(&name, findings(story, &site.policy, manifest.as_ref()));
        self.findings(&name, missing::programs(self.path, &story.definitions));
        self.findings(&name, missing::places(self.path, &story.definitions));
    }

    fn machine_of_site(&mut self, site: &SitePolicy) {
        self.findings("policies/site.toml", missing::programs(self.path, &site.definitions));
        self.findings("policies/site.toml", missing::places(self.path, &site.definitions));
    }

    /// The manifest of the story's bundle, whoever signed it: it is only read.
    fn manifest(
        &mut self,
        name: &str,
        story: &StoryPolicy,
        site: &Site,
        trust: Option<&TrustRoot>,
    ) -> Option<Manifest> {
        let relative = Path::new(&site.policy.bundles).join(&story.bundle);
        let path: PathBuf = self.path.join(&relative);
        if !path.exists() {
            let message =
                format!("{} is not there: what the bundle of {} requests is not known", relative.display(), story.id);
            let hint = "`unship pack` and `unship sign` make it; until then the story cannot be taken back";
            self.tell(Gravity::Warning, CliError::user(message).cause(format!("{name} names it")).hint(hint));
            return None;
        }
        let bundle = match read_bundle(&path) {
            Ok(bundle) => bundle,
            Err(e) => {
                self.tell(Gravity::Refusal, e);
                return None;
            }
        };
        let manifest = bundle.manifest().clone();
        if manifest.story != story.id {
            let message = format!("{} takes back story {}, not {}", relative.display(), manifest.story, story.id);
            self.tell(Gravity::Refusal, CliError::refused(message).cause(format!("{name} names it")));
            return None;
        }
        if let Some(trust) = trust
            && let Err(e) = bundle.verify(trust, &site.wanted(story))
        {
            let message = format!("{} may not run against this site", relative.display());
            let hint = "`unship inspect` shows who signed it, `unship trust show` who may";
            self.tell(Gravity::Refusal, CliError::refused(message).because(&e).hint(hint));
        }
        Some(manifest)
    }

    fn findings(&mut self, name: &str, found: Vec<Finding>) {
        for finding in found {
            // A name may be defined in the one file or in the other.
            let files = [name, "policies/site.toml"];
            let place = files.iter().find_map(|file| {
                let text = read_text(&self.path.join(file)).ok()?;
                let span = policy_text::place(&text, &finding.at)?;
                Some((file, text, span))
            });
            let mut error = CliError::user(finding.message);
            error = match place {
                Some((file, text, span)) => error.at(Path::new(file), &text, span),
                None => error.cause(format!("{name} says so")),
            };
            if let Some(help) = finding.help {
                error = error.hint(help);
            }
            self.tell(finding.severity, error);
        }
    }

    fn tell(&mut self, gravity: Gravity, error: CliError) {
        let (word, count) = match gravity {
            Gravity::Error => ("Error", &mut self.errors),
            Gravity::Refusal => ("Refused", &mut self.refusals),
            Gravity::Warning => ("Warning", &mut self.warnings),
        };
        *count += 1;
        self.out.lines(&error.rendered(word));
        let mut object = error.json();
        object["type"] = "finding".into();
        object["severity"] = word.to_lowercase().into();
        self.out.object(&object);
    }

    fn end(self) -> Exit {
        let Check { errors, refusals, warnings, files, .. } = self;
        let plural = |n: u32| if n == 1 { "" } else { "s" };
        self.out.text(format!(
            "{files} file{} checked: {errors} error{}, {refusals} refusal{}, {warnings} warning{}",
            plural(files),
            plural(errors),
            plural(refusals),
            plural(warnings)
        ));
        self.out.summary(serde_json::json!({
            "files": files, "errors": errors, "refusals": refusals, "warnings": warnings,
        }));
        match (errors, refusals) {
            (0, 0) => Exit::Done,
            (0, _) => Exit::Refused,
            _ => Exit::User,
        }
    }
}
