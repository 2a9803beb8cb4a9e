//! Triggers: what the language means, the seed's conditions, and what nothing may change.

mod hostile;
mod life;
mod meaning;
mod play;
mod policies;
mod promtool;
mod properties;
mod seed;
