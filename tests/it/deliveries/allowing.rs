//! `sincro channel allow-history`: what can be asked for once is asked for again when a person says so, knowing what it risks.

use std::process::Output;

use serde_json::json;
use sincro_core::sync::SyncState;
use sincro_simulator::{Call, Provider, Settings};

use super::{Line, talkative};

fn is_flush(call: &Call) -> bool {
    call.path.ends_with("/session/flush-history")
}

fn gateway(provider: Provider) -> Settings {
    Settings { provider, population: talkative(3), ..Settings::default() }
}

impl Line {
    async fn allow_history(&self, more: &[&str]) -> Output {
        let (channel, base) = (self.channel.to_string(), self.api.base());
        let access = [("SINCRO_API_URL", base), ("SINCRO_API_KEY", self.world.key.as_str())];
        let arguments = [&["channel", "allow-history", channel.as_str()], more].concat();
        self.world.sincro_with(&arguments, &access).await
    }

    async fn requests_put_aside(&self) -> i64 {
        self.world.number("SELECT count(*) FROM account_requests WHERE allowed_at IS NOT NULL").await
    }
}

fn said(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn without_yes_the_risk_is_said_and_nothing_changes_and_with_it_the_next_sync_may_ask() {
    let line = Line::with(gateway(Provider::Wsapi), &[]).await;
    line.paired().await;
    assert_eq!(line.sync().await.state, SyncState::Completed);

    let refused = line.allow_history(&[]).await;
    assert!(!refused.status.success());
    assert_eq!(said(&refused.stdout), "");
    let why = said(&refused.stderr);
    assert!(why.contains("the gateway deletes what it hands out") && why.contains("--yes"), "{why}");
    assert_eq!(line.requests_put_aside().await, 0);
    let second = line.sync().await;
    let job = line.account_job(second.id).await;
    assert_eq!((job.reason.as_deref(), line.gateway.calls().count(is_flush)), (Some("already requested"), 1));

    let allowed = line.allow_history(&["--yes"]).await;
    assert!(allowed.status.success(), "{}", said(&allowed.stderr));
    let told = said(&allowed.stdout);
    assert!(told.contains("earlier requests put aside: 1") && told.contains("risk: the gateway deletes"), "{told}");
    assert_eq!(line.requests_put_aside().await, 1);
    line.sync().await;
    assert_eq!(line.gateway.calls().count(is_flush), 2);

    let again = line.allow_history(&["--yes", "--json"]).await;
    let told: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(told["put_aside"], json!(1));
    assert!(told["risk"].as_str().unwrap().contains("deletes"), "{told}");
}

#[tokio::test]
async fn where_nothing_has_to_be_allowed_that_is_said() {
    let line = Line::with(gateway(Provider::Gdbrns), &[]).await;
    for more in [&[][..], &["--yes"]] {
        let refused = line.allow_history(more).await;
        assert!(!refused.status.success());
        assert!(said(&refused.stderr).contains("as often as one likes"), "{more:?}: {}", said(&refused.stderr));
    }
}
