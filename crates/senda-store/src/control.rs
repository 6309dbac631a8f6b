//! What goes to the devices and what they answered: commands, settings, reports.
//!
//! Few and small beside the readings: each change is one transaction with a sync, so that what the API or a device was
//! told is on disk first. Lists of values are kept as specification 4.4 writes them, count included.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::writer::Store;
use crate::{Reader, StoreError, Writer};

/// Where a command is on its way. Spec §7.7.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CommandState {
    /// On disk, and not sent yet.
    Queued,
    /// It may have left: it is never sent again in another session.
    Sent,
    /// DONE came, with status OK, CLAMPED or FAILED.
    Done,
    /// DONE came, with status REFUSED or UNKNOWN.
    Refused,
    /// Its time to live was over before it was sent, or when it arrived.
    Expired,
    /// Sent, and the session ended without DONE.
    Unknown,
}

/// All states, in the order of a command's life.
const STATES: &[(CommandState, &str)] = &[
    (CommandState::Queued, "queued"),
    (CommandState::Sent, "sent"),
    (CommandState::Done, "done"),
    (CommandState::Refused, "refused"),
    (CommandState::Expired, "expired"),
    (CommandState::Unknown, "unknown"),
];

impl CommandState {
    /// One word, as in the table `commands`.
    pub fn name(self) -> &'static str {
        STATES.iter().find(|(state, _)| *state == self).map_or("unknown", |(_, name)| name)
    }

    fn from_name(name: &str) -> Self {
        STATES.iter().find(|(_, known)| *known == name).map_or(Self::Unknown, |(state, _)| *state)
    }

    /// True when nothing more is to be expected of it.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Sent)
    }
}

/// A command and what became of it. Times are microseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandRecord {
    /// For whom.
    pub device: String,
    /// From 1, growing for each device. Spec §5.18.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// A list (spec §4.4), count included.
    pub arguments: Vec<u8>,
    /// When it was given.
    pub created: i64,
    /// When its time to live is over.
    pub expires: i64,
    /// Where it is.
    pub state: CommandState,
    /// When its first byte was about to leave.
    pub sent: Option<i64>,
    /// When its state became final.
    pub ended: Option<i64>,
    /// Status code of DONE (spec §5.20).
    pub status: Option<u8>,
    /// Text of DONE.
    pub text: String,
    /// Results of DONE, a list as `arguments`.
    pub results: Vec<u8>,
    /// Of one that is unknown: whether a later HELLO said that it was begun; `None` while no HELLO has.
    pub begun: Option<bool>,
}

/// How a command ended.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CommandEnd {
    /// Status code of DONE, where one came.
    pub status: Option<u8>,
    /// Text of DONE.
    pub text: String,
    /// Results of DONE.
    pub results: Vec<u8>,
}

/// Settings that devices of some name should have, set by hand. Spec §5.16.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SettingsRecord {
    /// A device name, in which `*` stands for any characters.
    pub pattern: String,
    /// Revision; 0 lets the collector derive it from the list.
    pub revision: u32,
    /// A list (spec §4.4), count included.
    pub list: Vec<u8>,
    /// When it was set, µs since 1970.
    pub changed: i64,
}

/// What a HELLO said of orders. Spec §5.1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HelloReport {
    /// The device's name.
    pub device: Arc<str>,
    /// Revision of the CONFIG in force; 0: none.
    pub config_rev: u32,
    /// The highest command id that it has begun; 0: none.
    pub last_command_id: u32,
    /// Bits of the downlink kinds that it takes.
    pub downlink: u8,
}

/// What a device said of itself: in its latest HELLO, and in DONE to its latest CONFIG.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ReportRecord {
    /// HELLO.config_rev, or the revision that it applied since.
    pub config_rev: u32,
    /// HELLO.last_command_id.
    pub last_command_id: u32,
    /// HELLO.downlink: the kinds that it takes.
    pub downlink: u8,
    /// Revision of the latest CONFIG that it answered.
    pub revision: Option<u32>,
    /// Status code of that DONE.
    pub status: Option<u8>,
    /// Its text.
    pub text: String,
    /// Its results: the values in force where it clamped.
    pub results: Vec<u8>,
    /// When it came, µs since 1970.
    pub answered: Option<i64>,
}

