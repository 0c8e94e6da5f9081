//! What `redis_url` says: one server, a Redis Cluster, or the Sentinels that know where the server is.
//!
//! Only reading; nothing here connects. A refusal never quotes the URL, which may hold passwords.

use std::{fmt, time::Duration};

use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo, io::tcp::TcpSettings, parse_redis_url,
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::Error;

const SENTINEL_PORT: u16 = 26_379;
/// A connection whose other end vanished is noticed within about this time.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Where the queue lives.
#[derive(Clone)]
pub(crate) enum Place {
    /// One server.
    Server(ConnectionInfo),
    /// Whatever server the Sentinels name under this word.
    Sentinels { sentinels: Vec<Address>, asking: Manner, master: String, serving: Manner },
    /// A cluster, known by some of its nodes.
    Cluster { seeds: Vec<Address>, serving: Manner },
}

/// A server among several.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// How to connect to servers that share their credentials.
#[derive(Clone)]
pub(crate) struct Manner {
    tls: bool,
    settings: RedisConnectionInfo,
}

impl Place {
    pub(crate) fn read(url: &SecretString) -> Result<Self, Error> {
        let url = url.expose_secret();
        match url.split_once("://") {
            Some(("redis+cluster", rest)) => cluster("redis", rest),
            Some(("rediss+cluster", rest)) => cluster("rediss", rest),
            Some(("redis+sentinel", rest)) => sentinels("redis", rest),
            Some(("rediss+sentinel", rest)) => sentinels("rediss", rest),
            Some(("redis" | "rediss" | "redis+unix" | "unix", _)) => {
                Ok(Self::Server(url.into_connection_info()?.set_tcp_settings(tcp_settings())))
            }
            _ => refuse(
                "must be a URL that begins with redis://, rediss://, redis+unix://, redis+cluster://, rediss+cluster://, \
                 redis+sentinel:// or rediss+sentinel://",
            ),
        }
    }
}

impl Manner {
    pub(crate) fn at(&self, address: &Address) -> Result<ConnectionInfo, Error> {
        let Address { host, port } = address.clone();
        let address = if self.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let info = address.into_connection_info()?;
        Ok(info.set_redis_settings(self.settings.clone()).set_tcp_settings(tcp_settings()))
    }
}

impl Address {
    /// `host:port` as servers write it, IPv6 without brackets. Whoever leaves the host out means its own.
    pub(crate) fn read(text: &str, own_host: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Self::new(host, port.parse().ok()?, own_host)
    }

    /// None for a host that the server says it does not know.
    pub(crate) fn new(host: &str, port: u16, own_host: &str) -> Option<Self> {
        match host {
            "?" => None,
            "" => Some(Self { host: own_host.to_owned(), port }),
            host => Some(Self { host: host.to_owned(), port }),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn cluster(scheme: &str, rest: &str) -> Result<Place, Error> {
    let (authority, path, query) = take_apart(rest);
    if !matches!(path, "" | "0") || !query.is_empty() {
        return refuse("a cluster has neither databases nor options: nothing may follow its servers");
    }
    let (seeds, serving) = servers(scheme, authority, 6_379)?;
    Ok(Place::Cluster { seeds, serving })
}

fn sentinels(scheme: &str, rest: &str) -> Result<Place, Error> {
    let (authority, master, query) = take_apart(rest);
    let (sentinels, mut serving) = servers(scheme, authority, SENTINEL_PORT)?;
    let mut asking = Manner { settings: RedisConnectionInfo::default(), ..serving.clone() };
    let options = parse_redis_url(&format!("redis://x/{master}?{query}"));
    let Some(options) = options else { return refuse("what follows the Sentinels cannot be read") };
    if master.is_empty() || master.contains(['/', '%', '#']) {
        return refuse("the name of the master must follow the Sentinels: redis+sentinel://host:26379/name");
    }
    for (name, value) in options.query_pairs() {
        match name.as_ref() {
            "db" => match value.parse() {
                Ok(db) if db >= 0 => serving.settings = serving.settings.set_db(db),
                _ => return refuse("db must be the number of a database"),
            },
            "sentinel_user" => asking.settings = asking.settings.set_username(value),
            "sentinel_password" => asking.settings = asking.settings.set_password(value),
            _ => return refuse("the options are db, sentinel_user and sentinel_password"),
        }
    }
    Ok(Place::Sentinels { sentinels, asking, master: master.to_owned(), serving })
}

/// Authority, path and query.
fn take_apart(rest: &str) -> (&str, &str, &str) {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    (authority, path, query)
}

/// `[user:password@]host[:port][,host[:port]...]`
fn servers(scheme: &str, authority: &str, usual_port: u16) -> Result<(Vec<Address>, Manner), Error> {
    let (user, hosts) = authority.rsplit_once('@').map_or((String::new(), authority), |(user, hosts)| {
        // What stands before the `@` is the same for all of them.
        (format!("{user}@"), hosts)
    });
    let (mut addresses, mut settings) = (Vec::new(), RedisConnectionInfo::default());
    for host in hosts.split(',') {
        let mut url = parse_redis_url(&format!("{scheme}://{user}{host}")).filter(|url| url.path().is_empty());
        // Cannot fail for a URL that has a host.
        let _ = url.as_mut().filter(|url| url.port().is_none()).map(|url| url.set_port(Some(usual_port)));
        let info = url.and_then(|url| url.into_connection_info().ok());
        let address = info.as_ref().and_then(|info| match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Address::new(host, *port, "")
            }
            _ => None,
        });
        let (Some(info), Some(address)) = (info, address.filter(|address| !address.host.is_empty())) else {
            return refuse("its servers must be host:port, separated by commas, after the user and password if any");
        };
        settings = info.redis_settings().clone();
        addresses.push(address);
    }
    Ok((addresses, Manner { tls: scheme == "rediss", settings }))
}

/// Small requests go out at once, and a connection whose other end vanished is noticed.
fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(KEEPALIVE);
    settings.set_keepalive(redis::io::tcp::socket2::TcpKeepalive::new().with_time(KEEPALIVE))
}

