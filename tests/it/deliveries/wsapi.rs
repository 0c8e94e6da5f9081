//! WSAPI: its history is flushed once after pairing, chat by chat, and no event says that it was all.

use reqwest::Method;
use sincro_core::{job::JobState, sync::SyncState};
use sincro_simulator::{Call, HookFault, HookRule, Population, Provider, Settings, Step, When, WsapiReadings};

use super::{Line, talkative};
use crate::support::{gateway::people, within};

const HISTORY: &str = "message_history_sync";

fn is_flush(call: &Call) -> bool {
    call.path.ends_with("/session/flush-history")
}

fn is_top_up(call: &Call) -> bool {
    call.method == "POST" && call.path.starts_with("/chats/")
}

#[tokio::test]
async fn a_wsapi_channel_is_flushed_once_and_each_chat_is_told_of() {
    let line = Line::of(Provider::Wsapi, people(60)).await;
    line.paired().await;
    let end = line.sync().await;
    assert_eq!((end.state, end.jobs.failed), (SyncState::Completed, 0), "{end:?}");
    line.holds_the_truth().await;
    let receipt = line.receipt(&end).await;
    assert!(
        receipt.lines.iter().any(|line| line.reason.as_deref() == Some("nothing received")),
        "people without words"
    );
    assert_eq!(line.gateway.calls().count(is_flush), 1);
}
