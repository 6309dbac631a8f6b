//! A pump that can be ordered about: it answers commands, shows alerts and takes a configuration, while it sends readings.
//!
//! ```text
//! cargo run -p senda-client --example commands -- udp://127.0.0.1:7363
//! senda command pump-1 open 40        # per cent; also: open --percent 40
//! senda command pump-1 status
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example talks")]
use std::time::{Duration, SystemTime};

use senda_client::{
    Argument, Channel, Client, DoneStatus, Error, Event, OwnedValue, Sample, Schema, ValueType,
    downlink,
};

/// What the orders change.
struct Pump {
    percent: f64,
    interval: Duration,
    moved: SystemTime,
}

/// What DONE says.
type Answer = (DoneStatus, String, Vec<Argument>);

#[tokio::main]
async fn main() -> Result<(), Error> {
    let collector = std::env::args().nth(1).unwrap_or("udp://127.0.0.1:7363".into());
    let builder = Client::builder("pump-1", &collector)?;
    // Say what the program answers: nothing else is sent to it.
    let client = builder.configure(|config| config.downlink = downlink::ALL).connect()?;
    let schema = Schema::new("pump").with(Channel::new("opened", ValueType::F32).unit("%"));
    let schema = client.declare(&schema.build()?)?;
    let interval = Duration::from_secs(1);
    let mut pump = Pump { percent: 0.0, interval, moved: SystemTime::now() };
    loop {
        tokio::select! {
            () = tokio::time::sleep(pump.interval) => {
                client.send(&schema, &Sample::new().set("opened", pump.percent)).await?;
            }
            event = client.event() => {
                let Some(event) = event else { return Ok(()) };
                obey(&client, &mut pump, event);
            }
        }
    }
}

/// Every order gets its answer: without one the collector repeats it, and nothing else comes through.
fn obey(client: &Client, pump: &mut Pump, event: Event) {
    let (ticket, (status, text, results)) = match event {
        Event::Command { ticket, name, arguments, .. } => (ticket, pump.execute(&name, &arguments)),
        Event::Config { ticket, settings, .. } => (ticket, pump.configure(&settings)),
        Event::Alert { ticket, alert } => {
            let state = if alert.raised { "raised" } else { "cleared" };
            println!("{state}: {} {}", alert.channel, alert.text);
            (ticket, (DoneStatus::Ok, String::new(), Vec::new()))
        }
        _ => return,
    };
    if let Err(error) = client.done(ticket, status, &text, &results) {
        eprintln!("no answer: {error}"); // The session is gone: its outcome stays unknown.
    }
}

impl Pump {
    fn execute(&mut self, name: &str, arguments: &[Argument]) -> Answer {
        match name {
            "open" => {
                // `open 40`, `open 40.5`, `open percent=40`: any number will do.
                let given = Argument::find(arguments, "percent", 0);
                let Some(percent) = given.and_then(Argument::as_f64) else {
                    return (DoneStatus::Refused, "say how far, in per cent".into(), Vec::new());
                };
                self.percent = percent.clamp(0.0, 100.0);
                self.moved = SystemTime::now();
                let clamped = self.percent.to_bits() != percent.to_bits();
                let status = if clamped { DoneStatus::Clamped } else { DoneStatus::Ok };
                (status, String::new(), vec![Argument::new("percent", self.percent)])
            }
            "status" => {
                let results = vec![
                    Argument::new("percent", self.percent),
                    Argument::new("moved", OwnedValue::Time(unix_us(self.moved))),
                    Argument::new("firmware", "pump 1.4"),
                ];
                (DoneStatus::Ok, String::new(), results)
            }
            _ => (DoneStatus::Unknown, "known: open, status".into(), Vec::new()),
        }
    }

    /// The whole desired state: what it leaves out is back at its default.
    fn configure(&mut self, settings: &[Argument]) -> Answer {
        self.interval = Duration::from_secs(1);
        for setting in settings.iter().filter(|setting| setting.name == "interval_ms") {
            let Some(ms) = setting.as_u64() else {
                let text = format!("{setting} is no number of milliseconds");
                return (DoneStatus::Refused, text, Vec::new());
            };
            self.interval = Duration::from_millis(ms.clamp(1, 86_400_000));
        }
        (DoneStatus::Ok, String::new(), Vec::new())
    }
}

fn unix_us(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
