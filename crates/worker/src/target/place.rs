//! The setting that says where files are kept: a folder, or `s3://bucket/prefix`.

use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

/// Where files are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a folder of this machine, or one that all workers share.
    Folder(PathBuf),
    /// In a bucket.
    Bucket {
        /// Its name.
        bucket: String,
        /// What stands before every key; may be empty, and neither begins nor ends with a slash.
        prefix: String,
    },
}

/// How a bucket is reached.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The store's address; none for Amazon's own.
    pub endpoint: Option<Url>,
    /// Its region.
    pub region: String,
    /// The key's name and the key; none where the machine itself is known to the store.
    pub keys: Option<(String, SecretString)>,
    /// Whether the store may be spoken to in the clear.
    pub allow_http: bool,
}

/// It is no place for files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be empty, the absolute path of a folder, file:///path, or s3://bucket/prefix")]
pub struct BadPlace;

impl Place {
    /// Reads the setting; none for an empty one.
    ///
    /// # Errors
    /// [`BadPlace`] for anything that is none.
    pub fn read(text: &str) -> Result<Option<Self>, BadPlace> {
        if text.is_empty() {
            return Ok(None);
        }
        if text.starts_with('/') {
            return Ok(Some(Self::Folder(text.into())));
        }
        let url = Url::parse(text).map_err(|_| BadPlace)?;
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(BadPlace);
        }
        match url.scheme() {
            "file" => url.to_file_path().map(|path| Some(Self::Folder(path))).map_err(|()| BadPlace),
            "s3" => {
                let bucket = url.host_str().filter(|host| !host.is_empty() && url.port().is_none()).ok_or(BadPlace)?;
                let prefix = url.path().trim_matches('/');
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
                let is_whole = prefix.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
                if !prefix.bytes().all(is_plain) || !(prefix.is_empty() || is_whole) {
                    return Err(BadPlace);
                }
                Ok(Some(Self::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() }))
            }
            _ => Err(BadPlace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_and_a_bucket_are_read_and_anything_else_is_refused() {
        let folder = |path: &str| Ok(Some(Place::Folder(path.into())));
        let bucket =
            |name: &str, prefix: &str| Ok(Some(Place::Bucket { bucket: name.to_owned(), prefix: prefix.to_owned() }));
        for (text, read) in [
            ("", Ok(None)),
            ("/var/lib/sincro/media", folder("/var/lib/sincro/media")),
            ("file:///var/lib/a%20b", folder("/var/lib/a b")),
            ("s3://bucket", bucket("bucket", "")),
            ("s3://bucket/", bucket("bucket", "")),
            ("s3://my.bucket/a/b-c/", bucket("my.bucket", "a/b-c")),
            ("media", Err(BadPlace)),
            ("./media", Err(BadPlace)),
            ("?!", Err(BadPlace)),
            ("https://bucket/a", Err(BadPlace)),
            ("s3:///a", Err(BadPlace)),
            ("s3://bucket/a//b", Err(BadPlace)),
            ("s3://bucket/a?b=c", Err(BadPlace)),
            ("s3://key:secret@bucket/a", Err(BadPlace)),
        ] {
            assert_eq!(Place::read(text), read, "{text}");
        }
    }
}
