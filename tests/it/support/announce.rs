//! What was measured, and what a long run is at.

/// Tells whoever asks with `--nocapture`, or a failing test.
#[expect(clippy::print_stderr, reason = "a run is followed as it goes, and what was measured is worth seeing")]
pub(crate) fn announce(text: &str) {
    eprintln!("{text}");
}