fn refuse<T>(problem: &str) -> Result<T, Error> {
    Err(Error::Settings(problem.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Place, Error> {
        Place::read(&url.to_owned().into())
    }

    fn shown(addresses: &[Address]) -> Vec<String> {
        addresses.iter().map(Address::to_string).collect()
    }

    #[test]
    fn a_cluster_is_its_servers_under_one_user_and_password() {
        let Ok(Place::Cluster { seeds, serving }) = read("redis+cluster://crm:p%40ss@one,two:7001,[::1]:7002") else {
            panic!("not read as a cluster");
        };
        assert_eq!(shown(&seeds), ["one:6379", "two:7001", "[::1]:7002"]);
        let info = serving.at(&seeds[1]).unwrap();
        assert_eq!(info.addr(), &ConnectionAddr::Tcp("two".to_owned(), 7001));
        assert_eq!((info.redis_settings().username(), info.redis_settings().password()), (Some("crm"), Some("p@ss")));

        let Ok(Place::Cluster { seeds, serving }) = read("rediss+cluster://one:7001/") else { panic!("not read") };
        assert!(matches!(serving.at(&seeds[0]).unwrap().addr(), ConnectionAddr::TcpTls { insecure: false, .. }));
    }

    #[test]
    fn sentinels_have_a_password_of_their_own_or_none() {
        let url = "redis+sentinel://:secret@s1,s2:26380/queue?db=3&sentinel_user=look&sentinel_password=o%26ther";
        let Ok(Place::Sentinels { sentinels, asking, master, serving }) = read(url) else { panic!("not read") };
        assert_eq!((shown(&sentinels), master.as_str()), (vec!["s1:26379".to_owned(), "s2:26380".to_owned()], "queue"));
        let (asking, serving) = (asking.at(&sentinels[0]).unwrap(), serving.at(&sentinels[0]).unwrap());
        let (asking, serving) = (asking.redis_settings(), serving.redis_settings());
        assert_eq!((serving.password(), serving.db()), (Some("secret"), 3));
        assert_eq!((asking.username(), asking.password(), asking.db()), (Some("look"), Some("o&ther"), 0));
        let Ok(Place::Sentinels { asking, .. }) = read("redis+sentinel://:secret@s1/queue") else { panic!("not read") };
        assert_eq!(asking.settings.password(), None);
    }

    #[test]
    fn what_cannot_be_a_place_is_refused_without_quoting_it() {
        for url in [
            "hunter2",
            "http://hunter2@one",
            "redis+cluster://",
            "redis+cluster://:hunter2@",
            "redis+cluster://:hunter2@one,,two",
            "redis+cluster://:hunter2@one:port",
            "redis+cluster://:hunter2@one:70000",
            "redis+cluster://:hunter2@one/3",
            "redis+cluster://one?password=hunter2",
            "redis+sentinel://:hunter2@one",
            "redis+sentinel://:hunter2@one/",
            "redis+sentinel://:hunter2@one/a/b",
            "redis+sentinel://:hunter2@one/queue?db=hunter2",
            "redis+sentinel://one/queue?passwort=hunter2",
            "redis+sentinel:///queue",
        ] {
            let Err(Error::Settings(problem)) = read(url) else { panic!("{url} is taken for a place") };
            assert!(!problem.contains("hunter2"), "{url}: {problem}");
        }
    }

    #[test]
    fn servers_name_each_other_with_and_without_a_host() {
        let read = |text| Address::read(text, "asked").map(|address| address.to_string());
        assert_eq!(read("10.0.0.1:6379").as_deref(), Some("10.0.0.1:6379"));
        assert_eq!(read(":6379").as_deref(), Some("asked:6379"));
        assert_eq!(read("fd00::1:6379").as_deref(), Some("[fd00::1]:6379"));
        assert_eq!(read("?:6379"), None);
    }
}
