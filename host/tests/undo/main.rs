//! Undo, resume and recovery of any sequence of file operations on any small tree, killed anywhere: the tree ends as it was,
//! or as the whole run leaves it. How many cases: `PROPTEST_CASES`.

#[path = "../../../crates/cli/src/images.rs"]
mod images;
mod property;
mod runs;
mod steps;
mod trees;