impl Writer {
    /// Puts a command on disk, in state queued. Its id is above every one that the device or the store has seen.
    ///
    /// # Errors
    /// [`StoreError`]: it was not given.
    pub fn add_command(
        &mut self,
        device: &str,
        name: &str,
        arguments: &[u8],
        expires: i64,
        now: i64,
    ) -> Result<CommandRecord, StoreError> {
        let added = self.transact(now, |conn| {
            let id: i64 = conn.query_row(
                "SELECT 1 + max((SELECT coalesce(max(id), 0) FROM commands WHERE device = ?1),
                    (SELECT coalesce(max(last_command_id), 0) FROM reports WHERE device = ?1))",
                [device],
                |row| row.get(0),
            )?;
            // Not a failure of the store: a device may say anything.
            let Ok(id) = u32::try_from(id) else { return Ok(None) };
            conn.execute(
                "INSERT INTO commands (device, id, name, arguments, created, expires, state, text, results)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'queued', '', x'00')",
                params![device, id, name, arguments, now, expires],
            )?;
            let added = command(conn, device, id)?;
            added.map(Some).ok_or_else(|| StoreError::corrupt("a command that vanished"))
        })?;
        added.ok_or_else(|| StoreError::NoMoreIds { device: device.to_owned() })
    }

    /// Notes that a queued command is about to leave. False: it is not queued any more, and must not. Spec §7.7d.
    ///
    /// # Errors
    /// [`StoreError`]: it is not noted.
    pub fn command_sent(&mut self, device: &str, id: u32, now: i64) -> Result<bool, StoreError> {
        self.transact(now, |conn| {
            let changed = conn.execute(
                "UPDATE commands SET state = 'sent', sent = ?3 WHERE device = ?1 AND id = ?2 AND state = 'queued'",
                params![device, id, now],
            )?;
            Ok(changed == 1)
        })
    }

    /// Notes that a command did not leave after all: it waits again.
    ///
    /// # Errors
    /// [`StoreError`]: it counts as sent.
    pub fn command_unsent(&mut self, device: &str, id: u32, now: i64) -> Result<(), StoreError> {
        self.transact(now, |conn| {
            conn.execute(
                "UPDATE commands SET state = 'queued', sent = NULL WHERE device = ?1 AND id = ?2 AND state = 'sent'",
                params![device, id],
            )?;
            Ok(())
        })
    }

    /// One command.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn command(
        &mut self,
        device: &str,
        id: u32,
        now: i64,
    ) -> Result<Option<CommandRecord>, StoreError> {
        self.with(now, |store, _| command(&store.conn, device, id))
    }

    /// Notes how a command ended; the record, unless it had ended before. A DONE counts even after `unknown`.
    ///
    /// # Errors
    /// [`StoreError`]: it is not noted.
    pub fn command_ended(
        &mut self,
        device: &str,
        id: u32,
        state: CommandState,
        end: &CommandEnd,
        now: i64,
    ) -> Result<Option<CommandRecord>, StoreError> {
        self.transact(now, |conn| {
            let changed = conn.execute(
                "UPDATE commands SET state = ?3, ended = ?4, status = ?5, text = ?6, results = ?7
                 WHERE device = ?1 AND id = ?2
                   AND (state IN ('queued', 'sent') OR state = 'unknown' AND ?5 IS NOT NULL)",
                params![
                    device,
                    id,
                    state.name(),
                    now,
                    end.status,
                    end.text,
                    if end.results.is_empty() { &[0][..] } else { &end.results }
                ],
            )?;
            if changed == 0 { Ok(None) } else { command(conn, device, id) }
        })
    }

    /// Ends queued commands whose time to live is over; those that it ended.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is changed.
    pub fn expire_commands(&mut self, now: i64) -> Result<Vec<CommandRecord>, StoreError> {
        self.transact(now, |conn| {
            let due: Vec<(String, u32)> = conn
                .prepare_cached(
                    "SELECT device, id FROM commands WHERE state = 'queued' AND expires <= ?1",
                )?
                .query_map([now], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            let mut expired = Vec::with_capacity(due.len());
            for (device, id) in due {
                conn.execute(
                    "UPDATE commands SET state = 'expired', ended = ?3 WHERE device = ?1 AND id = ?2",
                    params![device, id, now],
                )?;
                expired.extend(command(conn, &device, id)?);
            }
            Ok(expired)
        })
    }

    /// When the next queued command expires, µs since 1970.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn next_expiry(&mut self, now: i64) -> Result<Option<i64>, StoreError> {
        self.with(now, |store, _| {
            let sql = "SELECT min(expires) FROM commands WHERE state = 'queued'";
            Ok(store.conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
        })
    }

    /// At the start of a collector, when no session exists: what was sent has an unknown outcome. Spec §7.7e.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is changed.
    pub fn interrupt_commands(&mut self, now: i64) -> Result<(), StoreError> {
        self.transact(now, |conn| {
            conn.execute(
                "UPDATE commands SET state = 'unknown', ended = ?1 WHERE state = 'sent'",
                [now],
            )?;
            Ok(())
        })
    }

    /// Commands of a device that wait to be sent, oldest first; at most 64, for a session holds fewer.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn queued_commands(
        &mut self,
        device: &str,
        now: i64,
    ) -> Result<Vec<CommandRecord>, StoreError> {
        self.with(now, |store, _| {
            let sql = format!(
                "SELECT {COMMAND} FROM commands WHERE device = ?1 AND state = 'queued' AND expires > ?2 ORDER BY id
                 LIMIT 64"
            );
            let mut statement = store.conn.prepare_cached(&sql)?;
            let found = statement.query_map(params![device, now], read_command)?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }

    /// Notes what HELLOs said, and settles commands without DONE by it. Spec §7.7e.
    ///
    /// The first HELLO after a command became unknown decides: later ones may speak of later commands. A
    /// `last_command_id` of 0 decides nothing: a device without memory says so after a reboot.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is changed.
    pub fn note_hellos(&mut self, hellos: &[HelloReport], now: i64) -> Result<(), StoreError> {
        // Most HELLOs say nothing new: no commit for those.
        let news = self.with(now, |store, _| {
            let mut news = Vec::new();
            for hello in hellos {
                if is_news(&store.conn, hello)? {
                    news.push(hello);
                }
            }
            Ok(news)
        })?;
        if news.is_empty() {
            return Ok(());
        }
        // Not synced by itself: a thousand devices that come at once must not wait for a sync each. What a power cut takes
        // of it the next HELLO says again.
        self.with(now, |store, _| {
            store.begin_unsynced()?;
            for HelloReport { device, config_rev, last_command_id, downlink } in news {
                store.conn.prepare_cached(
                    "INSERT INTO reports (device, config_rev, last_command_id, downlink) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (device) DO UPDATE SET config_rev = ?2, last_command_id = ?3, downlink = ?4",
                )?
                .execute(params![&**device, config_rev, last_command_id, downlink])?;
                store.conn.prepare_cached(
                    "UPDATE commands SET begun = CASE WHEN ?2 = 0 THEN 2 ELSE id <= ?2 END
                     WHERE device = ?1 AND state = 'unknown' AND begun IS NULL",
                )?
                .execute(params![&**device, last_command_id])?;
            }
            store.commit_unsynced()
        })
    }

    /// Notes the answer to a CONFIG.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is changed.
    pub fn note_config(
        &mut self,
        device: &str,
        revision: u32,
        end: &CommandEnd,
        now: i64,
    ) -> Result<(), StoreError> {
        self.transact(now, |conn| {
            conn.execute(
                "INSERT INTO reports (device, config_rev, last_command_id, downlink, revision, status, text, results,
                     answered)
                 VALUES (?1, ?2, 0, 1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (device) DO UPDATE
                 SET config_rev = ?2, revision = ?2, status = ?3, text = ?4, results = ?5, answered = ?6",
                params![device, revision, end.status, end.text, end.results, now],
            )?;
            Ok(())
        })
    }

    /// Sets the settings for a pattern; `None` takes them away. True when something changed.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is changed.
    pub fn set_settings(
        &mut self,
        pattern: &str,
        settings: Option<(u32, &[u8])>,
        now: i64,
    ) -> Result<bool, StoreError> {
        self.transact(now, |conn| {
            let changed = match settings {
                Some((revision, list)) => conn.execute(
                    "INSERT INTO settings (pattern, revision, list, changed) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (pattern) DO UPDATE SET revision = ?2, list = ?3, changed = ?4",
                    params![pattern, revision, list, now],
                )?,
                None => conn.execute("DELETE FROM settings WHERE pattern = ?1", [pattern])?,
            };
            Ok(changed > 0)
        })
    }

    /// All settings that were set by hand.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn settings(&mut self, now: i64) -> Result<Vec<SettingsRecord>, StoreError> {
        self.with(now, |store, _| settings(&store.conn))
    }

    /// Runs `action` in a transaction of its own, synced.
    pub(crate) fn transact<T>(
        &mut self,
        now: i64,
        action: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with(now, |store: &mut Store, _| {
            let transaction = store.conn.unchecked_transaction()?;
            let value = action(&transaction)?;
            transaction.commit()?;
            store.has_committed = true;
            Ok(value)
        })
    }
}

