//! Whether a plan may be carried out: one that weakens no safety property and rests on nothing expired may. One that weakens needs a
//! declared variant, the approvals of enough people, and something that ends it in time; one that rests on something expired
//! needs a reason and the approvals of as many people as the trust root says.

use crate::{
    error::{CliError, Result},
    site::{Site, read_text},
    watching,
};
use std::path::PathBuf;
use unship_policy::{Allowed, Approval, ApprovalError, ApprovedPlan, Basis, Sought, approved, is_reason};
use unship_rollback::{BreakGlass, Permission, Plan, RunState, Weakening};

/// A plan that may be carried out. The only ways to one are [`Permitted::new`] and, for a run that was cut off, [`Permitted::begun`].
#[derive(Debug, Clone)]
pub struct Permitted<'a> {
    plan: &'a Plan,
    permission: Option<Permission>,
}

/// What a person gave beside the plan.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// Files of approvals, for whatever takes approval.
    pub approvals: &'a [PathBuf],
    /// Why what has expired is to be accepted.
    pub break_glass: Option<&'a str>,
}

impl<'a> Permitted<'a> {
    /// Judges `plan` of the bundle that is `allowed`, with what was given, at `now_ms`.
    ///
    /// # Errors
    /// A refusal that names what is missing, or each approval that does not count.
    pub fn new(plan: &'a Plan, allowed: &Allowed, site: &Site, given: Given<'_>, now_ms: u64) -> Result<Permitted<'a>> {
        if allowed.bundle() != plan.bundle {
            return Err(CliError::refused("what was allowed is another bundle than the one that is planned"));
        }
        let judge = Judge { plan, site, given, now_ms };
        let accepted = judge.accept_expired()?;
        let weakening = judge.weaken()?;
        if let Some(file) = given.approvals.first().filter(|_| accepted.is_none() && weakening.is_empty()) {
            return Err(CliError::user(format!("{} approves of nothing that needs it", file.display()))
                .cause("the plan weakens no safety property, and nothing of its trust has expired")
                .hint("leave --approval out"));
        }
        let permission = Permission { allowed: allowed_by(allowed), weakening, break_glass: accepted };
        let permission = (permission != Permission::default()).then_some(permission);
        Ok(Permitted { plan, permission })
    }

    /// The plan of a run that began: it was judged then, and what people approved of stands in its first record.
    pub fn begun(plan: &'a Plan, state: &RunState) -> Permitted<'a> {
        Permitted { plan, permission: state.permission().cloned() }
    }

    /// The plan.
    pub fn plan(&self) -> &'a Plan {
        self.plan
    }

    /// What people approved of.
    pub fn permission(&self) -> Option<&Permission> {
        self.permission.as_ref()
    }
}

/// By whose decision the bundle is applied, for the journal; nothing where it takes none.
fn allowed_by(allowed: &Allowed) -> Vec<String> {
    match allowed.basis() {
        Basis::Owned => Vec::new(),
        Basis::Declared => vec!["the story's policy".to_owned()],
        Basis::Decided(people) | Basis::Follows(_, people) => people.clone(),
    }
}

struct Judge<'a, 'b> {
    plan: &'a Plan,
    site: &'b Site,
    given: Given<'b>,
    now_ms: u64,
}

impl Judge<'_, '_> {
    fn refused(&self, message: &str) -> CliError {
        CliError::refused(format!("story {} is not applied: {message}", self.plan.story))
    }

