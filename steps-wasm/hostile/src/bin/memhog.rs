//! `memhog [MIB]`: takes so much memory, 3072 MiB unless told otherwise, touches all of it, and says when it has it.
//! Exit status 1 when it does not get it.

use std::{env, hint::black_box, process::ExitCode};

const MIB: usize = 1 << 20;

fn main() -> ExitCode {
    let wanted: usize = env::args().nth(1).map_or(3072, |text| text.parse().expect("MiB"));
    let mut held: Vec<Vec<u8>> = Vec::new();
    while held.len() < wanted {
        let mut more = Vec::new();
        if more.try_reserve_exact(MIB).is_err() {
            println!("refused after {} MiB", held.len());
            return ExitCode::FAILURE;
        }
        more.resize(MIB, 1);
        held.push(black_box(more));
    }
    println!("holds {wanted} MiB");
    ExitCode::SUCCESS
}
