//! Whether there is a database that lets us in, asked over one connection.
//!
//! A pool asks again and again, and in the end says only that its patience is over; here the cause is kept.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use crate::Error;

/// Longer than a busy server takes.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn knock(database_url: &str) -> Result<(), Error> {
    let asking = async { PgConnection::connect(database_url).await?.close().await };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer.map_err(read),
        Err(elapsed) => Err(Error::Unavailable(Box::new(elapsed))),
    }
}

/// At the door the credentials, the name of the database and TLS are what somebody has set; in a process that has been
/// let in before, trouble with them is an outage.
fn read(error: sqlx::Error) -> Error {
    let refused = match &error {
        // Authorisation (28), no such database (3D).
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| ["28", "3D"].iter().any(|class| code.starts_with(class)))
        }
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => true,
        _ => false,
    };
    if refused { Error::Refused(Box::new(error)) } else { error.into() }
}
