//! `unship new STORY`: the skeleton of a story. A guest crate, its manifest, and a policy that grants nothing.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    site::story_id,
};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};
use unship_policy::{Manifest, StoryId, StoryPolicy};
use unship_rollback::neutralise;

/// Writes the skeleton of a story: in a new folder a guest crate that builds as it is (one check, one step, one
/// verification), its manifest `unship.toml` and a copy of the SDK; and a policy at the site that grants nothing. What is
/// there already is never overwritten.
#[derive(clap::Args)]
pub struct Args {
    /// The story's id, such as 1.3
    story: String,
    /// One line for people
    #[arg(long, default_value = "what it brought")]
    title: String,
    /// The crate's folder; otherwise story-ID, with `-` for each dot, in the current one
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The SDK's folder (crates/step of unship's sources), instead of a copy of it
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

macro_rules! sdk {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../../step/", $path)))),+]
    };
}

/// The SDK as it was when this unship was built: it is not in a registry, and a story must build where unship's sources are not.
const SDK: &[(&str, &str)] = sdk![
    "Cargo.toml",
    "README.md",
    "src/bindings.rs",
    "src/check.rs",
    "src/commands.rs",
    "src/failure.rs",
    "src/files.rs",
    "src/flags.rs",
    "src/git.rs",
    "src/http.rs",
    "src/lib.rs",
    "src/log.rs",
    "src/macros.rs",
    "src/processes.rs",
    "src/services.rs",
    "src/wait.rs",
    "wit/v1/step.wit",
];
/// What the SDK was tested with.
const LOCK: &str = include_str!("../../../step/Cargo.lock");

const CARGO: &str = include_str!("../../templates/story/Cargo.toml");
const CONFIG: &str = include_str!("../../templates/story/config.toml");
const LIB: &str = include_str!("../../templates/story/lib.rs");
const MANIFEST: &str = include_str!("../../templates/story/unship.toml");
const POLICY: &str = include_str!("../../templates/story/policy.toml");

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let id = story_id(&args.story)?;
    let site = context.site()?;
    if args.title.is_empty() || neutralise(&args.title) != args.title {
        return Err(CliError::user("a title is one line of text"));
    }
    let name = format!("story-{}", id.as_str().replace('.', "-"));
    let dir = args.dir.clone().unwrap_or_else(|| name.clone().into());
    let policy = site.path.join(format!("policies/{id}.toml"));
    // Whole or not at all, as far as that can be told beforehand.
    for path in [&dir, &policy] {
        if fs::symlink_metadata(path).is_ok() {
            return Err(CliError::user(format!("{} is there already; nothing was written", path.display()))
                .hint("`--dir` names another folder; a story has one policy"));
        }
    }
    let files = files(&id, &name, args)?;
    for (path, text) in &files {
        write_new(&dir.join(path), text)?;
    }
    let text = filled(POLICY, &id, &args.title);
    // What is written must be what every other verb accepts.
    StoryPolicy::parse(&text, &id).map_err(|e| CliError::in_file(&policy, &text, e))?;
    write_new(&policy, &text)?;

    let out = context.out;
    out.text(format!("wrote {} ({} files) and {}", dir.display(), files.len(), policy.display()));
    let bundle = site.path.join(&site.policy.bundles).join(format!("story-{id}.wasm"));
    let bundle = bundle.display();
    let wasm = format!("target/wasm32-wasip1/release/{}.wasm", name.replace('-', "_"));
    out.text("Next: say in src/lib.rs what has to be done, and in unship.toml what each step asks for. Then:");
    out.text(format!("  (cd {} && cargo build --release)", dir.display()));
    out.text(format!("  unship pack {0}/{wasm} --manifest {0}/unship.toml -o {bundle}", dir.display()));
    out.text(format!("  unship sign {bundle} --key KEY"));
    out.text(format!("  unship plan {id}"));
    out.summary(serde_json::json!({ "story": id.as_str(), "dir": dir, "policy": policy, "files": files.len() }));
    Ok(Exit::Done)
}

/// Every file of the crate, by its path in it.
fn files(id: &StoryId, name: &str, args: &Args) -> Result<Vec<(String, String)>> {
    let sdk = match &args.sdk {
        None => "step".to_owned(),
        Some(sdk) => {
            let whole = sdk.canonicalize().ok().filter(|whole| whole.join("wit/v1/step.wit").is_file());
            let whole = whole.ok_or_else(|| {
                CliError::user(format!("{} is not the SDK: it holds no wit/v1/step.wit", sdk.display()))
                    .hint("it is the folder crates/step of unship's sources; without --sdk a copy is written")
            })?;
            whole.to_str().map(str::to_owned).ok_or_else(|| CliError::user("the SDK's path is not UTF-8"))?
        }
    };
    let title = args.title.as_str();
    let manifest = filled(MANIFEST, id, title);
    Manifest::parse(&manifest).map_err(|e| CliError::in_file(Path::new("unship.toml"), &manifest, e))?;
    let description = quoted(&format!("The way back of story {id}, {title}."));
    let cargo = CARGO.replace("{crate}", name).replace("{sdk}", &quoted(&sdk)).replace("{description}", &description);
    let mut files = vec![
        ("Cargo.toml".to_owned(), cargo),
        ("Cargo.lock".to_owned(), lock(name)),
        (".cargo/config.toml".to_owned(), CONFIG.to_owned()),
        (".gitignore".to_owned(), "target/\n".to_owned()),
        ("unship.toml".to_owned(), manifest),
        ("src/lib.rs".to_owned(), LIB.replace("{id}", id.as_str()).replace("{title}", title)),
    ];
    if args.sdk.is_none() {
        files.extend(SDK.iter().map(|(path, text)| (format!("step/{path}"), (*text).to_owned())));
    }
    Ok(files)
}

fn filled(template: &str, id: &StoryId, title: &str) -> String {
    template.replace("{id}", id.as_str()).replace("{title}", &quoted(title))
}

/// A TOML text. What JSON escapes, TOML escapes alike.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The SDK's lock with the story's own package in its place: `cargo build --locked` takes it.
fn lock(name: &str) -> String {
    let own = format!("name = \"{name}\"\nversion = \"1.0.0\"\ndependencies = [\n \"unship-step\",\n]\n");
    let mut parts = LOCK.split("[[package]]\n");
    let head = parts.next().unwrap_or_default().to_owned();
    let mut packages: Vec<String> = parts.map(|package| package.trim_end().to_owned() + "\n").collect();
    packages.push(own);
    // As cargo does it: by name, which each begins with.
    packages.sort();
    head + &packages.iter().map(|package| format!("[[package]]\n{package}")).collect::<Vec<_>>().join("\n")
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    let failed = |e: &std::io::Error| CliError::user(format!("{} cannot be written", path.display())).because(e);
    fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(|e| failed(&e))?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|e| failed(&e))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|e| failed(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_of_the_sdk_is_whole() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../step");
        let mut todo = vec![root.join("src"), root.join("wit")];
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(dir).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    todo.push(path);
                    continue;
                }
                let relative = path.strip_prefix(&root).expect("below").to_str().expect("UTF-8");
                assert!(SDK.iter().any(|(known, _)| *known == relative), "`unship new` does not write {relative}");
            }
        }
    }
}
