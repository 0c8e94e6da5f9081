//! Pairing anew (or onboarding, where the provider calls it that): what a person does with the phone, in two steps.

use serde::{Deserialize, Serialize};

/// How far a pairing is to go. Both steps at once are the usual thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The phone is connected and begins to send what it holds.
    Begin,
    /// It has sent all of it.
    Finish,
}
