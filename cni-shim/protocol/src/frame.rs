//! A message on the socket: a little-endian `u32` length, then that many bytes of JSON.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest JSON body of a request, in bytes.
pub const MAX_REQUEST: usize = 1 << 20;
/// Largest JSON body of an answer, in bytes: more than the status of a switch with all its ports takes.
pub const MAX_ANSWER: usize = 16 << 20;
/// Size of the length that precedes the body, in bytes.
pub const HEADER: usize = 4;

/// Why a message could not be sent or read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The peer announced, or we were asked to send, more than such a message may have.
    #[error("message of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// Bytes of its body.
        length: usize,
        /// [`MAX_REQUEST`] or [`MAX_ANSWER`].
        limit: usize,
    },
    /// The body is not the expected JSON.
    #[error("message is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// The socket failed, closed early or timed out.
    #[error("socket: {0}")]
    Io(#[from] io::Error),
}

/// The bytes of `message` with its length in front; at most `limit` in the body.
pub fn encode<T: Serialize>(message: &T, limit: usize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; HEADER];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - HEADER;
    let announced = u32::try_from(length).ok().filter(|_| length <= limit);
    let announced = announced.ok_or(FrameError::TooLong { length, limit })?;
    bytes[..HEADER].copy_from_slice(&announced.to_le_bytes());
    Ok(bytes)
}

/// The body's length from its header, refused over `limit` so that nobody makes us allocate more.
pub fn body_length(header: [u8; HEADER], limit: usize) -> Result<usize, FrameError> {
    let length = u32::from_le_bytes(header) as usize;
    if length > limit { Err(FrameError::TooLong { length, limit }) } else { Ok(length) }
}

/// The message in `body`.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    Ok(serde_json::from_slice(body)?)
}

/// Sends one message of at most `limit` bytes.
pub fn write<T: Serialize>(to: &mut impl Write, message: &T, limit: usize) -> Result<(), FrameError> {
    to.write_all(&encode(message, limit)?)?;
    Ok(to.flush()?)
}

/// Reads one message of at most `limit` bytes, blocking.
pub fn read<T: DeserializeOwned>(from: &mut impl Read, limit: usize) -> Result<T, FrameError> {
    let mut header = [0; HEADER];
    from.read_exact(&mut header)?;
    let mut body = vec![0; body_length(header, limit)?];
    from.read_exact(&mut body)?;
    decode(&body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Envelope, Request};

    #[test]
    fn a_message_reads_back() {
        let sent = Envelope::new(Request::Status);
        let bytes = encode(&sent, MAX_REQUEST).unwrap();
        assert_eq!(read::<Envelope>(&mut bytes.as_slice(), MAX_REQUEST).unwrap(), sent);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = encode(&Envelope::new(Request::Status), MAX_REQUEST).unwrap();
        for end in 0..bytes.len() {
            assert!(read::<Envelope>(&mut &bytes[..end], MAX_REQUEST).is_err(), "{end}");
        }
    }

    #[test]
    fn a_lying_length_is_refused_before_the_body_is_read() {
        let refused = read::<Envelope>(&mut u32::MAX.to_le_bytes().as_slice(), MAX_ANSWER);
        assert!(matches!(refused, Err(FrameError::TooLong { .. })));
        assert!(matches!(encode(&"x".repeat(MAX_REQUEST), MAX_REQUEST), Err(FrameError::TooLong { .. })));
    }
}
