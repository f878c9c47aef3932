//! The settings of the cold tier.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use cosmic_runtime::config::Mistakes;
use serde::{Deserialize, Serialize};

/// Ten years; a longer age is a mistake.
const AFTER_MAX_HOURS: u32 = 10 * 366 * 24;
/// A year; a longer time between two checks is a mistake.
const CHECK_MAX_HOURS: u32 = 366 * 24;
/// Names of buckets in S3 have at most so many characters.
const BUCKET_MAX_BYTES: usize = 63;
/// A key in S3 has at most 1024 bytes, and what we add to the prefix takes some 200.
const PREFIX_MAX_BYTES: usize = 512;

/// How bytes in the store are held against what they should be, after an upload and again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// They are read back, and their hash is compared.
    Hash,
    /// Only their number is asked for: a request instead of a download.
    Size,
}

/// Where cold bytes lie, when they get there, and what that may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address of an S3-compatible store; absent: there is no cold tier. Plain HTTP is taken for loopback alone.
    pub endpoint: Option<String>,
    /// The bucket, which must be there.
    pub bucket: Option<String>,
    /// The region requests are signed for.
    pub region: String,
    /// What the keys of all objects begin with; each supernode has a folder of its own below it.
    pub prefix: String,
    /// A file with `aws_access_key_id = …` and `aws_secret_access_key = …`, mode 0600; absent: they are looked for in the
    /// environment, as `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    pub credentials_file: Option<PathBuf>,
    /// Shards go to the store when they are so old.
    pub after_hours: u32,
    /// How often is looked for those that are due.
    pub look_every_secs: u64,
    /// Bytes that go to the store, or come back, in a second at most.
    pub bytes_per_second_max: u64,
    /// How what lies there is verified.
    pub verify: Verify,
    /// Within how many hours everything there is verified again.
    pub check_every_hours: u32,
    /// Bytes read for that in a second at most.
    pub check_bytes_per_second_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: None,
            bucket: None,
            region: "us-east-1".to_owned(),
            prefix: String::new(),
            credentials_file: None,
            // 30 days: what is read at all is mostly read before.
            after_hours: 720,
            look_every_secs: 3600,
            // Two thirds of a hundred megabits.
            bytes_per_second_max: 8 * 1024 * 1024,
            verify: Verify::Hash,
            // 90 days at 4 MiB/s are 32 TB.
            check_every_hours: 2160,
            check_bytes_per_second_max: 4 * 1024 * 1024,
        }
    }
}

impl Config {
    /// Refuses what cannot work.
    pub fn check(&self, mistakes: &mut Mistakes) {
        if let Some(endpoint) = &self.endpoint
            && let Err(why) = check_endpoint(endpoint)
        {
            mistakes.refuse("endpoint", why);
        }
        if self.endpoint.is_some() != self.bucket.is_some() {
            mistakes.refuse("bucket", "and endpoint belong together: give both, or neither");
        }
        if self.bucket.as_ref().is_some_and(|bucket| !is_name(bucket, BUCKET_MAX_BYTES, ".-")) {
            mistakes.refuse("bucket", "must be the name of a bucket: small letters, digits, - and .");
        }
        if !self.prefix.is_empty()
            && (self.prefix.len() > PREFIX_MAX_BYTES
                || !self.prefix.split('/').all(|part| is_name(part, PREFIX_MAX_BYTES, ".-_")))
        {
            mistakes.refuse("prefix", "must be names with / between them: small letters, digits, -, _ and .");
        }
        if self.after_hours > AFTER_MAX_HOURS {
            mistakes.refuse("after_hours", format!("must be at most {AFTER_MAX_HOURS}"));
        }
        if self.look_every_secs == 0 {
            mistakes.refuse("look_every_secs", "must be at least 1");
        }
        if self.bytes_per_second_max == 0 || self.check_bytes_per_second_max == 0 {
            mistakes.refuse(
                "bytes_per_second_max",
                "and check_bytes_per_second_max must be at least 1; `cold pause` stops the cold tier",
            );
        }
        if !(1..=CHECK_MAX_HOURS).contains(&self.check_every_hours) {
            mistakes.refuse("check_every_hours", format!("must lie between 1 and {CHECK_MAX_HOURS}"));
        }
    }

    /// Whether the store is spoken to without TLS, as only one on this machine may be.
    pub(super) fn is_plain(&self) -> bool {
        self.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"))
    }

    pub(super) fn after(&self) -> Duration {
        Duration::from_secs(u64::from(self.after_hours) * 3600)
    }

    pub(super) const fn look_every(&self) -> Duration {
        Duration::from_secs(self.look_every_secs)
    }

    pub(super) fn check_every(&self) -> Duration {
        Duration::from_secs(u64::from(self.check_every_hours) * 3600)
    }
}

/// How long `bytes` take at `per_second`.
pub(super) fn time_for(bytes: u64, per_second: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / per_second.max(1))
}

fn check_endpoint(endpoint: &str) -> Result<(), &'static str> {
    let (plain, rest) = match (endpoint.strip_prefix("http://"), endpoint.strip_prefix("https://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err("must begin with https:// (or, on this machine, http://)"),
    };
    if rest.is_empty() || rest.contains(['@', '?', '#', ' ']) {
        return Err("must be a host, perhaps with a port: credentials have a file of their own");
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if plain && !is_loopback(authority) {
        return Err(
            "must begin with https:// unless the store is on this machine: shards are sealed, credentials are not",
        );
    }
    Ok(())
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether `text` is a name of small letters, digits and `more`.
fn is_name(text: &str, bytes_max: usize, more: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c);
    (1..=bytes_max).contains(&text.len()) && text.chars().all(allowed) && !matches!(text, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(change: impl FnOnce(&mut Config)) -> usize {
        let mut config = Config {
            endpoint: Some("https://s3.example.net".to_owned()),
            bucket: Some("shards".to_owned()),
            ..Config::default()
        };
        change(&mut config);
        let mut mistakes = Mistakes::default();
        config.check(&mut mistakes);
        mistakes.iter().count()
    }

    #[test]
    fn plain_http_is_taken_for_loopback_alone() {
        for good in
            ["https://s3.example.net", "http://127.0.0.1:9000", "http://[::1]:9000", "http://localhost/s3"]
        {
            assert_eq!(mistakes(|config| config.endpoint = Some(good.to_owned())), 0, "{good}");
        }
        let bad = [
            "http://s3.example.net",
            "http://127.0.0.1.example.net",
            "http://localhost.example.net",
            "http://127.0.0.1@s3.example.net",
            "https://key:secret@s3.example.net",
            "s3.example.net",
            "https://",
        ];
        for bad in bad {
            assert_eq!(mistakes(|config| config.endpoint = Some(bad.to_owned())), 1, "{bad}");
        }
    }

    #[test]
    fn names_that_no_store_takes_are_refused() {
        assert_eq!(mistakes(|config| config.bucket = None), 1);
        assert_eq!(mistakes(|config| config.bucket = Some("No Bucket".to_owned())), 1);
        assert_eq!(mistakes(|config| config.prefix = "cosmic/eu-1".to_owned()), 0);
        for bad in ["/cosmic", "cosmic/", "a//b", "../b", "A"] {
            assert_eq!(mistakes(|config| config.prefix = bad.to_owned()), 1, "{bad}");
        }
        assert_eq!(mistakes(|config| config.look_every_secs = 0), 1);
    }
}
