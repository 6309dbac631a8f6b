//! A complete sensor: a reading a second until Ctrl-C, each durable before the next.
use std::time::Duration;

use senda_client::{Channel, Client, Error, Sample, Schema, ValueType};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let collector = std::env::args().nth(1).unwrap_or("udp://127.0.0.1:7363".into());
    let client = Client::builder("gh-7", &collector)?.connect()?;
    let greenhouse = client.declare(
        &Schema::new("greenhouse")
            .with(Channel::new("temperature", ValueType::I16).exponent(-1).unit("Cel"))
            .with(Channel::new("door", ValueType::Enum8).labels(&["closed", "open"]))
            .build()?,
    )?;
    loop {
        let temperature = 20.0 + rand::random::<f64>();
        let sample = Sample::new().set("temperature", temperature).set("door", "closed");
        client.send(&greenhouse, &sample).await?.await?; // Queued, then on the collector's disk.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