impl Reader {
    /// Commands of one device, or of all, the newest last; at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn commands(
        &self,
        device: Option<&str>,
        limit: usize,
    ) -> Result<Vec<CommandRecord>, StoreError> {
        self.read(|conn| {
            let sql = format!(
                "SELECT {COMMAND} FROM commands WHERE ?1 IS NULL OR device = ?1 ORDER BY created DESC, id DESC LIMIT ?2"
            );
            let mut statement = conn.prepare(&sql)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let found = statement.query_map(params![device, limit], read_command)?;
            let mut found: Vec<CommandRecord> = found.collect::<Result<_, _>>()?;
            found.reverse();
            Ok(found)
        })
    }

    /// One command.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn command(&self, device: &str, id: u32) -> Result<Option<CommandRecord>, StoreError> {
        self.read(|conn| command(conn, device, id))
    }

    /// All settings that were set by hand.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn settings(&self) -> Result<Vec<SettingsRecord>, StoreError> {
        self.read(settings)
    }

    /// What devices said of themselves; of one, or of all.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn reports(&self, device: Option<&str>) -> Result<Vec<(String, ReportRecord)>, StoreError> {
        self.read(|conn| {
            let sql =
                format!("SELECT device, {REPORT} FROM reports WHERE ?1 IS NULL OR device = ?1");
            let mut statement = conn.prepare(&sql)?;
            let found =
                statement.query_map([device], |row| Ok((row.get(0)?, read_report(row, 1)?)))?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }
}

