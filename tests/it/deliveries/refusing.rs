//! What a provider cannot do is refused when it is asked for, with the field named, and leaves nothing behind.

use serde_json::{Value, json};
use sincro_simulator::{Provider, Settings};

use super::{Line, talkative};

const PHONE: &str = "5511988887777@s.whatsapp.net";

/// What is asked for behind the channel's path, and the field of the refusal.
type Wish = (&'static str, Value, Option<&'static str>);

async fn refuses(provider: Provider, wishes: &[Wish]) {
    let line = Line::with(Settings { provider, population: talkative(1), ..Settings::default() }, &[]).await;
    for (what, body, field) in wishes {
        let path = format!("/v1/channels/{}/{what}", line.channel);
        let reply = line.api.post_json(&path, body).await;
        assert_eq!(reply.refused(422), "not_supported", "{provider:?}: {what} {body}");
        let problem: Value = reply.json();
        assert_eq!(problem["field"].as_str(), *field, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(provider.as_str()), "{problem}");
    }
    assert_eq!(line.world.number("SELECT count(*) FROM syncs").await, 0);
    assert_eq!(line.world.number("SELECT count(*) FROM contacts").await, 0);
    assert_eq!(line.gateway.calls().count(|_| true), 0);
}

#[tokio::test]
async fn gdbrns_has_no_single_contacts_no_deep_mode_and_no_tickets() {
    let ticket = "contacts/5511988887777@s.whatsapp.net/syncs";
    refuses(
        Provider::Gdbrns,
        &[
            ("syncs", json!({"contacts": [{"phone_jid": PHONE}]}), Some("contacts")),
            ("syncs", json!({"deep": true}), Some("deep")),
            ("syncs/plan", json!({"deep": true}), Some("deep")),
            (ticket, json!({}), Some("contacts")),
            (ticket, json!({"deep": true}), Some("contacts")),
            ("messages/3EB0A1/resync", json!({}), None),
        ],
    )
    .await;
}

#[tokio::test]
async fn whapi_has_no_deep_mode() {
    refuses(
        Provider::Whapi,
        &[
            ("syncs", json!({"deep": true}), Some("deep")),
            ("contacts/5511988887777@s.whatsapp.net/syncs", json!({"deep": true}), Some("deep")),
        ],
    )
    .await;
}

#[tokio::test]
async fn wuzapi_brings_no_single_message_back() {
    refuses(Provider::Wuzapi, &[("messages/3EB0A1/resync", json!({}), None)]).await;
}
