//! Where a run keeps the files of its servers and the logs of its processes, and who owns them.
//!
//! Postgres refuses to run as root. As root, the servers run as `postgres` or `nobody`, who must reach their files.

use std::{
    fs::{self, File, Permissions},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::warden::Warden;
use crate::support::private::stand_in;

/// A folder that goes with the run if the run went well.
pub(super) struct Folder {
    /// First to go: what it would end lives in here.
    pub(super) warden: Warden,
    place: TempDir,
    /// User and group of the servers, where that is not who runs the test.
    account: Option<(u32, u32)>,
}

impl Folder {
    pub(super) fn new() -> Self {
        let mut place = tempfile::Builder::new().prefix("sincro-chaos-").tempdir().unwrap();
        place.disable_cleanup(true);
        let account = stand_in();
        if account.is_some() {
            fs::set_permissions(place.path(), Permissions::from_mode(0o711)).unwrap();
        }
        Self { warden: Warden::watch(place.path()), place, account }
    }

    pub(super) fn path(&self) -> &Path {
        self.place.path()
    }

    /// A folder in it for a server's files.
    pub(super) fn room(&self, name: &str) -> PathBuf {
        let room = self.path().join(name);
        fs::create_dir_all(&room).unwrap();
        if let Some((user, group)) = self.account {
            std::os::unix::fs::chown(&room, Some(user), Some(group)).unwrap();
        }
        room
    }

    /// The log that everything with this name goes on with.
    pub(super) fn log(&self, name: &str) -> File {
        File::options().create(true).append(true).open(self.log_path(name)).unwrap()
    }

    pub(super) fn log_path(&self, name: &str) -> PathBuf {
        self.path().join(format!("{name}.log"))
    }

    /// A server's command: run as the servers' user, in a folder of its own, with a log.
    pub(super) fn command(&self, program: &Path, name: &str) -> Command {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group);
        }
        command.current_dir(self.room(name)).stdin(Stdio::null());
        command.stdout(self.log(name)).stderr(self.log(name));
        command
    }

    /// Everything went well: nobody needs the logs.
    pub(super) fn remove(&mut self) {
        self.place.disable_cleanup(false);
    }
}
