//! Killed after records and at boundaries of effects, forward and back: the loops of recovery, for the other stories.

use super::Story;
use crate::recovery::kill::killed_anywhere;

#[test]
fn a_run_of_1_1_5_killed_anywhere_goes_on_or_back() {
    killed_anywhere(&Story::of("1.1.5").original(), 4, 8);
}

#[test]
fn a_run_of_1_2_killed_anywhere_goes_on_or_back() {
    killed_anywhere(&Story::of("1.2").original(), 6, 12);
}

#[test]
fn a_run_of_1_5_killed_anywhere_goes_on_or_back() {
    killed_anywhere(&Story::of("1.5").original(), 5, 10);
}

#[test]
fn a_run_of_1_6_killed_anywhere_goes_on_or_back() {
    killed_anywhere(&Story::of("1.6").original(), 12, 24);
}

#[test]
fn a_run_of_1_7_killed_anywhere_goes_on_or_back() {
    killed_anywhere(&Story::of("1.7").original(), 5, 10);
}

#[test]
fn a_run_of_1_8_killed_anywhere_goes_on_or_back() {
    killed_anywhere(&Story::of("1.8").original(), 3, 5);
}

#[test]
fn a_run_of_1_4_killed_anywhere_goes_on_or_back() {
    killed_anywhere(&Story::of("1.4").original(), 6, 12);
}