    fn sought(&self, break_glass: bool, approvals: u32) -> Sought<'_> {
        Sought {
            site: &self.site.policy.name,
            story: &self.plan.story,
            variant: self.plan.variant.as_deref(),
            plan: self.plan.digest(),
            break_glass,
            approvals,
            now_ms: self.now_ms,
        }
    }

    /// Expiry is accepted with a reason and a quorum; nothing else ever is.
    fn accept_expired(&self) -> Result<Option<BreakGlass>> {
        let lapses = self.plan.lapses();
        let reason = match self.given.break_glass {
            None => return Ok(None),
            Some(_) if lapses.is_empty() => {
                return Err(CliError::user("nothing has expired, so there is no glass to break")
                    .hint("leave --break-glass out; it accepts expiry and nothing else"));
            }
            Some(reason) => reason.trim(),
        };
        if !is_reason(reason) {
            return Err(CliError::user("a reason is one line of 1 to 1000 bytes"));
        }
        let expired = |error: CliError| lapses.iter().fold(error, |error, lapse| error.cause(lapse.clone()));
        let quorum = self.site.trust()?.root().break_glass;
        let needed = quorum.ok_or_else(|| {
            expired(self.refused("it rests on something expired, and the trust root knows no exception"))
                .hint("nothing was changed; `[break-glass]` of the trust root would say how many approve")
        })?;
        let people = judge(&self.sought(true, needed), self.site, self.given.approvals, true).map_err(|wrong| {
            let error = expired(self.refused("it rests on something expired, and that is not approved"));
            wrong.into_iter().fold(error, CliError::cause).hint(format!(
                "nothing was changed; `unship approve {} --story {} --break-glass` makes an approval",
                self.plan.digest(),
                self.plan.story
            ))
        })?;
        Ok(Some(BreakGlass { reason: reason.to_owned(), people: people.people().to_vec() }))
    }

    /// Who approved that it weakens a safety property; nobody where it does not.
    fn weaken(&self) -> Result<Vec<String>> {
        let plan = self.plan;
        let Some(needed) = plan.approvals() else { return Ok(Vec::new()) };
        let refused = |message: &str| {
            plan.weakens
                .iter()
                .fold(self.refused(message), |error, weakening| error.cause(format!("it weakens {weakening}")))
        };
        if let Some(tier) = plan.trust.as_ref().map(|trust| trust.tier).filter(|tier| !tier.may_weaken()) {
            return Err(refused(&format!("no bundle of the tier {tier} may weaken a safety property"))
                .hint("nothing was changed; only one's own bundles may, with approvals"));
        }
        let Some(variant) = &plan.variant else {
            return Err(refused("only a declared variant may weaken a safety property, and this is the default")
                .hint("nothing was changed; the step that does it belongs in a `[[variant]]` of the manifest"));
        };
        let people = judge(&self.sought(false, needed), self.site, self.given.approvals, false).map_err(|wrong| {
            let error = refused("it weakens a safety property, and is not approved");
            let error = wrong.into_iter().fold(error, CliError::cause);
            error.hint(format!(
                "nothing was changed; `unship approve {} --story {} --variant {variant}` makes an approval",
                plan.digest(),
                plan.story
            ))
        })?;
        if watching::ends_exposures(self.site) {
            return Ok(people.people().to_vec());
        }
        let within = plan.weakens.iter().min_by_key(|weakening| weakening.lapses_after_ms).map(Weakening::lasts);
        Err(refused("nothing on this site would end it in time")
            .cause(format!(
                "{} approved of it, for {} at most",
                people.people().join(" and "),
                within.unwrap_or_default()
            ))
            .hint("nothing was changed; `unship watch` takes it back when its time is over: start it, then apply"))
    }
}

/// Reads and judges the files that are about the matter in hand (`break_glass` or weakening); what is wrong with each, by its
/// name. A file that is no approval is wrong in every matter.
fn judge(
    sought: &Sought<'_>,
    site: &Site,
    files: &[PathBuf],
    break_glass: bool,
) -> std::result::Result<ApprovedPlan, Vec<String>> {
    let (mut given, mut wrong) = (Vec::new(), Vec::new());
    for file in files {
        let text = read_text(file).map_err(|e| e.in_short());
        let parsed = text.and_then(|text| Approval::parse(&text).map_err(|e| e.to_string()));
        match parsed {
            Ok(approval) if approval.statement().break_glass == break_glass => given.push((file, approval)),
            Ok(_) => {}
            Err(why) => wrong.push(format!("{}: {why}", file.display())),
        }
    }
    let approvals: Vec<Approval> = given.iter().map(|(_, approval)| approval.clone()).collect();
    let trust = site.trust().map_err(|e| vec![e.message().to_owned()])?;
    let judged = approved(sought, &approvals, trust);
    let name = |(index, error): (Option<usize>, ApprovalError)| match index.and_then(|index| given.get(index)) {
        Some((file, _)) => format!("{}: {error}", file.display()),
        None => error.to_string(),
    };
    match judged {
        Ok(people) if wrong.is_empty() => Ok(people),
        Ok(_) => Err(wrong),
        Err(errors) => Err(wrong.into_iter().chain(errors.into_iter().map(name)).collect()),
    }
}
