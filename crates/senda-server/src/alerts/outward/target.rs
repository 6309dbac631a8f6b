//! Who is told, and what makes no sense.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use ureq::http::{HeaderName, HeaderValue, Uri};

/// Someone who is told of alerts.
#[derive(Clone, Debug)]
pub struct Target {
    /// As rules name it.
    pub name: String,
    /// How it is told.
    pub means: Means,
    /// When it is told again.
    pub retry: Retry,
}

/// How a target is told.
#[derive(Clone, Debug)]
pub enum Means {
    /// An HTTP POST.
    Webhook(Webhook),
    /// A program.
    Exec(Exec),
}

/// An HTTP POST of the report.
#[derive(Clone)]
pub struct Webhook {
    /// `https://...` or `http://...`.
    pub url: String,
    /// More headers, such as `Authorization`.
    pub headers: Vec<(String, String)>,
    /// For one attempt, from the name's resolution to the end of the answer.
    pub timeout: Duration,
    /// A PEM file with the certificates to trust; `None`: those of the system.
    pub ca: Option<PathBuf>,
}

impl Webhook {
    /// A webhook with a time-out of 10 seconds.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), headers: Vec::new(), timeout: Duration::from_secs(10), ca: None }
    }
}

/// Secrets stand in headers, and in paths and queries of URLs: neither goes to a log.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uri = self.url.parse::<Uri>().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or("?");
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Webhook")
            .field("host", &host)
            .field("headers", &headers)
            .field("timeout", &self.timeout)
            .field("ca", &self.ca)
            .finish()
    }
}

/// A program, run without a shell.
#[derive(Clone, Debug)]
pub struct Exec {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Then it is killed, with whatever it started in its process group.
    pub timeout: Duration,
    /// So many run at once at most.
    pub at_once: usize,
}

impl Exec {
    /// A program that has 30 seconds, four at once.
    pub fn new(command: Vec<String>) -> Self {
        Self { command, timeout: Duration::from_secs(30), at_once: 4 }
    }
}

/// When a target is told again. Programs are not: they may have done half of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retry {
    /// The pause after the first attempt; it doubles.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// From the report to the last attempt.
    pub within: Duration,
}

impl Default for Retry {
    /// After a second, then twice as long each time up to 5 minutes, for an hour.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { first: seconds(1), longest: seconds(300), within: seconds(3600) }
    }
}

