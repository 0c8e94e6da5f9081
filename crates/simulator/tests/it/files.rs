//! The files of messages: the same bytes for the same message, by id or by address, and gone when they are lost.

use anyhow::{Context as _, Result};
use serde_json::Value;
use sincro_simulator::{Call, Population, PositusReadings, Provider, Settings, Simulator, Truth, WuzapiReadings};

use crate::client::{get, send};

fn of(provider: Provider) -> Settings {
    let population = Population { contacts: 10, share_empty: 0.0, ..Population::default() };
    Settings { provider, population, ..Settings::default() }
}

/// The bytes of a file as the client of these tests shows them.
fn shown(truth: &Truth, message: &str) -> String {
    String::from_utf8_lossy(&truth.file(message).unwrap_or_default()).into_owned()
}

/// Messages of chats that carry a file.
fn with_files(truth: &Truth) -> Vec<String> {
    let chats = truth.addresses().flat_map(|address| truth.chat(address, usize::MAX));
    chats.map(|message| message.message_id).filter(|message| truth.file(message).is_some()).collect()
}

#[tokio::test]
async fn whapi_gives_a_file_by_its_id_until_it_is_lost() -> Result<()> {
    let simulator = Simulator::start(of(Provider::Whapi)).await?;
    let truth = simulator.truth();
    let message = with_files(&truth).pop().context("a file")?;
    let path = format!("/media/media-{message}");
    for _ in 0..2 {
        let answer = get(&simulator, &path).await?;
        assert_eq!((answer.status, answer.body), (200, shown(&truth, &message)));
    }
    assert_eq!(simulator.calls().count(Call::is_file), 2);
    assert_eq!(send(&simulator, "GET", &path, Some("another"), "").await?.status, 401);
    simulator.lose_file(simulator.token(), &message)?;
    assert_eq!(get(&simulator, &path).await?.status, 404);
    assert_eq!(get(&simulator, "/media/media_init").await?.status, 404);
    simulator.set_session(false);
    assert_eq!(get(&simulator, &path).await?.status, 401);
    Ok(())
}

#[tokio::test]
async fn files_of_two_messages_are_not_alike() -> Result<()> {
    let truth = Simulator::start(of(Provider::Wsapi)).await?.truth();
    let files: Vec<_> = with_files(&truth).iter().filter_map(|message| truth.file(message)).collect();
    let distinct: std::collections::BTreeSet<_> = files.iter().map(|file| &file[..64]).collect();
    assert!(files.len() > 5 && distinct.len() == files.len());
    Ok(())
}

#[tokio::test]
async fn positus_gives_a_file_or_the_address_where_it_is() -> Result<()> {
    let readings = PositusReadings { files_by_address: true, ..PositusReadings::default() };
    let simulator = Simulator::start(Settings { positus: readings, ..of(Provider::Positus) }).await?;
    let truth = simulator.truth();
    let number = format!("/v2/whatsapp/numbers/{}", simulator.name_of(simulator.token()).context("a number")?);
    let mut seen = 0;
    for message in truth.account(usize::MAX).iter().filter(|message| truth.file(&message.message_id).is_some()) {
        let answer = get(&simulator, &format!("{number}/media/media-{}", message.message_id)).await?;
        if answer.status == 404 {
            continue;
        }
        let told: Value = answer.json()?;
        let url = told["url"].as_str().context("an address")?;
        let path = url.strip_prefix(simulator.base_url()).context("an address of its own")?;
        let file = get(&simulator, path).await?;
        assert_eq!((file.status, file.body), (200, shown(&truth, &message.message_id)));
        assert_eq!(send(&simulator, "GET", path, None, "").await?.status, 401, "the token is asked for there as well");
        seen += 1;
    }
    assert!(seen > 0);
    Ok(())
}

#[tokio::test]
async fn wuzapi_says_where_files_of_new_messages_are_and_gives_them_without_a_token() -> Result<()> {
    for keeps_files in [true, false] {
        let wuzapi = WuzapiReadings { keeps_files, ..WuzapiReadings::default() };
        let simulator = Simulator::start(Settings { wuzapi, ..of(Provider::Wuzapi) }).await?;
        let truth = simulator.truth();
        let mut links = 0;
        for address in truth.addresses() {
            let rows: Value = get(&simulator, &format!("/chat/history?chat_jid={address}&limit=100")).await?.json()?;
            for row in rows["data"].as_array().into_iter().flatten() {
                let link = row["media_link"].as_str().context("a link, if an empty one")?;
                let Some(path) = link.strip_prefix(simulator.base_url()) else { continue };
                let file = send(&simulator, "GET", path, None, "").await?;
                let message = row["message_id"].as_str().context("an id")?;
                assert_eq!((file.status, file.body), (200, shown(&truth, message)));
                links += 1;
            }
        }
        assert_eq!(links > 0, keeps_files);
    }
    Ok(())
}
