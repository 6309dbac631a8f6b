use std::time::Duration;

use senda_client::{DropPolicy, Error, QueueLimits, blocking};

use crate::collector::Collector;
use crate::{PATIENCE, eventually, greenhouse, row, sample};

fn connect(collector: &Collector, scheme: &str) -> blocking::Client {
    let builder = senda_client::Client::builder("gh-7", &collector.url(scheme)).unwrap();
    blocking::Client::connect(builder).unwrap()
}

#[test]
fn a_thread_sends_and_knows_when_it_is_stored() {
    for scheme in ["udp", "tcp"] {
        let collector = match scheme {
            "udp" => Collector::udp("127.0.0.1:0"),
            _ => Collector::tcp("127.0.0.1:0"),
        };
        let client = connect(&collector, scheme);
        let schema = client.declare(&greenhouse()).unwrap();
        let receipt = client.send(&schema, &sample(0)).unwrap();
        receipt.wait(PATIENCE).unwrap();
        for serial in 1..500 {
            client.send(&schema, &sample(serial)).unwrap();
        }
        client.flush(PATIENCE).unwrap();
        assert_eq!(collector.rows(), (0..500).map(row).collect::<Vec<_>>());
        client.close(PATIENCE).unwrap();
        eventually("CLOSE 407 comes", || collector.script().closes == [407]);
    }
}

#[test]
fn patience_ends() {
    let collector = Collector::udp("127.0.0.1:0");
    collector.script().is_mute = true;
    let client = connect(&collector, "udp");
    let schema = client.declare(&greenhouse()).unwrap();
    let receipt = client.send(&schema, &sample(0)).unwrap();
    let short = Duration::from_millis(20);
    assert!(matches!(receipt.wait(short), Err(Error::Timeout)));
    assert!(matches!(client.flush(short), Err(Error::Timeout)));
    assert!(matches!(client.close(short), Err(Error::Timeout)));
}

#[test]
fn a_full_queue_makes_the_thread_wait_for_room() {
    let collector = Collector::udp("127.0.0.1:0");
    let builder = senda_client::Client::builder("gh-7", &collector.url("udp")).unwrap();
    let builder = builder.configure(|config| {
        config.queue = QueueLimits { rows: 5, bytes: 1_000, policy: DropPolicy::RefuseNew };
    });
    let client = blocking::Client::connect(builder).unwrap();
    let schema = client.declare(&greenhouse()).unwrap();
    for serial in 0..200 {
        client.send(&schema, &sample(serial)).unwrap();
    }
    client.close(PATIENCE).unwrap();
    assert_eq!(collector.rows(), (0..200).map(row).collect::<Vec<_>>());
}
