//! unship
fn main() {}
