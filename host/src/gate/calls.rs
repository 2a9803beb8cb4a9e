//! Calls over HTTP, by name. GET and HEAD change nothing, so they are asked when planning too; what
//! a call that changes something would answer, and which processes it would end, planning believes as policy states it.

use super::{Call, Gate, HttpAnswer, Refusal};
use crate::{
    providers::http::{self, HttpError, Values},
    tree::trash::Mark,
};
use unship_policy::{Fill, Name, meaning::HttpMeaning};
use unship_rollback::Effect;

impl Gate {
    /// `http.get`.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn http_get(&mut self, call: &str) -> Call<HttpAnswer> {
        let name = self.demand_named("http.get", call)?;
        let meaning = self.http_meaning(&name)?;
        if meaning.method.changes() {
            // `resolve` refuses such a grant already.
            return Err(
                Refusal::Denied(format!("the http call {name} changes something, and `http.get` only asks")).into()
            );
        }
        self.ask(&name, &meaning)
    }

    /// `http.call`.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn http_call(&mut self, call: &str) -> Call<HttpAnswer> {
        let name = self.demand_named("http.call", call)?;
        let meaning = self.http_meaning(&name)?;
        let answer =
            if meaning.method.changes() { self.change_by_http(&name, &meaning) } else { self.ask(&name, &meaning) }?;
        if meaning.expect.contains(&answer.status) {
            Ok(answer)
        } else {
            let what = format!("the http call {name} answered {}, which the policy does not expect", answer.status);
            Err(Refusal::NotAsExpected(what).into())
        }
    }

    fn http_meaning(&self, name: &Name) -> Call<HttpMeaning> {
        let meaning = self.world.definitions.http.get(name).cloned();
        meaning.ok_or_else(|| Refusal::UnknownName(format!("no `[http.{name}]` in the policies")).into())
    }

    fn change_by_http(&mut self, name: &Name, meaning: &HttpMeaning) -> Call<HttpAnswer> {
        let effect = Effect::HttpCalled {
            call: name.to_string(),
            method: meaning.method.as_str().to_owned(),
            url: meaning.url.to_string(),
            undo: meaning.undo.as_ref().map(Name::to_string),
        };
        // Asked before anything counts as begun; planning must not depend on what there is just now.
        let (values, notes) = match self.world.simulated {
            Some(_) => (Values::new(), meaning.fill.iter().map(|(place, fill)| announced(place, fill)).collect()),
            None => (self.values(name, meaning)?, Vec::new()),
        };
        for (place, values) in &values {
            self.ledger.line("info", &told(name, place, values))?;
        }
        let number = self.ledger.intend(&effect)?;
        self.begin_unfiled(number, &Mark::Run)?;
        let believed = HttpAnswer { status: meaning.simulated.0, body: meaning.simulated.1.clone() };
        let answered = match &mut self.world.simulated {
            Some(simulated) => {
                simulated.stopped.extend(meaning.simulated_ends.iter().cloned());
                Ok(believed)
            }
            // Nothing that it could be about.
            None if http::is_about_nothing(&values) => Ok(believed),
            None => self.ask(name, &meaning.clone().filled(&values)),
        };
        // The other end may have done it even where its answer did not arrive, so it counts as made either way.
        self.ledger.made(number, effect, None, notes)?;
        answered
    }

    fn values(&self, name: &Name, meaning: &HttpMeaning) -> Call<Values> {
        let (site, calls) = (&self.world.site, &self.world.definitions.http);
        http::values(site, calls, meaning, self.deadline)
            .map_err(|e| Refusal::Failed(format!("the http call {name}: {e}")).into())
    }

    fn ask(&mut self, name: &Name, meaning: &HttpMeaning) -> Call<HttpAnswer> {
        let answer = http::call(&self.world.site, meaning, self.deadline).map_err(|e| match e {
            HttpError::TimedOut(_) => Refusal::TimedOut(format!("the http call {name}: {e}")),
            e => Refusal::Failed(format!("the http call {name}: {e}")),
        })?;
        Ok(HttpAnswer { status: answer.status, body: String::from_utf8_lossy(&answer.body).into_owned() })
    }
}

/// What will stand in one place of a body, for the plan.
fn announced(place: &Name, fill: &Fill) -> String {
    format!("{place}: what the call {} answers by then", fill.from)
}

/// What stands there, for the journal.
fn told(call: &Name, place: &Name, values: &[String]) -> String {
    let values = if values.is_empty() { "none, so nothing is sent".to_owned() } else { values.join(", ") };
    format!("{call}, {place}: {values}")
}
