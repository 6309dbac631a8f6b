//! Ten readings without async, and the certainty at the end that all of them are stored.
use std::time::Duration;

use senda_client::{Batch, Channel, Error, Sample, Schema, ValueType, blocking};

fn main() -> Result<(), Error> {
    let collector = std::env::args().nth(1).unwrap_or("tcp://127.0.0.1:7363".into());
    let builder = senda_client::Client::builder("mast-2", &collector)?
        .configure(|config| config.batch = Batch { rows: 5, delay: Duration::from_secs(1) });
    let client = blocking::Client::connect(builder)?;
    let wind = client.declare(
        &Schema::new("weather")
            .with(Channel::new("wind", ValueType::F32).unit("m/s").elements(2))
            .build()?,
    )?;
    for step in 0..10u8 {
        client.send(&wind, &Sample::new().set("wind", [f64::from(step), 0.5]))?;
    }
    client.close(Duration::from_secs(30))
}
