//! `unship:step@1.0.0` over the gate: each function is one call, and translates.

use super::{
    bindings::step_v1::unship::step::{
        commands, feature_flags, files, git, http, processes, progress, services, types,
    },
    state::StepState,
};
use crate::gate::{CallFault, LogSource, ProcessSeen, Refusal, Stop};
use types::Error;

/// How a call fails: with an error for the guest, or with the end of the step.
pub(super) enum CallError {
    Guest(Error),
    Trap(wasmtime::Error),
}

type Call<T> = Result<T, CallError>;

impl From<CallFault> for CallError {
    fn from(fault: CallFault) -> Self {
        match fault {
            CallFault::Refused(refusal) => CallError::Guest(match refusal {
                Refusal::Denied(text) => Error::Denied(text),
                Refusal::UnknownName(text) => Error::UnknownName(text),
                Refusal::NotAsExpected(text) => Error::NotAsExpected(text),
                Refusal::TimedOut(text) => Error::TimedOut(text),
                Refusal::Failed(text) => Error::Failed(text),
            }),
            CallFault::Stop(stop) => stop.into(),
        }
    }
}
impl From<Stop> for CallError {
    fn from(stop: Stop) -> Self {
        CallError::Trap(stop.into())
    }
}

impl types::Host for StepState {
    fn convert_error(&mut self, error: CallError) -> wasmtime::Result<Error> {
        match error {
            CallError::Guest(error) => Ok(error),
            CallError::Trap(trap) => Err(trap),
        }
    }
}

impl files::Host for StepState {
    fn replace(&mut self, target: String, source: String) -> Call<()> {
        Ok(self.shared.gate().files_replace(&target, &source)?)
    }
    fn set_aside(&mut self, path: String) -> Call<String> {
        Ok(self.shared.gate().files_set_aside(&path)?)
    }
    fn clear(&mut self, path: String) -> Call<u64> {
        Ok(self.shared.gate().files_clear(&path)?)
    }
    fn edit(&mut self, path: String, pointer: String, expected: String, value: String) -> Call<()> {
        Ok(self.shared.gate().files_edit(&path, &pointer, &expected, &value)?)
    }
}

impl feature_flags::Host for StepState {
    fn get(&mut self, flag: String) -> Call<String> {
        Ok(self.shared.gate().flag_get(&flag)?)
    }
    fn set(&mut self, flag: String, value: String) -> Call<()> {
        Ok(self.shared.gate().flag_set(&flag, &value)?)
    }
}

impl processes::Host for StepState {
    fn list(&mut self, selector: String) -> Call<Vec<processes::Process>> {
        Ok(seen(self.shared.gate().processes_list(&selector)?))
    }
    fn stop(&mut self, selector: String) -> Call<u32> {
        Ok(self.shared.gate().processes_stop(&selector)?)
    }
    fn holders(&mut self, path: String) -> Call<Vec<processes::Process>> {
        Ok(seen(self.shared.gate().processes_holders(&path)?))
    }
}

fn seen(processes: Vec<ProcessSeen>) -> Vec<processes::Process> {
    processes.into_iter().map(|ProcessSeen { pid, command_line }| processes::Process { pid, command_line }).collect()
}

impl services::Host for StepState {
    fn status(&mut self, service: String) -> Call<services::ServiceStatus> {
        let seen = self.shared.gate().service_status(&service)?;
        let state = if seen.running { services::State::Running } else { services::State::Stopped };
        Ok(services::ServiceStatus { state, healthy: seen.healthy, detail: seen.detail })
    }
    fn start(&mut self, service: String) -> Call<()> {
        Ok(self.shared.gate().service_start(&service)?)
    }
    fn stop(&mut self, service: String) -> Call<()> {
        Ok(self.shared.gate().service_stop(&service)?)
    }
    fn restart(&mut self, service: String) -> Call<()> {
        Ok(self.shared.gate().service_restart(&service)?)
    }
}

impl commands::Host for StepState {
    fn run(&mut self, command: String) -> Call<commands::Output> {
        self.run_with(command, Vec::new())
    }
    fn run_with(&mut self, command: String, parameters: Vec<(String, String)>) -> Call<commands::Output> {
        let printed = self.shared.gate().command_run(&command, &parameters)?;
        Ok(commands::Output { stdout: printed.stdout, stderr: printed.stderr })
    }
}

impl http::Host for StepState {
    fn get(&mut self, call: String) -> Call<http::Response> {
        let answer = self.shared.gate().http_get(&call)?;
        Ok(http::Response { status: answer.status, body: answer.body })
    }
    fn call(&mut self, call: String) -> Call<http::Response> {
        let answer = self.shared.gate().http_call(&call)?;
        Ok(http::Response { status: answer.status, body: answer.body })
    }
}

impl git::Host for StepState {
    fn status(&mut self, point: String) -> Call<git::State> {
        let state = self.shared.gate().git_status(&point)?;
        Ok(git::State { differing: state.differing, uncommitted: state.uncommitted })
    }
    fn restore(&mut self, point: String) -> Call<u64> {
        Ok(self.shared.gate().git_restore(&point)?)
    }
}

impl progress::Host for StepState {
    fn log(&mut self, level: progress::Level, message: String) -> wasmtime::Result<()> {
        let source = match level {
            progress::Level::Info => LogSource::Info,
            progress::Level::Warn => LogSource::Warn,
        };
        Ok(self.shared.gate().log(source, &message)?)
    }
}
