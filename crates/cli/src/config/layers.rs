//! The layers of the configuration, merged by the `config` crate; each value remembers where it came from.

use std::path::Path;

use config::{Config as Merged, ConfigError, File, FileFormat, Map, Source, Value};

use super::{Environment, Refused};

const DEFAULTS: &str = include_str!("../../config.default.toml");
const PREFIX: &str = "SINCRO_";
/// Variables of ours that are no configuration keys: options of the command line.
const OPTIONS: [&str; 3] = ["SINCRO_API_URL", "SINCRO_API_KEY", "SINCRO_CONFIG"];
/// The names under which other tools know two of our keys.
const CUSTOMARY: [(&str, &str); 2] = [("DATABASE_URL", "database_url"), ("REDIS_URL", "redis_url")];

/// Values with their origin, as one layer.
#[derive(Debug, Clone)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// All keys with their winning values.
pub(super) fn merge(file: Option<&Path>, environment: &Environment) -> Result<Map<String, Value>, Refused> {
    let defaults = parse(DEFAULTS, "the defaults")?;
    let mut builder = Merged::builder().add_source(defaults.clone());
    if let Some(path) = file {
        builder = builder.add_source(read_file(path, &defaults)?);
    }
    builder
        .add_source(from_environment(&defaults, environment))
        .build()
        .and_then(|merged| merged.cache.into_table())
        .map_err(|error| refused(error.to_string()))
}

/// Variables that begin like ours and name no key: ignoring them silently would hide a typo.
pub(super) fn suspicious_variables(environment: &Environment) -> Vec<String> {
    let Ok(defaults) = parse(DEFAULTS, "the defaults") else { return Vec::new() };
    let known = |name: &str| OPTIONS.contains(&name) || defaults.0.keys().any(|key| variable(key) == name);
    let names = environment.keys().filter(|name| name.starts_with(PREFIX) && !known(name));
    names
        .map(|name| match nearest(name, defaults.0.keys().map(|key| variable(key))) {
            Some(near) => format!("{name} is no setting and is ignored; did you mean {near}?"),
            None => format!("{name} is no setting and is ignored"),
        })
        .collect()
}

fn read_file(path: &Path, defaults: &Layer) -> Result<Layer, Refused> {
    let origin = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| refused(format!("{origin} cannot be read: {error}")))?;
    let layer = parse(&text, &origin)?;
    let unknown = layer.0.keys().filter(|key| !defaults.0.contains_key(*key));
    let problems: Vec<_> = unknown
        .map(|key| match nearest(key, defaults.0.keys().cloned()) {
            Some(near) => format!("{key} (from {origin}): there is no such key; did you mean {near}?"),
            None => format!("{key} (from {origin}): there is no such key"),
        })
        .collect();
    if problems.is_empty() { Ok(layer) } else { Err(Refused(problems)) }
}

fn parse(text: &str, origin: &str) -> Result<Layer, Refused> {
    let parsed = File::from_str(text, FileFormat::Toml).collect();
    let values = parsed.map_err(|error| refused(format!("{origin}: {}", without_excerpt(&error.to_string()))))?;
    let from = origin.to_owned();
    Ok(Layer(values.into_iter().map(|(key, value)| (key, Value::new(Some(&from), value.kind))).collect()))
}

/// The parser's position and message; the lines between quote the file, which may hold secrets.
fn without_excerpt(error: &str) -> String {
    let mut lines = error.lines().map(str::trim).filter(|line| !line.is_empty());
    match (lines.next(), lines.next_back()) {
        (Some(position), Some(message)) => format!("{position}: {message}"),
        (only, _) => only.unwrap_or("cannot be parsed").to_owned(),
    }
}

fn from_environment(defaults: &Layer, environment: &Environment) -> Layer {
    let ours = defaults.0.keys().map(|key| (variable(key), key.clone()));
    let customary = CUSTOMARY.map(|(name, key)| (name.to_owned(), key.to_owned()));
    // The customary names come first, so that our own names win over them.
    let names = customary.into_iter().chain(ours);
    let set = names.filter_map(|(name, key)| {
        let value = environment.get(&name).filter(|value| !value.is_empty())?;
        Some((key, Value::new(Some(&name), value.as_str())))
    });
    Layer(set.collect())
}

fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase())
}

fn refused(problem: String) -> Refused {
    Refused(vec![problem])
}

/// The candidate that a typo of at most three letters turns into `word`.
fn nearest(word: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let near = candidates.map(|candidate| (distance(word, &candidate), candidate)).min()?;
    (near.0 <= 3).then_some(near.1)
}

/// Letters to insert, drop or replace between two words (Levenshtein), one row at a time.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}
