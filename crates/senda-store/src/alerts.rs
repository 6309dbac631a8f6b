//! Alerts, and what has still to be told of them.
//!
//! Each change is one transaction with a sync: what is told to anybody is on disk first, with what has still to be told.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{Reader, StoreError, Writer};

/// An alert: a rule's condition that held, or holds.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRecord {
    /// The same for raising and clearing. Spec §5.19.
    pub id: u32,
    /// Name of the rule.
    pub rule: String,
    /// Whom it is about.
    pub device: String,
    /// Of which schema; may be empty.
    pub schema: String,
    /// Of which channel; may be empty.
    pub channel: String,
    /// 0 information, 1 warning, 2 critical.
    pub severity: u8,
    /// It holds.
    pub raised: bool,
    /// When it began to hold, µs since 1970.
    pub raised_at: i64,
    /// When it ceased to.
    pub cleared_at: Option<i64>,
    /// When somebody said that they saw it.
    pub acknowledged_at: Option<i64>,
    /// Who.
    pub acknowledged_by: String,
    /// For people.
    pub text: String,
    /// A list (spec §4.4), count included: value, threshold.
    pub values: Vec<u8>,
    /// The device has answered the ALERT of the present state.
    pub told: bool,
    /// It was cleared by hand, and its condition was not seen to be over since.
    pub closed: bool,
}

/// Something that a target has still to be told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NoticeRecord {
    /// Name of the target.
    pub target: String,
    /// The same for each attempt, and for nothing else that the target is told.
    pub key: String,
    /// What it is told, as JSON.
    pub report: String,
}

/// The newest filed row of a device in a schema.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LatestRecord {
    /// The device.
    pub device: String,
    /// The schema's name.
    pub schema: String,
    /// The row's time, µs since 1970.
    pub time: i64,
    /// Its reception, µs since 1970.
    pub received: i64,
}

/// Which alerts to show.
#[derive(Clone, Debug, Default)]
pub struct AlertQuery {
    /// Of this device alone.
    pub device: Option<String>,
    /// Only those that hold, or only those that do not.
    pub raised: Option<bool>,
    /// At most this many, the newest.
    pub limit: usize,
}

