//! The site's git repository. Its history: the site before story 1.8, which the tag `before-1.8` records; the story's
//! commits, which change, add and remove files of `tests/` and `docs/`; and a later commit of other work, so that `HEAD~1`
//! is not the commit before the story.

use anyhow::{Context as _, Result};
use std::{fs, path::Path, process::Command};

/// The tag of the commit before story 1.8.
pub const BEFORE: &str = "before-1.8";
/// A file of this text says no more than that it is there.
pub const NOTHING: &str = "";

enum Change {
    Write(&'static str, &'static str),
    Remove(&'static str),
}
use Change::{Remove, Write};

struct Commit {
    subject: &'static str,
    changes: &'static [Change],
    tag: Option<&'static str>,
}

const COMMITS: &[Commit] = &[
    Commit {
        subject: "The data services",
        changes: &[
            Write("tests/smoke.test.js", include_str!("tree/history/smoke-before.test.js")),
            Write("docs/runbook.md", include_str!("tree/history/runbook-before.md")),
            Write("docs/manual-checks.md", include_str!("tree/history/manual-checks.md")),
        ],
        tag: Some(BEFORE),
    },
    Commit {
        subject: "Story 1.8: tests of the contracts",
        changes: &[
            Write("tests/smoke.test.js", include_str!("tree/history/smoke.test.js")),
            Write("tests/contract/api.test.js", include_str!("tree/history/api.test.js")),
        ],
        tag: None,
    },
    Commit {
        subject: "Story 1.8: what is tested is not checked by hand any more",
        changes: &[
            Write("docs/runbook.md", include_str!("tree/history/runbook.md")),
            Write("docs/testing/contracts.md", include_str!("tree/history/contracts.md")),
            Remove("docs/manual-checks.md"),
        ],
        tag: None,
    },
    Commit { subject: "Say who is on call", changes: &[Write("ON-CALL.md", "The data services' team.\n")], tag: None },
];

/// Makes the repository of all that lies in `dir` by now and is not ignored.
///
/// # Errors
/// When there is no git, or it fails.
pub fn lay_out(dir: &Path) -> Result<()> {
    git(dir, &["init", "--quiet", "--initial-branch=main"])?;
    for (count, commit) in COMMITS.iter().enumerate() {
        for change in commit.changes {
            match change {
                Write(path, text) => {
                    let path = dir.join(path);
                    fs::create_dir_all(path.parent().context("a file in a folder")?)?;
                    fs::write(path, text)?;
                }
                Remove(path) => fs::remove_file(dir.join(path))?,
            }
        }
        git(dir, &["add", "--all"])?;
        // Always the same times, so that a site laid out twice has the same commits.
        let date = format!("2024-03-{:02}T12:00:00+00:00", 14 + count);
        let mut made = command(dir, &["commit", "--quiet", "--no-gpg-sign", "-m", commit.subject]);
        crate::site::run(made.env("GIT_AUTHOR_DATE", &date).env("GIT_COMMITTER_DATE", &date))?;
        if let Some(tag) = commit.tag {
            git(dir, &["tag", tag])?;
        }
    }
    Ok(())
}

fn git(dir: &Path, args: &[&str]) -> Result<()> {
    crate::site::run(&mut command(dir, args)).context("the site's repository is made by git, which must be on PATH")?;
    Ok(())
}

/// git with no configuration but this.
fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    command.args(args).current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for role in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{role}_NAME"), "The data services' team")
            .env(format!("GIT_{role}_EMAIL"), "team@site");
    }
    command
}
