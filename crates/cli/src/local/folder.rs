//! The folder that a pair of private servers lives in: where it is, whose it is, and that only one of us uses it.
//!
//! ```text
//! <folder>/leash.sh        what the servers run under
//! <folder>/owner.lock      held by the process that uses the folder
//! <folder>/postgres.lock   held by all processes of the Postgres server, ours or a dying one of an earlier run
//! <folder>/postgres.log    what it said
//! <folder>/postgres/       its files, its password and its last port; the server's user owns them, mode 0700
//! <folder>/redis*          likewise
//! ```
//!
//! Locks instead of process ids: a lock cannot be stale, and it never names somebody else's process.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::account::{self, Account};
use super::leash::{SCRIPT, STOP_PATIENCE};

const POLL: Duration = Duration::from_millis(50);
const OWNER_LOCK: &str = "owner.lock";

/// Where a private server pair keeps its data by default: `$SINCRO_DATA_DIR/<purpose>`, else for root a folder that the
/// servers' own user can reach, else below the user's data folder. Nothing is created.
pub(crate) fn data_dir(purpose: &str) -> anyhow::Result<PathBuf> {
    let base = if let Some(chosen) = super::variable("SINCRO_DATA_DIR") {
        std::path::absolute(chosen)?
    } else if account::is_root()? {
        PathBuf::from("/var/lib/sincro")
    } else if let Some(data) = super::variable("XDG_DATA_HOME") {
        PathBuf::from(data).join("sincro")
    } else {
        let home = super::variable("HOME").context("set HOME or SINCRO_DATA_DIR: no place for the data otherwise")?;
        PathBuf::from(home).join(".local/share/sincro")
    };
    Ok(base.join(purpose))
}

/// A folder in use by this process, until dropped.
pub(super) struct Folder {
    path: PathBuf,
    account: Account,
    _owner: File,
}

impl Folder {
    /// Makes the folder if needed and claims it.
    pub(super) fn claim(path: &Path) -> anyhow::Result<Self> {
        make_folders(path)?;
        let path = path.canonicalize().with_context(|| format!("cannot use the folder {}", path.display()))?;
        let owner = claim_owner(&path)?;
        let account = Account::choose(&[&path.join("postgres"), &path.join("redis")])?;
        account.ensure_reaches(&path)?;
        let folder = Self { path, account, _owner: owner };
        folder.write_private(&folder.leash(), SCRIPT)?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn account(&self) -> Account {
        self.account
    }

    pub(super) fn leash(&self) -> PathBuf {
        self.path.join("leash.sh")
    }

    pub(super) fn log(&self, server: &str) -> PathBuf {
        self.path.join(format!("{server}.log"))
    }

    /// A subfolder that belongs to the server's user alone.
    pub(super) fn room(&self, server: &str) -> anyhow::Result<PathBuf> {
        let room = self.path.join(server);
        if !room.exists() {
            let made = DirBuilder::new().mode(0o700).create(&room);
            made.and_then(|()| self.account.own(&File::open(&room)?))
                .with_context(|| format!("cannot make {}", room.display()))?;
        }
        Ok(room)
    }

    /// Waits until no process of an earlier run's server is left, and locks its place for the next one.
    ///
    /// Such a server is stopping already, because the process that held its leash is gone: nothing is signalled here.
    pub(super) async fn vacant(&self, server: &str) -> anyhow::Result<File> {
        let path = self.path.join(format!("{server}.lock"));
        let lock = open_lock(&path)?;
        let deadline = tokio::time::Instant::now() + STOP_PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(POLL).await;
                }
                Err(TryLockError::WouldBlock) => anyhow::bail!(
                    "an earlier {server} of {} is still stopping after {} seconds; see {}",
                    self.path.display(),
                    STOP_PATIENCE.as_secs(),
                    self.log(server).display()
                ),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
        }
    }

    /// Writes a file that only the server's user (and root) can read, replacing what was there.
    pub(super) fn write_private(&self, path: &Path, contents: &str) -> anyhow::Result<()> {
        let context = || format!("cannot write {}", path.display());
        let draft = path.with_extension("new");
        remove_file_if_there(&draft)?;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).with_context(context)?;
        file.write_all(contents.as_bytes()).and_then(|()| self.account.own(&file)).with_context(context)?;
        file.sync_all().with_context(context)?;
        fs::rename(&draft, path).with_context(context)
    }

    /// The password in that file; a random one is written there first if the file does not exist.
    pub(super) fn password(&self, path: &Path) -> anyhow::Result<String> {
        if !path.exists() {
            self.write_private(path, &random_word()?)?;
        }
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(text.trim().to_owned())
    }
}

/// Whether nobody uses that folder; false when it was never claimed.
pub(super) fn is_abandoned(path: &Path) -> bool {
    File::open(path.join(OWNER_LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}

pub(super) fn remove_file_if_there(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Makes the folder and its missing parents. As root they can be passed through (not read) by others, whatever the
/// umask says, because the servers run as somebody else.
fn make_folders(path: &Path) -> anyhow::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let context = || format!("cannot make the folder {}", path.display());
    if let Some(parent) = path.parent() {
        make_folders(parent)?;
    }
    let mode = if account::is_root()? { 0o711 } else { 0o700 };
    fs::create_dir(path).with_context(context)?;
    fs::set_permissions(path, Permissions::from_mode(mode)).with_context(context)
}

fn claim_owner(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join(OWNER_LOCK);
    let owner = open_lock(&path)?;
    match owner.try_lock() {
        Ok(()) => Ok(owner),
        Err(TryLockError::WouldBlock) => anyhow::bail!(
            "another sincro is using the folder {}: let it finish, or name another folder in SINCRO_DATA_DIR",
            folder.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

fn open_lock(path: &Path) -> anyhow::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).with_context(|| {
        let owner = path.parent().and_then(|folder| fs::metadata(folder).ok()).map(|folder| folder.uid());
        let whose = owner.map_or_else(String::new, |uid| format!(" (its folder belongs to user {uid})"));
        format!("cannot write {}{whose}", path.display())
    })
}

/// 128 random bits in hexadecimal, fit for a URL as they are.
fn random_word() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes)).context("no random numbers")?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reachable for the servers' user, as the folders that we make ourselves are.
    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).unwrap();
        let path = dir.path().join("some/where");
        (dir, path)
    }

    #[test]
    fn a_folder_has_one_user_at_a_time() {
        let (_dir, path) = place();
        let first = Folder::claim(&path).unwrap();
        assert!(Folder::claim(&path).err().unwrap().to_string().contains("another sincro"));
        assert!(!is_abandoned(&path));
        drop(first);
        // A child that another test is just starting holds a copy of every file until it runs its program.
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while !is_abandoned(&path) && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(is_abandoned(&path));
    }

    #[test]
    fn a_password_is_made_once_and_only_its_owner_reads_it() {
        let (_dir, path) = place();
        let folder = Folder::claim(&path).unwrap();
        let file = folder.room("redis").unwrap().join("password");
        let password = folder.password(&file).unwrap();
        assert_eq!(password.len(), 32);
        assert_eq!(folder.password(&file).unwrap(), password);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_parent_that_the_servers_user_cannot_enter_is_named() {
        let (dir, path) = place();
        if !account::is_root().unwrap() {
            return; // Everything is run by the one user.
        }
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        let error = Folder::claim(&path).err().unwrap().to_string();
        assert!(error.contains(&format!("chmod a+x {}`", dir.path().display())), "{error}");
    }
}
