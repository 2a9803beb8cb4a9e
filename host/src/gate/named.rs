//! What a guest does by name: flags, processes, services. The policy says what the name means; when planning,
//! nothing outside is touched and earlier planned steps are remembered.

use super::{Call, CallFault, Gate, Number, ProcessSeen, Refusal, ServiceSeen, Stop, show};
use crate::{
    providers::{flags, process, service},
    tree::{Source, trash::Mark},
};
use std::time::Duration;
use unship_policy::{
    Name, Place,
    meaning::{FlagsMeaning, ServiceManager},
};
use unship_rollback::{Effect, Image, ServiceAction};

/// Beyond every meaning's own time-out; the step's deadline ends it anyway.
const LOOK: Duration = Duration::from_secs(30);

impl Gate {
    pub(super) fn demand_named(&mut self, key: &'static str, name: &str) -> Call<Name> {
        match self.grant.named(key, name) {
            Ok(name) => {
                self.ledger.accessed(key, name.to_string());
                Ok(name)
            }
            Err(denial) => Err(self.deny_call(denial)),
        }
    }

    fn flags_meaning(&self) -> Call<FlagsMeaning> {
        let meaning = self.world.definitions.flags.clone();
        meaning.ok_or_else(|| Refusal::UnknownName("no `[flags]` in the policies".to_owned()).into())
    }

    /// The flags file itself: what somebody put in its place, or on the way to it, is not followed.
    fn find_flags(&mut self, meaning: &FlagsMeaning) -> Call<crate::tree::Found> {
        let found = self.find_named(&format!("site:{}", meaning.file))?;
        let is_link = found.object.is_some_and(|object| object.kind == super::Kind::Symlink);
        if !is_link && found.place.path == std::path::Path::new(&meaning.file) {
            return Ok(found);
        }
        self.forget(&found);
        let rule = "a symlink stands in its place or on the way to it, and none is followed";
        let denial = self.denial(format!("reaching the flags file {}", meaning.file), rule);
        Err(self.deny_call(denial))
    }

