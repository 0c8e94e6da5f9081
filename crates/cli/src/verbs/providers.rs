//! `sincro providers`: what each provider offers, as the planner sees it. Asks nobody.

use serde_json::{Value, json};
use sincro_core::{
    awaiting::Completion,
    provider::{Capabilities, HistoryAccess, HookProof, OneShot, Provider},
};

use crate::{
    args::{Global, Providers},
    output::{self, Table},
};

const COLUMNS: [&str; 12] = [
    "provider",
    "history",
    "contacts",
    "LIDs",
    "older messages from the phone",
    "single message",
    "how it ends",
    "proof of webhooks",
    "asked once",
    "bodies",
    "registers webhooks",
    "files",
];

/// Prints the table: for people, as the README has it, or as JSON.
pub(crate) fn providers(wanted: &Providers, options: &Global) -> anyhow::Result<()> {
    let known = Provider::ALL.iter().filter_map(|provider| sincro_providers::capabilities(*provider));
    let rows: Vec<[String; COLUMNS.len()]> = known.map(|capabilities| cells(&capabilities)).collect();
    if options.json {
        let objects: Vec<Value> = rows.iter().map(object).collect();
        return Ok(output::document(&json!({ "items": objects }).to_string())?);
    }
    if wanted.markdown {
        return Ok(output::lines(&markdown(&rows))?);
    }
    let mut table = Table::new(&COLUMNS);
    for row in rows {
        table.row(row.map(|cell| cell.replace('`', "")).to_vec());
    }
    Ok(output::lines(&table.to_string())?)
}

fn cells(capabilities: &Capabilities) -> [String; COLUMNS.len()] {
    let yes = |offered: bool| if offered { "yes" } else { "no" }.to_owned();
    [
        capabilities.provider.to_string(),
        match capabilities.history {
            HistoryAccess::PerAddress => "per address",
            HistoryAccess::PerAccount => "per number",
        }
        .to_owned(),
        match (capabilities.contact_list, capabilities.contacts_request) {
            (true, _) => "list",
            (false, true) => "by webhook",
            (false, false) => "no",
        }
        .to_owned(),
        match (capabilities.lid_lookup, capabilities.lids_listed) {
            (true, _) => "lookup",
            (false, true) => "with contacts",
            (false, false) => "no",
        }
        .to_owned(),
        yes(capabilities.top_up),
        yes(capabilities.restore),
        completion(capabilities.completion).to_owned(),
        match capabilities.proof {
            HookProof::Signature(header) => format!("signature `{header}`"),
            HookProof::Secret(header) => format!("secret `{header}`"),
        },
        capabilities.one_shot.map_or_else(|| "no".to_owned(), |one_shot| once(&one_shot)),
        yes(capabilities.bodies),
        yes(capabilities.connect.is_possible()),
        yes(capabilities.media),
    ]
}

const fn completion(completion: Completion) -> &'static str {
    match completion {
        Completion::Answer => "with the answer",
        Completion::Progress => "100 percent, then silence",
        Completion::Quiescence => "silence",
        Completion::Event => "event",
        Completion::Reply => "reply",
    }
}

fn once(one_shot: &OneShot) -> String {
    match one_shot.within {
        Some(within) => format!("within {} hours", within.as_secs() / 3600),
        None if one_shot.after_initial_sync => "after the first sync".to_owned(),
        None => "yes".to_owned(),
    }
}

fn object(row: &[String; COLUMNS.len()]) -> Value {
    let field = |name: &str| name.replace(' ', "_").to_lowercase();
    COLUMNS.iter().zip(row).map(|(name, cell)| (field(name), Value::from(cell.replace('`', "")))).collect()
}

fn markdown(rows: &[[String; COLUMNS.len()]]) -> String {
    let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let mut lines = vec![line(&COLUMNS.map(str::to_owned)), format!("|{}", "---|".repeat(COLUMNS.len()))];
    for row in rows {
        let mut row = row.clone();
        row[0] = format!("[{0}](docs/providers/{0}.md)", row[0]);
        lines.push(line(&row));
    }
    lines.join("\n")
}
