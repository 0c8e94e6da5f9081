//! Persons: upserts in bulk, learned LIDs, and merging two records that turn out to be one person.
//!
//! Whoever calls holds the channel's lock, so that two syncs cannot invent the same person twice.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use sincro_core::{
    address::{Address, AddressKind},
    channel::ChannelId,
    clock,
    contact::{Contact, ContactId, unify},
    message::Pairing,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Error, Store};

/// How many persons of a channel are known by which addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContactCounts {
    /// By a phone JID alone.
    pub with_phone_only: i64,
    /// By a LID alone.
    pub with_lid_only: i64,
    /// By both.
    pub with_both: i64,
}

impl Store {
    /// Counts the persons of a channel; there are none in a channel that does not exist.
    pub async fn contact_counts(&self, channel: ChannelId) -> Result<ContactCounts, Error> {
        let counts = sqlx::query_as!(
            ContactCounts,
            r#"SELECT count(*) FILTER (WHERE lid IS NULL) AS "with_phone_only!",
                      count(*) FILTER (WHERE phone_jid IS NULL) AS "with_lid_only!",
                      count(*) FILTER (WHERE phone_jid IS NOT NULL AND lid IS NOT NULL) AS "with_both!"
               FROM contacts WHERE channel_id = $1 AND merged_into IS NULL"#,
            channel
        );
        Ok(counts.fetch_one(&self.pool).await?)
    }
}

/// A person as the ledger knows it.
pub(crate) struct Person {
    pub(crate) id: ContactId,
    /// Phone JID and LID; the one that is no address, where somebody's hand was in the table.
    pub(crate) addresses: Result<(Option<Address>, Option<Address>), String>,
}

impl Person {
    fn of(id: ContactId, phone: Option<&String>, lid: Option<&String>) -> Self {
        let address = |kind, text: Option<&String>| {
            text.map(|text| Address::parse_as(kind, text).map_err(|_| text.clone())).transpose()
        };
        let addresses =
            address(AddressKind::Phone, phone).and_then(|phone| Ok((phone, address(AddressKind::Lid, lid)?)));
        Self { id, addresses }
    }
}

struct Known {
    id: ContactId,
    phone_jid: Option<String>,
    lid: Option<String>,
    name: Option<String>,
}

impl Known {
    fn person(&self) -> Person {
        Person::of(self.id, self.phone_jid.as_ref(), self.lid.as_ref())
    }
}

/// Makes sure every contact has a row, joins rows that turn out to be one person, and returns the persons in the order of the contacts.
/// Repeating it changes nothing.
pub(crate) async fn upsert(
    connection: &mut PgConnection,
    channel: ChannelId,
    contacts: &[Contact],
) -> Result<Vec<Person>, Error> {
    let mut rows = known(connection, channel, contacts).await?;
    let joined = joined_by(contacts, &rows);
    if !joined.is_empty() {
        for (survivor, loser) in joined {
            merge(connection, survivor, loser).await?;
        }
        rows = known(connection, channel, contacts).await?;
    }
    let contacts = &contacts.iter().map(|contact| without_contested_lid(contact, &rows)).collect::<Vec<_>>();
    let (old, new): (Vec<_>, Vec<_>) =
        contacts.iter().map(|contact| (contact, owner(contact, &rows))).partition(|(_, row)| row.is_some());
    let completed = complete(connection, &old).await?;
    let new: Vec<&Contact> = new.into_iter().map(|(contact, _)| contact).collect();
    let inserted = insert(connection, channel, &new).await?;
    if completed || inserted.len() < new.len() {
        rows = known(connection, channel, contacts).await?;
    } else {
        rows.extend(by_address(inserted));
    }
    let vanished = || Error::unreadable("a contact vanished");
    contacts.iter().map(|contact| owner(contact, &rows).map(Known::person).ok_or_else(vanished)).collect()
}

