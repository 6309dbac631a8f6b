//! The spool and the second address, over real sockets.

use std::net::UdpSocket;
use std::time::Duration;

use senda_client::path::Measures;
use senda_client::uplink::History;
use senda_client::{Builder, Client, Error, Transport, blocking};
use tokio::time::timeout;

use crate::collector::{Collector, Script};
use crate::{PATIENCE, greenhouse, row, sample};

/// Nothing waits for a fleet here.
fn prompt(builder: Builder) -> Builder {
    builder.history(History { jitter: Duration::ZERO, ..History::default() })
}

fn sorted(collector: &Collector) -> Vec<Vec<u8>> {
    let mut rows = collector.rows();
    rows.retain(|row| !row.is_empty()); // COUNTS is none.
    rows.sort_unstable();
    rows
}

#[tokio::test]
async fn what_stayed_on_the_spool_goes_up_at_the_next_start() {
    let place = tempfile::tempdir().unwrap();
    let spool = place.path().join("spool");
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("udp://{}", nobody.local_addr().unwrap());
    let client = Client::builder("gh-7", &url).unwrap().spool(&spool).connect().unwrap();
    let schema = client.declare(&greenhouse()).unwrap();
    for serial in 0..20 {
        client.send(&schema, &sample(serial)).await.unwrap();
    }
    let closed = client.close(Duration::from_millis(50)).await;
    assert!(matches!(closed, Err(Error::Kept { rows: 20 })), "{closed:?}");

    let collector = Collector::udp("127.0.0.1:0");
    let builder = prompt(Client::builder("gh-7", &collector.url("udp")).unwrap().spool(&spool));
    let client = builder.connect().unwrap();
    let schema = client.declare(&greenhouse()).unwrap();
    let live = client.send(&schema, &sample(20)).await.unwrap();
    let stream = live.stream();
    timeout(PATIENCE, live).await.unwrap().unwrap();
    timeout(PATIENCE, client.flush()).await.unwrap().unwrap();
    client.close(PATIENCE).await.unwrap();
    assert_eq!(sorted(&collector), (0..21).map(row).collect::<Vec<_>>());
    let script = collector.script();
    let old = script.stored.keys().find(|(of, _)| *of != stream).unwrap().0;
    assert!((0..20).all(|number| script.stored.contains_key(&(old, number))), "its old numbers");
}

#[tokio::test]
async fn a_receipt_means_the_collectors_disk_though_its_stream_was_left() {
    let place = tempfile::tempdir().unwrap();
    let collector = Collector::udp("127.0.0.1:0");
    collector.script().is_mute = true;
    let builder = prompt(Client::builder("gh-7", &collector.url("udp")).unwrap())
        .configure(|config| config.queue.rows = 4)
        .spool(place.path().join("spool"));
    let client = builder.connect().unwrap();
    let schema = client.declare(&greenhouse()).unwrap();
    let mut receipts = Vec::new();
    for serial in 0..10 {
        receipts.push(client.send(&schema, &sample(serial)).await.unwrap());
    }
    assert_ne!(receipts[0].stream(), receipts[9].stream(), "the first stream was left");
    assert_eq!(receipts[0].try_fate(), None);
    collector.script().is_mute = false;
    for receipt in receipts {
        timeout(PATIENCE, receipt).await.unwrap().unwrap();
    }
    assert_eq!(sorted(&collector), (0..10).map(row).collect::<Vec<_>>());
}

#[test]
fn one_process_at_a_time_has_a_spool() {
    let place = tempfile::tempdir().unwrap();
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("udp://{}", nobody.local_addr().unwrap());
    let open = || Client::builder("gh-7", &url).unwrap().spool(place.path().join("spool"));
    let first = blocking::Client::connect(open()).unwrap();
    assert!(matches!(blocking::Client::connect(open()), Err(Error::Spool(_))));
    drop(first);
    blocking::Client::connect(open()).unwrap();
}

#[tokio::test]
async fn where_udp_says_nothing_the_stream_goes_over_tcp_and_back_when_it_answers() {
    let hole = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp = format!("udp://{}", hole.local_addr().unwrap());
    let tcp = Collector::tcp("127.0.0.1:0");
    let measures = Measures {
        hello_patience: Duration::from_millis(100),
        answer_wait: Duration::from_millis(100),
        trial_wait: Duration::from_millis(200),
        probe_gap: Duration::from_millis(10),
        ..Measures::default()
    };
    let builder = Client::builder("gh-7", &udp).unwrap().also(&tcp.url("tcp")).unwrap();
    let client = builder.measures(measures).connect().unwrap();
    let schema = client.declare(&greenhouse()).unwrap();
    let first = client.send(&schema, &sample(0)).await.unwrap();
    let stream = first.stream();
    timeout(PATIENCE, first).await.unwrap().unwrap();
    assert_eq!(client.with_uplink(|uplink| uplink.transport()), Transport::Tcp);

    // Now there is a collector behind the hole; it has never heard of the rows before, and takes those that come.
    let udp = Collector::udp_on(hole, Script::default());
    let back = async {
        while client.with_uplink(|uplink| uplink.transport()) != Transport::Udp {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, back).await.unwrap();
    let second = client.send(&schema, &sample(1)).await.unwrap();
    assert_eq!((second.stream(), second.row()), (stream, 1), "the same stream goes on");
    timeout(PATIENCE, second).await.unwrap().unwrap();
    assert!(udp.script().stored.contains_key(&(stream, 1)));
}

#[test]
fn two_addresses_for_one_transport_are_a_mistake() {
    let builder = Client::builder("gh-7", "udp://127.0.0.1").unwrap();
    let wrong = builder.also("udp://127.0.0.2").unwrap_err();
    assert!(matches!(wrong, Error::Endpoint(_)), "{wrong}");
}
