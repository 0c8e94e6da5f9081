//! Ends what a run has started, also when the run itself was killed and could not.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Waits until the run is gone, then kills what it has noted. Deaf to the signals that a terminal sends to all.
const SCRIPT: &str = r#"trap '' INT TERM HUP
cat >/dev/null
for noted in "$1"/*; do [ -f "$noted" ] && kill -KILL "$(cat "$noted")" 2>/dev/null; done"#;

/// A process beside the run.
pub(super) struct Warden {
    process: Child,
    notes: PathBuf,
}

impl Warden {
    pub(super) fn watch(folder: &Path) -> Self {
        let notes = folder.join("pids");
        fs::create_dir(&notes).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "warden"]).arg(&notes);
        let process = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { process, notes }
    }

    /// This is the process of that name now.
    pub(super) fn note(&self, name: &str, process: &Child) {
        fs::write(self.notes.join(name), process.id().to_string()).unwrap();
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        // All have ended by now; nobody else with one of their numbers shall be killed.
        let _ = fs::remove_dir_all(&self.notes);
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
