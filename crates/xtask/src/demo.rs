//! `cargo xtask demo`: the main job before your eyes, on a practice site of its own. Every line is printed by what it shows
//! happening; a step that ends otherwise than expected ends the demo.

use crate::{
    practice,
    site::{self, Parts, Story},
};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    io::Write as _,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What shows, by a command of the site, that a story is in and then that it is out.
struct Tale {
    story: &'static str,
    wrong: &'static str,
    program: &'static str,
    args: &'static [&'static str],
    /// The command's exit status while the story is in; afterwards it is 0.
    status: i32,
}

const TALES: &[Tale] = &[
    Tale {
        story: "1.1.5",
        wrong: "the security service of story 1.1.5 is known to be broken, and still lets people in",
        program: "bin/practice-api",
        args: &["get", "/orders", "practice-key"],
        status: 0,
    },
    Tale {
        story: "1.2",
        wrong: "since story 1.2 was shipped, connectors crash again and again",
        program: "bin/practice-ingestion",
        args: &["get", "/status"],
        status: 0,
    },
    Tale {
        story: "1.3",
        wrong: "since story 1.3 was shipped, queries run into their time-out",
        program: "bin/practice-analytics",
        args: &["query", "SELECT region, sum(amount) FROM orders GROUP BY region"],
        status: 1,
    },
    Tale {
        story: "1.4",
        wrong: "since story 1.4 was shipped, a third of dbt's models fail",
        program: "bin/practice-core",
        args: &["healthy"],
        status: 0,
    },
    Tale {
        story: "1.5",
        wrong: "since story 1.5 was shipped, runs pile up and Dagster's daemon crashes",
        program: "bin/practice-scheduler",
        args: &["get", "/schedule"],
        status: 1,
    },
    Tale {
        story: "1.6",
        wrong: "since story 1.6 was shipped, an analysis takes six gigabytes",
        program: "bin/practice-analysis-service",
        args: &["get", "/summary"],
        status: 0,
    },
    Tale {
        story: "1.7",
        wrong: "since story 1.7 was shipped, builds take a quarter of an hour and fail",
        program: "bin/practice-evidence-builder",
        args: &["get", "/"],
        status: 0,
    },
    Tale {
        story: "1.8",
        wrong: "since story 1.8 was shipped, the suite takes hours",
        program: "ls",
        args: &["tests", "docs"],
        status: 0,
    },
];

/// A bundle that asks to read one file and tries another: a plain WASI program, nothing of unship's own.
const NOSY_MANIFEST: &str = r#"story = "9.9"
version = "1.0.0"
title = "A nosy report"
argv = ["read", "summaries/revenue-by-region.csv", "--", "read", "config/api-config.yaml"]

[[step]]
name = "report"
title = "Read the summary"
files.read = ["summaries/revenue-by-region.csv"]
"#;

const NOSY_POLICY: &str = r#"[story]
id = "9.9"
title = "A nosy report"
bundle = "story-9.9.wasm"
signed-by = ["release"]

[grants.report]
files.read = ["summaries/revenue-by-region.csv"]
"#;

/// Runs the demo in `dir`, a new folder; without one, in a new folder among the temporary files.
///
/// # Errors
/// When a step ends otherwise than expected.
pub fn run(dir: Option<PathBuf>, story: &Story, parts: &Parts) -> Result<()> {
    let tale = TALES.iter().find(|tale| tale.story == story.id).context("nobody tells the tale of this story yet")?;
    let dir = match dir {
        Some(dir) => dir,
        None => tempfile::Builder::new().prefix("unship-demo-").tempdir()?.keep(),
    };
    let cache = tempfile::tempdir()?;
    let key = cache.path().join("release.key");
    site::lay_out_with_key(&dir, parts, &[story], &key)?;
    let dir = dir.canonicalize()?;
    let demo = Demo { dir: &dir, parts, cache: cache.path() };
    let shown = demo.show(tale, story.needs, &key);
    site::stop(&dir);
    shown?;
    let all = [Some(dir.clone()), Some(practice::dagster::beside(&dir)).filter(|beside| beside.exists())];
    let all: Vec<String> = all.into_iter().flatten().map(|path| path.display().to_string()).collect();
    say(&format!("\nThe site stays for you to look at; nothing else does. To remove it: rm -r {}", all.join(" ")));
    Ok(())
}