const COMMAND: &str = "device, id, name, arguments, created, expires, state, sent, ended, status, text, results, begun";
const REPORT: &str =
    "config_rev, last_command_id, downlink, revision, status, text, results, answered";
fn command(conn: &Connection, device: &str, id: u32) -> Result<Option<CommandRecord>, StoreError> {
    let sql = format!("SELECT {COMMAND} FROM commands WHERE device = ?1 AND id = ?2");
    Ok(conn.prepare_cached(&sql)?.query_row(params![device, id], read_command).optional()?)
}

fn read_command(row: &Row<'_>) -> rusqlite::Result<CommandRecord> {
    let state: String = row.get(6)?;
    let begun: Option<u8> = row.get(12)?;
    Ok(CommandRecord {
        device: row.get(0)?,
        id: row.get(1)?,
        name: row.get(2)?,
        arguments: row.get(3)?,
        created: row.get(4)?,
        expires: row.get(5)?,
        state: CommandState::from_name(&state),
        sent: row.get(7)?,
        ended: row.get(8)?,
        status: row.get(9)?,
        text: row.get(10)?,
        results: row.get(11)?,
        begun: begun.filter(|begun| *begun < 2).map(|begun| begun == 1),
    })
}

/// True when a HELLO says something that is not known, or may settle something.
fn is_news(conn: &Connection, hello: &HelloReport) -> Result<bool, StoreError> {
    let known = report(conn, &hello.device)?.unwrap_or_default();
    let said = (hello.config_rev, hello.last_command_id, hello.downlink);
    Ok((known.config_rev, known.last_command_id, known.downlink) != said
        || has_unsettled(conn, &hello.device)?)
}

fn has_unsettled(conn: &Connection, device: &str) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM commands WHERE device = ?1 AND state = 'unknown' AND begun IS NULL)";
    Ok(conn.prepare_cached(sql)?.query_row([device], |row| row.get(0))?)
}

fn settings(conn: &Connection) -> Result<Vec<SettingsRecord>, StoreError> {
    let mut statement =
        conn.prepare("SELECT pattern, revision, list, changed FROM settings ORDER BY pattern")?;
    let found = statement.query_map([], |row| {
        Ok(SettingsRecord {
            pattern: row.get(0)?,
            revision: row.get(1)?,
            list: row.get(2)?,
            changed: row.get(3)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn report(conn: &Connection, device: &str) -> Result<Option<ReportRecord>, StoreError> {
    let sql = format!("SELECT {REPORT} FROM reports WHERE device = ?1");
    Ok(conn.prepare_cached(&sql)?.query_row([device], |row| read_report(row, 0)).optional()?)
}

fn read_report(row: &Row<'_>, first: usize) -> rusqlite::Result<ReportRecord> {
    Ok(ReportRecord {
        config_rev: row.get(first)?,
        last_command_id: row.get(first + 1)?,
        downlink: row.get(first + 2)?,
        revision: row.get(first + 3)?,
        status: row.get(first + 4)?,
        text: row.get::<_, Option<String>>(first + 5)?.unwrap_or_default(),
        results: row.get::<_, Option<Vec<u8>>>(first + 6)?.unwrap_or_else(|| vec![0]),
        answered: row.get(first + 7)?,
    })
}
