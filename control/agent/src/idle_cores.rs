//! Keeping the machine's idle cores from halting, on request.

use std::fs::File;
use std::io::{self, Write};

use crate::config::IdleCores;

/// Where a process says how long a core of the machine may take to wake up (`Documentation/power/pm_qos_interface.rst`).
const DEVICE: &str = "/dev/cpu_dma_latency";

/// Why idle cores halt although they were not to.
#[derive(Debug, thiserror::Error)]
#[error(
    "idleCores: poll: cannot write {DEVICE}: {source}; it takes root and a kernel with CONFIG_CPU_IDLE, or set idleCores: halt"
)]
pub(crate) struct IdleCoresError {
    #[from]
    source: io::Error,
}

/// A request to the kernel that lasts as long as this value, and ends with the process however it ends.
#[derive(Debug)]
pub(crate) struct Awake {
    _device: File,
}

impl Awake {
    /// Asks that idle cores poll instead of halting; None where they may halt.
    pub(crate) fn request(wanted: IdleCores) -> Result<Option<Awake>, IdleCoresError> {
        if wanted == IdleCores::Halt {
            return Ok(None);
        }
        let mut device = File::options().write(true).open(DEVICE)?;
        // Microseconds, as a signed number of the machine's own byte order.
        device.write_all(&0_i32.to_ne_bytes())?;
        Ok(Some(Awake { _device: device }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_may_halt_unless_told_otherwise() {
        assert!(Awake::request(IdleCores::default()).unwrap().is_none());
    }

    #[test]
    fn the_error_names_the_key_and_the_remedy() {
        let text = IdleCoresError::from(io::Error::from(io::ErrorKind::NotFound)).to_string();
        assert!(text.contains("idleCores: halt") && text.contains(DEVICE), "{text}");
    }
}