impl Writer {
    /// Stores an alert that was raised, an event, and what has still to be told of it.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is changed.
    pub fn raise_alert(
        &mut self,
        alert: &AlertRecord,
        notices: &[NoticeRecord],
        now: i64,
    ) -> Result<(), StoreError> {
        self.transact(now, |conn| {
            conn.execute(
                "INSERT INTO alerts (id, rule, device, schema, channel, severity, raised, raised_at,
                     acknowledged_by, text, list, told)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, '', ?8, ?9, 0)",
                params![
                    alert.id,
                    alert.rule,
                    alert.device,
                    alert.schema,
                    alert.channel,
                    alert.severity,
                    alert.raised_at,
                    alert.text,
                    alert.values
                ],
            )?;
            add_event(conn, alert.raised_at, &alert.device, "alert-raised", &alert.text)?;
            add_notices(conn, notices)
        })
    }

    /// Notes that an alert ceased to hold, or was `closed` by hand though it may hold; the record, unless it had before.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is changed.
    pub fn clear_alert(
        &mut self,
        alert: &AlertRecord,
        notices: &[NoticeRecord],
        now: i64,
    ) -> Result<Option<AlertRecord>, StoreError> {
        self.transact(now, |conn| {
            let cleared_at = alert.cleared_at.unwrap_or(now);
            let changed = conn.execute(
                "UPDATE alerts SET raised = 0, cleared_at = ?2, told = 0, closed = ?3, text = ?4, list = ?5
                 WHERE id = ?1 AND raised",
                params![alert.id, cleared_at, alert.closed, alert.text, alert.values],
            )?;
            if changed == 0 {
                return Ok(None);
            }
            let kind = if alert.closed { "alert-closed" } else { "alert-cleared" };
            add_event(conn, cleared_at, &alert.device, kind, &alert.text)?;
            add_notices(conn, notices)?;
            find(conn, alert.id)
        })
    }

    /// Notes that the condition of an alert that was closed by hand is over.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is changed.
    pub fn alert_over(&mut self, id: u32, now: i64) -> Result<(), StoreError> {
        self.transact(now, |conn| {
            conn.execute("UPDATE alerts SET closed = 0 WHERE id = ?1", [id])?;
            Ok(())
        })
    }

    /// Keeps what has still to be told.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is changed.
    pub fn add_notices(&mut self, notices: &[NoticeRecord], now: i64) -> Result<(), StoreError> {
        self.transact(now, |conn| add_notices(conn, notices))
    }

    /// Forgets something that was told, or given up; `event` says so where people should know.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is changed.
    pub fn settle_notice(
        &mut self,
        target: &str,
        key: &str,
        event: Option<(&str, &str, &str)>,
        now: i64,
    ) -> Result<(), StoreError> {
        self.transact(now, |conn| {
            conn.execute(
                "DELETE FROM notices WHERE target = ?1 AND key = ?2",
                params![target, key],
            )?;
            match event {
                Some((device, kind, text)) => add_event(conn, now, device, kind, text),
                None => Ok(()),
            }
        })
    }

    /// What has still to be told, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn notices(&mut self, now: i64) -> Result<Vec<NoticeRecord>, StoreError> {
        self.with(now, |store, _| {
            let mut statement =
                store.conn.prepare("SELECT target, key, report FROM notices ORDER BY id")?;
            let found = statement.query_map([], |row| {
                Ok(NoticeRecord { target: row.get(0)?, key: row.get(1)?, report: row.get(2)? })
            })?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }

    /// Notes that somebody saw an alert; the record, unless there is none.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is changed.
    pub fn acknowledge_alert(
        &mut self,
        id: u32,
        by: &str,
        now: i64,
    ) -> Result<Option<AlertRecord>, StoreError> {
        self.transact(now, |conn| {
            conn.execute(
                "UPDATE alerts SET acknowledged_at = ?2, acknowledged_by = ?3
                 WHERE id = ?1 AND acknowledged_at IS NULL",
                params![id, now, by],
            )?;
            find(conn, id)
        })
    }

    /// Notes that the device has answered the ALERT of this state.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is changed.
    pub fn alert_told(&mut self, id: u32, raised: bool, now: i64) -> Result<(), StoreError> {
        self.transact(now, |conn| {
            conn.execute(
                "UPDATE alerts SET told = 1 WHERE id = ?1 AND raised = ?2",
                params![id, raised],
            )?;
            Ok(())
        })
    }

    /// Alerts of a device that it has not answered, oldest first; those that changed before `since` are old news.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn untold_alerts(
        &mut self,
        device: &str,
        since: i64,
        now: i64,
    ) -> Result<Vec<AlertRecord>, StoreError> {
        self.with(now, |store, _| {
            let sql = format!(
                "SELECT {ALERT} FROM alerts
                 WHERE device = ?1 AND told = 0 AND coalesce(cleared_at, raised_at) >= ?2 ORDER BY id LIMIT 16"
            );
            let mut statement = store.conn.prepare_cached(&sql)?;
            let found = statement.query_map(params![device, since], read)?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }

    /// One alert.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn alert(&mut self, id: u32, now: i64) -> Result<Option<AlertRecord>, StoreError> {
        self.with(now, |store, _| find(&store.conn, id))
    }

    /// All alerts that hold, or were closed by hand while they did; and the highest id ever given.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn standing_alerts(&mut self, now: i64) -> Result<(Vec<AlertRecord>, u32), StoreError> {
        self.with(now, |store, _| {
            let sql = format!("SELECT {ALERT} FROM alerts WHERE raised OR closed ORDER BY id");
            let mut statement = store.conn.prepare(&sql)?;
            let found = statement.query_map([], read)?;
            let standing = found.collect::<Result<_, _>>()?;
            let highest = "SELECT coalesce(max(id), 0) FROM alerts";
            Ok((standing, store.conn.query_row(highest, [], |row| row.get(0))?))
        })
    }

    /// The newest filed row of each device in each schema.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn latest(&mut self, now: i64) -> Result<Vec<LatestRecord>, StoreError> {
        self.with(now, |store, _| latest(&store.conn))
    }
}

