//! A message that was brought back: stored under whom it belongs to, marked as restored, and its job over.

use sincro_core::{
    channel::ChannelId,
    contact::Contact,
    gateway::Restored,
    job::{Ending, Job, Outcome},
    message::Origin,
    notice::Notice,
};

use crate::{
    Error, Store, awaiting, channels, contacts,
    messages::{Place, Rows},
    settle::{Fence, Recorded, Settlement, fence_one, settle_one},
    syncs, turns,
};

impl Store {
    /// Whether a channel has a message.
    pub async fn has_message(&self, channel: ChannelId, message: &str) -> Result<bool, Error> {
        let has = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT 1 FROM messages WHERE channel_id = $1 AND message_id = $2) AS "has!""#,
            channel,
            message
        );
        Ok(has.fetch_one(&self.pool).await?)
    }

    /// Records that a message is back. A webhook may have brought it since somebody asked for it, and looked as if it were new.
    pub async fn settle_restored(
        &self,
        job: &Job,
        fence: Fence,
        found: &Restored,
    ) -> Result<(Recorded, Vec<Notice>), Error> {
        let mut tx = self.pool.begin().await?;
        channels::lock(&mut tx, job.channel).await?;
        syncs::lock(&mut tx, job.sync).await?;
        let before = match fence_one(&mut tx, fence).await? {
            Ok(state) => state,
            Err(refused) => return Ok((refused, Vec::new())),
        };
        let person = [Contact::under(found.address.clone(), None)];
        let contact = contacts::upsert(&mut tx, job.channel, &person).await?.pop();
        let contact = contact.ok_or_else(|| Error::unreadable("a contact vanished"))?.id;
        let mut rows = Rows::default();
        let (channel, address) = (job.channel, found.address.as_str());
        rows.push(Place { channel, contact, address, job: Some(job.id), origin: Origin::Restored }, &found.message);
        let stored: i32 = rows.insert(&mut tx).await?.iter().map(|stored| stored.messages).sum();
        sqlx::query!(
            "UPDATE messages SET origin = 'restored'
             WHERE channel_id = $1 AND message_id = $2 AND origin = 'live' AND stored_at >= (SELECT created_at FROM syncs WHERE id = $3)",
            job.channel,
            found.message.id,
            job.sync
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!("UPDATE jobs SET contact_id = $2 WHERE id = $1", job.id, contact).execute(&mut *tx).await?;
        let counted = sqlx::query_scalar!(r#"SELECT fetched > 0 AS "counted!" FROM jobs WHERE id = $1"#, job.id);
        let counted = counted.fetch_one(&mut *tx).await?;
        let outcome = Outcome::Ended(Ending::Succeeded);
        let settlement = Settlement { address: Some(found.address.clone()), ..Settlement::bare(job, fence, outcome) };
        // A webhook that was faster has counted it.
        let counts = if counted { (0, 0) } else { (1, stored) };
        let notices = settle_one(&mut tx, &settlement, before, counts).await?;
        awaiting::forget(&mut tx, &[job.id]).await?;
        turns::give_back(&mut tx, &[job.id]).await?;
        tx.commit().await?;
        Ok((Recorded::Ended, notices))
    }
}
