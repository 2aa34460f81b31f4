//! An answer of the server, as bytes that may take their time.

use std::time::Duration;

use http::{Response, header};
use http_body_util::BodyExt;
use kube::client::Body;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::kube::access::causes;
use crate::kube::connection::start_of_body;
use crate::kube::decode::{status, told};
use crate::kube::setback::{Setback, about_certificates};

/// Bytes that a page of a list may have: an object has at most about 3 MiB, but most have a few KiB.
const PAGE_LIMIT: usize = 256 << 20;
/// Bytes that a line of a watch may have.
const LINE_LIMIT: usize = 16 << 20;
/// Bytes that are read of a refusal.
const REFUSAL_LIMIT: usize = 16 << 10;
/// A buffer that has grown beyond this is given back once it is empty.
const KEPT: usize = 256 << 10;

/// An answer whose status has been read, and its body not.
pub(crate) struct Answer {
    response: Response<Body>,
    /// Bytes of lines not taken yet, from `taken` on.
    buffer: Vec<u8>,
    taken: usize,
    /// Bytes from `taken` in which no line ends.
    searched: usize,
}

/// What waiting for a line came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing came in time.
    Quiet,
    /// The answer has ended. What was cut off in the middle of a line is as good as not said.
    End {
        /// Why, when the server did not end it in order.
        broken: Option<String>,
    },
    /// A line, without its end.
    Line(Vec<u8>),
}

impl Answer {
    pub(crate) fn new(response: Response<Body>) -> Answer {
        Answer { response, buffer: Vec::new(), taken: 0, searched: 0 }
    }

    /// Whether it says that it is JSON, as all answers of an API server are that were asked for as such.
    pub(crate) fn check_json(&self) -> Result<(), Setback> {
        let kind = self.response.headers().get(header::CONTENT_TYPE);
        let kind = kind.map(|kind| String::from_utf8_lossy(kind.as_bytes()));
        match kind.as_deref() {
            Some(json) if json.starts_with("application/json") => Ok(()),
            other => {
                let other = told(other.unwrap_or("no type"));
                Err(Failure::Garbage { reason: format!("it is of type {other} where application/json is due") }.into())
            }
        }
    }

    /// What the server says when it refuses.
    pub(crate) async fn refusal(self, patience: Duration) -> Setback {
        let (head, body) = self.response.into_parts();
        let bytes = start_of_body(body, REFUSAL_LIMIT, patience).await;
        let mut setback = Setback::of_status(status(head.status.as_u16(), &bytes));
        // In seconds; the form with a date is not used by the API server.
        let header = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(seconds) = header.filter(|seconds| *seconds > 0) {
            setback.retry_after = Some(Duration::from_secs(seconds));
        }
        setback
    }

    /// The whole body. `patience` is for each part of it.
    pub(crate) async fn whole(mut self, patience: Duration) -> Result<Vec<u8>, Setback> {
        loop {
            match timeout(patience, self.more()).await {
                Err(_) => return Err(Failure::Silent { after: patience }.into()),
                Ok(Ok(true)) if self.buffer.len() > PAGE_LIMIT => {
                    let reason = format!("a page of a list has more than {PAGE_LIMIT} bytes");
                    return Err(Failure::Garbage { reason }.into());
                }
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return Ok(self.buffer),
                Ok(Err(setback)) => return Err(setback),
            }
        }
    }

    /// The next line, waited for no longer than `patience`. What has come of it is kept for the next call.
    pub(crate) async fn line(&mut self, patience: Duration) -> Result<Next, Setback> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Next::Line(line));
            }
            if self.buffer.len() - self.taken > LINE_LIMIT {
                let reason = format!("an event of its watch has more than {LINE_LIMIT} bytes");
                return Err(Failure::Garbage { reason }.into());
            }
            match timeout(patience, self.more()).await {
                Err(_) => return Ok(Next::Quiet),
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return Ok(Next::End { broken: None }),
                Ok(Err(setback)) => match setback.failure {
                    Failure::Ended { reason } => return Ok(Next::End { broken: Some(reason) }),
                    _ => return Err(setback),
                },
            }
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let rest = &self.buffer[self.taken..];
        let Some(end) = rest[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = rest.len();
            return None;
        };
        let end = self.searched + end;
        let line = rest[..end].to_vec();
        self.taken += end + 1;
        self.searched = 0;
        if self.taken == self.buffer.len() {
            if self.buffer.capacity() > KEPT {
                self.buffer = Vec::new();
            }
            self.buffer.clear();
            self.taken = 0;
        }
        Some(line)
    }

    /// Waits for more bytes; `false` when there are none any more. Cancel safe.
    async fn more(&mut self) -> Result<bool, Setback> {
        match self.response.body_mut().frame().await {
            None => Ok(false),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    // What has been taken makes room before the buffer grows.
                    self.buffer.drain(..std::mem::take(&mut self.taken));
                    self.buffer.extend_from_slice(data);
                }
                Ok(true)
            }
            Some(Err(error)) => {
                let ended = || Failure::Ended { reason: format!(": {}", told(&causes(&error))) };
                Err(about_certificates(&error).unwrap_or_else(ended).into())
            }
        }
    }
}
