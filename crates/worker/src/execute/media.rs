//! The file of a message: asked for, taken into a file of ours, put into its place, and noted.
//!
//! Whoever dies on the way leaves nothing that counts. Whoever comes next brings the same file to the same place.

use std::sync::Arc;

use chrono::TimeDelta;
use sincro_core::{
    channel::Connection,
    clock,
    drill::{Point, reach},
    gateway::{Call, Refusal},
    job::{Failure, Job, Outcome, Step},
    media::{MediaPlace, MediaState, SignedLink},
};
use sincro_providers::{Answered, FetchedMedia, MediaFile};
use sincro_queue::{Claim, Ruling};
use sincro_store::{
    Error,
    media::{FileEnd, Wanted},
    settle::Fence,
};

use super::{Executor, Reading, answer_does_not_fit, count_settled, fence, late};
use crate::{
    patience::{answered, offered},
    target::{Bringer, Settings},
};

/// How long files rest whose place cannot be written.
const TARGET_AWAY: TimeDelta = TimeDelta::seconds(30);

/// What is to be asked for, or how it ended without a question.
enum Question {
    Ask { place: MediaPlace, mime: Option<String> },
    Over(FileEnd),
}

impl Executor {
    pub(super) async fn fetch_media(
        &self,
        claim: &Claim,
        job: Job,
        connection: &Connection,
    ) -> Result<Ruling, Arc<Error>> {
        let fence = fence(claim, job.steps_done);
        let Step::Media { message_id, link } = job.step.clone() else {
            return self.settle(job, fence, Reading::bare(answer_does_not_fit())).await;
        };
        let Some(settings) = &self.media else {
            tracing::warn!(job = job.id, "this worker has no place for files: give it the media_target of the API");
            return Ok(Ruling::Snooze { due: clock::now() + TARGET_AWAY });
        };
        if self.target_away.lock().is_some_and(|until| clock::now() < until) {
            return Ok(Ruling::Snooze { due: clock::now() + TARGET_AWAY });
        }
        let wanted = answered(self.store.wanted_media(job.channel, &message_id)).await?;
        let (place, mime) = match question(wanted, link.as_ref(), settings.most_bytes) {
            Question::Over(end) => return self.media_over(&job, fence, &end).await,
            Question::Ask { place, mime } => (place, mime),
        };
        if !self.punctuality.admits(claim, &self.queue).await {
            return Ok(Ruling::Back);
        }
        let call = Call::Media { place, mime, most: settings.most_bytes };
        let Some(answer) = self.ask(claim, connection, &call).await else { return Ok(late(claim)) };
        // What an answer pointed to is good for a moment: the next attempt asks the gateway again.
        let again = Job { step: Step::Media { message_id: message_id.clone(), link: None }, ..job.clone() };
        match answer {
            Ok(Answered::Media(FetchedMedia::File(file))) => {
                self.keep_media(claim, again, fence, &message_id, file, settings).await
            }
            Ok(Answered::Media(FetchedMedia::TooLarge)) => {
                self.media_over(&again, fence, &FileEnd::TooLarge { limit: settings.most_bytes }).await
            }
            Ok(Answered::Media(FetchedMedia::Gone(told))) if link.is_some() => {
                self.fail(again, fence, Failure::new("link_gone", told)).await
            }
            Ok(Answered::Media(FetchedMedia::Gone(told))) => self.media_over(&again, fence, &FileEnd::Gone(told)).await,
            Ok(Answered::Media(FetchedMedia::Elsewhere(link))) => {
                let next = Step::Media { message_id, link: Some(SignedLink(link)) };
                self.settle(job, fence, Reading::bare(Outcome::Next(next))).await
            }
            Ok(_) => self.settle(job, fence, Reading::bare(answer_does_not_fit())).await,
            // What points to a file is good for a moment.
            Err(Refusal::Permanent { code, detail }) if link.is_some() => {
                self.fail(again, fence, Failure::new(code, detail)).await
            }
            Err(refusal) => self.refused(again, fence, &connection.channel, refusal).await,
        }
    }

    async fn keep_media(
        &self,
        claim: &Claim,
        job: Job,
        fence: Fence,
        message: &str,
        file: MediaFile,
        settings: &Settings,
    ) -> Result<Ruling, Arc<Error>> {
        reach(Point::Keeping).await;
        let (bytes, sha256) = (file.bytes, file.sha256.clone());
        let file = match file.into_file() {
            Ok(file) => file,
            Err(error) => return self.fail(job, fence, Failure::new("spool", error.to_string())).await,
        };
        let bringer = Bringer { job: job.id, attempt: fence.attempt };
        let kept = tokio::select! {
            biased;
            () = claim.lost() => None,
            kept = settings.target.keep(job.channel, message, file, bringer) => Some(kept),
        };
        let Some(kept) = kept.filter(|_| claim.holds_lease()) else { return Ok(late(claim)) };
        match kept {
            Ok(location) => {
                reach(Point::Kept).await;
                metrics::counter!("sincro_media_bytes_total").increment(bytes);
                self.media_over(&job, fence, &FileEnd::Stored { location, bytes, sha256 }).await
            }
            Err(error) => {
                // Our own trouble: no attempt is spent, and no other file is asked for meanwhile.
                tracing::warn!(job = job.id, %error, "a file that came could not be kept; its place is tried again later");
                let until = clock::now() + TARGET_AWAY;
                *self.target_away.lock() = Some(until);
                Ok(Ruling::Snooze { due: until })
            }
        }
    }

    async fn media_over(&self, job: &Job, fence: Fence, end: &FileEnd) -> Result<Ruling, Arc<Error>> {
        reach(Point::Judged).await;
        let (recorded, notices) = offered(|| self.store.settle_media(job, fence, end)).await?;
        reach(Point::Settled).await;
        let outcome = match end {
            FileEnd::Stored { .. } | FileEnd::Already => "succeeded",
            FileEnd::TooLarge { .. } => "skipped",
            FileEnd::Gone(_) => "empty",
        };
        count_settled(recorded, outcome);
        Ok(self.ruled(fence, recorded, &notices).await)
    }
}

/// What the ledger's word on a file comes to. `link` is where an earlier answer said that it is.
fn question(wanted: Option<Wanted>, link: Option<&SignedLink>, most_bytes: u64) -> Question {
    let Some(wanted) = wanted else { return Question::Over(FileEnd::Gone("the message has no file".to_owned())) };
    if wanted.state == MediaState::Stored {
        return Question::Over(FileEnd::Already);
    }
    if wanted.bytes.is_some_and(|bytes| bytes > most_bytes) {
        return Question::Over(FileEnd::TooLarge { limit: most_bytes });
    }
    let place = link.map(|link| MediaPlace::Link(link.0.clone())).or(wanted.place);
    match place {
        Some(place) => Question::Ask { place, mime: wanted.mime },
        None => Question::Over(FileEnd::Gone("nobody has said yet where the file is".to_owned())),
    }
}
