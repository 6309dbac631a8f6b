//! What `/proc` and `/sys` say of this machine. A value that is not there is absent, never 0.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use procfs::{CpuTime, Current, CurrentSI, KernelStats, LoadAverage, Meminfo, Uptime};
use senda_client::{Reading, ValueType};

use super::kind::Kind;
use super::shape::Column;

/// `/proc/diskstats` counts in these, whatever the disk's sectors are.
const SECTOR_BYTES: u64 = 512;
/// File systems on a device that nobody fills.
const READ_ONLY_KINDS: [&str; 2] = ["squashfs", "iso9660"];
/// File systems without a device of their own that are filled all the same.
const POOLED_KINDS: [&str; 2] = ["zfs", "bcachefs"];

/// One part of this machine: a schema, and how to fill rows of it.
pub(super) struct Part {
    pub(super) schema: &'static str,
    pub(super) columns: Vec<Column>,
    pub(super) look: Look,
}

/// The rows of a part, or why there are none.
type Look = fn(&mut Memory) -> Result<Vec<Values>, String>;

/// Index of a column, ascending, and its value.
type Values = Vec<(usize, Reading)>;

/// What one look leaves for the next.
#[derive(Default)]
pub(super) struct Memory {
    /// CPU ticks: busy, and all.
    cpu: Option<(u64, u64)>,
}

/// All parts.
pub(super) fn parts() -> Vec<Part> {
    let text = |name: &str| Column::new(name, Kind::new(ValueType::Text, 0));
    let column = |name: &str, value_type, exponent, unit: &str| Column {
        unit: unit.into(),
        ..Column::new(name, Kind::new(value_type, exponent))
    };
    let bytes = |name: &str| column(name, ValueType::U64, 0, "B");
    let counter =
        |name: &str, unit: &str| Column { counter: true, ..column(name, ValueType::U64, 0, unit) };
    vec![
        Part {
            schema: "host",
            columns: vec![
                column("load1", ValueType::U32, -2, ""),
                column("load5", ValueType::U32, -2, ""),
                column("load15", ValueType::U32, -2, ""),
                column("tasks", ValueType::U32, 0, "count"),
                column("cpu", ValueType::U16, -4, "/"),
                bytes("memory_total"),
                bytes("memory_available"),
                bytes("swap_total"),
                bytes("swap_free"),
                column("uptime", ValueType::U64, -2, "s"),
            ],
            look: host,
        },
        Part {
            schema: "temperature",
            columns: vec![text("sensor"), column("temperature", ValueType::I32, -3, "Cel")],
            look: |_| Ok(temperatures(Path::new("/sys/class"))),
        },
        Part {
            schema: "filesystem",
            columns: vec![text("mount"), bytes("total"), bytes("available")],
            look: filesystems,
        },
        Part {
            schema: "disk",
            columns: vec![
                text("disk"),
                counter("read", "B"),
                counter("written", "B"),
                counter("reads", "count"),
                counter("writes", "count"),
                counter("busy", "ms"),
            ],
            look: disks,
        },
        Part {
            schema: "network",
            columns: vec![
                text("interface"),
                counter("received", "B"),
                counter("sent", "B"),
                counter("received_packets", "count"),
                counter("sent_packets", "count"),
                counter("received_errors", "count"),
                counter("sent_errors", "count"),
                counter("received_dropped", "count"),
                counter("sent_dropped", "count"),
            ],
            look: interfaces,
        },
    ]
}

fn host(memory: &mut Memory) -> Result<Vec<Values>, String> {
    let load = LoadAverage::current().map_err(|error| error.to_string())?;
    let meminfo = Meminfo::current().map_err(|error| error.to_string())?;
    let uptime = Uptime::current().map_err(|error| error.to_string())?;
    let stats = KernelStats::current().map_err(|error| error.to_string())?;
    let cells = [
        Some(load.one.into()),
        Some(load.five.into()),
        Some(load.fifteen.into()),
        Some(load.max.into()),
        cpu_share(memory, &stats.total).map(Reading::Float),
        Some(meminfo.mem_total.into()),
        meminfo.mem_available.map(Into::into),
        Some(meminfo.swap_total.into()),
        Some(meminfo.swap_free.into()),
        Some(uptime.uptime.into()),
    ];
    Ok(vec![present(cells)])
}

