//! What a power cut may not take.

use sincro_store::Store;
use sqlx::{Connection as _, PgConnection};

use crate::world::Database;

#[tokio::test]
async fn what_is_answered_is_on_disk_whatever_the_database_has_set() {
    let database = Database::create().await;
    let mut sql = PgConnection::connect(&database.url).await.unwrap();
    let relax =
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$";
    sqlx::raw_sql(relax).execute(&mut sql).await.unwrap();
    let mut sql = PgConnection::connect(&database.url).await.unwrap();
    let set: String = sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&mut sql).await.unwrap();
    assert_eq!(set, "off");
    let store = Store::connect(&database.url, 1, None).await.unwrap();
    let risky = store.risky_settings().await.unwrap();
    assert!(!risky.contains(&"synchronous_commit".to_owned()), "{risky:?}");
}
