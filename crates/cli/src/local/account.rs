//! Who runs the servers: we ourselves, or an unprivileged user when we are root, because Postgres refuses root.
//!
//! A folder that exists already keeps its user. Users are only looked up here, never made.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;

/// Looked up in this order when we are root.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// The user that the servers run as and own their files as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    /// We are not root: the servers are ours.
    Own,
    /// We are root: the servers run with less.
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// The account for a folder: its present owner if one of the given paths exists, else the first user that there is.
    pub(super) fn choose(existing: &[&Path]) -> anyhow::Result<Self> {
        if !is_root()? {
            return Ok(Self::Own);
        }
        let owners = existing.iter().filter_map(|path| fs::metadata(path).ok());
        if let Some(owner) = owners.map(|owner| (owner.uid(), owner.gid())).find(|(uid, _)| *uid != 0) {
            return Ok(Self::Other { uid: owner.0, gid: owner.1 });
        }
        for name in UNPRIVILEGED {
            if let (Ok(uid), Ok(gid)) = (id(&["-u", name]), id(&["-g", name])) {
                return Ok(Self::Other { uid, gid });
            }
        }
        anyhow::bail!("Postgres does not run as root, and there is no user `postgres` or `nobody` to run it instead")
    }

    /// Makes the command run as this user.
    pub(super) fn run_as(self, command: &mut Command) {
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }

    /// Gives an open file or folder to this user. By its handle: in a folder of the user's own, a path could be
    /// exchanged for a link to something else.
    pub(super) fn own(self, file: &File) -> std::io::Result<()> {
        match self {
            Self::Own => Ok(()),
            Self::Other { uid, gid } => std::os::unix::fs::fchown(file, Some(uid), Some(gid)),
        }
    }

    /// Refuses a folder which the user cannot reach, and names the parent that is in the way.
    pub(super) fn ensure_reaches(self, folder: &Path) -> anyhow::Result<()> {
        let Self::Other { uid, .. } = self else { return Ok(()) };
        if self.enters(folder)? {
            return Ok(());
        }
        let mut parents: Vec<&Path> = folder.ancestors().collect();
        parents.reverse();
        for parent in parents {
            if !self.enters(parent)? {
                anyhow::bail!(
                    "Postgres does not run as root, and user {uid}, who would run it, cannot enter {0}: allow it with \
                     `chmod a+x {0}`, or name another folder in SINCRO_DATA_DIR",
                    parent.display()
                );
            }
        }
        anyhow::bail!("user {uid} cannot enter {}", folder.display())
    }

    fn enters(self, folder: &Path) -> anyhow::Result<bool> {
        let mut command = Command::new("/bin/sh");
        command.args([OsStr::new("-c"), OsStr::new("test -x \"$1\""), OsStr::new("enters"), folder.as_os_str()]);
        command.current_dir("/").stdin(Stdio::null());
        self.run_as(&mut command);
        Ok(command.status().context("cannot run /bin/sh as an unprivileged user")?.success())
    }
}

/// Whether this process runs as root.
pub(super) fn is_root() -> anyhow::Result<bool> {
    Ok(id(&["-u"])? == 0)
}

/// The standard library does not tell a process its own user; `id` does, on every Unix.
fn id(arguments: &[&str]) -> anyhow::Result<u32> {
    let output = Command::new("id").args(arguments).output().context("cannot run `id`")?;
    anyhow::ensure!(output.status.success(), "`id {}` failed", arguments.join(" "));
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| format!("`id {}` answered {text:?}", arguments.join(" ")))
}
