//! Objects in a bucket of an S3-compatible store: `<prefix>/<channel>/<name>`. A store shows an object when all of it has come.

use std::{fs::File, time::Duration};

use object_store::{
    ClientOptions, ObjectStoreExt as _, RetryConfig, WriteMultipart,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};
use secrecy::ExposeSecret as _;
use sincro_core::channel::ChannelId;
use tokio::{io::AsyncReadExt as _, sync::Semaphore};

use super::{Access, Error};

/// Stores take no smaller parts but the last one.
const PART: usize = 5 * 1_024 * 1_024;
/// Files on their way at once in one process; each may have two parts in memory.
const AT_ONCE: usize = 4;
const CONNECT: Duration = Duration::from_secs(5);
/// One part of a file.
const REQUEST: Duration = Duration::from_mins(1);
/// What fails longer than that has failed; the job tries again.
const TRIED_FOR: Duration = Duration::from_secs(30);

pub(super) struct Bucket {
    store: AmazonS3,
    name: String,
    prefix: String,
    leave: Semaphore,
}

impl Bucket {
    pub(super) fn new(bucket: &str, prefix: &str, access: &Access) -> Result<Self, Error> {
        let options =
            ClientOptions::new().with_allow_http(access.allow_http).with_connect_timeout(CONNECT).with_timeout(REQUEST);
        let retries = RetryConfig { max_retries: 3, retry_timeout: TRIED_FOR, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&access.region)
            .with_client_options(options)
            .with_retry(retries);
        if let Some(endpoint) = &access.endpoint {
            builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
        }
        if let Some((name, key)) = &access.keys {
            builder = builder.with_access_key_id(name).with_secret_access_key(key.expose_secret());
        }
        let store = builder.build().map_err(|error| Error(format!("the bucket for files: {error}")))?;
        Ok(Self { store, name: bucket.to_owned(), prefix: prefix.to_owned(), leave: Semaphore::new(AT_ONCE) })
    }

    /// Nothing but the right to put is asked of the key, so what is put to try it stays.
    pub(super) async fn check(&self) -> Result<(), Error> {
        let path = self.path(&[".check"])?;
        self.store.put(&path, "sincro".into()).await.map(drop).map_err(|error| self.failed(&error))
    }

    pub(super) async fn keep(&self, channel: ChannelId, name: &str, file: File) -> Result<String, Error> {
        let path = self.path(&[&channel.to_string(), name])?;
        let _leave = self.leave.acquire().await.map_err(|error| Error(error.to_string()))?;
        let mut file = tokio::fs::File::from_std(file);
        let first = part(&mut file).await?;
        if first.len() < PART {
            self.store.put(&path, first.into()).await.map_err(|error| self.failed(&error))?;
        } else {
            self.in_parts(&path, first, &mut file).await?;
        }
        Ok(format!("s3://{}/{path}", self.name))
    }

    /// One part behind the other. What was begun and not finished is dropped, so that nobody pays for it.
    async fn in_parts(&self, path: &Path, first: Vec<u8>, file: &mut tokio::fs::File) -> Result<(), Error> {
        let upload = self.store.put_multipart(path).await.map_err(|error| self.failed(&error))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        let mut next = first;
        while !next.is_empty() {
            upload.write(&next);
            next = match (upload.wait_for_capacity(1).await, part(file).await) {
                (Ok(()), Ok(next)) => next,
                (failed, unread) => {
                    let _ = upload.abort().await;
                    failed.map_err(|error| self.failed(&error))?;
                    return unread.map(drop);
                }
            };
        }
        upload.finish().await.map(drop).map_err(|error| self.failed(&error))
    }

    fn path(&self, parts: &[&str]) -> Result<Path, Error> {
        let path = [&[self.prefix.as_str()][..], parts].concat().join("/");
        Path::parse(path.trim_start_matches('/')).map_err(|error| Error(format!("the bucket for files: {error}")))
    }

    fn failed(&self, error: &object_store::Error) -> Error {
        Error(format!("the bucket for files, {}: {}", self.name, told(error)))
    }
}

/// What went wrong, without what the store answered: that may quote what was signed.
fn told(error: &object_store::Error) -> String {
    match error {
        object_store::Error::NotFound { .. } => "there is no such bucket".to_owned(),
        object_store::Error::Unauthenticated { .. } | object_store::Error::PermissionDenied { .. } => {
            "the key is refused".to_owned()
        }
        other => {
            let text = other.to_string();
            let plain = text.split(['<', '\n']).next().unwrap_or_default();
            plain.chars().take(200).collect::<String>().trim().to_owned()
        }
    }
}

/// The next piece of a file, as long as a part where it has so much; empty behind its end.
async fn part(file: &mut tokio::fs::File) -> Result<Vec<u8>, Error> {
    let mut part = Vec::new();
    let read = file.take(PART as u64).read_to_end(&mut part).await;
    read.map_err(|error| Error(format!("a file that came could not be read: {error}")))?;
    Ok(part)
}

#[cfg(test)]
mod tests;
