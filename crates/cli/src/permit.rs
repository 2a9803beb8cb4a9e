//! Whether a plan may be carried out: one that weakens no safety property may; one that does needs a declared variant, the
//! approvals of enough people, and something that ends it in time.

use crate::{
    error::{CliError, Result},
    site::{Site, read_text},
};
use std::path::PathBuf;
use unship_policy::{Approval, ApprovalError, ApprovedPlan, Sought, approved};
use unship_rollback::{Plan, Weakening};

/// A plan that may be carried out. The only way to one is [`Permitted::new`].
#[derive(Debug, Clone, Copy)]
pub struct Permitted<'a>(&'a Plan);

impl<'a> Permitted<'a> {
    /// Judges `plan`, with the approvals in the files `approvals`, at `now_ms`.
    ///
    /// # Errors
    /// A refusal that names what is missing, or each approval that does not count.
    pub fn new(plan: &'a Plan, site: &Site, approvals: &[PathBuf], now_ms: u64) -> Result<Permitted<'a>> {
        let Some(needed) = plan.approvals() else {
            return match approvals.first() {
                None => Ok(Permitted(plan)),
                Some(file) => Err(CliError::user(format!("{} approves of nothing that needs it", file.display()))
                    .cause("the plan weakens no safety property")
                    .hint("leave --approval out")),
            };
        };
        let refused = |message: &str| {
            let error = CliError::refused(format!("story {} is not applied: {message}", plan.story));
            plan.weakens.iter().fold(error, |error, weakening| error.cause(format!("it weakens {weakening}")))
        };
        let Some(variant) = &plan.variant else {
            return Err(refused("only a declared variant may weaken a safety property, and this is the default")
                .hint("nothing was changed; the step that does it belongs in a `[[variant]]` of the manifest"));
        };
        let sought = Sought {
            site: &site.policy.name,
            story: &plan.story,
            variant: Some(variant),
            plan: plan.digest(),
            approvals: needed,
            now_ms,
        };
        let people = judge(&sought, site, approvals).map_err(|wrong| {
            let error = refused("it weakens a safety property, and is not approved");
            let error = wrong.into_iter().fold(error, CliError::cause);
            error.hint(format!(
                "nothing was changed; `unship approve {} --story {} --variant {variant}` makes an approval",
                plan.digest(),
                plan.story
            ))
        })?;
        // What ends it is the daemon's `watch`, which this version does not have.
        let within = plan.weakens.iter().min_by_key(|weakening| weakening.lapses_after_ms).map(Weakening::lasts);
        Err(refused("nothing on this site would end it in time")
            .cause(format!(
                "{} approved of it, for {} at most",
                people.people().join(" and "),
                within.unwrap_or_default()
            ))
            .hint("nothing was changed; this version of unship plans it and does not apply it"))
    }

    /// The plan.
    pub fn plan(&self) -> &'a Plan {
        self.0
    }
}

/// Reads and judges the files; what is wrong with each, by its name.
fn judge(sought: &Sought<'_>, site: &Site, files: &[PathBuf]) -> std::result::Result<ApprovedPlan, Vec<String>> {
    let (mut given, mut wrong) = (Vec::new(), Vec::new());
    for file in files {
        let text = read_text(file).map_err(|e| e.to_string().trim_start_matches("Error: ").trim_end().to_owned());
        let parsed = text.and_then(|text| Approval::parse(&text).map_err(|e| e.to_string()));
        match parsed {
            Ok(approval) => given.push((file, approval)),
            Err(why) => wrong.push(format!("{}: {why}", file.display())),
        }
    }
    let approvals: Vec<Approval> = given.iter().map(|(_, approval)| approval.clone()).collect();
    let judged = approved(sought, &approvals, &site.trust);
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
