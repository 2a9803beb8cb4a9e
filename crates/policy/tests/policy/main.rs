//! What policy files, bundles, approvals and trust roots are taken, and with which words the others are refused.

mod approvals;
mod bundle;
mod consent;
mod errors;
mod support;
mod trust;