/// The share of the time since the last look in which the processors worked; nothing at the first look.
fn cpu_share(memory: &mut Memory, cpu: &CpuTime) -> Option<f64> {
    let rest = cpu.idle + cpu.iowait.unwrap_or(0);
    let work = cpu.user
        + cpu.nice
        + cpu.system
        + cpu.irq.unwrap_or(0)
        + cpu.softirq.unwrap_or(0)
        + cpu.steal.unwrap_or(0);
    let (busy, all) = memory.cpu.replace((work, work + rest))?;
    let all = (work + rest).checked_sub(all).filter(|all| *all > 0)?;
    #[expect(clippy::cast_precision_loss, reason = "four digits of the share are kept")]
    let share = work.saturating_sub(busy) as f64 / all as f64;
    Some(share.min(1.0))
}

fn filesystems(_: &mut Memory) -> Result<Vec<Values>, String> {
    let mut devices = HashSet::new();
    let mut rows = Vec::new();
    for entry in procfs::mounts().map_err(|error| error.to_string())? {
        let kind = entry.fs_vfstype.as_str();
        let on_device = entry.fs_spec.starts_with("/dev/") && !READ_ONLY_KINDS.contains(&kind);
        // A container's root. Network file systems are left out: looking at one that hangs would hang.
        let is_root = kind == "overlay" && entry.fs_file == "/";
        let wanted = on_device || is_root || POOLED_KINDS.contains(&kind);
        if !wanted || !devices.insert(entry.fs_spec) {
            continue; // The same device again, bound to another place.
        }
        let mount = entry.fs_file.replace(r"\040", " "); // The library leaves it.
        let Ok(stat) = rustix::fs::statvfs(&mount) else { continue };
        let total = stat.f_blocks.saturating_mul(stat.f_frsize);
        let available = stat.f_bavail.saturating_mul(stat.f_frsize);
        rows.push(all([mount.into(), total.into(), available.into()]));
    }
    Ok(rows)
}

fn disks(_: &mut Memory) -> Result<Vec<Values>, String> {
    let disks = procfs::diskstats().map_err(|error| error.to_string())?;
    let is_whole = |name: &str| Path::new("/sys/block").join(name.replace('/', "!")).exists();
    let is_memory = |name: &str| ["loop", "ram", "zram"].iter().any(|kind| name.starts_with(kind));
    let wanted = disks.iter().filter(|disk| {
        is_whole(&disk.name) && !is_memory(&disk.name) && disk.reads + disk.writes > 0
    });
    let row = |disk: &procfs::DiskStat| {
        all([
            disk.name.clone().into(),
            disk.sectors_read.saturating_mul(SECTOR_BYTES).into(),
            disk.sectors_written.saturating_mul(SECTOR_BYTES).into(),
            disk.reads.into(),
            disk.writes.into(),
            disk.time_in_progress.into(),
        ])
    };
    Ok(wanted.map(row).collect())
}

fn interfaces(_: &mut Memory) -> Result<Vec<Values>, String> {
    let found = procfs::net::dev_status().map_err(|error| error.to_string())?;
    let mut interfaces: Vec<_> = found.into_values().collect();
    interfaces.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let row = |interface: &procfs::net::DeviceStatus| {
        all([
            interface.name.clone().into(),
            interface.recv_bytes.into(),
            interface.sent_bytes.into(),
            interface.recv_packets.into(),
            interface.sent_packets.into(),
            interface.recv_errs.into(),
            interface.sent_errs.into(),
            interface.recv_drop.into(),
            interface.sent_drop.into(),
        ])
    };
    Ok(interfaces.iter().map(row).collect())
}

