//! The kit plays devices; a collector is judged.

mod caller; // one scripted device
mod crashes; // what must survive the collector's end
mod framing; // bytes that are no messages, and messages that are none of the collector's
mod handshake; // HELLO, RETRY, WELCOME
mod instance; // a collector that the kit starts itself
mod rows; // data messages, and their answers
mod schemas; // DECLARE
mod sessions; // several sessions, their addresses and their end

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use caller::Caller;
use instance::Instance;

use crate::notes::{Notes, Step};
use crate::runner::{self, Scenario};
use crate::{Error, Options, Program, Report, Role, Transport};

/// What to judge.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it listens.
    pub place: Place,
    /// A shell command that prints how many samples of the device `{device}` are stored; `{state}` is the directory that
    /// [`Place::Start`] gave the collector. Without it, what is in the store is not judged.
    pub stored: Option<String>,
    /// The kit's devices are called so, and a number.
    pub device_prefix: String,
}

/// Where the collector is.
#[derive(Clone, Debug)]
pub enum Place {
    /// It runs.
    At {
        /// Its address for TCP.
        tcp: Option<SocketAddr>,
        /// Its address for UDP.
        udp: Option<SocketAddr>,
    },
    /// The kit starts it, as often as it likes, and kills it: `{tcp}`, `{udp}` and `{state}` in the command stand for
    /// the addresses to listen at (both on loopback) and a directory of its own that survives a restart.
    Start(Program),
}

/// Judges a collector.
///
/// # Errors
/// [`Error`]: there was nothing to judge. A broken requirement is no error; it is in the report.
pub fn judge(target: &Target, options: &Options) -> Result<Report, Error> {
    runner::chosen(options)?;
    let shared = match &target.place {
        Place::At { .. } => None,
        Place::Start(program) => Some(Instance::start(program, options.patience)?),
    };
    let (tcp, udp) = match (&target.place, &shared) {
        (Place::At { tcp, udp }, _) => (*tcp, *udp),
        (Place::Start(_), shared) => shared.as_ref().map_or((None, None), Instance::addresses),
    };
    let transports: Vec<Transport> = [(tcp, Transport::Tcp), (udp, Transport::Udp)]
        .into_iter()
        .filter_map(|(address, transport)| address.map(|_| transport))
        .collect();
    if transports.is_empty() {
        return Err(Error::NoTransport);
    }
    for (address, transport) in [(tcp, Transport::Tcp), (udp, Transport::Udp)] {
        if let Some(address) = address {
            instance::ensure_it_answers(transport, address, options.patience)?;
        }
    }
    // A second run against the same collector must not meet the devices of the first.
    let run: u32 = rand::random();
    let numbers = AtomicU32::new(0);
    let state = shared.as_ref().map(|shared| shared.state().display().to_string());
    let stage = |notes: Notes| Stage {
        notes,
        tcp,
        udp,
        target: target.clone(),
        options: options.clone(),
        state: state.clone().unwrap_or_default(),
        name: format!(
            "{}{run:08x}-{}",
            target.device_prefix,
            numbers.fetch_add(1, Ordering::Relaxed)
        ),
    };
    let scenarios: &'static [Scenario<Stage>] = SCENARIOS;
    runner::run(Role::Collector, scenarios, &transports, options, stage)
}

