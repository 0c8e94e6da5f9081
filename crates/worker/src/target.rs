//! Where files are kept: a folder, or a bucket of an S3-compatible store.
//!
//! A file of a message has one place, whoever brings it and how often. It is there whole or not at all. What was kept is known to the
//! ledger; nothing here lists, reads or deletes what is in its place.
//!
//! | module | its one task |
//! |---|---|
//! | `place` | reading the setting |
//! | `key` | the name of a message's file |
//! | `folder` | files in a folder |
//! | `bucket` | objects in a bucket; the only user of `object_store` |

mod bucket;
mod folder;
mod key;
mod place;

use std::{fmt, fs::File, sync::Arc};

use sincro_core::{channel::ChannelId, job::JobId};

pub use self::place::{Access, BadPlace, Place};
use self::{bucket::Bucket, folder::Folder};

/// A file could not be put into its place, or whether that can be done could not be seen.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// How files are kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where.
    pub target: Target,
    /// No file is longer than this.
    pub most_bytes: u64,
}

/// A place for files. Clones are the same one.
#[derive(Clone)]
pub struct Target(Arc<Kind>);

enum Kind {
    Folder(Folder),
    Bucket(Bucket),
}

/// The store's own description would show its key.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Target(..)")
    }
}

/// Which execution brings a file; of several the last one counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bringer {
    pub(crate) job: JobId,
    pub(crate) attempt: i32,
}

impl Target {
    /// Where this leads. Nothing is looked at yet.
    ///
    /// # Errors
    /// [`Error`] where the settings of the store make no sense together.
    pub fn new(place: &Place, access: &Access) -> Result<Self, Error> {
        Ok(Self(Arc::new(match place {
            Place::Folder(path) => Kind::Folder(Folder::new(path.clone())),
            Place::Bucket { bucket, prefix } => Kind::Bucket(Bucket::new(bucket, prefix, access)?),
        })))
    }

    /// Whether files can be put there: puts a small one there. In a folder it is taken away; in a bucket it stays, as `.check`.
    ///
    /// # Errors
    /// [`Error`] says why not.
    pub async fn check(&self) -> Result<(), Error> {
        match &*self.0 {
            Kind::Folder(folder) => folder.check().await,
            Kind::Bucket(bucket) => bucket.check().await,
        }
    }

    /// Puts the file of a message into its place, in place of what was there; gives its address.
    pub(crate) async fn keep(
        &self,
        channel: ChannelId,
        message: &str,
        file: File,
        bringer: Bringer,
    ) -> Result<String, Error> {
        let name = key::name(message);
        match &*self.0 {
            Kind::Folder(folder) => folder.keep(channel, &name, file, bringer).await,
            Kind::Bucket(bucket) => bucket.keep(channel, &name, file).await,
        }
    }

    /// Takes away what bringers left half-written that died.
    pub(crate) async fn clean(&self) -> Result<usize, Error> {
        match &*self.0 {
            Kind::Folder(folder) => folder.clean().await,
            Kind::Bucket(_) => Ok(0),
        }
    }
}
