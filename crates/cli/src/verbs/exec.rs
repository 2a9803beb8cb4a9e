//! `unship exec MODULE`: any WASI program as one step through gate and limits; no site.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::{EXEC_FAILED, EXEC_REFUSED, Exit},
    site::read_module,
};
use std::path::PathBuf;
use unship_host::{
    gate::Gate,
    sandbox::{Compiler, ExecEnd, ExecError, ExecRequest, exec, exec_limits},
};
use unship_policy::{meaning::Limits, parse_bytes, parse_duration};

/// Runs any WASI program, a core module (wasip1) or a component, as one step through the gate and its limits. It sees the
/// folders given by --dir and nothing else. There is no site and no journal on disk: --json shows what was done.
///
/// Exit status: the program's own · 125 unship failed (a trap or a limit among them) · 126 the module was refused.
#[derive(clap::Args)]
pub struct Args {
    /// A folder that the program gets: HOST, HOST::GUEST, and `:ro` at the end for reading only
    #[arg(long = "dir", value_name = "HOST[::GUEST][:ro]")]
    dirs: Vec<String>,
    /// An environment variable of the program
    #[arg(long = "env", value_name = "K=V")]
    env: Vec<String>,
    /// Another limit than the safe default: cpu, wall (durations), memory, output, written (bytes), handles (a number)
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<String>,
    /// The module or component
    module: PathBuf,
    /// The program's arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<u8> {
    let failed = |e: CliError| e.exit(EXEC_FAILED);
    let limits = limits(&args.limits).map_err(failed)?;
    let dirs = args.dirs.iter().map(|d| directory(d)).collect::<Result<Vec<_>>>().map_err(failed)?;
    let env = args.env.iter().map(|e| variable(e)).collect::<Result<Vec<_>>>().map_err(failed)?;
    let module = read_module(&args.module).map_err(|e| e.exit(EXEC_REFUSED))?;
    let gate =
        Gate::for_exec(&dirs, limits).map_err(|e| failed(CliError::user("a folder cannot be used").because(&e)))?;
    let name = args.module.file_name().map_or_else(|| "program".to_owned(), |n| n.to_string_lossy().into_owned());
    let argv = std::iter::once(name).chain(args.args.iter().cloned()).collect();
    let compiler = Compiler::own();
    let ran = exec(ExecRequest { module, argv, env, gate, compiler: &compiler });
    let (gate, end) = ran.map_err(|e: ExecError| {
        let status = if e.is_refusal() { EXEC_REFUSED } else { EXEC_FAILED };
        CliError::new(Exit::User, format!("{} cannot be run", args.module.display())).because(&e).exit(status)
    })?;
    let (_, written, finished) = gate.finish(true);
    for event in &written.events {
        context.out.object(&serde_json::json!({ "type": "event", "event": event }));
    }
    for denial in &written.denied {
        tracing::info!(%denial, "denied");
    }
    let status = match &end {
        ExecEnd::Exited(status) => u8::try_from(status & 0xff).unwrap_or(u8::MAX),
        ExecEnd::Trapped(_) | ExecEnd::Stopped(_) => EXEC_FAILED,
    };
    context.out.summary(serde_json::json!({
        "module": args.module, "status": status,
        "effects": written.effects.len(), "denied": written.denied.len(),
    }));
    match (end, finished) {
        (ExecEnd::Trapped(text), _) => Err(CliError::new(Exit::User, "the program broke off")
            .cause(unship_rollback::neutralise_lines(&text))
            .exit(EXEC_FAILED)),
        (ExecEnd::Stopped(stop), _) | (_, Err(stop)) => Err(CliError::new(Exit::User, "the program was ended")
            .because(&stop)
            .hint("`--limit NAME=VALUE` sets another limit")
            .exit(EXEC_FAILED)),
        (ExecEnd::Exited(_), Ok(())) => Ok(status),
    }
}

fn directory(text: &str) -> Result<(String, PathBuf, bool)> {
    let (rest, read_only) = text.strip_suffix(":ro").map_or((text, false), |rest| (rest, true));
    let (host, guest) = rest.split_once("::").unwrap_or((rest, rest));
    if host.is_empty() || guest.is_empty() {
        return Err(CliError::user(format!(
            "--dir {text:?}: a folder is HOST, HOST::GUEST, and `:ro` at the end for reading only"
        )));
    }
    let path = PathBuf::from(host)
        .canonicalize()
        .map_err(|e| CliError::user(format!("--dir {host:?} cannot be used")).because(&e))?;
    if !path.is_dir() {
        return Err(CliError::user(format!("--dir {host:?} is not a folder")));
    }
    Ok((guest.to_owned(), path, read_only))
}

fn variable(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(CliError::user(format!("--env {text:?}: a variable is NAME=VALUE"))),
    }
}

fn limits(given: &[String]) -> Result<Limits> {
    let mut limits = exec_limits();
    for text in given {
        let wrong = |why: String| CliError::user(format!("--limit {text:?} is not a limit")).cause(why);
        let (name, value) = text.split_once('=').ok_or_else(|| wrong("it is NAME=VALUE".to_owned()))?;
        let size = || parse_bytes(value).and_then(|b| usize::try_from(b).map_err(|e| e.to_string()));
        match name {
            "cpu" => limits.cpu = parse_duration(value).map_err(wrong)?,
            "wall" => limits.wall = parse_duration(value).map_err(wrong)?,
            "memory" => limits.memory_bytes_max = size().map_err(wrong)?,
            "output" => limits.output_bytes_max = size().map_err(wrong)?,
            "written" => limits.written_bytes_max = parse_bytes(value).map_err(wrong)?,
            "handles" => limits.handles_max = value.parse().map_err(|_| wrong("handles is a number".to_owned()))?,
            _ => return Err(wrong("the limits are cpu, wall, memory, output, written, handles".to_owned())),
        }
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_a_program() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let dir = temp.path().canonicalize().expect("canonical");
        let host = dir.to_str().expect("UTF-8");
        assert_eq!(directory(&format!("{host}::/data:ro")).expect("valid"), ("/data".to_owned(), dir.clone(), true));
        assert_eq!(directory(host).expect("valid"), (host.to_owned(), dir.clone(), false));
        for bad in ["", "::x", "/nowhere/at/all", ":ro"] {
            assert!(directory(bad).is_err(), "{bad:?}");
        }
        assert!(variable("=x").is_err() && variable("x").is_err() && variable("x=").is_ok());
        assert!(limits(&["cpu=5s".to_owned(), "handles=3".to_owned()]).is_ok());
        for bad in ["cpu", "cpu=5", "speed=1s", "handles=many"] {
            assert!(limits(&[bad.to_owned()]).is_err(), "{bad:?}");
        }
    }
}
