//! What the site rests on beside files of ours: secrets, and services as their managers tell.

use super::Findings;
use crate::{error::CliError, site::Site};
use std::{collections::BTreeMap, time::Duration};
use unship_controller::notify::Secret;
use unship_host::providers::{Deadline, service};
use unship_policy::{Name, SecretSource, StoryPolicy, meaning::ServiceManager, meaning::ServiceMeaning};

/// How long a manager may take for its answer.
const ANSWER: Duration = Duration::from_secs(10);

pub fn look(findings: &mut Findings, site: &Site) {
    // A policy that is not valid was told of.
    let ids = site.story_ids().unwrap_or_default();
    let stories: Vec<StoryPolicy> = ids.iter().filter_map(|id| site.story(id).ok()).collect();
    secrets(findings, site, &stories);
    let own = stories.iter().flat_map(|story| &story.definitions.services);
    let services: BTreeMap<&Name, &ServiceMeaning> = site.policy.definitions.services.iter().chain(own).collect();
    services.into_iter().for_each(|(name, meaning)| service(findings, site, name, meaning));
}

/// Each once, however many need it.
fn secrets(findings: &mut Findings, site: &Site, stories: &[StoryPolicy]) {
    let mut wanted: BTreeMap<String, SecretSource> = BTreeMap::new();
    let calls = stories.iter().map(|story| &story.definitions).chain([&site.policy.definitions]);
    let headers = calls.flat_map(|definitions| definitions.http.values()).flat_map(|call| call.secret_headers.values());
    let tokens = [&site.policy.watch.samples_token, &site.policy.watch.alerts_token].into_iter().flatten();
    wanted.extend(headers.chain(tokens).map(|file| (file.clone(), SecretSource::File(file.clone()))));
    for (_, source) in site.policy.notices.secrets() {
        let (SecretSource::File(name) | SecretSource::Env(name)) = source;
        wanted.insert(name.clone(), source.clone());
    }
    for (name, source) in wanted {
        match (Secret::read(&source, &site.path), &source) {
            (Ok(_), _) => findings.ok("secret", &name, "is there, and others cannot read it"),
            (Err(why), SecretSource::File(_)) => {
                let next = "a file of one line, mode 0600, owned by the user that unship runs as";
                findings.fault("secret", &name, why, next);
            }
            (Err(why), SecretSource::Env(_)) => {
                let next = "the daemon's environment may have it; see the unit's `EnvironmentFile=`";
                findings.unknown("secret", &name, format!("{why}, here"), next);
            }
        }
    }
}

/// A service may rest. What its manager cannot say is what hurts.
fn service(findings: &mut Findings, site: &Site, name: &Name, meaning: &ServiceMeaning) {
    let (manager, next) = match &meaning.manager {
        ServiceManager::PidFile(manager) => (
            format!("pid file {}", manager.pid_file),
            "look at the file: it holds the number of the service's process, and no more",
        ),
        ServiceManager::Pm2(manager) => (
            format!("pm2 in {}", manager.home),
            "start pm2 (`pm2 resurrect`), or correct `home`, `name` and `program` of the service",
        ),
    };
    match service::is_running(&site.path, meaning, Deadline::after(ANSWER)) {
        Ok(true) => findings.ok("service", name.as_str(), format!("runs ({manager})")),
        Ok(false) => findings.ok("service", name.as_str(), format!("does not run ({manager})")),
        Err(e) => findings.fault("service", name.as_str(), CliError::user(manager).because(&e).in_short(), next),
    }
}
