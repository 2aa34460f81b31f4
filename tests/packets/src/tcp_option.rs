//! TCP options as they stand on the wire, to be joined for [`crate::Segment`].

/// Maximum segment size (RFC 9293 section 3.2).
#[must_use]
pub fn mss(bytes: u16) -> Vec<u8> {
    let [high, low] = bytes.to_be_bytes();
    vec![2, 4, high, low]
}

/// Window scale (RFC 7323 section 2).
#[must_use]
pub fn window_scale(shift: u8) -> Vec<u8> {
    vec![1, 3, 3, shift]
}

/// Selective acknowledgements are understood (RFC 2018).
#[must_use]
pub fn sack_permitted() -> Vec<u8> {
    vec![1, 1, 4, 2]
}

/// Timestamps with the padding that hosts put in front (RFC 7323 appendix A).
#[must_use]
pub fn timestamps(value: u32, echo: u32) -> Vec<u8> {
    [&[1, 1, 8, 10][..], &value.to_be_bytes(), &echo.to_be_bytes()].concat()
}
