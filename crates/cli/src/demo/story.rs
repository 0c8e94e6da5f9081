//! What the demo shows, step by step, through the HTTP API.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sincro_core::{
    receipt::Receipt,
    sync::{SyncId, SyncStatus},
};
use url::Url;

use super::gateway::Gateway;
use crate::{
    args::{Demo, Global},
    client::{self, Call, Client},
    exit,
    home::Home,
    output, verbs,
    watch::{self, Bar, Screen, View},
};

const CHANNEL: &str = "demo";

/// The demo's client, and what it has to tell.
pub(super) struct Story<'a> {
    options: &'a Demo,
    home: &'a Home,
    gateway: &'a Gateway,
    api: String,
    key: SecretString,
    client: Client,
    screen: &'a Screen,
    json: bool,
}

impl<'a> Story<'a> {
    pub(super) fn new(
        options: &'a Demo,
        home: &'a Home,
        gateway: &'a Gateway,
        address: SocketAddr,
        key: SecretString,
        screen: &'a Screen,
        json: bool,
    ) -> anyhow::Result<Self> {
        let api = format!("http://{address}");
        let global = Global { json, api_url: Url::parse(&api)?, api_key: Some(key.clone()), config: None };
        Ok(Self { options, home, gateway, client: Client::new(&global)?, api, key, screen, json })
    }

    /// Connects the channel, syncs it to its end, and accounts for it.
    pub(super) async fn play(&self) -> anyhow::Result<ExitCode> {
        let channel = self.channel().await?;
        let (sync, resumed) = self.start(&channel).await?;
        self.introduce(&sync, resumed);
        let end = self.follow(sync.id).await?;
        let receipt = verbs::whole_receipt(&self.client, sync.id, Some(10_000)).await?;
        self.account(&end, &receipt)?;
        Ok(exit::code_of_sync(end.state))
    }

    /// The demo's channel, with this run's rate; created by the first run.
    async fn channel(&self) -> anyhow::Result<String> {
        let limit = json!({"rate_per_second": self.options.rate, "burst": 1, "concurrency": 16});
        let list: Value = self.client.send(Call::get("v1/channels").query("limit", Some(1_000))).await?.read()?;
        let known = list["items"].as_array().and_then(|items| {
            items
                .iter()
                .find(|item| item["name"] == CHANNEL && same_address(&item["base_url"], self.gateway.base_url()))
        });
        let call = if let Some(id) = known.and_then(|channel| channel["id"].as_str()) {
            Call::patch(format!("v1/channels/{id}")).body(json!({"limit": limit}))
        } else {
            Call::post("v1/channels").body(json!({
                "name": CHANNEL,
                "provider": "wuzapi",
                "base_url": self.gateway.base_url(),
                "credentials": {"token": self.gateway.token()},
                "features": ["import_messages"],
                "limit": limit,
            }))
        };
        let answer: Value = self.client.send(call).await?.read()?;
        answer["id"].as_str().map(str::to_owned).context("the API answered a channel without an id")
    }

    /// A new sync, or the one that an earlier run did not finish.
    async fn start(&self, channel: &str) -> anyhow::Result<(SyncStatus, bool)> {
        let wanted = json!({"messages_per_contact": self.options.messages});
        match self.client.send(Call::post(format!("v1/channels/{channel}/syncs")).body(wanted)).await {
            Ok(reply) => Ok((reply.read()?, false)),
            Err(client::Error::Refused(problem)) if problem.code.as_deref() == Some("sync_running") => {
                let id: SyncId = problem.running_sync.context("the API named no running sync")?;
                Ok((self.client.send(Call::get(format!("v1/syncs/{id}"))).await?.read()?, true))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn follow(&self, sync: SyncId) -> anyhow::Result<SyncStatus> {
        let mut view = View::Bar(Bar::on(self.screen, 0));
        let end = watch::follow(&self.client, sync, &mut view).await?;
        if let View::Bar(bar) = view {
            bar.finish(&end);
        }
        Ok(end)
    }

    fn introduce(&self, sync: &SyncStatus, resumed: bool) {
        let Demo { contacts, rate, .. } = self.options;
        if resumed {
            output::note(&format!(
                "going on with sync {}: {} of {} jobs were done when it stopped",
                sync.id,
                sync.jobs.settled(),
                sync.jobs.total
            ));
        } else {
            output::note(&format!(
                "sync {}: {contacts} contacts, {} jobs, at most {rate} gateway calls per second",
                sync.id,
                contacts * 2
            ));
        }
    }

    /// The receipt's totals, what the gateway saw, and where to look next.
    fn account(&self, end: &SyncStatus, receipt: &Receipt) -> anyhow::Result<()> {
        let (calls, most) = self.gateway.calls();
        if self.json {
            let gateway = json!({"calls": calls, "most_in_one_second": most});
            let totals = json!({"sync": end, "contacts": receipt.contacts, "gateway": gateway});
            return Ok(output::document(&totals.to_string())?);
        }
        output::lines(&verbs::receipt_summary(receipt))?;
        output::lines(&format!("gateway   {calls} calls in this run, at most {most} in any one second"))?;
        self.point_on(end.id)
    }

    fn point_on(&self, sync: SyncId) -> anyhow::Result<()> {
        if !self.options.keep {
            let how = if self.home.is_private() { "sincro demo --keep" } else { "sincro all" };
            return Ok(output::lines(&format!(
                "\nRun it again: nothing is stored twice. To look around (SQL views, HTTP, CLI): {how}"
            ))?);
        }
        let database = self.home.config.database_url()?.expose_secret();
        let (api, key) = (&self.api, self.key.expose_secret());
        Ok(output::lines(&format!(
            "\nWhere to look next\n  \
             SQL   psql '{database}' -c 'SELECT * FROM sync_status'\n  \
             HTTP  curl -H 'Authorization: Bearer {key}' {api}/v1/syncs/{sync}\n  \
             CLI   SINCRO_API_URL={api} SINCRO_API_KEY={key} sincro sync receipt {sync}"
        ))?)
    }
}

fn same_address(found: &Value, wanted: &str) -> bool {
    found.as_str().is_some_and(|found| found.trim_end_matches('/') == wanted.trim_end_matches('/'))
}
