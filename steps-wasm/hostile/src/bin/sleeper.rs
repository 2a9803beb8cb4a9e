//! `sleeper [SECONDS]`: sleeps, for a century unless told otherwise, and says when it is done.

use std::{env, thread::sleep, time::Duration};

fn main() {
    let seconds = env::args().nth(1).map_or(100.0 * 365.0 * 86_400.0, |text| text.parse().expect("seconds"));
    sleep(Duration::from_secs_f64(seconds));
    println!("slept");
}