struct Demo<'a> {
    dir: &'a Path,
    parts: &'a Parts,
    cache: &'a Path,
}

impl Demo<'_> {
    fn show(&self, tale: &Tale, needs: &[&str], key: &Path) -> Result<()> {
        let Tale { story, program, args, .. } = *tale;
        say(&format!("A practice site in {}, its services running.", self.dir.display()));
        say(&format!("\n# What is wrong: {}.", tale.wrong));
        self.shown(program, &self.program(program), args, tale.status)?;
        for need in needs {
            say(&format!("\n# Story {need} stands on it, and goes first."));
            self.unship(&["apply", need, "--yes"], 0)?;
        }
        say("\n# What taking the story back would do. The steps really run, against an overlay; nothing is changed.");
        self.unship(&["plan", story], 0)?;
        let digest = self.digest(story)?;
        say("\n# Do exactly that, and verify.");
        self.unship(&["apply", story, "--yes", "--expect", &digest], 0)?;
        say("\n# The same question again.");
        self.shown(program, &self.program(program), args, 0)?;
        say("\n# Applying it twice does no harm.");
        self.unship(&["apply", story, "--yes"], 0)?;
        say("\n# What was done, provably.");
        self.unship(&["journal", "show"], 0)?;
        self.unship(&["journal", "verify"], 0)?;
        say("\n# A signed bundle that asks to read one file and tries another is refused.");
        self.nosy(key)?;
        self.unship(&["apply", "9.9", "--yes"], 3)?;
        self.unship(&["runs"], 0)
    }

    /// One of the site's own, or of the system's.
    fn program(&self, name: &str) -> PathBuf {
        if name.contains('/') { self.dir.join(name) } else { name.into() }
    }

    fn nosy(&self, key: &Path) -> Result<()> {
        let manifest = self.cache.join("nosy.toml");
        fs::write(&manifest, NOSY_MANIFEST)?;
        fs::write(self.dir.join("policies/9.9.toml"), NOSY_POLICY)?;
        let program = self.parts.guests.join("fsprobe.wasm");
        site::bundle(self.parts, &program, &manifest, &self.dir.join("bundles/story-9.9.wasm"), key)
    }

    /// The digest of the plan that was just shown.
    fn digest(&self, story: &str) -> Result<String> {
        let mut plan = self.command(&self.parts.unship, &["plan", story, "--json"]);
        let printed = site::run(&mut plan)?;
        let last: serde_json::Value = serde_json::from_str(printed.lines().last().unwrap_or_default())?;
        last["plan_digest"].as_str().map(str::to_owned).context("the plan has no digest")
    }

    fn unship(&self, args: &[&str], expect: i32) -> Result<()> {
        self.shown("unship", &self.parts.unship, args, expect)
    }

    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.dir).env("XDG_CACHE_HOME", self.cache).stdin(Stdio::null());
        command
    }

    /// Runs a command before your eyes and demands how it ends.
    fn shown(&self, name: &str, program: &Path, args: &[&str], expect: i32) -> Result<()> {
        let quoted: Vec<String> =
            args.iter().map(|a| if a.contains(' ') { format!("'{a}'") } else { (*a).to_owned() }).collect();
        say(&format!("$ {name} {}", quoted.join(" ")));
        // Progress goes to the same place, so that it stands where it belongs.
        let stdout = std::io::stdout().as_fd().try_clone_to_owned()?;
        let status = self.command(program, args).stderr(Stdio::from(stdout)).status()?;
        if expect != 0 {
            say(&format!("(exit status {})", status.code().unwrap_or(-1)));
        }
        if status.code() != Some(expect) {
            bail!("`{name} {}` ended with {status}, not with {expect}", args.join(" "));
        }
        Ok(())
    }
}

fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
