//! Where the queue is: kept up to date by looking around whenever something failed.
//!
//! One server is where its URL says; should it turn out to be no master, its name may lead to another one by now, so it is connected
//! to anew. A cluster is asked for its slots, and Sentinels for their master. Servers keep their connection for as long as somebody
//! names them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use redis::ConnectionInfo;
use tokio::{sync::watch, time::Instant};

use crate::{
    Error,
    link::{
        node::{Node, PATIENCE, PATIENCE_AMONG_OTHERS},
        place::{Address, Place},
        survey,
        view::{ALL_SLOTS, Findings, View},
    },
};

/// Between two looks around, however many requests fail.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// Between two new connections to the one server there is, for as long as it is no master.
const ANEW_PAUSE: Duration = Duration::from_secs(2);
/// How often Sentinels are asked although nothing failed: a master that was cut off from them goes on answering.
const SENTINELS_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Atlas {
    pub(super) place: Place,
    /// Servers by address, kept for as long as somebody names them.
    known: Mutex<HashMap<Address, Arc<Node>>>,
    sentinels: Vec<Arc<Node>>,
    /// None before the first look around.
    view: watch::Sender<Option<Arc<View>>>,
    /// Something failed since the last look around.
    doubted: AtomicBool,
    /// A server has turned out to be no master.
    distrusted: AtomicBool,
    looked_at: Mutex<Instant>,
    /// One looks at a time, and not before this moment.
    next_look: tokio::sync::Mutex<Instant>,
}

impl Atlas {
    pub(super) fn new(place: Place) -> Result<Self, Error> {
        let (mut sentinels, mut view) = (Vec::new(), None);
        match &place {
            Place::Server(info) => {
                let node = Arc::new(Node::new(None, info.clone(), PATIENCE)?);
                view = Some(Arc::new(View { spans: vec![(ALL_SLOTS, node)], replicas: Vec::new() }));
            }
            Place::Sentinels { sentinels: addresses, asking, .. } => {
                for address in addresses {
                    let info = asking.at(address)?;
                    sentinels.push(Arc::new(Node::new(Some(address.clone()), info, PATIENCE)?));
                }
            }
            Place::Cluster { .. } => {}
        }
        Ok(Self {
            place,
            known: Mutex::default(),
            sentinels,
            view: watch::Sender::new(view),
            doubted: AtomicBool::new(false),
            distrusted: AtomicBool::new(false),
            looked_at: Mutex::new(Instant::now()),
            next_look: tokio::sync::Mutex::new(Instant::now()),
        })
    }

    /// Ends when other servers have the queue than at the moment of the call.
    pub(super) fn moved(&self) -> impl Future<Output = ()> + use<> {
        let mut views = self.view.subscribe();
        async move {
            if views.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// One slot has moved; the next look around tells of the others.
    pub(super) fn learn(&self, slot: u16, to: &Address) -> bool {
        let Place::Cluster { .. } = self.place else { return false };
        let Ok(node) = self.server(to) else { return false };
        self.view.send_if_modified(|view| {
            let view = Arc::make_mut(view.get_or_insert_default());
            view.spans.retain(|(slots, _)| *slots != (slot..=slot));
            view.spans.insert(0, (slot..=slot, node));
            // Where others listen is as good as before.
            false
        });
        true
    }

    pub(super) fn doubt(&self) {
        self.doubted.store(true, Ordering::Relaxed);
    }

    /// What serves here says that it is no master.
    pub(super) fn distrust(&self) {
        self.distrusted.store(true, Ordering::Relaxed);
        self.doubt();
    }

    /// What is known, after a look around if there is a doubt. An old view is better than none.
    pub(super) async fn view(self: &Arc<Self>) -> Result<Arc<View>, Error> {
        if !self.sentinels.is_empty() && self.looked_at.lock().elapsed() > SENTINELS_EVERY {
            *self.looked_at.lock() = Instant::now();
            let atlas = self.clone();
            // Beside the request, which need not wait for it.
            tokio::spawn(async move { atlas.look_around().await });
        }
        let is_new = self.view.borrow().is_none();
        if is_new || self.doubted.load(Ordering::Relaxed) {
            let looked = self.look_around().await;
            if let (Err(error), None) = (looked, &*self.view.borrow()) {
                return Err(error);
            }
        }
        let view = self.view.borrow().clone();
        view.ok_or_else(|| Error::Unreachable("nobody has said yet where the queue is".into()))
    }

    async fn look_around(&self) -> Result<(), Error> {
        let mut next_look = self.next_look.lock().await;
        if Instant::now() < *next_look {
            return Ok(());
        }
        self.doubted.store(false, Ordering::Relaxed);
        let distrusted = self.distrusted.swap(false, Ordering::Relaxed);
        let found = match &self.place {
            Place::Server(_) if !distrusted => return Ok(()),
            Place::Server(info) => {
                *next_look = Instant::now() + ANEW_PAUSE;
                return self.connect_anew(info);
            }
            Place::Sentinels { master, .. } => self.find_master(master).await,
            Place::Cluster { seeds, .. } => self.survey_cluster(seeds).await,
        };
        *next_look = Instant::now() + LOOK_PAUSE;
        *self.looked_at.lock() = Instant::now();
        match found.and_then(|findings| self.take(&findings)) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.doubt();
                tracing::debug!(%error, "nobody tells where the queue is");
                Err(error)
            }
        }
    }

