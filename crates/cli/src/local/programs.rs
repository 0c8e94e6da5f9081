//! Finds the installed Postgres and Redis programs, or says which command installs them.
//!
//! Looks on `PATH`, then where Debian and Homebrew keep what they leave off it (the same places as
//! `deploy/local/install-services`). Installs nothing.

use std::env::consts::OS;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// Folders of folders: `<parent>/<prefix>*/bin`.
const POSTGRES_PLACES: [(&str, &str); 3] =
    [("/usr/lib/postgresql", ""), ("/opt/homebrew/opt", "postgresql"), ("/usr/local/opt", "postgresql")];
const PLAIN_PLACES: [&str; 5] =
    ["/usr/bin", "/opt/homebrew/bin", "/opt/homebrew/opt/redis/bin", "/usr/local/bin", "/usr/local/opt/redis/bin"];

/// The Redis server.
pub(super) fn redis_server() -> anyhow::Result<PathBuf> {
    let mut found =
        on_path("redis-server").chain(PLAIN_PLACES.iter().map(PathBuf::from)).map(|dir| dir.join("redis-server"));
    found.find(|program| program.is_file()).with_context(|| missing("redis-server"))
}

/// The folder with `postgres` and `initdb`; of that major version, if files of one exist already.
pub(super) fn postgres_bin(existing_version: Option<&str>) -> anyhow::Result<PathBuf> {
    let installed = postgres_bins();
    anyhow::ensure!(!installed.is_empty(), missing("postgresql"));
    let Some(wanted) = existing_version else { return Ok(installed[0].clone()) };
    let mut others = Vec::new();
    for bin in installed {
        let version = major_version(&bin)?;
        if version == wanted {
            return Ok(bin);
        }
        others.push(version);
    }
    anyhow::bail!(
        "the database files are of Postgres {wanted}, which is not installed (found: {}): install it, or remove the \
         folder to begin anew",
        others.join(", ")
    )
}

/// What is on `PATH` first, then the newest.
fn postgres_bins() -> Vec<PathBuf> {
    let is_complete = |bin: &PathBuf| bin.join("postgres").is_file() && bin.join("initdb").is_file();
    let linked =
        on_path("postgres").filter_map(|dir| Some(dir.join("postgres").canonicalize().ok()?.parent()?.to_owned()));
    let mut bins: Vec<PathBuf> = linked.filter(is_complete).collect();
    let mut others: Vec<(u32, PathBuf)> =
        POSTGRES_PLACES.iter().flat_map(|(parent, prefix)| versions(Path::new(parent), prefix)).collect();
    others.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    for bin in others.into_iter().filter_map(|(_, bin)| bin.canonicalize().ok()).filter(is_complete) {
        if !bins.contains(&bin) {
            bins.push(bin);
        }
    }
    bins
}

/// `<parent>/17/bin` and `<parent>/postgresql@17/bin` with the number in their name, 0 without one.
fn versions(parent: &Path, prefix: &str) -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path().join("bin"))));
    named
        .filter_map(|(name, bin)| {
            let version = name.strip_prefix(prefix)?.trim_start_matches('@').parse().unwrap_or(0);
            Some((version, bin))
        })
        .collect()
}

/// Of `postgres (PostgreSQL) 15.18 (Debian ...)`: `15`.
fn major_version(bin: &Path) -> anyhow::Result<String> {
    let program = bin.join("postgres");
    let output = Command::new(&program).arg("--version").output();
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    let major = number.map(|number| number.chars().take_while(char::is_ascii_digit).collect());
    major.with_context(|| format!("{} --version answered {text:?}", program.display()))
}

fn on_path(program: &'static str) -> impl Iterator<Item = PathBuf> {
    let path = super::search_path();
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).filter(|dir| dir.join(program).is_file()).collect();
    dirs.into_iter()
}

fn missing(package: &str) -> String {
    let how = match OS {
        "linux" if Path::new("/usr/bin/apt-get").exists() => "install it with `./just install-services`".to_owned(),
        "macos" => "install it with `./just install-services` (or `brew install redis postgresql@17`)".to_owned(),
        _ => "install PostgreSQL (15 or newer, the server) and Redis (7 or newer) so that `initdb`, `postgres` and \
              `redis-server` are on the PATH"
            .to_owned(),
    };
    format!("{package} is missing: {how}, or set DATABASE_URL and REDIS_URL to servers of yours")
}
