//! Putting a program on a device and taking it off.
use aya::Ebpf;
use aya::programs::xdp::XdpLinkId;
use aya::programs::{ProgramError, Xdp, XdpMode as AyaMode};

use crate::error::load_error;
use crate::{EbpfError, XdpMode};

/// Has the kernel check and take a program of the object.
pub(crate) fn load_program(ebpf: &mut Ebpf, name: &str) -> Result<(), EbpfError> {
    let missing = || EbpfError::Load(format!("the object lacks the program {name}"));
    let program: &mut Xdp = ebpf.program_mut(name).ok_or_else(missing)?.try_into().map_err(load_error)?;
    program.load().map_err(load_error)
}

/// Attaches a loaded program to a device of the calling thread's network namespace; returns the mode in use.
pub(crate) fn attach(
    ebpf: &mut Ebpf,
    name: &str,
    ifindex: u32,
    mode: XdpMode,
) -> Result<(XdpMode, XdpLinkId), EbpfError> {
    let modes: &[XdpMode] = match mode {
        XdpMode::Auto => &[XdpMode::Native, XdpMode::Generic],
        XdpMode::Native => &[XdpMode::Native],
        XdpMode::Generic => &[XdpMode::Generic],
    };
    let mut refused = None;
    for &mode in modes {
        match try_attach(ebpf, name, ifindex, mode) {
            Ok(link) => return Ok((mode, link)),
            Err(source) => refused = Some((mode, source)),
        }
    }
    let (mode, source) = refused.unwrap_or((mode, ProgramError::NotLoaded));
    let remedy = match mode {
        XdpMode::Native => "its driver may have no native XDP: use xdpMode auto or generic",
        _ => "check that it exists in this network namespace and carries no other XDP program",
    };
    Err(EbpfError::Attach { ifindex, mode, source: Box::new(source), remedy })
}

fn try_attach(ebpf: &mut Ebpf, name: &str, ifindex: u32, mode: XdpMode) -> Result<XdpLinkId, ProgramError> {
    let mode = if mode == XdpMode::Native { AyaMode::Driver } else { AyaMode::Skb };
    let program = ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?;
    <&mut Xdp>::try_from(program)?.attach_to_if_index(ifindex, mode)
}

/// Takes a program off a device. A device that is already gone is no error.
pub(crate) fn detach(ebpf: &mut Ebpf, name: &str, link: XdpLinkId) {
    if let Some(program) = ebpf.program_mut(name)
        && let Ok(program) = <&mut Xdp>::try_from(program)
    {
        let _ = program.detach(link);
    }
}