/// Joins persons whose addresses are paired. Nobody comes in by it whom the ledger does not know.
pub(crate) async fn pair(connection: &mut PgConnection, channel: ChannelId, pairings: &[Pairing]) -> Result<(), Error> {
    let pairs = pairings
        .iter()
        .filter_map(|Pairing { phone, lid }| Contact::new(Some(phone.clone()), Some(lid.clone()), None).ok());
    let mut pairs: Vec<Contact> = pairs.collect();
    let rows = known(connection, channel, &pairs).await?;
    pairs.retain(|pair| owner(pair, &rows).is_some());
    upsert(connection, channel, &unify(pairs, &[])).await?;
    Ok(())
}

/// The persons that these records are by now, each once, in the order of the first record of each.
pub(crate) async fn persons(connection: &mut PgConnection, ids: &[ContactId]) -> Result<Vec<Person>, Error> {
    let mut rows = by_id(connection, ids).await?;
    let survivors: Vec<ContactId> = rows.values().filter_map(|row| row.merged_into).collect();
    if !survivors.is_empty() {
        rows.extend(by_id(connection, &survivors).await?);
    }
    let mut seen = HashSet::with_capacity(ids.len());
    let survivor = |id: &ContactId| rows.get(id).map(|row| row.merged_into.unwrap_or(*id));
    let persons = ids.iter().filter_map(survivor).filter(|id| seen.insert(*id));
    Ok(persons
        .filter_map(|id| rows.get(&id).map(|row| Person::of(id, row.phone_jid.as_ref(), row.lid.as_ref())))
        .collect())
}

/// Who each of these records is by now.
pub(crate) async fn survivors(
    connection: &mut PgConnection,
    ids: &[ContactId],
) -> Result<HashMap<ContactId, ContactId>, Error> {
    let rows = by_id(connection, ids).await?;
    Ok(rows.into_iter().map(|(id, row)| (id, row.merged_into.unwrap_or(id))).collect())
}

struct Record {
    id: ContactId,
    phone_jid: Option<String>,
    lid: Option<String>,
    merged_into: Option<ContactId>,
}

/// Joined with the ids rather than compared with them, here and in [`known`]: a plan that was made while the table was small may
/// compare each row with each id once it has grown, and within one transaction no better one is made.
async fn by_id(connection: &mut PgConnection, ids: &[ContactId]) -> Result<HashMap<ContactId, Record>, Error> {
    let rows = sqlx::query_as!(
        Record,
        "SELECT c.id, c.phone_jid, c.lid, c.merged_into FROM unnest($1::bigint[]) AS u(id) JOIN contacts c ON c.id = u.id",
        ids
    );
    Ok(rows.fetch_all(connection).await?.into_iter().map(|row| (row.id, row)).collect())
}

type Rows = HashMap<String, Arc<Known>>;

async fn known(connection: &mut PgConnection, channel: ChannelId, contacts: &[Contact]) -> Result<Rows, Error> {
    let texts = |kind| -> Vec<String> {
        contacts.iter().filter_map(|contact| contact.address(kind)).map(ToString::to_string).collect()
    };
    let rows = sqlx::query_as!(
        Known,
        r#"SELECT c.id AS "id!", c.phone_jid, c.lid, c.name
           FROM unnest($2::text[]) AS u(phone) JOIN contacts c ON c.channel_id = $1 AND c.phone_jid = u.phone
           UNION SELECT c.id, c.phone_jid, c.lid, c.name
           FROM unnest($3::text[]) AS u(lid) JOIN contacts c ON c.channel_id = $1 AND c.lid = u.lid"#,
        channel,
        &texts(AddressKind::Phone),
        &texts(AddressKind::Lid)
    );
    Ok(by_address(rows.fetch_all(connection).await?))
}

fn by_address(rows: Vec<Known>) -> Rows {
    let mut by_address = Rows::with_capacity(rows.len() * 2);
    for row in rows.into_iter().map(Arc::new) {
        for address in [&row.phone_jid, &row.lid].into_iter().flatten() {
            by_address.insert(address.clone(), row.clone());
        }
    }
    by_address
}

