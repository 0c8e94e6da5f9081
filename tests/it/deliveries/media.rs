//! The files of messages: fetched for each gateway that gives them, kept once and whole, and accounted for.

mod bucket;

use std::{collections::BTreeMap, fs, os::unix::process::ExitStatusExt as _, path::PathBuf};

use serde_json::{Value, json};
use sincro_core::{
    drill::Point,
    job::JobState,
    media::{MediaState, StoredMedia},
    sync::{SyncKind, SyncState, SyncStatus},
};
use sincro_simulator::{Call, Fault, PositusReadings, Provider, Rule, Settings, When, WuzapiReadings};
use tempfile::TempDir;

use super::{Line, talkative};
use crate::support::{within, world::Setting};

/// SIGABRT: how a process dies at a point.
const ABORTED: Option<i32> = Some(6);

/// A line whose files go to a folder.
struct Shelf {
    line: Line,
    folder: TempDir,
}

impl Shelf {
    async fn with(gateway: Settings, settings: &[Setting<'_>]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().to_str().unwrap().to_owned();
        let line = Line::with(gateway, &[&[("SINCRO_MEDIA_TARGET", target.as_str())], settings].concat()).await;
        Self { line, folder }
    }

    async fn without_worker(gateway: Settings, settings: &[Setting<'_>]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().to_str().unwrap().to_owned();
        let settings = [&[("SINCRO_MEDIA_TARGET", target.as_str())], settings].concat();
        let line = Line::without_worker(gateway, &settings).await;
        Self { line, folder }
    }

    /// Every file in the folder, those that are under way as well.
    fn files(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())).collect()
    }

    /// What is stored is the gateway's, each file once and whole, and there is nothing else. How many that are.
    async fn holds_the_truth(&self) -> usize {
        let truth = self.line.gateway.truth();
        let mut stored = 0;
        for (message, media) in self.line.files().await {
            if media.state != MediaState::Stored {
                continue;
            }
            let place: url::Url = media.location.as_deref().expect("a place").parse().unwrap();
            let place = place.to_file_path().unwrap();
            let bytes = fs::read(&place).unwrap();
            assert_eq!(bytes, truth.file(&message).expect("a file"), "{message}");
            assert_eq!(media.bytes, i64::try_from(bytes.len()).ok());
            assert!(media.stored_at.is_some() && media.sha256.is_some_and(|hash| hash.len() == 64));
            assert!(self.files().contains(&place));
            stored += 1;
        }
        assert_eq!(self.files().len(), stored, "{:?}", self.files());
        stored
    }
}

impl Line {
    fn fetching(&self) -> String {
        format!("/v1/channels/{}/media/syncs", self.channel)
    }

    /// Fetches, to the end; the account of it adds up.
    async fn fetch(&self) -> SyncStatus {
        let sync: SyncStatus = self.api.post(&self.fetching()).await.ok();
        assert_eq!(sync.kind, SyncKind::Media);
        let end = self.api.end_of(sync.id).await;
        self.receipt(&end).await;
        end
    }

    /// The files of all messages, by message.
    async fn files(&self) -> BTreeMap<String, StoredMedia> {
        let messages = self.api.messages(self.channel).await;
        messages.into_iter().filter_map(|message| Some((message.message_id, message.media?))).collect()
    }

    async fn files_that_are(&self, state: MediaState) -> Vec<String> {
        let files = self.files().await.into_iter().filter(|(_, media)| media.state == state);
        files.map(|(message, _)| message).collect()
    }
}

fn of(provider: Provider) -> Settings {
    Settings { provider, population: talkative(12), ..Settings::default() }
}

#[tokio::test]
async fn files_of_every_gateway_that_gives_them_are_kept_whole_and_once() {
    let by_address = PositusReadings { files_by_address: true, ..PositusReadings::default() };
    for gateway in [
        of(Provider::Whapi),
        of(Provider::Wsapi),
        of(Provider::Positus),
        Settings { positus: by_address, ..of(Provider::Positus) },
        Settings { wuzapi: WuzapiReadings { keeps_files: true, ..WuzapiReadings::default() }, ..of(Provider::Wuzapi) },
    ] {
        let provider = gateway.provider;
        let shelf = Shelf::with(gateway, &[]).await;
        let line = &shelf.line;
        if provider == Provider::Wsapi {
            line.paired().await;
        }
        line.sync().await;
        line.settled().await;
        let known = line.files_that_are(MediaState::Known).await.len();
        assert!(known > 3, "{provider:?}: {known}");
        assert_eq!(line.gateway.calls().count(Call::is_file), 0, "nothing is fetched by itself");

        let end = line.fetch().await;
        assert_eq!((end.state, end.jobs.failed), (SyncState::Completed, 0), "{provider:?}: {end:?}");
        assert_eq!(usize::try_from(end.jobs.total).unwrap(), known, "{provider:?}");
        let stored = shelf.holds_the_truth().await;
        assert!(stored > 0 && end.messages.stored == i64::try_from(stored).unwrap(), "{provider:?}: {end:?}");
        assert_eq!(line.files_that_are(MediaState::Gone).await.len(), known - stored, "{provider:?}");

        let again = line.fetch().await;
        assert_eq!((again.state, again.jobs.total), (SyncState::Completed, 0), "{provider:?}: nothing is left");
    }
}

