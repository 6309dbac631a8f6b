use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use senda_client::{
    Batch, Client, Clock, DoneStatus, DropPolicy, Error, Event, PushError, QueueLimits, RowLost,
    SendError, SkipCause,
};
use senda_sim::faults::{Conditions, Link};
use tokio::time::timeout;

use crate::collector::{Collector, Script, now_us};
use crate::{PATIENCE, eventually, greenhouse, row, sample};

/// One of each, on IPv4 and IPv6.
fn collectors() -> Vec<(Collector, String)> {
    let mut all = Vec::new();
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let (udp, tcp) = (Collector::udp(bind), Collector::tcp(bind));
        let urls = [udp.url("udp"), tcp.url("tcp")];
        all.extend([udp, tcp].into_iter().zip(urls));
    }
    all
}

#[tokio::test]
async fn every_sample_is_stored_once_with_its_values() {
    for (collector, url) in collectors() {
        let client = Client::builder("gh-7", &url).unwrap().connect().unwrap();
        let schema = client.declare(&greenhouse()).unwrap();
        for serial in 0..1_000 {
            client.send(&schema, &sample(serial)).await.unwrap();
        }
        timeout(PATIENCE, client.flush()).await.unwrap().unwrap();
        assert_eq!(collector.rows(), (0..1_000).map(row).collect::<Vec<_>>(), "{url}");
        assert_eq!(client.stats().acked, 1_000);
        client.close(PATIENCE).await.unwrap();
        eventually("CLOSE 407 comes", || collector.script().closes == [407]);
        assert_eq!(collector.script().made, 1_000, "COUNTS before CLOSE");
    }
}

#[tokio::test]
async fn a_host_name_is_looked_up() {
    let collector = Collector::udp("127.0.0.1:0");
    let url = format!("udp://localhost:{}", collector.address.port());
    let client = Client::builder("gh-7", &url)
        .unwrap()
        .endpoint(|endpoint| endpoint.bind = Some([127, 0, 0, 1].into()))
        .connect()
        .unwrap();
    let schema = client.declare(&greenhouse()).unwrap();
    let receipt = client.send(&schema, &sample(1)).await.unwrap();
    timeout(PATIENCE, receipt).await.unwrap().unwrap();
}

/// This collector does not read SPARSE: the device says so rather than making values up. Spec §7.6b.
#[tokio::test]
async fn a_partial_sample_that_the_collector_cannot_read_is_lost_and_says_so() {
    let collector = Collector::udp("127.0.0.1:0");
    let client = Client::builder("gh-7", &collector.url("udp")).unwrap().connect().unwrap();
    let schema = client.declare(&greenhouse()).unwrap();
    let stored = client.send(&schema, &sample(1)).await.unwrap();
    timeout(PATIENCE, stored).await.unwrap().unwrap();
    let lost = client.send(&schema, &senda_client::Sample::partial()).await.unwrap();
    let fate = timeout(PATIENCE, lost).await.unwrap();
    assert_eq!(fate, Err(RowLost::Dropped { cause: SkipCause::Rejected }));
}

/// Spec §13.3: the clock that dates the samples is the one that the collector is asked about.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_monotonic_clock_counts_from_the_start_and_asks_what_time_that_is() {
    let collector = Collector::tcp("127.0.0.1:0");
    let builder = Client::builder("gh-7", &collector.url("tcp")).unwrap().clock(Clock::Monotonic);
    let _client = builder.connect().unwrap();
    eventually("an offset is known", || {
        collector.script().clocks.iter().any(|said| said.uncertainty < u32::MAX)
    });
    let said = *collector.script().clocks.last().unwrap();
    assert_eq!(said.clock, Clock::Monotonic);
    assert!((0..60_000_000).contains(&said.t1), "{said:?}");
    assert!(now_us().abs_diff(said.t1 + said.offset) < 60_000_000, "{said:?}");
}

