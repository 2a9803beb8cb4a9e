//! Times file operations from inside, for `cargo bench -p unship-host --bench gate`: a line an operation, its name and the
//! nanoseconds that one takes, written to `result.txt`.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    time::Instant,
};

const TIMES: u32 = 2000;

fn main() {
    let mut lines = String::new();
    let mut time = |name: &str, times: u32, operation: &mut dyn FnMut(u32)| {
        let begun = Instant::now();
        for n in 0..times {
            operation(n);
        }
        let each = begun.elapsed().as_nanos() / u128::from(times);
        lines.push_str(&format!("{name} {each}\n"));
    };
    fs::write("small", [7u8; 4096]).expect("written");
    fs::create_dir_all("a/b/c").expect("made");
    fs::write("a/b/c/deep", "x").expect("written");
    time("stat", TIMES, &mut |_| assert!(fs::metadata("small").is_ok()));
    time("stat, four levels down", TIMES, &mut |_| assert!(fs::metadata("a/b/c/deep").is_ok()));
    time("open, read 4 KiB, close", TIMES, &mut |_| drop(fs::read("small").expect("read")));
    let mut file = File::options().read(true).write(true).open("small").expect("open");
    let mut buffer = [0u8; 4096];
    time("read 4 KiB of an open file", TIMES, &mut |_| {
        file.seek(SeekFrom::Start(0)).expect("sought");
        file.read_exact(&mut buffer).expect("read");
    });
    time("write 4 KiB into an open file", TIMES, &mut |_| {
        file.seek(SeekFrom::Start(0)).expect("sought");
        file.write_all(&buffer).expect("written");
    });
    time("create, write, close", TIMES, &mut |n| fs::write(format!("new-{n}"), "x").expect("written"));
    time("rename", TIMES, &mut |n| fs::rename(format!("new-{n}"), format!("moved-{n}")).expect("renamed"));
    time("list 2000 entries", 20, &mut |_| assert!(fs::read_dir(".").expect("listed").count() >= TIMES as usize));
    time("remove", TIMES, &mut |n| fs::remove_file(format!("moved-{n}")).expect("removed"));
    fs::write("result.txt", lines).expect("written");
}
