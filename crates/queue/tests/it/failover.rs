//! A Redis that fails over behind its name.

use std::{fs, os::unix::fs::symlink, path::Path};

use sincro_queue::{Error, Queue, QueueSettings};

use crate::{bench::open_first, server::Server};

fn lead(name: &Path, to: &Server) {
    // Nobody connects meanwhile.
    let _ = fs::remove_file(name);
    symlink(to.url.trim_start_matches("redis+unix://"), name).unwrap();
}

#[tokio::test]
async fn a_server_that_was_demoted_is_left_for_the_one_that_its_name_leads_to_now() {
    let (first, second) = (Server::start(), Server::start());
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("redis.sock");
    lead(&name, &first);
    let queue = Queue::connect(QueueSettings::new(format!("redis+unix://{}", name.display()).into())).await.unwrap();
    open_first(&queue, 0).await;
    let mut raw = redis::Client::open(first.url.as_str()).unwrap().get_connection().unwrap();
    let _: () = redis::cmd("REPLICAOF").arg("127.0.0.1").arg(1).query(&mut raw).unwrap();
    lead(&name, &second);
    assert!(matches!(queue.try_writing().await, Err(Error::Refused(_))), "the connection to the first one stands");
    queue.try_writing().await.unwrap();
    assert!(queue.begin_restore(0).await.unwrap().is_some(), "the second one is empty");
}
