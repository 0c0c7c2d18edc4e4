//! HTTP to the control interfaces of clients.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

use crate::bench::{Failure, Result};

/// A control interface at one base URL.
pub(crate) struct Web {
    agent: Agent,
    base: String,
}

/// An answer.
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    headers: ureq::http::HeaderMap,
    /// Body.
    pub(crate) body: Vec<u8>,
}

impl Web {
    pub(crate) fn new(base: String) -> Web {
        let config = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(120)))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        Web { agent: config.new_agent(), base }
    }

    pub(crate) fn get(&self, path: &str) -> Result<Answer> {
        Answer::read(self.agent.get(self.url(path)).call()?)
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let mut request = self.agent.post(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(request.send(body)?)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

impl Answer {
    fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Answer> {
        let body = response.body_mut().read_to_vec()?;
        Ok(Answer { status: response.status().as_u16(), headers: response.headers().clone(), body })
    }

    /// A header, or nothing.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body of a successful answer, as text; bytes that are no UTF-8 are replaced.
    pub(crate) fn ok(self, what: &str) -> Result<String> {
        let body = String::from_utf8_lossy(&self.body).into_owned();
        if (200..300).contains(&self.status) {
            return Ok(body);
        }
        Err(Failure::new(format!("{what}: HTTP {}: {body}", self.status)))
    }

    /// The body of a successful answer, as JSON.
    pub(crate) fn json(self, what: &str) -> Result<Value> {
        let body = self.ok(what)?;
        serde_json::from_str(&body).map_err(|e| Failure::new(format!("{what}: {e} in {body}")))
    }
}

/// A count in a JSON object: some interfaces write numbers as text.
pub(crate) fn count(object: &Value, key: &str) -> Result<u64> {
    let value = &object[key];
    value
        .as_u64()
        .or_else(|| value.as_str()?.parse().ok())
        .ok_or_else(|| Failure::new(format!("no count {key:?} in {object}")))
}

/// Percent-encodes what may not stand in a query or form.
pub(crate) fn percent(bytes: &[u8]) -> String {
    let mut out = String::new();
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Base 64 with padding (RFC 4648, section 4).
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            if place <= group.len() {
                out.push(char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[test]
fn base64_is_that_of_the_rfc() {
    for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
        assert_eq!(base64(plain.as_bytes()), coded);
    }
}