/// Why targets can't be told. All of it is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Two targets of one name.
    #[error("notify target {target:?} is there twice; choose another name for one of them")]
    NameTaken {
        /// Its name.
        target: String,
    },
    /// A key that makes no sense.
    #[error("notify target {target:?}: {key}: {problem}")]
    Key {
        /// Its name.
        target: String,
        /// `webhook`, `headers`, `ca`, ...
        key: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A file of certificates that can't be read.
    #[error("notify target {target:?}: ca: can't read {}", path.display())]
    Ca {
        /// Its name.
        target: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system has no threads left.
    #[error("notify target {target:?}: the system refuses a thread")]
    Thread {
        /// Its name.
        target: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Checks each target, and that no two have one name.
///
/// # Errors
/// [`TargetError`]: the first that makes no sense. Certificates are looked at when the target is started.
pub fn check_targets(targets: &[Target]) -> Result<(), TargetError> {
    let mut names = HashSet::new();
    for target in targets {
        target.check()?;
        if !names.insert(&target.name) {
            return Err(TargetError::NameTaken { target: target.name.clone() });
        }
    }
    Ok(())
}

/// Programs of one target at once: each has a thread.
const AT_ONCE_MAX: usize = 64;
/// The longest time for one attempt: an hour.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// Headers that are ours.
const OUR_HEADERS: [&str; 5] =
    ["content-length", "content-type", "host", "idempotency-key", "transfer-encoding"];

impl Target {
    /// Checks the target by itself.
    ///
    /// # Errors
    /// [`TargetError::Key`]: the first thing that makes no sense.
    pub fn check(&self) -> Result<(), TargetError> {
        let problem = match &self.means {
            Means::Webhook(webhook) => webhook.find_problem(),
            Means::Exec(exec) => exec.find_problem(),
        };
        problem.map_err(|(key, problem)| TargetError::Key {
            target: self.name.clone(),
            key,
            problem,
        })
    }
}

impl Webhook {
    fn find_problem(&self) -> Result<(), (&'static str, String)> {
        const URL: &str = "write a URL such as \"https://example.org/alerts\"";
        let wrong = |problem: &str| Err(("webhook", format!("{problem}; {URL}")));
        let Ok(uri) = self.url.parse::<Uri>() else {
            return wrong("not a URL");
        };
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return wrong("neither http nor https");
        }
        if uri.host().is_none_or(str::is_empty) {
            return wrong("it names no host");
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            let hint =
                "a URL with a password ends up in logs; put it into `headers` as Authorization";
            return Err(("webhook", hint.to_owned()));
        }
        for (name, value) in &self.headers {
            // The value may be a secret: only the name is repeated.
            let Ok(parsed) = name.parse::<HeaderName>() else {
                return Err((
                    "headers",
                    format!("{name:?} is no name of a header; write letters, digits and -"),
                ));
            };
            if OUR_HEADERS.contains(&parsed.as_str()) {
                return Err(("headers", format!("{name} is set by the collector; leave it out")));
            }
            if HeaderValue::from_str(value).is_err() {
                return Err((
                    "headers",
                    format!(
                        "the value of {name} has characters that no header may have; write printable ASCII"
                    ),
                ));
            }
        }
        check_timeout(self.timeout)
    }
}

impl Exec {
    fn find_problem(&self) -> Result<(), (&'static str, String)> {
        let Some(program) = self.command.first().filter(|program| !program.is_empty()) else {
            let hint = "no program; write it with its arguments, such as [\"/usr/local/bin/page\", \"--ops\"]";
            return Err(("exec", hint.to_owned()));
        };
        if self.command.iter().any(|word| word.contains('\0')) {
            return Err((
                "exec",
                format!("{program:?} or an argument has a NUL; no program can be given one"),
            ));
        }
        if !(1..=AT_ONCE_MAX).contains(&self.at_once) {
            return Err((
                "at_once",
                format!("{}; write a number from 1 to {AT_ONCE_MAX}", self.at_once),
            ));
        }
        check_timeout(self.timeout)
    }
}

fn check_timeout(timeout: Duration) -> Result<(), (&'static str, String)> {
    if timeout.is_zero() || timeout > TIMEOUT_MAX {
        return Err((
            "timeout",
            format!("{timeout:?} is not between 1us and 1h; write a time such as \"10s\""),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(means: Means) -> String {
        let target = Target { name: "ops".into(), means, retry: Retry::default() };
        check_targets(&[target]).unwrap_err().to_string()
    }

    #[test]
    fn each_mistake_is_named_with_its_key() {
        let url = |url: &str| problem(Means::Webhook(Webhook::new(url)));
        for wrong in ["", "example.org", "ftp://example.org", "https://", "http:///alerts", "a b"] {
            let message = url(wrong);
            assert!(message.starts_with("notify target \"ops\": webhook: "), "{message}");
            assert!(message.contains("write a URL such as"), "{message}");
        }
        assert!(url("https://me:secret@example.org").contains("`headers`"));
        let header = |name: &str, value: &str| {
            let headers = vec![(name.to_owned(), value.to_owned())];
            problem(Means::Webhook(Webhook { headers, ..Webhook::new("http://h/") }))
        };
        assert!(header("a b", "x").contains("headers: \"a b\""));
        assert!(header("Idempotency-Key", "x").contains("leave it out"));
        let message = header("Authorization", "sec\nret");
        assert!(message.contains("Authorization") && !message.contains("sec"), "{message}");
        assert!(problem(Means::Exec(Exec::new(vec![]))).contains("exec: no program"));
        assert!(problem(Means::Exec(Exec::new(vec!["a\0".into()]))).contains("NUL"));
        let many = Exec { at_once: 65, ..Exec::new(vec!["a".into()]) };
        assert!(problem(Means::Exec(many)).contains("at_once: 65"));
        let never = Exec { timeout: Duration::ZERO, ..Exec::new(vec!["a".into()]) };
        assert!(problem(Means::Exec(never)).contains("timeout: 0ns"));
    }

    #[test]
    fn names_are_unique() {
        let exec = Means::Exec(Exec::new(vec!["true".into()]));
        let target = Target { name: "ops".into(), means: exec, retry: Retry::default() };
        assert!(
            check_targets(&[target.clone(), target]).unwrap_err().to_string().contains("twice")
        );
    }

    #[test]
    fn no_secret_shows_in_a_debug_print() {
        let mut webhook = Webhook::new("https://example.org/token/abc?key=def");
        webhook.headers.push(("Authorization".into(), "Bearer ghi".into()));
        let print = format!("{webhook:?}");
        assert!(print.contains("example.org") && print.contains("Authorization"), "{print}");
        assert!(!["abc", "def", "ghi"].iter().any(|secret| print.contains(secret)), "{print}");
    }
}
