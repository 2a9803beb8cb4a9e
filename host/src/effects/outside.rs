//! Taking back what is no file: services, commands, calls over HTTP, processes.

use super::SiteEffects;
use crate::{
    providers::{
        Deadline,
        command::{self, Job},
        http, process, service,
    },
    tree::trash::Mark,
};
use std::{thread, time::Duration};
use unship_policy::{Name, meaning::ServiceMeaning};
use unship_rollback::{Effect, Image, ServiceAction, Undo, UndoError, UndoItem};

/// Beyond the time-outs of policy, which end each part of it.
const LONGEST: Duration = Duration::from_secs(3600);
/// Between two looks for processes that a service starts.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl SiteEffects {
    pub(super) fn take_back_outside(&mut self, item: &UndoItem, mark: &Mark) -> Result<Option<String>, UndoError> {
        match (&item.applied.effect, item.applied.effect.undo()) {
            (Effect::ServiceChanged { service, action }, _) => {
                let was_running = match (mark, &item.applied.image) {
                    (Mark::Service(running), _) => *running,
                    (_, Some(Image::Value { was })) => was == "running",
                    _ => return Err(UndoError::Failed("nobody wrote down whether it ran".to_owned())),
                };
                self.restore_service(service, *action, was_running)
            }
            (Effect::CommandRan { command, parameters, .. }, Undo::Command(argv)) => {
                let values: Vec<_> = parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
                self.run_back(command, &argv, &values)
            }
            (Effect::ProcessStopped { selector, .. }, Undo::Service(service)) => self.await_started(selector, &service),
            (Effect::HttpCalled { call, .. }, Undo::Call(back)) => self.call_back(call, &back),
            (_, Undo::Cannot(why)) => Err(UndoError::Cannot(why.to_owned())),
            (effect, _) => Err(UndoError::Failed(format!("`{effect}` is a change of files"))),
        }
    }

    fn restore_service(
        &self,
        service: &str,
        action: ServiceAction,
        was_running: bool,
    ) -> Result<Option<String>, UndoError> {
        let meaning = Name::new(service).ok().and_then(|name| self.definitions.services.get(&name).cloned());
        let Some(meaning) = meaning else {
            return Err(UndoError::Failed(format!("the policies do not say any more what the service {service} is")));
        };
        let (site, deadline) = (&self.site, Deadline::after(LONGEST));
        let told = |e: service::ServiceError| UndoError::Failed(format!("the service {service}: {e}"));
        let changed = match (was_running, action) {
            (false, _) => service::stop(site, &meaning, deadline).map_err(told)?.changed,
            (true, ServiceAction::Restart) => service::restart(site, &meaning, deadline).map_err(told)?.changed,
            (true, _) => self.start(&meaning, deadline).map_err(told)?,
        };
        Ok((!changed).then(|| format!("it is {} already", if was_running { "running" } else { "stopped" })))
    }

    /// What ran before is to run again; whether it was healthy then nobody wrote down, so one that runs is left alone.
    fn start(&self, meaning: &ServiceMeaning, deadline: Deadline) -> Result<bool, service::ServiceError> {
        if service::is_running(&self.site, meaning, deadline)? {
            return Ok(false);
        }
        service::start(&self.site, meaning, deadline).map(|change| change.changed)
    }

    /// Processes come back when their service runs as before; nobody else could start them with all that they need.
    fn await_started(&self, selector: &str, service: &str) -> Result<Option<String>, UndoError> {
        let meaning = Name::new(selector).ok().and_then(|name| self.definitions.processes.get(&name));
        let by = Name::new(service).ok().and_then(|name| self.definitions.services.get(&name));
        let (Some(meaning), Some(by)) = (meaning, by) else {
            return Err(UndoError::Failed(format!(
                "the policies do not say any more what the processes {selector} or the service {service} are"
            )));
        };
        let until = Deadline::after(by.timeout);
        loop {
            match process::list(&self.site, meaning, Deadline::after(LONGEST)) {
                Ok(alive) if !alive.is_empty() => return Ok(Some(format!("{service} started them again"))),
                Ok(_) if until.remaining().is_zero() => {
                    let waited = by.timeout.as_secs();
                    return Err(UndoError::Failed(format!("{service} started none of {selector} within {waited} s")));
                }
                Ok(_) => thread::sleep(LOOK_EVERY),
                Err(e) => return Err(UndoError::Failed(format!("the processes {selector}: {e}"))),
            }
        }
    }

    /// Only what policy still names is run, with values that it still takes: a journal is no authority to start programs.
    fn run_back(
        &self,
        command: &str,
        argv: &[String],
        values: &[(String, String)],
    ) -> Result<Option<String>, UndoError> {
        let known = Name::new(command).ok().and_then(|name| self.definitions.commands.get(&name));
        let Some(known) = known.filter(|known| known.line(values).is_ok_and(|line| line.undo.as_deref() == Some(argv)))
        else {
            return Err(UndoError::Failed(format!(
                "the policies do not name `{}` as the way back of the command {command} any more",
                unship_rollback::neutralise(&argv.join(" "))
            )));
        };
        match command::run(&self.site, &Job::of(known, argv), Deadline::after(LONGEST)) {
            Ok(_) => Ok(None),
            Err(e) => Err(UndoError::Failed(format!("the way back of the command {command}: {e}"))),
        }
    }

    /// Only what policy still names is called, as for commands.
    fn call_back(&self, call: &str, back: &str) -> Result<Option<String>, UndoError> {
        let known = |name: &str| Name::new(name).ok().and_then(|name| self.definitions.http.get(&name));
        let named = known(call).and_then(|call| call.undo.as_ref()).is_some_and(|undo| undo.as_str() == back);
        let Some(meaning) = known(back).filter(|_| named) else {
            return Err(UndoError::Failed(format!(
                "the policies do not name {back} as the way back of the http call {call} any more"
            )));
        };
        let deadline = Deadline::after(LONGEST);
        let values = http::values(&self.site, &self.definitions.http, meaning, deadline)
            .map_err(|e| UndoError::Failed(format!("the http call {back}: {e}")))?;
        if http::is_about_nothing(&values) {
            return Ok(None);
        }
        match http::call(&self.site, &meaning.clone().filled(&values), deadline) {
            Ok(answer) if meaning.expect.contains(&answer.status) => Ok(None),
            Ok(answer) => Err(UndoError::Failed(format!(
                "the http call {back} answered {}, which is not expected",
                answer.status
            ))),
            Err(e) => Err(UndoError::Failed(format!("the http call {back}: {e}"))),
        }
    }
}
