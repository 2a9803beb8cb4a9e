//! Tries what a test names, by every interface there is: what lies just beside a grant. **A step that succeeds has got
//! through.**
//!
//! `try` does the one line of the file `beside`: the key of a power as policies write it, and what it is about, such as
//! `services.restart core`. `idle` does nothing; it holds the grants that a component of these imports must have.

use std::fs;
use unship_step::{
    Context as _, HostError, Result, commands, fail, files, flags, git, http, processes, progress, services,
};

unship_step::steps! {
    "try" => attempt,
    "idle" => || Ok(()),
}

fn attempt() -> Result {
    let line = fs::read_to_string("beside").context("reading beside")?;
    let words: Vec<&str> = line.trim_end().split(' ').collect();
    let refused = match words[..] {
        ["files.read", path] => by_system(fs::read(path)),
        ["files.list", path] => by_system(fs::read_dir(path)),
        ["files.write", path] => by_system(fs::OpenOptions::new().write(true).open(path)),
        ["files.create", path] => by_system(fs::File::create_new(path)),
        ["files.remove", path] => by_system(fs::remove_file(path)),
        ["files.replace", path] => by_host(files::replace(path, "beside")),
        ["files.set-aside", path] => by_host(files::set_aside(path)),
        ["files.clear", path] => by_host(files::clear(path)),
        ["files.edit", path, pointer] => by_host(files::edit(path, pointer, "true", "false")),
        ["flags.get", flag] => by_host(flags::get(flag)),
        ["flags.set", flag, value] => by_host(flags::set(flag, value)),
        ["processes.list", selector] => by_host(processes::list(selector)),
        ["processes.stop", selector] => by_host(processes::stop(selector)),
        ["processes.holders", path] => by_host(processes::holders(path)),
        ["services.status", service] => by_host(services::status(service)),
        ["services.start", service] => by_host(services::start(service)),
        ["services.stop", service] => by_host(services::stop(service)),
        ["services.restart", service] => by_host(services::restart(service)),
        ["commands.run", command] => by_host(commands::run(command)),
        ["http.get", call] => by_host(http::get(call)),
        ["http.call", call] => by_host(http::call(call)),
        ["git.status", point] => by_host(git::status(point)),
        ["git.restore", point] => by_host(git::restore(point)),
        _ => fail!("no such power: {line}"),
    };
    match refused {
        Some(why) => fail!("refused: {why}"),
        None => {
            progress!("got through: {line}");
            Ok(())
        }
    }
}

fn by_system<T>(done: std::io::Result<T>) -> Option<String> {
    done.err().map(|error| format!("{:?}", error.kind()))
}

fn by_host<T>(done: std::result::Result<T, HostError>) -> Option<String> {
    done.err().map(|error| error.to_string())
}