#[tokio::test]
async fn a_receipt_waits_for_the_acknowledgement() {
    let collector = Collector::udp("127.0.0.1:0");
    collector.script().is_mute = true;
    let client = Client::builder("gh-7", &collector.url("udp")).unwrap().connect().unwrap();
    let schema = client.declare(&greenhouse()).unwrap();
    let mut receipt = client.send(&schema, &sample(1)).await.unwrap();
    let heard = async {
        while collector.script().heard == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, heard).await.unwrap();
    assert_eq!(receipt.try_fate(), None, "sent is not stored");
    collector.script().is_mute = false;
    timeout(PATIENCE, receipt).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_that_breaks_loses_nothing_and_doubles_nothing() {
    let collector = Collector::tcp("127.0.0.1:0");
    collector.script().cut_after = 7;
    let client = Client::builder("gh-7", &collector.url("tcp")).unwrap().connect().unwrap();
    let schema = client.declare(&greenhouse()).unwrap();
    for serial in 0..60 {
        let receipt = client.send(&schema, &sample(serial)).await.unwrap();
        if serial % 3 == 0 {
            timeout(PATIENCE, receipt).await.unwrap().unwrap();
        }
    }
    timeout(PATIENCE, client.flush()).await.unwrap().unwrap();
    assert!(collector.script().welcomed > 2, "it was cut");
    assert_eq!(collector.rows(), (0..60).map(row).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_collector_that_comes_late_gets_everything() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::builder("gh-7", &format!("tcp://{port}")).unwrap().connect().unwrap();
    let schema = client.declare(&greenhouse()).unwrap();
    client.send(&schema, &sample(0)).await.unwrap();
    let lost = timeout(PATIENCE, client.event()).await.unwrap();
    assert!(matches!(lost, Some(Event::Lost { .. })), "{lost:?}");
    let collector = Collector::tcp_on(TcpListener::bind(port).unwrap(), Script::default());
    timeout(PATIENCE, client.flush()).await.unwrap().unwrap();
    assert_eq!(collector.rows(), [row(0)]);
}

#[tokio::test]
async fn datagrams_that_get_lost_are_sent_again() {
    let collector = Collector::udp("127.0.0.1:0");
    let (loss, dup) = ("20%".parse().unwrap(), "10%".parse().unwrap());
    let conditions = Conditions { loss, dup, ..Conditions::default() };
    // Each loses its third datagram, the first one after the handshake, and not many in a row: nobody waits for long.
    collector.script().network = Some((Link::new(conditions, 70), Link::new(conditions, 12)));
    let client = Client::builder("gh-7", &collector.url("udp")).unwrap().connect().unwrap();
    let schema = client.declare(&greenhouse()).unwrap();
    for serial in 0..200 {
        client.send(&schema, &sample(serial)).await.unwrap();
        tokio::task::yield_now().await;
    }
    timeout(PATIENCE, client.flush()).await.unwrap().unwrap();
    assert_eq!(collector.rows(), (0..200).map(row).collect::<Vec<_>>());
    let script = collector.script();
    let (up, down) = script.network.as_ref().unwrap();
    assert!(up.stats().lost > 0 && down.stats().lost > 0, "{up:?} {down:?}");
}

#[tokio::test]
async fn a_udp_collector_that_restarts_gets_the_rest() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let first = Collector::udp_on(socket.try_clone().unwrap(), Script::default());
    let client = Client::builder("gh-7", &first.url("udp"))
        .unwrap()
        .configure(|config| config.rejoin_jitter = Duration::from_millis(10))
        .connect()
        .unwrap();
    let schema = client.declare(&greenhouse()).unwrap();
    let receipt = client.send(&schema, &sample(0)).await.unwrap();
    timeout(PATIENCE, receipt).await.unwrap().unwrap();
    // The next one knows no session, and says so to everything but HELLO.
    drop(first);
    let close = senda_wire::Message::Close(senda_wire::Close {
        code: senda_client::ErrorCode::UNKNOWN_SESSION,
        retry_after_ms: 0,
        text: "",
    });
    let receipt = client.send(&schema, &sample(1)).await.unwrap();
    let unknown = tokio::task::spawn_blocking(move || {
        let mut buffer = [0; 2_048];
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let (_, from) = socket.recv_from(&mut buffer).unwrap();
        let head = senda_wire::Head { session: 1, seq: 0, flags: 0 };
        let len = close.encode(head, &mut buffer).unwrap();
        socket.send_to(&buffer[..len], from).unwrap();
        socket
    });
    let socket = timeout(PATIENCE, unknown).await.unwrap().unwrap();
    assert_eq!(socket.local_addr().unwrap(), address);
    let second = Collector::udp_on(socket, Script::default());
    timeout(PATIENCE, receipt).await.unwrap().unwrap();
    // It has nothing of row 0, which the device gave away on the first one's word: SKIP(LOST).
    assert_eq!(second.script().skipped, 1);
    assert_eq!(second.rows(), [Vec::new(), row(1)]);
}

#[tokio::test]
async fn a_config_is_answered_by_the_application() {
    let collector = Collector::tcp("127.0.0.1:0");
    collector.script().config_rev = 9;
    let client = Client::builder("gh-7", &collector.url("tcp"))
        .unwrap()
        .configure(|config| config.downlink = senda_wire::registry::downlink::CONFIG)
        .connect()
        .unwrap();
    let applied = async {
        loop {
            if let Some(Event::Config { ticket, revision, settings }) = client.event().await {
                assert_eq!((revision, settings[0].as_u64()), (9, Some(250)));
                return client.done(ticket, DoneStatus::Ok, "", &[]).unwrap();
            }
        }
    };
    timeout(PATIENCE, applied).await.unwrap();
    let script = || collector.script().done.clone();
    while script().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(script(), [(1, 0)]);
    assert_eq!(client.with_device(|device| device.config_rev()), 9);
}

#[tokio::test]
async fn a_queue_that_refuses_makes_senders_wait() {
    let collector = Collector::tcp("127.0.0.1:0");
    collector.script().is_mute = true;
    let client = Client::builder("gh-7", &collector.url("tcp"))
        .unwrap()
        .configure(|config| {
            config.queue = QueueLimits { rows: 10, bytes: 1_000, policy: DropPolicy::RefuseNew };
        })
        .connect()
        .unwrap();
    let schema = client.declare(&greenhouse()).unwrap();
    for serial in 0..10 {
        client.send(&schema, &sample(serial)).await.unwrap();
    }
    let full = client.try_send(&schema, &sample(10)).unwrap_err();
    assert_eq!(full, SendError::Push(PushError::Full));
    let mut eleventh = Box::pin(async { client.send(&schema, &sample(10)).await.unwrap().await });
    assert!(timeout(Duration::from_millis(50), &mut eleventh).await.is_err(), "it waits");
    // What was swallowed goes again only on a new connection. Spec §7.4.
    collector.script().is_mute = false;
    collector.script().cut_after = 1;
    timeout(PATIENCE, eleventh).await.unwrap().unwrap();
}

#[tokio::test]
async fn rows_dropped_by_a_full_queue_say_so() {
    let collector = Collector::udp("127.0.0.1:0");
    let client = Client::builder("gh-7", &collector.url("udp"))
        .unwrap()
        .configure(|config| {
            config.queue.rows = 4;
            // The bench is on one thread: nothing leaves before the first await.
        })
        .connect()
        .unwrap();
    let schema = client.declare(&greenhouse()).unwrap();
    let mut receipts: Vec<_> =
        (0..8).map(|serial| client.try_send(&schema, &sample(serial)).unwrap()).collect();
    let last = receipts.pop().unwrap();
    let first = receipts.remove(0);
    let dropped = RowLost::Dropped { cause: SkipCause::Overflow };
    assert_eq!(timeout(PATIENCE, first).await.unwrap(), Err(dropped));
    assert_eq!(timeout(PATIENCE, last).await.unwrap(), Ok(()));
    assert_eq!(collector.script().skipped, 5);
}

#[tokio::test]
async fn refused_rows_say_why() {
    let collector = Collector::tcp("127.0.0.1:0");
    collector.script().refuse_multiples_of = 2;
    let client = Client::builder("gh-7", &collector.url("tcp")).unwrap().connect().unwrap();
    let schema = client.declare(&greenhouse()).unwrap();
    let refused = client.send(&schema, &sample(0)).await.unwrap();
    let stored = client.send(&schema, &sample(1)).await.unwrap();
    let fate = timeout(PATIENCE, refused).await.unwrap().unwrap_err();
    assert_eq!(fate.to_string(), "the collector refused the row with code 301: as asked");
    timeout(PATIENCE, stored).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_batch_leaves_when_it_is_full_and_flush_does_not_wait() {
    let collector = Collector::tcp("127.0.0.1:0");
    let client = Client::builder("gh-7", &collector.url("tcp"))
        .unwrap()
        .configure(|config| config.batch = Batch { rows: 50, delay: Duration::from_secs(3_600) })
        .connect()
        .unwrap();
    let schema = client.declare(&greenhouse()).unwrap();
    let first = client.send(&schema, &sample(0)).await.unwrap();
    for serial in 1..50 {
        client.send(&schema, &sample(serial)).await.unwrap();
    }
    timeout(PATIENCE, first).await.unwrap().unwrap();
    assert_eq!(client.stats().sent_messages, 1);
    client.send(&schema, &sample(50)).await.unwrap();
    timeout(PATIENCE, client.flush()).await.unwrap().unwrap();
}

#[tokio::test]
async fn dropping_the_client_closes_the_session() {
    let collector = Collector::tcp("127.0.0.1:0");
    let client = Client::builder("gh-7", &collector.url("tcp")).unwrap().connect().unwrap();
    let schema = client.declare(&greenhouse()).unwrap();
    let receipt = client.send(&schema, &sample(0)).await.unwrap();
    timeout(PATIENCE, receipt).await.unwrap().unwrap();
    drop(client);
    let closed = async {
        while collector.script().closes != [407] {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, closed).await.unwrap();
}

#[tokio::test]
async fn close_says_when_something_is_not_acknowledged() {
    let collector = Collector::udp("127.0.0.1:0");
    collector.script().is_mute = true;
    let client = Client::builder("gh-7", &collector.url("udp")).unwrap().connect().unwrap();
    let schema = client.declare(&greenhouse()).unwrap();
    let receipt = client.send(&schema, &sample(0)).await.unwrap();
    let closed = client.close(Duration::from_millis(100)).await;
    assert!(matches!(closed, Err(Error::Timeout)), "{closed:?}");
    assert_eq!(receipt.await, Err(RowLost::Ended));
}
