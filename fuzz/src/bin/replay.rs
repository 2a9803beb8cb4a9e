//! `replay TARGET SECONDS FOLDER…`: the same targets without libFuzzer, for where there is no nightly toolchain. It runs the files
//! of the folders and random changes of them, and knows nothing of coverage, so it finds far less.

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};
use unship_fuzz::{Edits, TARGETS};

/// xorshift64*: nobody depends on its being good.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = usize::try_from(self.next() % (most as u64 + 1)).unwrap_or(0);
        (0..length).map(|_| (self.next() >> 32) as u8).collect()
    }
}

fn files(folder: &Path, all: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(folder).into_iter().flatten().map_while(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            files(&path, all);
        } else {
            all.extend(fs::read(&path));
        }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [name, seconds, folders @ ..] = args.as_slice() else {
        eprintln!("replay TARGET SECONDS FOLDER…");
        return ExitCode::from(2);
    };
    let target = TARGETS.iter().find(|(known, _)| known == name);
    let (Some((_, target)), Ok(seconds)) = (target, seconds.parse()) else {
        eprintln!("replay: no target {name:?}, or {seconds:?} is no number of seconds");
        return ExitCode::from(2);
    };
    let mut seeds = vec![Vec::new()];
    folders.iter().for_each(|folder| files(Path::new(folder), &mut seeds));
    let (until, mut random, mut runs) =
        (Instant::now() + Duration::from_secs(seconds), Random(0x9E37_79B9_7F4A_7C15), 0_u64);
    loop {
        let index = usize::try_from(runs).unwrap_or(0);
        let input = match seeds.get(index) {
            Some(seed) => seed.clone(),
            None => {
                let seed = &seeds[usize::try_from(random.next()).unwrap_or(0) % seeds.len()];
                Edits(&random.bytes(24)).of(seed)
            }
        };
        if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
            let path = PathBuf::from(format!("{name}-{:016x}", random.next()));
            let kept = fs::write(&path, &input);
            eprintln!("replay: {name} found something; the input is {} ({kept:?})", path.display());
            return ExitCode::FAILURE;
        }
        runs += 1;
        if Instant::now() >= until && index >= seeds.len() {
            println!("{runs} runs");
            return ExitCode::SUCCESS;
        }
    }
}
