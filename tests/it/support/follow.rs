//! A sync's event stream, read until something is so.

use sincro_core::sync::{SyncId, SyncStatus};

use super::{bounds::within, client::Client};

/// An open stream of `GET /v1/syncs/{id}/events`.
pub(crate) struct Follower {
    sync: SyncId,
    stream: reqwest::Response,
    unread: Vec<u8>,
    /// Revision and status of the last event.
    last: Option<(i64, SyncStatus)>,
}

impl Follower {
    pub(super) async fn open(client: &Client, sync: SyncId) -> Self {
        let request = client.request(reqwest::Method::GET, &format!("/v1/syncs/{sync}/events"));
        let stream = within("an event stream", request.send()).await.unwrap();
        assert_eq!(stream.status(), 200, "the event stream of {sync}");
        Self { sync, stream, unread: Vec::new(), last: None }
    }

    /// The first status, from the last one seen on, of which this is true. A stream or a sync that ends before fails.
    pub(crate) async fn until(&mut self, so: impl Fn(&SyncStatus) -> bool) -> SyncStatus {
        if let Some((_, seen)) = self.last.as_ref().filter(|(_, seen)| so(seen)) {
            return seen.clone();
        }
        let sync = self.sync;
        let found = async {
            loop {
                let Some(status) = self.next().await else {
                    panic!("the stream of {sync} ended early; last: {:?}", self.last);
                };
                if so(&status) {
                    return status;
                }
                assert!(!status.state.is_terminal(), "the sync ended before what was waited for: {status:?}");
            }
        };
        within(&format!("sync {sync}"), found).await
    }

    /// At least so many jobs are over.
    pub(crate) async fn until_settled(&mut self, jobs: i64) -> SyncStatus {
        self.until(|status| status.jobs.settled() >= jobs).await
    }

    /// The sync's last status.
    pub(crate) async fn end(&mut self) -> SyncStatus {
        self.until(|status| status.state.is_terminal()).await
    }

    /// The next event; none at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<SyncStatus> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = self.unread.drain(..end + 2).collect();
                let event = String::from_utf8(event).expect("events are UTF-8");
                if let Some(status) = self.read(&event) {
                    return Some(status);
                }
                continue;
            }
            // A line that breaks is an end too: whoever follows learns nothing more.
            let bytes = self.stream.chunk().await.ok().flatten()?;
            self.unread.extend_from_slice(&bytes);
        }
    }

    /// Whether the server is done with the stream, and nothing follows.
    pub(crate) async fn is_closed(&mut self) -> bool {
        within("the end of an event stream", self.next()).await.is_none()
    }

    /// A status event; a comment is none.
    fn read(&mut self, event: &str) -> Option<SyncStatus> {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let data = field("data:")?;
        assert_eq!(field("event:"), Some("status"), "{event}");
        let status: SyncStatus = serde_json::from_str(data).unwrap();
        let id: i64 = field("id:").expect("an event has an id").parse().unwrap();
        assert_eq!(id, status.revision, "the id of an event is its revision");
        if let Some((last, _)) = self.last {
            assert!(id >= last, "the stream went back from revision {last} to {id}");
        }
        self.last = Some((id, status.clone()));
        Some(status)
    }
}
