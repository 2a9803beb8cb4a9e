//! The daemon's loop: every branch of the decision tree, each default at expiry, people, and what is looked after beside incidents.
//! Time is the tests'; who takes stories back is a stand-in that says what it is told to; the book and its store are the real ones.

mod people;
mod tree;
mod upkeep;
mod world;
