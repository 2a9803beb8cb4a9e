//! What may be done, by whom: capabilities, requests, grants, policy files, the trust root, bundles and their signatures.
//!
//! Pure: text and bytes come in, proofs come out. No clock, no environment, no file system, no printing, no wasmtime.
//! Only this crate can build a [`Grant`] (what a step really holds), a [`VerifiedBundle`] (bytes whose signatures
//! were checked), an [`ApprovedPlan`] (of which enough people approved) or an [`Allowed`] (that a bundle may be applied); each has private fields and one way in.
//!
//! ```
//! use unship_policy::{Grant, VerifiedBundle};
//! fn look(grant: &Grant, bundle: &VerifiedBundle) {
//!     let _ = (grant.unit(), bundle.manifest());
//! }
//! ```
//! ```compile_fail,E0451
//! use unship_policy::Grant;
//! fn forge() -> Grant {
//!     Grant { unit: "any".to_owned(), ..Grant::nothing("any") }
//! }
//! ```
//! ```compile_fail,E0451
//! use unship_policy::{Bundle, Tier, VerifiedBundle};
//! fn forge(bundle: Bundle) -> VerifiedBundle {
//!     VerifiedBundle { bundle, signers: Vec::new(), tier: Tier::Owned, lapses: Vec::new() }
//! }
//! ```
//! ```compile_fail,E0451
//! use unship_policy::{ApprovedPlan, Digest};
//! fn forge(plan: Digest) -> ApprovedPlan {
//!     ApprovedPlan { plan, people: Vec::new() }
//! }
//! ```

mod approval;
mod argument;
mod attestation;
mod bundle;
mod calls;
mod capability;
mod checklist;
mod consent;
mod decision;
mod denial;
mod digest;
mod dsse;
mod duration;
mod error;
mod feed;
mod fill;
mod findings;
mod grant;
mod ids;
mod key;
mod manifest;
pub mod meaning;
mod minisign;
mod moment;
mod notices;
mod outside;
mod pattern;
mod pointer;
mod post_mortem;
mod power;
mod safety;
mod site_policy;
mod story_policy;
mod tables;
mod tier;
mod trigger;
mod trigger_tests;
mod trust;
mod url;
mod variant;
mod watch;
mod words;

pub use approval::{APPROVAL_BYTES_MAX, Approval, ApprovalError, ApprovedPlan, Sought, Statement, approved, is_reason};
pub use argument::{Argument, ParameterError, ParameterKind};
pub use attestation::Narrowed;
pub use bundle::{Bundle, BundleError, ClaimedSigner, VerifiedBundle, Wanted, attach_minisig, pack, sign};
pub use calls::is_header_value;
pub use capability::{Capabilities, FileRight};
pub use checklist::ChecklistItem;
pub use consent::{
    Allowed, Basis, DECISION_BYTES_MAX, Decided, Decision, DecisionError, NotAllowed, consent, requests,
};
pub use decision::{Course, DecisionPolicy};
pub use denial::{Denial, GrantError};
pub use digest::Digest;
pub use dsse::EnvelopeError;
pub use duration::{parse_bytes, parse_duration};
pub use error::FileError;
pub use feed::{CommandValue, DbtValue, Feed, FeedSource, FileValue, ProbeValue};
pub use fill::{EachPointer, Fill};
pub use findings::{At, Finding, Gravity, findings, programs, unused_of_site};
pub use grant::{Grant, ResolvedStory, definitions, misfits, resolve};
pub use ids::{BadStoryId, Name, StoryId};
pub use key::{PublicKey, Scheme, SecretKey, SecretKeyError, Signer};
pub use manifest::{MANIFEST_BYTES_MAX, Manifest, Unit, UnitKind, version, version_text};
pub use meaning::BadName;
pub use moment::Moment;
pub use notices::{Channel, ChannelKind, NoticeEvent, NoticeRule, NoticesPolicy, SecretSource, SlackBy, SmtpTls};
pub use pattern::{BadPattern, PathPattern, Place};
pub use pointer::{BadPointer, PointerPattern};
pub use post_mortem::{ACTIONS, Action, PostMortemPolicy};
pub use power::{NamedPower, Power, Use, as_lines, missing};
pub use safety::{Condition, SafetyProperty, ValueAt};
pub use site_policy::SitePolicy;
pub use story_policy::{OnFail, StoryPolicy};
pub use tables::Definitions;
pub use tier::COMMUNITY;
pub use trigger::{AfterRollback, Attribution, Baseline, NoData, Sentence, Severity, Trigger, parse_story_triggers};
pub use trigger_tests::{Times, TriggerTest, TriggerTests};
pub use trust::{
    APPROVER, Accepted, Lapse, Memory, ROOT, ROOT_BYTES_MAX, Role, Root, RootError, RootFile, StoryPattern, Tier,
    TrustRoot, TrustedKey, WARN_MS, sign_root,
};
pub use url::HttpUrl;
pub use variant::{UnknownVariant, Variant};
pub use watch::WatchPolicy;
pub use words::{Risk, Words};