    /// `feature-flags.get`.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn flag_get(&mut self, flag: &str) -> Call<String> {
        let name = self.demand_named("flags.get", flag)?;
        let meaning = self.flags_meaning()?;
        let found = self.find_flags(&meaning)?;
        let text = self.read_whole(&found);
        self.forget(&found);
        flag_value(&meaning, &text?, &name)
    }

    /// `feature-flags.set`: sets and reads back; other keys keep their bytes. Nothing is done when it has the value already.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn flag_set(&mut self, flag: &str, value: &str) -> Call<()> {
        let name = match self.grant.set_flag(flag, value) {
            Ok(name) => name,
            Err(denial) => return Err(self.deny_call(denial)),
        };
        let meaning = self.flags_meaning()?;
        let found = self.find_flags(&meaning)?;
        let result = self.flag_set_in(&meaning, &found, &name, value);
        self.forget(&found);
        result
    }

    fn flag_set_in(
        &mut self,
        meaning: &FlagsMeaning,
        found: &crate::tree::Found,
        flag: &Name,
        value: &str,
    ) -> Call<()> {
        let text = self.read_whole(found)?;
        let from = flag_value(meaning, &text, flag)?;
        let edited = flags::write(meaning, &text, flag, value).map_err(|e| Refusal::Failed(e.to_string()))?;
        if !edited.changed {
            return Ok(());
        }
        let effect = Effect::FlagSet { flag: flag.to_string(), from, to: value.to_owned() };
        let handle = self.install(found, Source::Bytes(&edited.bytes), effect)?;
        self.world.tree.release(handle);
        let again = self.find_flags(meaning)?;
        let read_back = self.read_whole(&again);
        self.forget(&again);
        if read_back? == edited.bytes {
            Ok(())
        } else {
            Err(Refusal::Failed(format!("the flag {flag} does not read back as {value}")).into())
        }
    }

    fn selector(&self, name: &Name) -> Call<unship_policy::meaning::SelectorMeaning> {
        let meaning = self.world.definitions.processes.get(name).cloned();
        meaning.ok_or_else(|| Refusal::UnknownName(format!("no `[processes.{name}]` in the policies")).into())
    }

    fn matching(&self, name: &Name) -> Call<Vec<ProcessSeen>> {
        if self.world.simulated.as_ref().is_some_and(|s| s.stopped.contains(name)) {
            return Ok(Vec::new());
        }
        let selector = self.selector(name)?;
        let found = process::list(&self.world.site, &selector, self.remaining(LOOK)).map_err(process_refusal)?;
        Ok(found.into_iter().map(seen).collect())
    }

    /// `processes.list`.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn processes_list(&mut self, selector: &str) -> Call<Vec<ProcessSeen>> {
        let name = self.demand_named("processes.list", selector)?;
        self.matching(&name)
    }

    /// `processes.stop`. Nothing is done when none matches.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn processes_stop(&mut self, selector: &str) -> Call<u32> {
        let name = self.demand_named("processes.stop", selector)?;
        let matching = self.matching(&name)?;
        if matching.is_empty() {
            return Ok(0);
        }
        let started_by = self.selector(&name)?.started_by.map(|service| service.to_string());
        let effect = Effect::ProcessStopped { selector: name.to_string(), started_by };
        let notes: Vec<String> = matching.iter().map(|p| format!("process {}: {}", p.pid, p.command_line)).collect();
        let number = self.ledger.intend(&effect)?;
        self.begin_unfiled(number, &Mark::Run)?;
        let stopped = match &mut self.world.simulated {
            Some(simulated) => {
                simulated.stopped.insert(name);
                Ok(matching.len())
            }
            None => {
                let selector = self.selector(&name)?;
                let grace = selector.grace + Duration::from_secs(10);
                process::stop(&self.world.site, &selector, self.remaining(grace)).map(|stopped| stopped.len())
            }
        };
        // Some may be stopped even where not all could be, so the effect counts as made either way.
        self.ledger.made(number, effect, None, notes)?;
        Ok(u32::try_from(stopped.map_err(process_refusal)?).unwrap_or(u32::MAX))
    }

    /// `processes.holders`. Fails closed: a process that cannot be looked into might hold it.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn processes_holders(&mut self, path: &str) -> Call<Vec<ProcessSeen>> {
        let found = self.find_named(path)?;
        let result = self.holders_of(&found.place, found.object.as_ref());
        self.forget(&found);
        result
    }

    fn holders_of(&mut self, place: &Place, object: Option<&crate::tree::Object>) -> Call<Vec<ProcessSeen>> {
        match self.grant.holders(place) {
            Ok(()) => self.ledger.accessed("holders", show(place)),
            Err(denial) => return Err(self.deny_call(denial)),
        }
        let Some(object) = object else { return Ok(Vec::new()) };
        if self.world.simulated.as_ref().is_some_and(|s| s.released.iter().any(|p| p.matches(place))) {
            return Ok(Vec::new());
        }
        let Ok(path) = self.world.tree.disk_path(object) else { return Ok(Vec::new()) };
        let holders = process::holders(&path, self.remaining(LOOK)).map_err(|e| Refusal::Failed(e.to_string()))?;
        let mut all: Vec<ProcessSeen> = holders.processes.into_iter().map(seen).collect();
        all.extend(holders.uninspected.iter().map(|pid| ProcessSeen {
            pid: *pid,
            command_line: "(a process of another user, which cannot be looked into)".to_owned(),
        }));
        if all.is_empty() && holders.hidden {
            return Err(Refusal::Failed(
                "other users' processes are hidden here, so nobody can say who holds it".to_owned(),
            )
            .into());
        }
        Ok(all)
    }

    /// Marks the beginning of what is no file. From here on it counts as begun.
    pub(super) fn begin_unfiled(&mut self, number: Number, mark: &Mark) -> Call<()> {
        if let Some(slot) = self.site_slot(number)? {
            slot.begin(mark).map_err(|e| Stop::Ledger(format!("its beginning cannot be written down: {e}")))?;
        }
        Ok(())
    }

    fn service(&mut self, name: &Name) -> Call<unship_policy::meaning::ServiceMeaning> {
        let Some(meaning) = self.world.definitions.services.get(name).cloned() else {
            return Err(Refusal::UnknownName(format!("no `[services.{name}]` in the policies")).into());
        };
        // What a service runs may be just what the story replaces; the programs that start it and ask for its health not.
        let what = format!("the service {name}");
        for program in meaning.programs() {
            match self.demand_unchangeable(&what, std::slice::from_ref(program)) {
                // A program that is not there is told by whoever needs it.
                Ok(()) | Err(CallFault::Refused(Refusal::Failed(_))) => {}
                Err(fault) => return Err(fault),
            }
        }
        if let ServiceManager::Pm2(manager) = &meaning.manager {
            // Who could change this folder could put another pm2 there.
            let socket = self.world.site.join(&manager.home).join("rpc.sock");
            self.demand_unchanged(&what, &[socket])?;
        }
        Ok(meaning)
    }

    fn service_now(&mut self, name: &Name) -> Call<ServiceSeen> {
        if let Some(running) = self.world.simulated.as_ref().and_then(|s| s.services.get(name)) {
            let detail = "as planned".to_owned();
            return Ok(ServiceSeen { running: *running, healthy: *running, detail });
        }
        let meaning = self.service(name)?;
        let status = service::status(&self.world.site, &meaning, self.remaining(LOOK));
        let status = status.map_err(|e| Refusal::Failed(e.to_string()))?;
        Ok(ServiceSeen { running: status.running, healthy: status.healthy, detail: status.detail })
    }

    /// Without asking for its health, which costs a command and tells nothing that a stop or restart needs.
    fn service_runs(&mut self, name: &Name) -> Call<bool> {
        if let Some(running) = self.world.simulated.as_ref().and_then(|s| s.services.get(name)) {
            return Ok(*running);
        }
        let meaning = self.service(name)?;
        service::is_running(&self.world.site, &meaning, self.remaining(LOOK))
            .map_err(|e| Refusal::Failed(e.to_string()).into())
    }

    /// `services.status`.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn service_status(&mut self, service: &str) -> Call<ServiceSeen> {
        let name = self.demand_named("services.status", service)?;
        self.service_now(&name)
    }

    /// `services.start`. Nothing is done to a service that runs and is healthy.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn service_start(&mut self, service: &str) -> Call<()> {
        self.change_service("services.start", service, ServiceAction::Start)
    }

    /// `services.stop`. Nothing is done to a stopped service.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn service_stop(&mut self, service: &str) -> Call<()> {
        self.change_service("services.stop", service, ServiceAction::Stop)
    }

    /// `services.restart`.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn service_restart(&mut self, service: &str) -> Call<()> {
        self.change_service("services.restart", service, ServiceAction::Restart)
    }

    fn change_service(&mut self, key: &'static str, service: &str, action: ServiceAction) -> Call<()> {
        let name = self.demand_named(key, service)?;
        let running = match action {
            ServiceAction::Start => {
                let now = self.service_now(&name)?;
                if now.running && now.healthy {
                    return Ok(());
                }
                now.running
            }
            ServiceAction::Stop | ServiceAction::Restart => self.service_runs(&name)?,
        };
        if action == ServiceAction::Stop && !running {
            return Ok(());
        }
        let effect = Effect::ServiceChanged { service: name.to_string(), action };
        let number = self.ledger.intend(&effect)?;
        self.begin_unfiled(number, &Mark::Service(running))?;
        let changed = match &mut self.world.simulated {
            Some(simulated) => {
                simulated.services.insert(name, action != ServiceAction::Stop);
                Ok(())
            }
            None => {
                let meaning = self.service(&name)?;
                let (site, deadline) = (&self.world.site, self.deadline);
                match action {
                    ServiceAction::Start => service::start(site, &meaning, deadline).map(drop),
                    ServiceAction::Stop => service::stop(site, &meaning, deadline).map(drop),
                    ServiceAction::Restart => service::restart(site, &meaning, deadline).map(drop),
                }
            }
        };
        // A service that would not start again was stopped all the same, so the effect counts as made either way.
        let was = if running { "running" } else { "stopped" };
        self.ledger.made(number, effect, Some(Image::Value { was: was.to_owned() }), Vec::new())?;
        changed.map_err(|e| Refusal::Failed(e.to_string()).into())
    }
}

fn flag_value(meaning: &FlagsMeaning, text: &[u8], flag: &Name) -> Call<String> {
    flags::read(meaning, text, flag).map_err(|e| Refusal::NotAsExpected(e.to_string()).into())
}

fn seen(process: process::ProcessInfo) -> ProcessSeen {
    ProcessSeen { pid: process.pid, command_line: process.command_line }
}

fn process_refusal(e: process::ProcessError) -> super::CallFault {
    match e {
        process::ProcessError::TimedOut(_) => Refusal::TimedOut(e.to_string()).into(),
        e => Refusal::Failed(e.to_string()).into(),
    }
}
