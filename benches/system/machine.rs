//! Where it was measured, and of which versions.

use std::{collections::BTreeMap, fs, process::Command, sync::LazyLock};

use serde::{Deserialize, Serialize};

use crate::world::{World, programs, root};

/// The machine, and everything on it that has a version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gb: f64,
    pub(crate) system: String,
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) settings: BTreeMap<String, String>,
}

/// Looks around.
pub(crate) async fn look(world: &World) -> anyhow::Result<Machine> {
    let version = |program: &str, argument| {
        programs::find(program).map_or_else(|_| "missing".to_owned(), |path| programs::version(&path, argument))
    };
    let versions = [
        ("Sincro", format!("{}, commit {}", programs::version(&programs::sincro()?, "--version"), commit())),
        ("Postgres", version("postgres", "--version")),
        ("Redis", version("redis-server", "--version")),
        ("nginx", version("nginx", "-v")),
        ("Node.js", version("node", "--version")),
        ("Rust", version("rustc", "--version")),
        ("BullMQ", locked("bullmq", "bullmq")),
        ("ioredis", locked("bullmq", "ioredis")),
        ("pg", locked("bullmq", "pg")),
        ("apalis-redis", crate::peers::apalis::VERSION.to_owned()),
    ];
    let mut settings = BTreeMap::new();
    for setting in ["fsync", "synchronous_commit", "shared_buffers", "max_wal_size"] {
        settings.insert(setting.to_owned(), world.postgres.setting(setting).await?);
    }
    settings.insert("appendonly".to_owned(), "yes".to_owned());
    settings.insert("appendfsync".to_owned(), "everysec".to_owned());
    Ok(Machine {
        processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cores: std::thread::available_parallelism()?.get(),
        memory_gb: memory_gb(),
        system: said("uname", &["-srm"]),
        versions: versions.map(|(name, version)| (name.to_owned(), version)).into(),
        settings,
    })
}

/// The commit that is measured: that of the beginning, whatever is changed meanwhile.
pub(crate) fn commit() -> String {
    static COMMIT: LazyLock<String> = LazyLock::new(|| {
        let commit = said("git", &["rev-parse", "--short", "HEAD"]);
        let changed = said("git", &["status", "--porcelain", "--untracked-files=no"]);
        if changed.is_empty() { commit } else { format!("{commit} with changes") }
    });
    COMMIT.clone()
}

/// The version in a lock file of npm.
fn locked(peer: &str, package: &str) -> String {
    let text =
        fs::read_to_string(root().join("benches/peers").join(peer).join("package-lock.json")).unwrap_or_default();
    let lock: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    lock["packages"][format!("node_modules/{package}")]["version"].as_str().unwrap_or("unknown").to_owned()
}

fn memory_gb() -> f64 {
    let kilobytes =
        field("/proc/meminfo", "MemTotal").and_then(|text| text.trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.map_or(f64::NAN, |kilobytes| (kilobytes / 1_048_576.0 * 10.0).round() / 10.0)
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(named, _)| named.trim() == name).map(|(_, value)| value.trim().to_owned())
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(root()).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
