//! The least that can be between two veths: what comes in by one is the other's far end's.
use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};

use crate::EbpfError;
use crate::error::load_error;

/// The program on two devices. It is taken off them when this value is dropped.
#[derive(Debug)]
pub struct Redirect {
    /// Has the links.
    _ebpf: Ebpf,
}

impl Redirect {
    /// Joins the far ends of two veths, by name and index in the calling thread's network namespace: `bpf_redirect_peer`, which
    /// hands a packet straight to the other's far end.
    ///
    /// # Errors
    /// [`EbpfError::Load`], [`EbpfError::Map`], [`EbpfError::Detour`].
    pub fn between(devices: [(&str, u32); 2]) -> Result<Redirect, EbpfError> {
        static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/redirect.bpf.o"));
        let mut ebpf = Ebpf::load(OBJECT).map_err(load_error)?;
        let missing = || EbpfError::Load("the object lacks the map others or the program redirect".into());
        let mut others: HashMap<MapData, u32, u32> =
            HashMap::try_from(ebpf.take_map("others").ok_or_else(missing)?).map_err(load_error)?;
        let [one, other] = devices;
        for (from, to) in [(one, other), (other, one)] {
            let failed = |source| EbpfError::Map { map: "others", source: Box::new(source) };
            others.insert(from.1, to.1, 0).map_err(failed)?;
        }
        let program: &mut SchedClassifier = ebpf
            .program_mut("redirect")
            .ok_or_else(missing)?
            .try_into()
            .map_err(|error: ProgramError| load_error(error))?;
        program.load().map_err(load_error)?;
        for (name, _) in devices {
            let options = TcAttachOptions::TcxOrder(LinkOrder::default());
            let attached = program.attach_with_options(name, TcAttachType::Ingress, options);
            let failed =
                |source| EbpfError::Detour { program: "redirect", device: name.to_owned(), source: Box::new(source) };
            attached.map_err(failed)?;
        }
        Ok(Redirect { _ebpf: ebpf })
    }
}
