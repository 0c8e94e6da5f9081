//! What differs between releases and set-ups of WuzAPI, decided one way or the other.

use serde::{Deserialize, Serialize};

/// How webhooks are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `WEBHOOK_FORMAT=json`.
    #[default]
    Json,
    /// As it is without a word about it: a form whose field `jsonData` holds the JSON.
    Form,
}

/// Under which identity a chat comes back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswersUnder {
    /// The one it was asked for under.
    #[default]
    Asked,
    /// The person's other one, where there is one.
    Other,
}

/// How the simulator decides them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each decides a point of its own")]
pub struct Readings {
    /// How webhooks are written.
    pub format: Format,
    /// Under which identity the phone answers.
    pub answers_under: AnswersUnder,
    /// Names of fields are written `remoteJid` and `id` rather than `remoteJID` and `ID`.
    pub camel_case: bool,
    /// An answer does not say whether there is more.
    pub no_end_told: bool,
    /// The phone reveals the number of persons of whom only the LID is known.
    pub reveals_phones: bool,
    /// The gateway has a place of its own for the files of live messages, and says where they are.
    pub keeps_files: bool,
}
