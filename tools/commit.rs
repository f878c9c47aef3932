//! Tells the commit to `--version`: from the environment, or from git, or nothing.

use std::{env, process::Command};

#[expect(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]
fn main() {
    println!("cargo::rerun-if-env-changed=COSMIC_COMMIT");
    // Only a change of branch: a build per commit would make everybody wait.
    println!("cargo::rerun-if-changed=../.git/HEAD");
    let from_git = || {
        let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
        Some(text.trim().to_owned()).filter(|commit| !commit.is_empty())
    };
    let commit = env::var("COSMIC_COMMIT").ok().or_else(from_git).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=COSMIC_COMMIT={commit}");
}
