//! A file of somebody's: into one of ours, hashed on the way, and broken off where it is longer than it may be.
//!
//! One request like any other. A redirect is not followed here either: it is handed out, and whoever follows it asks without the
//! credentials.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Seek as _},
    time::Duration,
};

use aws_lc_rs::digest;
use reqwest::{
    Response,
    header::{CONTENT_TYPE, LOCATION},
};
use sincro_core::gateway::Refusal;
use tokio::time::timeout;
use url::Url;

use super::{Http, Reply, Request, announced, redirected};
use crate::spool::SpoolWriter;

/// All of a file may take so long; between two pieces of it no more than any other answer may.
const WHOLE: Duration = Duration::from_mins(10);

/// A whole file of somebody's, without a name: it goes with this handle.
#[derive(Debug)]
pub struct MediaFile {
    /// How long it is.
    pub bytes: u64,
    /// Its SHA-256 in hex.
    pub sha256: String,
    /// What its sender calls its type.
    pub(crate) content_type: Option<String>,
    file: File,
}

impl MediaFile {
    /// The bytes, to be read from their beginning.
    ///
    /// # Errors
    /// Where the file cannot be read from there.
    pub fn into_file(mut self) -> io::Result<File> {
        self.file.rewind()?;
        Ok(self.file)
    }

    /// The same, for whoever looks into it before.
    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }
}

/// What a request for a file comes to.
#[derive(Debug)]
pub(crate) enum Download {
    /// All of it.
    Whole(MediaFile),
    /// It is longer than it may be.
    TooLarge,
    /// It is to be had there.
    Elsewhere(Url),
    /// A bad status, with its body.
    Refused(Reply),
}

impl Http {
    /// Sends it once. No more than `most` bytes are taken.
    pub(crate) async fn download(&self, request: Request, most: u64) -> Result<Download, Refusal> {
        let name = request.name().to_owned();
        let asked = timeout(self.settings.call_timeout, self.head(request.with_patience(WHOLE))).await;
        let (response, reply) = asked.map_err(|_| self.stalled(&name, 0))??;
        if response.status().is_redirection() {
            let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            let place = location.and_then(|location| response.url().join(location).ok());
            return place.filter(is_web).map(Download::Elsewhere).ok_or_else(|| redirected(&name, &response));
        }
        if !response.status().is_success() {
            let patience = self.settings.call_timeout;
            let reply = timeout(patience, self.complete(&name, patience, response, reply)).await;
            return Ok(Download::Refused(reply.map_err(|_| self.stalled(&name, 0))??));
        }
        self.keep(&name, response, most).await
    }

    async fn keep(&self, name: &str, mut response: Response, most: u64) -> Result<Download, Refusal> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if announced(&response).is_some_and(|length| length > most) {
            return Ok(Download::TooLarge);
        }
        let unkept = |error: io::Error| {
            let detail = format!("{name}: the file could not be kept in a temporary one: {error}");
            Refusal::Transient { code: "spool", detail }
        };
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
        let mut spool = SpoolWriter::create().await.map_err(unkept)?;
        let mut hash = digest::Context::new(&digest::SHA256);
        loop {
            let piece = timeout(self.settings.call_timeout, response.chunk()).await;
            let piece = piece.map_err(|_| self.stalled(name, spool.len()))?;
            let piece = piece.map_err(|error| self.broken(name, WHOLE, error, spool.len()))?;
            let Some(piece) = piece else { break };
            if spool.len() + piece.len() > most {
                return Ok(Download::TooLarge);
            }
            hash.update(&piece);
            spool.write(&piece).await.map_err(unkept)?;
        }
        let bytes = u64::try_from(spool.len()).unwrap_or(u64::MAX);
        let file = spool.finish().await.and_then(super::Spool::into_file).map_err(unkept)?;
        Ok(Download::Whole(MediaFile { bytes, sha256: hex(hash.finish().as_ref()), content_type, file }))
    }

    fn stalled(&self, name: &str, bytes_read: usize) -> Refusal {
        let patience = self.settings.call_timeout;
        let detail = format!("{name}: nothing came within {patience:?} ({bytes_read} bytes of it had come)");
        Refusal::Transient { code: "timeout", detail }
    }
}

/// Whether it is an address of the web without somebody's name in it.
pub(crate) fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.host().is_some()
        && url.username().is_empty()
        && url.password().is_none()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
