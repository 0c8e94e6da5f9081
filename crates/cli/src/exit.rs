//! Exit codes: what a script can tell from how the program ended. `sincro --help` lists them.

use std::process::ExitCode;

use sincro_core::sync::SyncState;

use crate::client;

/// Anything that went wrong and is none of the others.
const FAILED: u8 = 1;
/// The API understood and said no (4xx).
const REFUSED: u8 = 3;
/// No API there, or one that failed itself.
const UNAVAILABLE: u8 = 4;
/// The watched sync is over, and not everything of it went well.
const SYNC_ENDED_BADLY: u8 = 5;
/// What shells say of a process that a signal ended: 128 and its number.
pub(crate) const INTERRUPTED: u8 = 130;
pub(crate) const TERMINATED: u8 = 143;

/// The code for a command that came to nothing.
pub(crate) fn code_of(error: &anyhow::Error) -> ExitCode {
    let code = match error.downcast_ref::<client::Error>() {
        Some(client::Error::Refused(_)) => REFUSED,
        Some(_) => UNAVAILABLE,
        None => FAILED,
    };
    ExitCode::from(code)
}

/// The code for a look at a channel that found something that does not work.
pub(crate) fn found_bad() -> ExitCode {
    ExitCode::from(FAILED)
}

/// The code for a watched sync in its last state.
pub(crate) fn code_of_sync(state: SyncState) -> ExitCode {
    match state {
        SyncState::Completed => ExitCode::SUCCESS,
        _ => ExitCode::from(SYNC_ENDED_BADLY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_code() {
        let refused = anyhow::Error::new(client::Error::Refused(Box::default()));
        let failed = anyhow::Error::new(client::Error::Failed(Box::default()));
        assert_eq!(code_of(&refused.context("while asking")), ExitCode::from(3));
        assert_eq!(code_of(&failed), ExitCode::from(4));
        assert_eq!(code_of(&anyhow::anyhow!("something else")), ExitCode::from(1));
    }

    #[test]
    fn only_a_completed_sync_is_a_success() {
        for state in SyncState::ALL {
            let expected = if *state == SyncState::Completed { ExitCode::SUCCESS } else { ExitCode::from(5) };
            assert_eq!(code_of_sync(*state), expected, "{state}");
        }
    }
}
