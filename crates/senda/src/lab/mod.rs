//! `senda lab`: the programs of a university lab on sockets, made whole.

mod address; // HOST:PORT
mod api; // senda lab api
mod calcsize; // senda lab calcsize
mod characters; // how a text becomes bytes
mod echo_client; // senda lab echo-client
mod echo_server; // senda lab echo-server
mod language; // Spanish or English
mod message; // what the lab's clients send
mod pack; // senda lab pack
mod printer; // standard output behind a thread of its own
mod repr; // bytes and addresses as Python prints them
mod signals; // Ctrl-C and SIGTERM
mod sockets; // senda lab sockets
mod structs; // what pack, unpack and calcsize share
mod talk; // standard error
mod udp_recv; // senda lab udp-recv
mod udp_send; // senda lab udp-send
mod unpack; // senda lab unpack

use std::process::ExitCode;

use language::Language;

/// Learn sockets: echo, datagrams, binary data with `struct`, socket states
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Lab,

    /// Language of what is printed [default: that of the locale, LC_ALL, LC_MESSAGES or LANG]
    #[arg(long, global = true, env = "SENDA_LANG", value_name = "LANGUAGE")]
    lang: Option<Language>,
}

#[derive(clap::Subcommand)]
enum Lab {
    EchoServer(echo_server::Args),
    EchoClient(echo_client::Args),
    UdpRecv(udp_recv::Args),
    UdpSend(udp_send::Args),
    Pack(pack::Args),
    Unpack(unpack::Args),
    Calcsize(calcsize::Args),
    Sockets(sockets::Args),
    Api(api::Args),
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let language = args.lang.unwrap_or_else(Language::of_the_locale);
    match args.command {
        Lab::EchoServer(args) => echo_server::run(args, language),
        Lab::EchoClient(args) => echo_client::run(args, language),
        Lab::UdpRecv(args) => udp_recv::run(args, language),
        Lab::UdpSend(args) => udp_send::run(args, language),
        Lab::Pack(args) => pack::run(&args, language),
        Lab::Unpack(args) => unpack::run(&args, language),
        Lab::Calcsize(args) => calcsize::run(&args, language),
        Lab::Sockets(args) => sockets::run(args, language),
        Lab::Api(args) => api::run(args, language),
    }
}