#[tokio::test]
async fn files_are_not_fetched_unless_somebody_names_a_place_for_them() {
    let line = Line::with(of(Provider::Whapi), &[]).await;
    line.sync().await;
    let reply = line.api.post(&line.fetching()).await;
    assert_eq!(reply.refused(409), "media_off");
    assert!(reply.json::<Value>()["detail"].as_str().unwrap().contains("media_target"));
    assert!(!line.files_that_are(MediaState::Known).await.is_empty(), "what is known of them is kept all the same");
    assert_eq!(line.gateway.calls().count(Call::is_file), 0);
}

#[tokio::test]
async fn a_gateway_without_files_says_so_and_a_limit_has_bounds() {
    let shelf = Shelf::with(of(Provider::Gdbrns), &[]).await;
    assert_eq!(shelf.line.api.post(&shelf.line.fetching()).await.refused(422), "not_supported");
    let shelf = Shelf::with(of(Provider::Whapi), &[]).await;
    let line = &shelf.line;
    for limit in [0, 10_001] {
        let reply = line.api.post_json(&line.fetching(), &json!({"limit": limit})).await;
        assert_eq!(reply.refused(422), "invalid_value");
    }
    line.sync().await;
    let sync: SyncStatus = line.api.post_json(&line.fetching(), &json!({"limit": 2})).await.ok();
    assert_eq!(line.api.end_of(sync.id).await.jobs.total, 2);
    let mut messages = line.api.messages(line.channel).await;
    messages.retain(|message| message.media.is_some());
    let newest = messages.iter().rev().take(2).map(|message| message.media.as_ref().unwrap().state);
    assert!(newest.into_iter().all(|state| state == MediaState::Stored), "the newest first");
}

#[tokio::test]
async fn a_file_that_is_said_to_be_too_large_is_not_asked_for() {
    let shelf = Shelf::with(of(Provider::Whapi), &[("SINCRO_MEDIA_MAX_BYTES", "50000")]).await;
    let line = &shelf.line;
    line.sync().await;
    let end = line.fetch().await;
    let (large, stored) = (end.jobs.skipped, shelf.holds_the_truth().await);
    assert!(large > 0 && stored > 0, "{end:?}");
    assert_eq!(line.gateway.calls().count(Call::is_file), stored, "one call for each that is not");
    let jobs = line.api.jobs(end.id).await;
    let skipped = jobs.iter().filter(|job| job.state == JobState::Skipped);
    assert!(skipped.into_iter().all(|job| job.reason.as_deref() == Some("too large")));
    let files = line.files().await;
    let told = files.values().find(|media| media.state == MediaState::TooLarge).unwrap();
    assert_eq!(told.reason.as_deref(), Some("larger than 50000 bytes"));
}

#[tokio::test]
async fn a_file_that_turns_out_too_large_is_broken_off_and_fetched_when_the_limit_is_raised() {
    let shelf = Shelf::with(of(Provider::Positus), &[("SINCRO_MEDIA_MAX_BYTES", "10000")]).await;
    let line = &shelf.line;
    line.sync().await;
    line.settled().await;
    let end = line.fetch().await;
    assert!(end.jobs.skipped > 0, "Meta does not say how long files are: {end:?}");
    assert!(shelf.files().iter().all(|file| fs::metadata(file).unwrap().len() <= 10_000));
    assert_eq!(line.fetch().await.jobs.total, 0, "they are not asked for again in vain");

    let generous = line.world.listening("api", &[("SINCRO_MEDIA_MAX_BYTES", "25000000")]).await;
    let _worker = line.world.worker_with(&[("SINCRO_MEDIA_MAX_BYTES", "25000000")]).await;
    let sync: SyncStatus = generous.post(&line.fetching()).await.ok();
    assert_eq!(sync.jobs.total, end.jobs.skipped);
}

