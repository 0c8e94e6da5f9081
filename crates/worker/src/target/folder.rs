//! Files in a folder: `<channel>/<name>`, each written beside its place, brought to the disk, and moved there at once.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use sincro_core::{channel::ChannelId, clock};
use tokio::task::spawn_blocking;
use url::Url;
use uuid::Uuid;

use super::{Bringer, Error};

/// Where files are while they are written.
const UNDER_WAY: &str = ".under-way";
/// No file is written for so long.
const ABANDONED: Duration = Duration::from_hours(2);

pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) async fn check(&self) -> Result<(), Error> {
        let under_way = self.path.join(UNDER_WAY);
        let probe = under_way.join(format!("check-{}", std::process::id()));
        self.blocking(move || {
            fs::create_dir_all(&under_way)?;
            fs::write(&probe, "sincro")?;
            fs::remove_file(&probe)
        })
        .await
    }

    pub(super) async fn keep(
        &self,
        channel: ChannelId,
        name: &str,
        mut file: File,
        bringer: Bringer,
    ) -> Result<String, Error> {
        let folder = self.path.join(channel.to_string());
        let (place, under_way) = (folder.join(name), self.path.join(UNDER_WAY));
        let location = Url::from_file_path(&place).map(String::from);
        let location = location.map_err(|()| Error("the folder for files is no absolute path".to_owned()))?;
        self.blocking(move || {
            fs::create_dir_all(&under_way)?;
            fs::create_dir_all(&folder)?;
            forget_earlier(&under_way, bringer)?;
            let Bringer { job, attempt } = bringer;
            // A name that nobody else has, whoever takes himself for the same attempt.
            let beside = under_way.join(format!("{job}-{attempt}-{}", Uuid::now_v7().simple()));
            let written = write(&mut file, &beside).and_then(|()| fs::rename(&beside, &place));
            if written.is_err() {
                let _ = fs::remove_file(&beside);
            }
            written?;
            // The name is on the disk as well.
            File::open(&folder)?.sync_all()
        })
        .await?;
        Ok(location)
    }

    pub(super) async fn clean(&self) -> Result<usize, Error> {
        let under_way = self.path.join(UNDER_WAY);
        self.blocking(move || clean(&under_way)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let done = spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|error| Error(format!("the folder for files, {}: {error}", self.path.display())))
    }
}

/// What earlier attempts of a job left when they died: it was never complete. Few files are under way at once.
fn forget_earlier(under_way: &Path, bringer: Bringer) -> io::Result<()> {
    for entry in fs::read_dir(under_way)? {
        let entry = entry?;
        let name = entry.file_name();
        let mut parts = name.to_str().unwrap_or_default().split('-');
        let job = parts.next().and_then(|job| job.parse().ok());
        let attempt = parts.next().and_then(|attempt| attempt.parse::<i32>().ok());
        if job == Some(bringer.job) && attempt.is_some_and(|attempt| attempt < bringer.attempt) {
            // Somebody else may have been faster.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

fn write(from: &mut File, to: &Path) -> io::Result<()> {
    let mut to = File::create(to)?;
    io::copy(from, &mut to)?;
    to.sync_all()
}

/// How many were taken away.
fn clean(under_way: &Path) -> io::Result<usize> {
    let entries = match fs::read_dir(under_way) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let now = u64::try_from(clock::now().timestamp()).map(Duration::from_secs).unwrap_or_default();
    let mut cleaned = 0;
    for entry in entries {
        let entry = entry?;
        let age = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .map(|at| now.saturating_sub(at.duration_since(UNIX_EPOCH).unwrap_or_default()));
        // Somebody else may have been faster.
        if age.is_ok_and(|age| age > ABANDONED) && fs::remove_file(entry.path()).is_ok() {
            cleaned += 1;
        }
    }
    Ok(cleaned)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    const BRINGER: Bringer = Bringer { job: 7, attempt: 3 };

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    #[tokio::test]
    async fn a_file_has_one_place_however_often_it_comes_and_nothing_is_left_beside_it() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path().join("media"));
        folder.check().await.unwrap();
        for earlier in ["7-1-a", "7-2-b"] {
            fs::write(home.path().join("media/.under-way").join(earlier), "half a fi").unwrap();
        }
        let others = home.path().join("media/.under-way/8-1-c");
        fs::write(&others, "half a fi").unwrap();
        for bytes in [&b"one"[..], b"another"] {
            let location = folder.keep(Uuid::nil(), "a%2Fb", file(bytes), BRINGER).await.unwrap();
            let place = Url::parse(&location).unwrap().to_file_path().unwrap();
            assert_eq!(place, home.path().join(format!("media/{}/a%2Fb", Uuid::nil())));
            assert_eq!(fs::read(place).unwrap(), bytes);
        }
        let left: Vec<_> = fs::read_dir(home.path().join("media/.under-way")).unwrap().collect();
        assert!(left.len() == 1 && left[0].as_ref().unwrap().path() == others, "{left:?}");
    }

    #[tokio::test]
    async fn what_was_left_half_written_is_taken_away_when_it_is_old() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path().to_owned());
        assert_eq!(folder.clean().await.unwrap(), 0);
        folder.check().await.unwrap();
        for (name, at) in [("9-1", UNIX_EPOCH), ("9-2", UNIX_EPOCH + Duration::from_secs(1 << 40))] {
            File::create(home.path().join(".under-way").join(name)).unwrap().set_modified(at).unwrap();
        }
        assert_eq!(folder.clean().await.unwrap(), 1);
        assert!(home.path().join(".under-way/9-2").exists());
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_says_so() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("media"), "a file").unwrap();
        let folder = Folder::new(home.path().join("media"));
        assert!(folder.check().await.unwrap_err().to_string().starts_with("the folder for files, "));
        assert!(folder.keep(Uuid::nil(), "a", file(b"x"), BRINGER).await.is_err());
    }
}