/// The row a contact belongs to: the one with its phone, else the one with its LID.
fn owner<'r>(contact: &Contact, rows: &'r Rows) -> Option<&'r Known> {
    [contact.phone(), contact.lid()]
        .into_iter()
        .flatten()
        .find_map(|address| rows.get(address.as_str()))
        .map(AsRef::as_ref)
}

/// Pairs of rows that a contact with both addresses joins: the row of the phone survives.
fn joined_by(contacts: &[Contact], rows: &Rows) -> Vec<(ContactId, ContactId)> {
    let mut pairs: Vec<_> = contacts
        .iter()
        .filter_map(|contact| {
            let by_phone = rows.get(contact.phone()?.as_str())?;
            let by_lid = rows.get(contact.lid()?.as_str())?;
            let mergeable = by_phone.id != by_lid.id && by_phone.lid.is_none() && by_lid.phone_jid.is_none();
            mergeable.then_some((by_phone.id, by_lid.id))
        })
        .collect();
    pairs.dedup();
    pairs
}

/// A LID that is somebody else's by the ledger's knowledge is left to them; the contact goes on under its phone number.
fn without_contested_lid(contact: &Contact, rows: &Rows) -> Contact {
    let (Some(phone), Some(lid)) = (contact.phone(), contact.lid()) else { return contact.clone() };
    let (by_phone, by_lid) = (rows.get(phone.as_str()), rows.get(lid.as_str()));
    let is_others = by_lid.is_some_and(|row| row.phone_jid.as_deref().is_some_and(|known| known != phone.as_str()));
    let has_another = by_phone.is_some_and(|row| row.lid.as_deref().is_some_and(|known| known != lid.as_str()));
    if is_others || has_another {
        contact.clone().without_lid().unwrap_or_else(|| contact.clone())
    } else {
        contact.clone()
    }
}

/// Fills in what a row did not know yet, and says whether there was something. An address that belongs to another row stays there.
async fn complete(connection: &mut PgConnection, contacts: &[(&Contact, Option<&Known>)]) -> Result<bool, Error> {
    let changed: Vec<_> = contacts
        .iter()
        .filter_map(|(contact, row)| row.map(|row| (*contact, row)))
        .filter(|(contact, row)| {
            (row.phone_jid.is_none() && contact.phone().is_some())
                || (row.lid.is_none() && contact.lid().is_some())
                || (contact.name.is_some() && contact.name != row.name)
        })
        .collect();
    if changed.is_empty() {
        return Ok(false);
    }
    let rows: Vec<_> = changed.iter().map(|(_, row)| row.id).collect();
    let phones: Vec<_> = changed.iter().map(|(contact, _)| contact.phone().map(ToString::to_string)).collect();
    let lids: Vec<_> = changed.iter().map(|(contact, _)| contact.lid().map(ToString::to_string)).collect();
    let names: Vec<_> = changed.iter().map(|(contact, _)| contact.name.clone()).collect();
    sqlx::query!(
        "UPDATE contacts c SET name = coalesce(u.name, c.name),
                phone_jid = coalesce(c.phone_jid, CASE WHEN NOT EXISTS (SELECT 1 FROM contacts o WHERE o.channel_id = c.channel_id AND o.phone_jid = u.phone) THEN u.phone END),
                lid = coalesce(c.lid, CASE WHEN NOT EXISTS (SELECT 1 FROM contacts o WHERE o.channel_id = c.channel_id AND o.lid = u.lid) THEN u.lid END)
         FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS u(id, phone, lid, name) WHERE c.id = u.id",
        &rows,
        &phones as _,
        &lids as _,
        &names as _
    )
    .execute(connection)
    .await?;
    Ok(true)
}

