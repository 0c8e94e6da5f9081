//! Where the installed programs are, who may run them, and free ports.

use std::{
    ffi::OsString,
    fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

/// Where programs are beside the `PATH`; where a `*` stands, the latest version counts.
const PLACES: [&str; 8] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
    "/usr/lib/postgresql/*/bin",
    "/opt/homebrew/opt/*/bin",
    "/usr/local/opt/*/bin",
    "/bin",
];
/// Whoever may run Postgres where we are root, which Postgres refuses.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// Where a program is, or how it is installed.
pub(crate) fn find(name: &str) -> anyhow::Result<PathBuf> {
    let path = search_path();
    let mut places = std::env::split_paths(&path).chain(PLACES.iter().flat_map(|place| versions(place)));
    let found = places.find_map(|place| Some(place.join(name)).filter(|file| file.is_file()));
    found.with_context(|| format!("{name} is missing: `./just bench` installs it"))
}

fn versions(place: &str) -> Vec<PathBuf> {
    let Some((parent, rest)) = place.split_once("/*/") else { return vec![PathBuf::from(place)] };
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|version| version.path().join(rest)).collect();
    found.sort();
    found.reverse();
    found
}

/// `sincro` as it was built for release, beside this program.
pub(crate) fn sincro() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let profile = own.ancestors().nth(2).context("a bench is in target/release/deps")?;
    let program = profile.join("sincro");
    anyhow::ensure!(program.is_file(), "{} is missing: `./just bench` builds it", program.display());
    Ok(program)
}

#[expect(clippy::disallowed_methods, reason = "where programs are is nothing that a configuration says")]
pub(crate) fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}

/// What a program says of itself, on one line.
pub(crate) fn version(program: &Path, argument: &str) -> String {
    let Ok(output) = Command::new(program).arg(argument).output() else { return "unknown".to_owned() };
    // nginx says it on the other line.
    let told = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&told).lines().next().unwrap_or_default().trim().to_owned()
}

/// A user and group that Postgres accepts; none where we are such a one.
pub(crate) fn account() -> anyhow::Result<Option<(u32, u32)>> {
    if id(&["-u"]) != Some(0) {
        return Ok(None);
    }
    let found = UNPRIVILEGED.iter().find_map(|name| Some((id(&["-u", name])?, id(&["-g", name])?)));
    found.map(Some).context("Postgres does not run as root, and there is no user to run it instead")
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// A folder in which the account can write.
pub(crate) fn room(parent: &Path, name: &str, account: Option<(u32, u32)>) -> anyhow::Result<PathBuf> {
    let room = parent.join(name);
    fs::create_dir(&room).with_context(|| format!("cannot make {}", room.display()))?;
    if let Some((uid, gid)) = account {
        chown(&room, Some(uid), Some(gid))?;
    }
    Ok(room)
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?.local_addr()?.port())
}
