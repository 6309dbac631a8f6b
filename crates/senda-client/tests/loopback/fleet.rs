use std::net::UdpSocket;
use std::time::Duration;

use senda_client::{
    Clock, Config, DropPolicy, Endpoint, Epoch, Port, QueueLimits, Transport, Uplink, device_seed,
    uplink::Settings,
};
use tokio::time::timeout;

use crate::collector::{Collector, Script};
use crate::{PATIENCE, greenhouse, row};

const DEVICES: u32 = 2_000;
const ROWS: u32 = 5;

/// As a simulator does it: a task for each device, which owns uplink and port.
async fn device(number: u32, endpoint: Endpoint, epoch: Epoch) -> u64 {
    let mut config = Config::new(&format!("dev-{number}"));
    config.queue = QueueLimits { rows: 100, bytes: 4_096, policy: DropPolicy::DropOldest };
    config.start_jitter = Duration::from_secs(1);
    let mut uplink = Uplink::new(Settings::new(config, true, false), device_seed()).unwrap();
    let schema = uplink.declare(greenhouse().description()).unwrap();
    let mut port = Port::new(vec![endpoint], epoch);
    for serial in 0..ROWS {
        uplink
            .push(epoch.now(), schema, Clock::UtcSynced, epoch.utc_base_us(), &row(serial))
            .unwrap();
    }
    loop {
        port.turn(&mut uplink, |_| {});
        if uplink.is_flushed() {
            return uplink.stats().acked;
        }
        port.wait().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_devices_live_in_one_process() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let collector = Collector::udp_on(socket, Script::default());
    let endpoint = Endpoint::new(Transport::Udp, "127.0.0.1", collector.address.port());
    let epoch = Epoch::start();
    let tasks: Vec<_> =
        (0..DEVICES).map(|number| tokio::spawn(device(number, endpoint.clone(), epoch))).collect();
    let mut acked = 0;
    for task in tasks {
        acked += timeout(PATIENCE, task).await.unwrap().unwrap();
    }
    assert_eq!(acked, u64::from(DEVICES * ROWS));
    assert_eq!(collector.script().stored.len(), (DEVICES * ROWS) as usize);
}