impl Reader {
    /// Alerts, the newest last.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn alerts(&self, query: &AlertQuery) -> Result<Vec<AlertRecord>, StoreError> {
        self.read(|conn| {
            let sql = format!(
                "SELECT {ALERT} FROM alerts WHERE (?1 IS NULL OR device = ?1) AND (?2 IS NULL OR raised = ?2)
                 ORDER BY id DESC LIMIT ?3"
            );
            let mut statement = conn.prepare(&sql)?;
            let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
            let found =
                statement.query_map(params![query.device, query.raised, limit], read)?;
            let mut found: Vec<AlertRecord> = found.collect::<Result<_, _>>()?;
            found.reverse();
            Ok(found)
        })
    }

    /// One alert.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn alert(&self, id: u32) -> Result<Option<AlertRecord>, StoreError> {
        self.read(|conn| find(conn, id))
    }
}

const ALERT: &str =
    "id, rule, device, schema, channel, severity, raised, raised_at, cleared_at, acknowledged_at,
    acknowledged_by, text, list, told, closed";

fn find(conn: &Connection, id: u32) -> Result<Option<AlertRecord>, StoreError> {
    let sql = format!("SELECT {ALERT} FROM alerts WHERE id = ?1");
    Ok(conn.prepare_cached(&sql)?.query_row([id], read).optional()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<AlertRecord> {
    Ok(AlertRecord {
        id: row.get(0)?,
        rule: row.get(1)?,
        device: row.get(2)?,
        schema: row.get(3)?,
        channel: row.get(4)?,
        severity: row.get(5)?,
        raised: row.get(6)?,
        raised_at: row.get(7)?,
        cleared_at: row.get(8)?,
        acknowledged_at: row.get(9)?,
        acknowledged_by: row.get(10)?,
        text: row.get(11)?,
        values: row.get(12)?,
        told: row.get(13)?,
        closed: row.get(14)?,
    })
}

/// The device may not be filed yet: then the event has none, and its text says whom it is about.
fn add_event(
    conn: &Connection,
    time: i64,
    device: &str,
    kind: &str,
    text: &str,
) -> Result<(), StoreError> {
    conn.execute(
        "INSERT INTO events (time, device, kind, text)
         VALUES (?1, (SELECT id FROM devices WHERE name = ?2), ?3, ?2 || ': ' || ?4)",
        params![time, device, kind, text],
    )?;
    Ok(())
}

fn add_notices(conn: &Connection, notices: &[NoticeRecord]) -> Result<(), StoreError> {
    for NoticeRecord { target, key, report } in notices {
        conn.execute(
            "INSERT OR IGNORE INTO notices (target, key, report) VALUES (?1, ?2, ?3)",
            params![target, key, report],
        )?;
    }
    Ok(())
}

/// One look at the key of each table for each device: never a scan.
fn latest(conn: &Connection) -> Result<Vec<LatestRecord>, StoreError> {
    let mut tables = conn.prepare("SELECT name, schema FROM tables ORDER BY id")?;
    let tables = tables.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let tables: Vec<(String, String)> = tables.collect::<Result<_, _>>()?;
    let mut found = Vec::new();
    for (name, schema) in tables {
        let table = format!("_{name}").replace('"', "\"\"");
        let sql = format!(
            "SELECT d.name, r.time, r.time + r.delay FROM devices d
             JOIN \"{table}\" r ON r.device = d.id
                 AND r.time = (SELECT max(time) FROM \"{table}\" WHERE device = d.id)
             GROUP BY d.id"
        );
        let mut statement = conn.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (device, time, received) = (row.get(0)?, row.get(1)?, row.get(2)?);
            found.push(LatestRecord { device, schema: schema.clone(), time, received });
        }
    }
    Ok(found)
}
