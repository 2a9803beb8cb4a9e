//! Calls over HTTP and restore points of git, by name.

use super::{Call, Gate, HttpAnswer, Refusal, RestoreState};

impl Gate {
    /// `http.get`.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn http_get(&mut self, call: &str) -> Call<HttpAnswer> {
        let name = self.demand_named("http.get", call)?;
        Err(Refusal::Failed(format!("the call {name} cannot be made")).into())
    }

    /// `http.call`.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn http_call(&mut self, call: &str) -> Call<HttpAnswer> {
        let name = self.demand_named("http.call", call)?;
        Err(Refusal::Failed(format!("the call {name} cannot be made")).into())
    }

    /// `git.status`.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn git_status(&mut self, point: &str) -> Call<RestoreState> {
        let name = self.demand_named("git.status", point)?;
        Err(Refusal::Failed(format!("the restore point {name} cannot be looked at")).into())
    }

    /// `git.restore`.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn git_restore(&mut self, point: &str) -> Call<u64> {
        let name = self.demand_named("git.restore", point)?;
        Err(Refusal::Failed(format!("the restore point {name} cannot be restored")).into())
    }
}
