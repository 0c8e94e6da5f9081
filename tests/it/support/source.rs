//! The source of this repository, for tests that ask what is written there.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in it").to_owned()
}

/// All files below a folder with this ending.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found
}

/// The text of each source file of our crates, without their tests.
pub(crate) fn of_crates() -> impl Iterator<Item = String> {
    let files = files(&root().join("crates"), "rs").into_iter();
    files.filter(|path| path.iter().any(|part| part == "src")).map(|path| fs::read_to_string(path).unwrap())
}