#[tokio::test]
async fn a_file_that_is_gone_is_an_end_with_a_name() {
    let shelf = Shelf::with(of(Provider::Whapi), &[]).await;
    let line = &shelf.line;
    line.sync().await;
    let lost = line.files_that_are(MediaState::Known).await.pop().unwrap();
    line.gateway.lose_file(line.gateway.token(), &lost).unwrap();
    let end = line.fetch().await;
    assert_eq!((end.state, end.jobs.empty), (SyncState::Completed, 1));
    let jobs = line.api.jobs(end.id).await;
    let job = jobs.iter().find(|job| job.state == JobState::Empty).unwrap();
    assert_eq!(job.reason.as_deref(), Some("media gone"));
    assert_eq!(line.files_that_are(MediaState::Gone).await, [lost]);
    assert_eq!(line.fetch().await.jobs.total, 0, "it is not asked for again");
}

#[tokio::test]
async fn a_file_that_comes_late_is_fetched_when_its_place_is_known() {
    let shelf = Shelf::with(of(Provider::Positus), &[]).await;
    let line = &shelf.line;
    line.gateway.hooks().hold();
    let sync = line.api.start_sync(line.channel, 25).await.id;
    line.until_waiting(sync, 1, "delivery").await;
    let held = within("all that Meta has to say", line.gateway.hooks().wait_for_held(2)).await;
    let is_history = |held: &&sincro_simulator::Held| held.body.to_string().contains("\"threads\"");
    for held in held.iter().filter(is_history) {
        line.gateway.hooks().release(held.number).unwrap();
    }
    line.api.end_of(sync).await;
    assert!(line.files_that_are(MediaState::Known).await.is_empty(), "history holds their places alone");
    assert_eq!(line.fetch().await.jobs.total, 0);

    line.gateway.hooks().go_on();
    line.settled().await;
    let known = line.files_that_are(MediaState::Known).await;
    assert!(!known.is_empty());
    assert_eq!(line.fetch().await.messages.stored, i64::try_from(known.len()).unwrap());
    shelf.holds_the_truth().await;
}

#[tokio::test]
async fn a_file_that_fails_is_left_alone_until_somebody_asks_for_it_again() {
    let shelf = Shelf::with(of(Provider::Whapi), &[("SINCRO_MAX_ATTEMPTS", "2")]).await;
    let line = &shelf.line;
    line.sync().await;
    line.gateway.set_faults(Rule::new(Fault::ServerError, When::Always).on_path("/media/{id}")).unwrap();
    let sync: SyncStatus = line.api.post_json(&line.fetching(), &json!({"limit": 3})).await.ok();
    let end = line.api.end_of(sync.id).await;
    assert_eq!((end.state, end.jobs.failed), (SyncState::CompletedWithFailures, 3));
    let files = line.files().await;
    let failed = files.values().find(|media| media.state == MediaState::Failed).unwrap();
    assert!(failed.reason.as_deref().unwrap().starts_with("gateway_error: GET /media/"), "{failed:?}");

    line.gateway.set_faults(sincro_simulator::Faults::default()).unwrap();
    let end = line.fetch().await;
    assert_eq!((end.state, end.jobs.failed, end.jobs.empty), (SyncState::Completed, 0, 0));
    assert!(line.files_that_are(MediaState::Failed).await.is_empty());
    shelf.holds_the_truth().await;
}

#[tokio::test]
async fn a_lost_session_pauses_the_channel_and_the_files_come_when_it_is_back() {
    let shelf = Shelf::with(of(Provider::Wsapi), &[]).await;
    let line = &shelf.line;
    line.paired().await;
    line.sync().await;
    line.settled().await;
    line.gateway.set_session(false);
    let sync: SyncStatus = line.api.post(&line.fetching()).await.ok();
    let paused = async { while line.api.channel(line.channel).await["state"] != "paused" {} };
    within("a paused channel", paused).await;
    line.gateway.set_session(true);
    let end = line.api.end_of(sync.id).await;
    assert_eq!((end.state, end.jobs.failed), (SyncState::Completed, 0), "{end:?}");
    assert!(shelf.holds_the_truth().await > 0);
}

