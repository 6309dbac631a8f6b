//! What a ping found, in words and for programs.

use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::super::language::Language;
use super::tally::Counts;

pub(super) struct Summary<'a> {
    pub(super) target: SocketAddr,
    pub(super) is_udp: bool,
    pub(super) message_len: usize,
    pub(super) counts: Counts,
    /// Neither answered nor given up when it was stopped.
    pub(super) waiting: usize,
    pub(super) held_back: u64,
    /// Nanoseconds.
    pub(super) times: &'a Histogram<u64>,
    /// From the first message to the last answer.
    pub(super) elapsed: Duration,
}

/// Quantiles that are shown.
const QUANTILES: [(&str, &str, f64); 3] =
    [("p50", "p50", 0.5), ("p99", "p99", 0.99), ("p99.9", "p99_9", 0.999)];

impl Summary<'_> {
    pub(super) fn text(&self, language: Language) -> String {
        let Self { target, message_len, .. } = self;
        let transport = if self.is_udp { "UDP" } else { "TCP" };
        let of = language.choose("mensajes de", "messages of");
        format!(
            "--- {target} {transport}, {of} {message_len} B ---\n{}{}\n{}",
            self.fates(language),
            self.oddities(language),
            self.speed(language)
        )
    }

    /// Where each message is.
    fn fates(&self, language: Language) -> String {
        let Counts { sent, received, lost, .. } = self.counts;
        let share = percent(lost, sent);
        match language {
            Language::Es => {
                format!("{sent} enviados, {received} recibidos, {lost} perdidos ({share:.1} %)")
            }
            Language::En => format!("{sent} sent, {received} received, {lost} lost ({share:.1}%)"),
        }
    }

    /// What a good network and a good server don't do. UDP's own are shown even where they are zero.
    fn oddities(&self, language: Language) -> String {
        let Counts { late, damaged, duplicated, reordered, foreign, .. } = self.counts;
        let waiting = self.waiting as u64;
        [
            (self.is_udp, late, language.choose("tarde", "late")),
            (self.is_udp, duplicated, language.choose("duplicados", "duplicated")),
            (self.is_udp, reordered, language.choose("adelantados por otros", "overtaken")),
            (false, damaged, language.choose("alterados", "damaged")),
            (false, foreign, language.choose("respuestas ajenas", "answers not ours")),
            (false, waiting, language.choose("aún en camino", "still under way")),
            (false, self.held_back, language.choose("retenidos antes de salir", "held back")),
        ]
        .into_iter()
        .filter(|(always, count, _)| *always || *count > 0)
        .map(|(_, count, name)| format!(", {count} {name}"))
        .collect()
    }

    fn speed(&self, language: Language) -> String {
        if self.times.is_empty() {
            return language.choose("sin tiempos que medir", "no times to measure").to_owned();
        }
        let ms = |nanos: u64| nanos as f64 / 1e6;
        let quantiles = QUANTILES.map(|(name, _, quantile)| {
            format!("{name} {:.3}, ", ms(self.times.value_at_quantile(quantile)))
        });
        let (least, most) = (ms(self.times.min()), ms(self.times.max()));
        let (rate, bytes) = (self.rate(), self.rate() * self.message_len as f64);
        let seconds = self.elapsed.as_secs_f64();
        let (quantiles, answers) = (quantiles.concat(), self.times.len());
        match language {
            Language::Es => format!(
                "ms desde el envío: mín {least:.3}, {quantiles}máx {most:.3}\n\
                 {answers} respuestas en {seconds:.3} s: {rate:.1}/s, {bytes:.0} B/s"
            ),
            Language::En => format!(
                "ms from sending: min {least:.3}, {quantiles}max {most:.3}\n\
                 {answers} answers in {seconds:.3} s: {rate:.1}/s, {bytes:.0} B/s"
            ),
        }
    }

    /// Answers in a second.
    fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.times.len() as f64 / seconds } else { 0.0 }
    }

    pub(super) fn json(&self) -> Value {
        let Counts { sent, received, late, damaged, lost, duplicated, reordered, foreign } =
            self.counts;
        let us = |nanos: u64| nanos as f64 / 1e3;
        let latency = (!self.times.is_empty()).then(|| {
            let mut latency = serde_json::Map::new();
            latency.insert("min".into(), us(self.times.min()).into());
            for (_, name, quantile) in QUANTILES {
                latency.insert(name.into(), us(self.times.value_at_quantile(quantile)).into());
            }
            latency.insert("max".into(), us(self.times.max()).into());
            latency
        });
        json!({
            "to": self.target,
            "transport": if self.is_udp { "udp" } else { "tcp" },
            "message_bytes": self.message_len,
            "sent": sent,
            "received": received,
            "late": late,
            "lost": lost,
            "damaged": damaged,
            "under_way": self.waiting,
            "duplicated": duplicated,
            "reordered": reordered,
            "foreign": foreign,
            "held_back": self.held_back,
            "measured_from": "sending",
            "latency_us": latency,
            "seconds": self.elapsed.as_secs_f64(),
            "answers_per_second": self.rate(),
        })
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_without_answers_has_no_times() {
        let Ok(times) = Histogram::new(3) else { panic!("a precision that the library allows") };
        let summary = Summary {
            target: ([127, 0, 0, 1], 5005).into(),
            is_udp: false,
            message_len: 11,
            counts: Counts { sent: 2, lost: 2, ..Counts::default() },
            waiting: 0,
            held_back: 0,
            times: &times,
            elapsed: Duration::ZERO,
        };
        let expected = "--- 127.0.0.1:5005 TCP, messages of 11 B ---\n2 sent, 0 received, 2 lost (100.0%)\nno times to measure";
        assert_eq!(summary.text(Language::En), expected);
        let json = summary.json();
        assert!(json["latency_us"].is_null(), "{json}");
    }

    #[test]
    fn a_summary_names_quantiles_and_what_is_odd() {
        let Ok(mut times) = Histogram::new(3) else {
            panic!("a precision that the library allows")
        };
        for ms in 1..=1_000_u64 {
            times.record(ms * 1_000_000).unwrap_or_else(|error| panic!("{error}"));
        }
        let summary = Summary {
            target: ([127, 0, 0, 1], 5005).into(),
            is_udp: true,
            message_len: 20,
            counts: Counts {
                sent: 1_010,
                received: 999,
                late: 1,
                lost: 10,
                duplicated: 3,
                reordered: 2,
                ..Counts::default()
            },
            waiting: 0,
            held_back: 4,
            times: &times,
            elapsed: Duration::from_secs(10),
        };
        let text = summary.text(Language::Es);
        let mut lines = text.lines().skip(1);
        let fates = "1010 enviados, 999 recibidos, 10 perdidos (1.0 %), 1 tarde, 3 duplicados, 2 adelantados por otros, 4 retenidos antes de salir";
        assert_eq!(lines.next(), Some(fates), "{text}");
        let (times, rate) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        // Three significant digits are kept.
        for named in ["mín 1.000", "p50 500.", "p99 990.", "p99.9 999.", "máx 1000."] {
            assert!(times.contains(named), "{named} in {times}");
        }
        assert_eq!(rate, "1000 respuestas en 10.000 s: 100.0/s, 2000 B/s");
        assert_eq!(summary.json()["latency_us"].as_object().map(serde_json::Map::len), Some(5));
    }
}
