//! A message on the socket: a little-endian `u32` length, then that many bytes of JSON.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest JSON body, in bytes.
pub const MAX_BODY: usize = 1 << 20;
/// Size of the length that precedes the body, in bytes.
pub const HEADER: usize = 4;

/// Why a message could not be sent or read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The peer announced, or we were asked to send, more than [`MAX_BODY`].
    #[error("message of {0} bytes is over the limit of {MAX_BODY}")]
    TooLong(usize),
    /// The body is not the expected JSON.
    #[error("message is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// The socket failed, closed early or timed out.
    #[error("socket: {0}")]
    Io(#[from] io::Error),
}

/// The bytes of `message` with its length in front.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; HEADER];
    serde_json::to_writer(&mut bytes, message)?;
    let body = bytes.len() - HEADER;
    let length = u32::try_from(body).ok().filter(|_| body <= MAX_BODY).ok_or(FrameError::TooLong(body))?;
    bytes[..HEADER].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// The body's length from its header, refused over [`MAX_BODY`] so that nobody makes us allocate more.
pub fn body_length(header: [u8; HEADER]) -> Result<usize, FrameError> {
    let length = u32::from_le_bytes(header) as usize;
    if length > MAX_BODY { Err(FrameError::TooLong(length)) } else { Ok(length) }
}

/// The message in `body`.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    Ok(serde_json::from_slice(body)?)
}

/// Sends one message.
pub fn write<T: Serialize>(to: &mut impl Write, message: &T) -> Result<(), FrameError> {
    to.write_all(&encode(message)?)?;
    Ok(to.flush()?)
}

/// Reads one message, blocking.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> Result<T, FrameError> {
    let mut header = [0; HEADER];
    from.read_exact(&mut header)?;
    let mut body = vec![0; body_length(header)?];
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
        let bytes = encode(&sent).unwrap();
        assert_eq!(read::<Envelope>(&mut bytes.as_slice()).unwrap(), sent);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = encode(&Envelope::new(Request::Status)).unwrap();
        for end in 0..bytes.len() {
            assert!(read::<Envelope>(&mut &bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_lying_length_is_refused_before_the_body_is_read() {
        let refused = read::<Envelope>(&mut u32::MAX.to_le_bytes().as_slice());
        assert!(matches!(refused, Err(FrameError::TooLong(_))));
        assert!(matches!(encode(&"x".repeat(MAX_BODY)), Err(FrameError::TooLong(_))));
    }
}
