//! Undo, resume and recovery of any sequence of file operations on any small tree, killed anywhere: the tree ends as it was,
//! or as the whole run leaves it. How many cases: `PROPTEST_CASES`.

mod changed;
#[path = "../../../crates/cli/src/images.rs"]
mod images;
mod journal;
mod large;
mod property;
mod restore;
mod runs;
mod steps;
mod trees;