/// From the hardware monitors (`hwmon`); from the thermal zones where there are none. A sensor that does not answer now
/// has no row now.
fn temperatures(class: &Path) -> Vec<Values> {
    let mut readings = hwmon(&class.join("hwmon"));
    if readings.is_empty() {
        readings = thermal_zones(&class.join("thermal"));
    }
    let mut names: HashMap<String, u32> = HashMap::new();
    let rows = readings.into_iter().map(|(name, millis)| {
        let count = names.entry(name.clone()).or_default();
        *count += 1;
        let name = if *count > 1 { format!("{name} {count}") } else { name };
        all([name.into(), Reading::Float(f64::from(millis) / 1e3)])
    });
    rows.collect()
}

fn hwmon(root: &Path) -> Vec<(String, i32)> {
    let mut readings = Vec::new();
    for chip in sorted(root) {
        let Some(chip_name) = text(&chip.join("name")) else { continue };
        for file in sorted(&chip) {
            let file_name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let number =
                file_name.strip_prefix("temp").and_then(|rest| rest.strip_suffix("_input"));
            let Some((number, millis)) = number.zip(number_in(&file)) else { continue };
            let label = text(&chip.join(format!("temp{number}_label")));
            let label = label.unwrap_or_else(|| format!("temp{number}"));
            readings.push((format!("{chip_name} {label}"), millis));
        }
    }
    readings
}

fn thermal_zones(root: &Path) -> Vec<(String, i32)> {
    let zone = |zone: std::path::PathBuf| {
        Some((text(&zone.join("type"))?, number_in(&zone.join("temp"))?))
    };
    sorted(root).into_iter().filter_map(zone).collect()
}

fn sorted(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort_unstable();
    paths
}

fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn number_in(path: &Path) -> Option<i32> {
    text(path)?.parse().ok()
}

fn all<const N: usize>(cells: [Reading; N]) -> Values {
    cells.into_iter().enumerate().collect()
}

fn present<const N: usize>(cells: [Option<Reading>; N]) -> Values {
    let cells = cells.into_iter().enumerate();
    cells.filter_map(|(column, value)| Some((column, value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_fills_its_own_columns_in_order() {
        let mut memory = Memory::default();
        for part in parts() {
            let columns: Vec<&Column> = part.columns.iter().collect();
            super::super::shape::schema(part.schema, &columns).expect("a schema");
            for row in (part.look)(&mut memory).expect("Linux tells") {
                let places: Vec<usize> = row.iter().map(|(place, _)| *place).collect();
                assert!(places.is_sorted() && places.iter().all(|place| *place < columns.len()));
            }
        }
        assert!(memory.cpu.is_some());
    }

    #[test]
    fn temperatures_come_from_the_monitors_and_a_silent_sensor_has_no_row() {
        let root = tempfile::TempDir::new().expect("a directory");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            fs::write(path, text).expect("a file");
        };
        write("thermal/thermal_zone0/type", "acpitz\n");
        write("thermal/thermal_zone0/temp", "27800\n");
        let expected = |name: &str, value: f64| all([name.into(), value.into()]);
        assert_eq!(temperatures(root.path()), [expected("acpitz", 27.8)]);
        write("hwmon/hwmon0/name", "nvme\n");
        write("hwmon/hwmon0/temp1_input", "38850\n");
        write("hwmon/hwmon0/temp1_label", "Composite\n");
        write("hwmon/hwmon1/name", "nvme\n");
        write("hwmon/hwmon1/temp1_input", "-5000\n");
        write("hwmon/hwmon1/temp1_label", "Composite\n");
        write("hwmon/hwmon1/temp2_input", "\n");
        write("hwmon/hwmon1/fan1_input", "900\n");
        let found = temperatures(root.path());
        assert_eq!(found, [expected("nvme Composite", 38.85), expected("nvme Composite 2", -5.0)]);
    }

    #[test]
    fn the_processors_share_is_of_the_time_since_the_last_look() {
        let mut memory = Memory::default();
        let stats = KernelStats::current().expect("Linux tells");
        assert_eq!(cpu_share(&mut memory, &stats.total), None, "nothing to compare with");
        assert_eq!(cpu_share(&mut memory, &stats.total), None, "no time went by");
        let mut later = stats.total.clone();
        later.user += 30;
        later.idle += 90;
        assert_eq!(cpu_share(&mut memory, &later), Some(0.25));
    }
}
