//! The registries as tables, between markers in the specification.

use anyhow::{Context, bail};

use super::model::{Bit, Code, Direction, Profile, Registry};

/// Replaces what stands between each `<!-- registry:NAME -->` and `<!-- /registry:NAME -->`.
pub(super) fn fill(text: &str, registry: &Registry) -> anyhow::Result<String> {
    let mut out = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        let Some(name) = opening(line) else { continue };
        let closing = format!("<!-- /registry:{name} -->");
        lines
            .find(|line| line.trim() == closing)
            .with_context(|| format!("{closing} is missing"))?;
        // Blank lines: a table that touches a comment is not a table to every reader.
        out.push_str(&format!("\n{}\n{closing}\n", table(name, registry)?));
    }
    Ok(out)
}

fn opening(line: &str) -> Option<&str> {
    line.trim().strip_prefix("<!-- registry:")?.strip_suffix(" -->")
}

fn table(name: &str, registry: &Registry) -> anyhow::Result<String> {
    Ok(match name {
        "message" => messages(registry),
        "value_type" => value_types(registry),
        "error" => errors(registry),
        "limit" => limits(registry),
        "unit" => units(registry),
        "flag" => bits(&registry.flag),
        "downlink" => bits(&registry.downlink),
        "encoding" => bits(&registry.encoding),
        "skip_cause" => codes(&registry.skip_cause),
        "option" => codes(&registry.option),
        "done_status" => codes(&registry.done_status),
        "durability" => codes(&registry.durability),
        "clock" => codes(&registry.clock),
        "suite" => codes(&registry.suite),
        _ => bail!("there is no registry named {name}"),
    })
}

fn messages(registry: &Registry) -> String {
    let rows = registry.message.iter().map(|message| {
        let direction = match message.direction {
            Direction::Device => "device → collector",
            Direction::Collector => "collector → device",
            Direction::Both => "both",
        };
        let profile = match message.profile {
            Profile::Simple => "simple",
            Profile::Full => "full",
        };
        vec![
            format!("0x{:02X}", message.code),
            message.name.clone(),
            direction.to_owned(),
            message.seq.clone(),
            profile.to_owned(),
            message.section.clone(),
            message.summary.clone(),
        ]
    });
    render(&["Code", "Name", "Direction", "seq", "Profile", "Section", "Meaning"], rows)
}

fn value_types(registry: &Registry) -> String {
    let rows = registry.value_type.iter().map(|value_type| {
        vec![
            format!("0x{:02X}", value_type.code),
            value_type.name.clone(),
            value_type.size.map_or_else(|| "varies".to_owned(), |size| size.to_string()),
            format!("`{}`", value_type.python),
            value_type.summary.clone(),
        ]
    });
    render(&["Code", "Name", "Bytes", "`struct`", "Meaning"], rows)
}

fn errors(registry: &Registry) -> String {
    let rows = registry.error.iter().map(|error| {
        let code = error.code.to_string();
        vec![code, error.name.clone(), error.section.clone(), error.summary.clone()]
    });
    render(&["Code", "Name", "Section", "Meaning"], rows)
}

fn limits(registry: &Registry) -> String {
    let rows = registry.limit.iter().map(|limit| {
        vec![
            limit.name.clone(),
            limit.value.to_string(),
            limit.unit.clone(),
            limit.section.clone(),
            limit.summary.clone(),
        ]
    });
    render(&["Name", "Value", "Unit", "Section", "Meaning"], rows)
}

fn units(registry: &Registry) -> String {
    let rows =
        registry.unit.iter().map(|unit| vec![format!("`{}`", unit.symbol), unit.summary.clone()]);
    render(&["Unit", "Meaning"], rows)
}

fn codes(codes: &[Code]) -> String {
    let rows = codes
        .iter()
        .map(|code| vec![format!("0x{:02X}", code.code), code.name.clone(), code.summary.clone()]);
    render(&["Code", "Name", "Meaning"], rows)
}

fn bits(bits: &[Bit]) -> String {
    let rows = bits.iter().map(|bit| {
        let section = bit.section.as_ref().map_or(String::new(), |section| format!(" ({section})"));
        vec![format!("0x{:X}", bit.bit), bit.name.clone(), format!("{}{section}", bit.summary)]
    });
    render(&["Bit", "Name", "Meaning"], rows)
}

fn render(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut out = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let cells: Vec<_> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::opening;

    #[test]
    fn only_a_whole_marker_opens_a_table() {
        assert_eq!(opening("  <!-- registry:unit -->"), Some("unit"));
        assert_eq!(opening("<!-- /registry:unit -->"), None);
        assert_eq!(opening("see <!-- registry:unit -->"), None);
    }
}