    /// The connection stands, and leads to a server that was demoted: only a new one asks where its name leads now.
    fn connect_anew(&self, info: &ConnectionInfo) -> Result<(), Error> {
        tracing::debug!("redis is a replica; connecting anew, should its name lead to another server by now");
        let node = Arc::new(Node::new(None, info.clone(), PATIENCE)?);
        self.view.send_replace(Some(Arc::new(View { spans: vec![(ALL_SLOTS, node)], replicas: Vec::new() })));
        Ok(())
    }

    async fn find_master(&self, name: &str) -> Result<Findings, Error> {
        let address = survey::ask_sentinels(&self.sentinels, name).await?;
        survey::check_master(&*self.server(&address)?, address).await
    }

    async fn survey_cluster(&self, seeds: &[Address]) -> Result<Findings, Error> {
        let mut asked: Vec<Arc<Node>> = self.known.lock().values().cloned().collect();
        for seed in seeds {
            let node = self.server(seed)?;
            if !asked.iter().any(|known| Arc::ptr_eq(known, &node)) {
                asked.push(node);
            }
        }
        survey::ask_cluster(&asked).await
    }

    /// Makes findings the view. Whoever listens is told when the servers are others than before.
    fn take(&self, findings: &Findings) -> Result<(), Error> {
        let spans = findings.spans.iter().map(|(slots, address)| Ok((slots.clone(), self.server(address)?)));
        let replicas = findings.replicas.iter().map(|address| self.server(address));
        let (spans, replicas) = (spans.collect::<Result<_, Error>>()?, replicas.collect::<Result<_, _>>()?);
        let found = Arc::new(View { spans, replicas });
        let is_named = |address: &Address| {
            matches!(&self.place, Place::Cluster { seeds, .. } if seeds.contains(address))
                || findings.replicas.contains(address)
                || findings.spans.iter().any(|(_, primary)| primary == address)
        };
        self.known.lock().retain(|address, _| is_named(address));
        self.view.send_if_modified(|view| {
            let names = |view: &Arc<View>| view.primaries().iter().map(|node| node.name()).collect::<Vec<_>>();
            let (before, now) = (view.as_ref().map(names).unwrap_or_default(), names(&found));
            *view = Some(found);
            if !before.is_empty() && before != now {
                tracing::info!(?before, ?now, "the queue is at other redis servers now");
            }
            before != now
        });
        Ok(())
    }

    /// The server at an address; made now if it is new.
    fn server(&self, address: &Address) -> Result<Arc<Node>, Error> {
        let (serving, patience) = match &self.place {
            Place::Cluster { serving, .. } => (serving, PATIENCE_AMONG_OTHERS),
            Place::Sentinels { serving, .. } => (serving, PATIENCE),
            Place::Server(_) => return Err(Error::Settings("one server has no others".to_owned())),
        };
        let mut known = self.known.lock();
        if let Some(node) = known.get(address) {
            return Ok(node.clone());
        }
        let node = Arc::new(Node::new(Some(address.clone()), serving.at(address)?, patience)?);
        known.insert(address.clone(), node.clone());
        Ok(node)
    }
}