/// The longest first: they end when the others do.
const SCENARIOS: &[Scenario<Stage>] = &{
    use crate::runner::Over::{Each, Tcp, Udp};
    const fn scenario(
        name: &'static str,
        over: crate::runner::Over,
        labels: &'static [&'static str],
        play: fn(&mut Stage) -> Step,
    ) -> Scenario<Stage> {
        Scenario { name, labels, over, play }
    }
    [
        scenario("a connection without a HELLO", Tcp, &["3.6c"], framing::half_open),
        scenario("a kill behind an ACK", Each, &["7.1a", "7.1b"], crashes::kill_behind_an_ack),
        scenario("a kill behind DECLARED", Each, &["5.5a"], crashes::kill_behind_declared),
        scenario("rows on every road", Each, &["2.1a"], crashes::rows_on_every_road),
        scenario("an orderly end", Each, &["6.6c"], crashes::orderly_end),
        scenario("beyond loopback", Each, &["10.2a"], crashes::beyond_loopback),
        scenario("silence", Each, &["6.6a"], sessions::silence),
        scenario("unknown sessions", Udp, &["6.6b"], sessions::flood_of_unknown_sessions),
        scenario("unknown sessions", Tcp, &["6.6b"], sessions::unknown_session),
        scenario("desired settings", Each, &["7.7a", "7.7c"], sessions::desired_settings),
        scenario("the simple profile", Each, &["1a", "5.23a"], rows::simple_profile),
        scenario("noise", Udp, &["3.4b", "3.7a"], framing::noise),
        scenario("noise", Tcp, &["3.6a", "3.7a"], framing::lost_frame),
        scenario("order of checks", Each, &["3.7a"], framing::order_of_checks),
        scenario("other versions", Each, &["3.5a"], framing::other_versions),
        scenario("flags", Each, &["3.2a"], framing::flags),
        scenario("unknown types", Each, &["5.25a", "5.25b", "5.25c"], framing::unknown_types),
        scenario("malformed bodies", Each, &["5a", "5.26a"], framing::malformed_bodies),
        scenario("device names", Each, &["2.2a"], handshake::device_names),
        scenario("options", Each, &["5.1a"], handshake::options),
        scenario("wrong HELLOs", Each, &["5.1b"], handshake::wrong_hellos),
        scenario("RETRY", Udp, &["5.2c"], handshake::retry),
        scenario("HELLO twice", Each, &["5.3a"], handshake::hello_twice),
        scenario("a borrowed cookie", Udp, &["9.1b"], handshake::borrowed_cookie),
        scenario("a forged HELLO", Udp, &["9.1a"], handshake::forged_hello),
        scenario("amplification", Udp, &["9.2a"], handshake::amplification),
        scenario("schemas", Each, &["4.1a", "4.2a", "4.2b"], schemas::descriptions),
        scenario("one id, two schemas", Each, &["5.4a"], schemas::conflict),
        scenario("no schema", Each, &["5.4b"], schemas::undeclared),
        scenario("a later session", Each, &["5.4c"], schemas::later_session),
        scenario("bad values", Each, &["4.3b", "5.7c", "7.6c", "2.4a"], rows::bad_values),
        scenario("half a row", Each, &["5.7a", "5.7b", "5.7c"], rows::half_a_row),
        scenario("SKIP", Each, &["5.12a", "2.4a"], rows::skip),
        scenario("COUNTS", Each, &["5.11a"], rows::counts),
        scenario("gaps", Each, &["5.13a"], rows::gaps),
        scenario("65 ranges", Each, &["7.2a"], rows::too_many_ranges),
        scenario("when to acknowledge", Each, &["7.3a"], rows::when_to_acknowledge),
        scenario("unacknowledged rows", Each, &["7.8a"], rows::unacknowledged),
        scenario("beyond the window", Each, &["8.1a"], rows::beyond_the_window),
        scenario("too many values", Tcp, &["12.1a"], rows::too_big),
        scenario("a bomb of columns", Each, &["5.9a"], rows::bomb),
        scenario("take-over", Each, &["6.4c"], sessions::take_over),
        scenario("the ninth session", Each, &["6.5a"], sessions::ninth_session),
        scenario("two live devices", Each, &["6.5b"], sessions::two_live_devices),
        scenario("CLOSE", Each, &["5.6a"], sessions::close_is_not_answered),
        scenario("a new address", Udp, &["9.3a", "9.3b"], sessions::new_address),
    ]
};

/// What a scenario is played on.
pub(crate) struct Stage {
    notes: Notes,
    tcp: Option<SocketAddr>,
    udp: Option<SocketAddr>,
    target: Target,
    options: Options,
    state: String,
    name: String,
}

impl Stage {
    /// A device with a new stream, on the scenario's transport.
    fn device(&self) -> Step<Caller> {
        self.device_over(self.notes.transport)
    }

    fn device_over(&self, transport: Transport) -> Step<Caller> {
        let address = match transport {
            Transport::Tcp => self.tcp,
            Transport::Udp => self.udp,
        };
        let Some(address) = address else {
            return Err(self.notes.stop(format!("it needs {} as well", transport.name())));
        };
        self.device_at(transport, address)
    }

    fn device_at(&self, transport: Transport, address: SocketAddr) -> Step<Caller> {
        Caller::new(self.notes.clone(), transport, address, &self.name, self.options.patience)
    }

    /// A device that has joined and declared schema 0: one u8.
    fn joined(&self) -> Step<Caller> {
        let mut device = self.device()?;
        device.join()?;
        device.declare(0, &crate::message::one_u8())?;
        Ok(device)
    }

    /// What starts a collector that the scenario may kill.
    fn program(&self) -> Step<&Program> {
        match &self.target.place {
            Place::Start(program) => Ok(program),
            Place::At { .. } => {
                let why = "it takes a collector that the kit starts and kills: `-- COMMAND`";
                Err(self.notes.stop(why))
            }
        }
    }

    /// A collector that this scenario may kill.
    fn own_collector(&self) -> Step<Instance> {
        Instance::start(self.program()?, self.options.patience)
            .map_err(|error| self.notes.stop(error.to_string()))
    }

    /// How many samples of the scenario's device are stored, where somebody told the kit how to find out.
    fn stored(&self, state: &str) -> Step<u64> {
        let Some(command) = &self.target.stored else {
            return Err(self.notes.stop("it takes a look into the store: --stored"));
        };
        let values = [("device", self.name.clone()), ("state", state.to_owned())].into();
        let command = crate::program::filled(command, &values);
        let output = Command::new("sh").arg("-c").arg(&command).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let text = text.unwrap_or_else(|error| error.to_string());
        text.parse().map_err(|_| self.notes.stop(format!("--stored printed {text:?}, no number")))
    }
}