/// Writes new rows, and gives them; where somebody has such an address already, there is none.
async fn insert(connection: &mut PgConnection, channel: ChannelId, contacts: &[&Contact]) -> Result<Vec<Known>, Error> {
    if contacts.is_empty() {
        return Ok(Vec::new());
    }
    let column = |kind| contacts.iter().map(|contact| contact.address(kind).map(Address::as_str)).collect::<Vec<_>>();
    let rows = sqlx::query_as!(
        Known,
        "INSERT INTO contacts (channel_id, phone_jid, lid, name, created_at)
         SELECT $1, u.phone, u.lid, u.name, $5
         FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS u(phone, lid, name, place) ORDER BY u.place
         ON CONFLICT DO NOTHING
         RETURNING id, phone_jid, lid, name",
        channel,
        &column(AddressKind::Phone) as _,
        &column(AddressKind::Lid) as _,
        &contacts.iter().map(|contact| contact.name.as_deref()).collect::<Vec<_>>() as _,
        clock::now()
    );
    Ok(rows.fetch_all(connection).await?)
}

/// A LID that a job has learned for its contact.
pub(crate) struct Learned {
    pub(crate) channel: Uuid,
    pub(crate) contact: ContactId,
    pub(crate) lid: String,
}

/// Writes learned LIDs down. Returns, for each of them, the record that had the LID before, where it was another one.
pub(crate) async fn learn(
    connection: &mut PgConnection,
    learned: &[Learned],
) -> Result<HashMap<ContactId, ContactId>, Error> {
    let channels: Vec<_> = learned.iter().map(|l| l.channel).collect();
    let contacts: Vec<_> = learned.iter().map(|l| l.contact).collect();
    let lids: Vec<_> = learned.iter().map(|l| l.lid.clone()).collect();
    sqlx::query!(
        "UPDATE contacts c SET lid = u.lid
         FROM (SELECT DISTINCT ON (channel, lid) * FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS u(channel, contact, lid)) u
         WHERE c.id = u.contact AND c.merged_into IS NULL AND c.lid IS NULL
           AND NOT EXISTS (SELECT 1 FROM contacts o WHERE o.channel_id = u.channel AND o.lid = u.lid)",
        &channels,
        &contacts,
        &lids
    )
    .execute(&mut *connection)
    .await?;
    let elsewhere = sqlx::query!(
        r#"SELECT u.contact AS "contact!", o.id AS owner, o.phone_jid IS NULL AND c.lid IS NULL AND c.merged_into IS NULL AS "mergeable!"
           FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS u(channel, contact, lid)
           JOIN contacts o ON o.channel_id = u.channel AND o.lid = u.lid JOIN contacts c ON c.id = u.contact
           WHERE o.id <> u.contact ORDER BY u.contact"#,
        &channels,
        &contacts,
        &lids
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut owners = HashMap::new();
    for row in elsewhere {
        if row.mergeable {
            merge(connection, row.contact, row.owner).await?;
        }
        owners.insert(row.contact, row.owner);
    }
    Ok(owners)
}

/// Two records are one person: the loser keeps no address and points to the survivor, which takes over its messages.
async fn merge(connection: &mut PgConnection, survivor: ContactId, loser: ContactId) -> Result<(), Error> {
    let lost = sqlx::query!(
        "UPDATE contacts SET merged_into = $1, phone_jid = NULL, lid = NULL FROM contacts old
         WHERE contacts.id = $2 AND old.id = $2 AND contacts.merged_into IS NULL
         RETURNING old.phone_jid, old.lid, old.name",
        survivor,
        loser
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(lost) = lost else { return Ok(()) };
    sqlx::query!("UPDATE contacts SET merged_into = $1 WHERE merged_into = $2", survivor, loser)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "UPDATE contacts SET phone_jid = coalesce(phone_jid, $2), lid = coalesce(lid, $3), name = coalesce(name, $4) WHERE id = $1",
        survivor,
        lost.phone_jid,
        lost.lid,
        lost.name
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("UPDATE messages SET contact_id = $1 WHERE contact_id = $2", survivor, loser)
        .execute(connection)
        .await?;
    Ok(())
}
