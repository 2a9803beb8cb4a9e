//! Taking back what is no file: services, commands, processes.

use super::SiteEffects;
use crate::{
    providers::{
        Deadline,
        command::{self, Job},
        service,
    },
    tree::trash::Mark,
};
use std::time::Duration;
use unship_policy::{Name, meaning::ServiceMeaning};
use unship_rollback::{Effect, Image, ServiceAction, Undo, UndoError, UndoItem};

/// Beyond the time-outs of policy, which end each part of it.
const LONGEST: Duration = Duration::from_secs(3600);

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
        if service::is_running(&self.site, meaning)? {
            return Ok(false);
        }
        service::start(&self.site, meaning, deadline).map(|change| change.changed)
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
}
