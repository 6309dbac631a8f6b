//! Datagrams: each is a record. One thread reads them and sends the replies.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::intake::{Intake, Told, Turn};
use crate::StartError;
use crate::udp::Udp;
use crate::wake::Waker;

/// Ends a listener's thread.
pub(super) struct Stopper {
    stopping: Arc<AtomicBool>,
    waker: Waker,
}

impl Stopper {
    /// It reads nothing more, waits for the verdicts on what it has read, and ends.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// Also when a listener after this one can't be had: nothing may go on listening for a server that is none.
impl Drop for Stopper {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Binds and begins.
pub(super) fn start(
    name: &str,
    intake: Arc<Intake>,
) -> Result<(SocketAddr, Stopper, JoinHandle<()>), StartError> {
    let udp = Udp::bind(name)?;
    let local = udp.local();
    let waker = Waker::new().map_err(StartError::Runtime)?;
    let stopping = Arc::new(AtomicBool::new(false));
    let stopper = Stopper { stopping: stopping.clone(), waker: waker.clone() };
    let (sender, replies) = channel();
    let listener = Listener { udp, intake, waker, stopping, sender, replies, on_their_way: 0 };
    let thread = std::thread::Builder::new().name("senda-raw".into());
    let thread = thread.spawn(move || listener.run()).map_err(StartError::Runtime)?;
    Ok((local, stopper, thread))
}

struct Listener {
    udp: Udp,
    intake: Arc<Intake>,
    waker: Waker,
    stopping: Arc<AtomicBool>,
    sender: Sender<Reply>,
    replies: Receiver<Reply>,
    /// Records that the store has not spoken of.
    on_their_way: usize,
}

/// What became of a datagram, and where that should be sent from and to.
struct Reply {
    remote: SocketAddr,
    local: Option<IpAddr>,
    /// Bytes of the datagram: no reply is longer.
    asked: usize,
    told: Told,
}

impl Listener {
    fn run(mut self) {
        let mut deadline = None;
        loop {
            let stopping = self.stopping.load(Ordering::Acquire);
            if stopping {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + crate::LAST_WORDS);
                if self.on_their_way == 0 || Instant::now() >= deadline {
                    return;
                }
            }
            // What is not read waits in the kernel, which drops what has no room there.
            let may_read = !stopping && self.on_their_way < ON_THEIR_WAY_MAX;
            let is_readable = self.sleep(may_read, stopping);
            self.waker.acknowledge();
            while let Ok(reply) = self.replies.try_recv() {
                self.on_their_way -= 1;
                self.send(&reply);
            }
            if is_readable {
                self.read();
            }
        }
    }

    /// True when datagrams are there.
    fn sleep(&self, may_read: bool, stopping: bool) -> bool {
        let mut fds = vec![PollFd::new(&self.waker, PollFlags::IN)];
        if may_read {
            fds.push(PollFd::new(&self.udp, PollFlags::IN));
        }
        let look = Timespec { tv_sec: 0, tv_nsec: LOOK_WHILE_STOPPING.subsec_nanos().into() };
        // An interrupted sleep is a short one.
        let _ = poll(&mut fds, stopping.then_some(&look));
        fds.get(1).is_some_and(|fd| !fd.revents().is_empty())
    }

    fn read(&mut self) {
        let (intake, sender, waker) = (&self.intake, &self.sender, &self.waker);
        let count = self.udp.receive(|remote, local, datagram| {
            let (sender, waker, asked) = (sender.clone(), waker.clone(), datagram.len());
            let answer = move |told| {
                // The thread is gone only after its last deadline.
                let _ = sender.send(Reply { remote, local, asked, told });
                waker.wake();
            };
            intake.take(datagram, remote, "udp", Turn::First, Box::new(answer));
        });
        self.on_their_way += count;
    }

    fn send(&self, reply: &Reply) {
        let Some(bytes) = &reply.told.reply else { return };
        // What is no record is not answered: neither amplified, nor passed to and fro with another such listener for ever.
        if reply.asked != self.intake.record_size() || bytes.len() > reply.asked {
            return;
        }
        let sent = self.udp.send(reply.remote, reply.local, bytes);
        self.intake.count_reply(sent.is_ok());
    }
}

/// Records on their way to the disk at which no more are read.
const ON_THEIR_WAY_MAX: usize = 4_096;
/// Between two looks at the deadline of a listener that stops.
const LOOK_WHILE_STOPPING: Duration = Duration::from_millis(50);
