//! Time and liveness: TIME_REQ, TIME, PING and PONG. Spec §5.21 to §5.23.

use crate::check::registered;
use crate::{BodyError, Clock, Reader, Writer};

/// TIME_REQ, `'>qqIB'`; also the value of the CLOCK option. Spec §5.21.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TimeReq {
    /// Microseconds by the device's clock when this was sent.
    pub t1: i64,
    /// The device's estimate of UTC minus that clock, microseconds.
    pub offset: i64,
    /// Microseconds; [`u32::MAX`]: unknown.
    pub uncertainty: u32,
    /// Kind of the clock; never [`Clock::None`].
    pub clock: Clock,
}

impl TimeReq {
    /// Bytes of the body.
    pub const LEN: usize = 21;

    /// Reads the value of a CLOCK option.
    ///
    /// # Errors
    /// [`BodyError`]: not 21 bytes, or no such clock.
    pub fn from_option(value: &[u8]) -> Result<Self, BodyError> {
        let mut reader = Reader::new(value);
        let request = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(request)
    }

    /// The value of a CLOCK option.
    pub fn to_option(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        self.write(&mut Writer::new(&mut out));
        out
    }

    pub(crate) fn read(body: &mut Reader<'_>) -> Result<Self, BodyError> {
        Ok(Self {
            t1: body.i64("t1")?,
            offset: body.i64("offset")?,
            uncertainty: body.u32("uncertainty")?,
            clock: registered("clock", body.u8("clock")?, |code| {
                Clock::from_code(code).filter(|c| *c != Clock::None)
            })?,
        })
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) {
        out.put(&self.t1.to_be_bytes());
        out.put(&self.offset.to_be_bytes());
        out.put(&self.uncertainty.to_be_bytes());
        out.put(&[self.clock.code()]);
    }
}

/// TIME, `'>qqq'`, microseconds. Spec §5.22.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Time {
    /// As it came.
    pub t1: i64,
    /// UTC when TIME_REQ arrived.
    pub t2: i64,
    /// UTC when this was sent.
    pub t3: i64,
}

impl Time {
    pub(crate) fn read(body: &mut Reader<'_>) -> Result<Self, BodyError> {
        Ok(Self { t1: body.i64("t1")?, t2: body.i64("t2")?, t3: body.i64("t3")? })
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) {
        out.put(&self.t1.to_be_bytes());
        out.put(&self.t2.to_be_bytes());
        out.put(&self.t3.to_be_bytes());
    }
}

/// PING and PONG, `'>Q'`. Spec §5.23.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ping {
    /// Echoed by PONG.
    pub token: u64,
}
