//! Where a demo or a development installation lives: private servers, a secret key and an API key that outlast a run.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use sincro_store::{SecretKey, Store, access::Scope};

use crate::{config::Config, local, local::LocalServers};

/// An installation of its own, with its configuration.
pub(crate) struct Home {
    folder: PathBuf,
    servers: LocalServers,
    private: bool,
    /// The configuration, with the servers and the secret key filled in.
    pub config: Config,
}

impl Home {
    /// Opens the folder and starts the servers that the configuration does not name.
    pub(crate) async fn open(purpose: &str, folder: Option<&Path>, mut config: Config) -> anyhow::Result<Self> {
        let folder = match folder {
            Some(folder) => folder.to_path_buf(),
            None => local::data_dir(purpose)?,
        };
        let named = |url: &Option<SecretString>| url.as_ref().map(|url| url.expose_secret().to_owned());
        let settings = local::Settings {
            database_url: named(&config.database_url),
            redis_url: named(&config.redis_url),
            ..local::Settings::default()
        };
        let private = settings.database_url.is_none() || settings.redis_url.is_none();
        // Makes the folder with what rights its servers need; where they are the user's, it is made here.
        let servers = LocalServers::start_missing(&folder, settings).await?;
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be created", folder.display()))?;
        config.database_url = Some(servers.database_url().to_owned().into());
        config.redis_url = Some(servers.redis_url().to_owned().into());
        let home = Self { folder, servers, private, config };
        home.with_secret_key()
    }

    fn with_secret_key(mut self) -> anyhow::Result<Self> {
        if self.config.secret_key.is_none() {
            let fresh = || Ok(SecretKey::generate()?.expose_secret().to_owned());
            self.config.secret_key = Some(self.kept("secret.key", fresh)?.into());
        }
        Ok(self)
    }

    /// Whether a server of ours runs for this installation; else both are the user's.
    pub(crate) fn is_private(&self) -> bool {
        self.private
    }

    /// An admin key to the API; made once and kept, because the database keeps only its hash.
    pub(crate) async fn api_key(&self, store: &Store) -> anyhow::Result<SecretString> {
        if let Some(kept) = self.read("api.key")? {
            let key = SecretString::from(kept);
            if store.authenticate(&key).await?.is_some() {
                return Ok(key);
            }
        }
        let key = store.create_api_key("made by sincro itself", &[Scope::Admin]).await?;
        self.write("api.key", key.expose_secret())?;
        Ok(key)
    }

    /// What a file of that name holds; made now if there is none.
    pub(crate) fn kept(&self, name: &str, make: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<String> {
        if let Some(kept) = self.read(name)? {
            return Ok(kept);
        }
        let text = make()?;
        self.write(name, &text)?;
        Ok(text)
    }

    /// What a file of that name holds, if there is one.
    pub(crate) fn read(&self, name: &str) -> anyhow::Result<Option<String>> {
        match fs::read_to_string(self.folder.join(name)) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", self.folder.join(name).display())),
        }
    }

    /// Keeps a text for the next run, for the owner's eyes only. Written beside and renamed, so that a crash leaves the
    /// old one or the new one.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let (path, beside) = (self.folder.join(name), self.folder.join(format!("{name}.new")));
        let write = || {
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        };
        write().with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Stops the servers that were started.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.servers.stop().await
    }
}