#[tokio::test]
async fn a_worker_that_dies_around_the_writing_leaves_no_half_file_and_no_second_one() {
    for point in [Point::Called, Point::Keeping, Point::Kept, Point::Settling, Point::Settled] {
        let gateway = Settings { population: talkative(3), ..of(Provider::Whapi) };
        let shelf = Shelf::without_worker(gateway, &[("SINCRO_LEASE_SECONDS", "1")]).await;
        let line = &shelf.line;
        {
            let _worker = line.worker().await;
            line.sync().await;
        }
        let sync: SyncStatus = line.api.post(&line.fetching()).await.ok();
        let mut dead = line.worker_to_die_at(point);
        assert_eq!(dead.exit().await.signal(), ABORTED, "a worker at {point}");
        let _next = line.worker().await;
        let end = line.api.end_of(sync.id).await;
        assert_eq!((end.state, end.jobs.failed), (SyncState::Completed, 0), "{point}: {end:?}");
        assert_eq!(shelf.holds_the_truth().await, usize::try_from(end.messages.fetched).unwrap(), "{point}");
        line.receipt(&end).await;
    }
}

#[tokio::test]
async fn a_channel_with_the_feature_has_its_files_fetched_by_itself() {
    let shelf = Shelf::with(of(Provider::Whapi), &[("SINCRO_MAX_ATTEMPTS", "1")]).await;
    let line = &shelf.line;
    let lost = line.gateway.truth();
    let lost = lost.addresses().flat_map(|address| lost.chat(address, 25)).map(|message| message.message_id);
    let lost = lost.filter(|message| line.gateway.truth().file(message).is_some()).take(1).collect::<Vec<_>>();
    line.gateway.lose_file(line.gateway.token(), &lost[0]).unwrap();
    let features = json!({"features": ["import_messages", "fetch_media"]});
    let path = format!("/v1/channels/{}", line.channel);
    line.api.patch(&path, &features).await.ok::<Value>();
    line.sync().await;
    let fetched = async {
        let open = "SELECT (SELECT count(*) FROM media WHERE state = 'known') + (SELECT count(*) FROM syncs WHERE finished_at IS NULL)";
        while line.world.number(open).await > 0 {}
    };
    within("files that are fetched by themselves", fetched).await;
    assert!(shelf.holds_the_truth().await > 0);
    assert_eq!(line.files_that_are(MediaState::Gone).await, lost);
    assert_eq!(line.world.number("SELECT count(*) FROM syncs WHERE kind = 'media'").await, 1, "and no second time");
}

#[tokio::test]
async fn one_media_sync_of_a_channel_is_open_and_the_same_key_starts_no_second_one() {
    let shelf = Shelf::with(of(Provider::Whapi), &[]).await;
    let line = &shelf.line;
    line.sync().await;
    line.api.steer_channel(line.channel, "pause").await;
    let ask = || line.api.request(reqwest::Method::POST, &line.fetching()).header("Idempotency-Key", "once");
    let first: SyncStatus = line.api.send(ask()).await.ok();
    let second: SyncStatus = line.api.send(ask()).await.ok();
    assert_eq!(first.id, second.id);
    let reply = line.api.post(&line.fetching()).await;
    assert_eq!(reply.refused(409), "sync_running");
    assert_eq!(reply.json::<Value>()["running_sync"], first.id.to_string());
    line.api.steer(first.id, "cancel").await;
    line.api.steer_channel(line.channel, "resume").await;
    assert_eq!(line.fetch().await.jobs.total, first.jobs.total, "what was cancelled can be asked for");
}

#[tokio::test]
async fn the_command_line_fetches_files_and_the_doctor_looks_at_their_place() {
    let shelf = Shelf::with(of(Provider::Whapi), &[]).await;
    let line = &shelf.line;
    line.sync().await;
    let (channel, base) = (line.channel.to_string(), line.api.base().to_owned());
    let arguments = ["--api-url", &base, "--json", "media", "fetch", &channel, "--limit", "5", "--watch"];
    let done = line.world.sincro_with(&arguments, &[("SINCRO_API_KEY", &line.world.key)]).await;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let last = done.stdout.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap();
    let last: Value = serde_json::from_slice(last).unwrap();
    assert_eq!(
        (&last["state"], &last["kind"], &last["jobs"]["total"]),
        (&json!("completed"), &json!("media"), &json!(5))
    );

    let good = line.world.sincro(&["doctor"]).await;
    assert!(String::from_utf8_lossy(&good.stdout).contains("media_target can be written"));
    let file = shelf.folder.path().join("a-file");
    fs::write(&file, "").unwrap();
    let bad = line.world.sincro_with(&["doctor"], &[("SINCRO_MEDIA_TARGET", file.to_str().unwrap())]).await;
    assert!(String::from_utf8_lossy(&bad.stdout).contains("media_target cannot be written") && !bad.status.success());
}
