//! The kit plays a collector; a device is judged.

mod bench; // a scripted collector with one device at it
mod book; // the device's schemas and rows, as they came
mod downlink; // CONFIG, COMMAND and ALERT
mod framing; // bytes that are no messages, and messages that are none of the device's
mod handshake; // HELLO until WELCOME
mod port; // the socket that the scripted collector listens on
mod rows; // data messages, and what their answers make the device do
mod sessions; // resume, loss, snapshots, silence

use bench::Bench;

use crate::notes::{Notes, Step};
use crate::runner::{self, Scenario};
use crate::{Error, Options, Program, Report, Role, Transport};

/// What to judge.
#[derive(Clone, Debug)]
pub struct Target {
    /// Starts the device: `{address}`, `{host}`, `{port}` and `{transport}` stand for where the kit listens; the
    /// environment has `SENDA_TCP` or `SENDA_UDP`. It has to send at least one sample a second until it is killed.
    pub program: Program,
    /// The transports that it speaks.
    pub transports: Vec<Transport>,
}

/// Judges a device.
///
/// # Errors
/// [`Error`]: there was nothing to judge. A broken requirement is no error; it is in the report.
pub fn judge(target: &Target, options: &Options) -> Result<Report, Error> {
    if target.transports.is_empty() {
        return Err(Error::NoTransport);
    }
    runner::chosen(options)?;
    // A command that does not work is said once, and not for each scenario.
    for transport in &target.transports {
        bench::ensure_it_speaks(&target.program, *transport, options.patience)?;
    }
    let stage = |notes: Notes| Bench::new(notes, target.program.clone(), options.patience);
    let scenarios: &'static [Scenario<Bench>] = SCENARIOS;
    runner::run(Role::Device, scenarios, &target.transports, options, stage)
}

/// The longest first: they end when the others do.
const SCENARIOS: &[Scenario<Bench>] = &{
    use crate::runner::Over::{Each, Tcp, Udp};
    const fn scenario(
        name: &'static str,
        over: crate::runner::Over,
        labels: &'static [&'static str],
        play: fn(&mut Bench) -> Step,
    ) -> Scenario<Bench> {
        Scenario { name, labels, over, play }
    }
    [
        scenario("HELLOs without an answer", Udp, &["6.3a"], handshake::unanswered),
        scenario("lost ACKs", Udp, &["7.5a", "8.2a"], rows::lost_acks),
        scenario("window 0", Each, &["8.1b"], rows::window_zero),
        scenario("a storm of RETRYs", Udp, &["6.3c"], handshake::storm),
        scenario("NACK of class 2xx", Each, &["7.6b"], rows::hopeless_rows),
        scenario("a HELLO that was given up", Tcp, &["6.7b"], sessions::late_hello),
        scenario("a later session", Each, &["6.4a", "8.3a"], sessions::resume),
        scenario("a restored collector", Each, &["6.4b", "5.12a"], sessions::lost_rows),
        scenario("rows above its own", Each, &["6.7a"], sessions::snapshot),
        scenario("replaced by nobody", Each, &["6.7a"], sessions::replaced),
        scenario("idle", Each, &["6.6a"], sessions::idle),
        scenario("undeclared schemas", Each, &["5.4d"], rows::waits_for_declared),
        scenario("a window of 2", Each, &["8.1a"], rows::small_window),
        scenario("impossible ACKs", Each, &["5.13b"], rows::impossible_acks),
        scenario("NACK of class 1xx", Each, &["7.6a"], rows::retry_later),
        scenario("a forgotten schema", Each, &["5.4b", "7.6b"], rows::forgotten_schema),
        scenario("NACK of class 3xx", Each, &["7.6d"], rows::refused_rows),
        scenario("a lost frame", Tcp, &["3.6a", "3.7a"], framing::lost_frame),
        scenario("two boots", Each, &["2.2a", "2.3a"], handshake::two_boots),
        scenario("a cookie", Udp, &["5.2a"], handshake::cookie),
        scenario("answers to others", Each, &["5.2b"], handshake::foreign_answers),
        scenario(
            "rows",
            Each,
            &["2.3b", "4.1a", "4.2a", "4.2b", "4.3b", "5.11a", "12.1a"],
            rows::ordinary,
        ),
        scenario("noise", Udp, &["3.4b", "3.7a"], framing::noise),
        scenario(
            "unusual messages",
            Each,
            &["3.2a", "5a", "5.23a", "5.25b", "5.25c"],
            framing::unusual,
        ),
        scenario("CLOSE", Each, &["5.6a", "6.6d"], sessions::closes),
        scenario("CONFIG", Each, &["5.16a", "7.7b"], downlink::config),
        scenario("COMMAND and ALERT", Each, &["7.7b"], downlink::command_and_alert),
    ]
};
