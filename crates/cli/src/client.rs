//! Talks to our own HTTP API, for the operator's commands: one call, one answer, no retries.

#[cfg(test)]
pub(crate) mod canned;
mod error;
#[cfg(test)]
mod tests;

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{ACCEPT, HeaderValue},
    redirect,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

pub(crate) use self::error::{Error, Problem};
use crate::args::Global;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// The API sends a sign of life every 15 s at least on an event stream; without one for this long the line is dead.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(50);
const HOW_TO_GIVE_A_KEY: &str =
    "give a key with SINCRO_API_KEY or --api-key; `sincro key create --help` says how to make one";

/// Where the API is and who asks.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<SecretString>,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
}

/// The body of a good answer, as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    call: String,
    /// JSON, or nothing where the API has nothing to say.
    pub body: String,
}

impl Call {
    /// Reads. The path begins without a slash; what stands between two slashes is escaped on its own.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// Creates, or does something.
    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    /// Changes.
    pub(crate) fn patch(path: impl Into<String>) -> Self {
        Self::new(Method::PATCH, path)
    }

    /// Replaces.
    pub(crate) fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path)
    }

    /// Removes.
    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), headers: Vec::new(), body: None }
    }

    /// Adds a query parameter, if there is something to say.
    pub(crate) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// Adds a header, if there is something to say.
    pub(crate) fn header(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.headers.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// Sends this along.
    pub(crate) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }
}

impl Reply {
    /// The body as the type it should be.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.body).map_err(|source| Error::Unreadable { call: self.call.clone(), source })
    }
}

impl Client {
    /// A client for the API that the options name.
    pub(crate) fn new(options: &Global) -> anyhow::Result<Self> {
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("sincro/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_TIMEOUT)
            // The key is for this API and nobody it may point to.
            .redirect(redirect::Policy::none());
        if is_this_machine(&options.api_url) {
            http = http.no_proxy();
        }
        let key = options.api_key.clone().filter(|key| !key.expose_secret().is_empty());
        Ok(Self { http: http.build().context("the HTTP client cannot be set up")?, base: options.api_url.clone(), key })
    }

    /// Makes a call and reads the whole answer.
    pub(crate) async fn send(&self, call: Call) -> Result<Reply, Error> {
        let name = call.to_string();
        let response = self.answer(self.request(call).timeout(ANSWER_TIMEOUT)).await?;
        let body = response.text().await.map_err(|source| self.unreachable(source))?;
        Ok(Reply { call: name, body })
    }

    /// Makes a call whose answer goes on for as long as there is something to tell.
    pub(crate) async fn stream(&self, call: Call) -> Result<Response, Error> {
        let request = self.request(call).header(ACCEPT, HeaderValue::from_static("text/event-stream"));
        self.answer(request).await
    }

    fn request(&self, call: Call) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(call.path.split('/'));
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut request = self.http.request(call.method, url);
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose_secret());
        }
        match call.body {
            Some(body) => request.json(&body),
            None => request,
        }
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = request.send().await.map_err(|source| self.unreachable(source))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.text().await.unwrap_or_default();
        let mut problem = Problem::read(status, &body);
        if status == StatusCode::UNAUTHORIZED && self.key.is_none() {
            problem.hint = Some(HOW_TO_GIVE_A_KEY);
        }
        if status.is_client_error() { Err(Error::Refused(problem.into())) } else { Err(Error::Failed(problem.into())) }
    }

    fn unreachable(&self, source: reqwest::Error) -> Error {
        Error::Unreachable { url: self.base.to_string(), source: source.without_url() }
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} /{}", self.method, self.path)
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
