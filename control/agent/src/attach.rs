//! ADD: from a request to a pod that can talk, or to nothing left of the attempt.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use sluice_cni_protocol::result::{Interface, IpConfig, Route as ResultRoute};
use sluice_cni_protocol::{AddResult, AddSettings, CniError, CniRequest, code};
use sluice_host::{Error, ErrorKind, LinkIndex, Netlink, Netns, Route, Scope};
use sluice_tables::{GATEWAY_IPV4, GATEWAY_IPV6, PortId};
use sluice_wire::MacAddr;
use tracing::info;

use crate::agent::Agent;
use crate::bandwidth::limits;
use crate::dataplane::DataplaneError;
use crate::generations::{GenerationError, Standing};
use crate::ipam::IpamError;
use crate::ledger::{LedgerError, Phase, Wanted};
use crate::link_name::host_link_name;
use crate::pod_identity::{IdentityError, PodIdentity};
use crate::pod_link::PodLink;
use crate::readiness::Condition;
use crate::state::{StateError, StoredAttachment};
use crate::undo::Undo;
use crate::wishes::{WishError, check_families};

/// How long the file of a removed namespace may outlive it.
const UNLINKING: std::time::Duration = std::time::Duration::from_millis(50);

/// Why a pod was not attached. Nothing of the attempt is left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttachError {
    /// No namespace was given.
    #[error("CNI_NETNS is missing")]
    NoNetns,
    /// The node has no addresses for pods.
    #[error("{0}; the runtime tries again")]
    NoNetworks(String),
    /// Nothing is known of policies yet.
    #[error("the objects have not been read yet, so that the pod's policies are not known; the runtime tries again")]
    NoObjects,
    /// The namespace cannot be had.
    #[error("CNI_NETNS: {0}")]
    Netns(Error),
    /// The namespace is the node's own.
    #[error("CNI_NETNS {0} is the network namespace of the node; attach containers with one of their own")]
    OwnNetns(PathBuf),
    /// The namespace went while the pod was being attached.
    #[error("network namespace {0} vanished during ADD; the container is gone")]
    Vanished(PathBuf),
    /// The pod's name is none.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The node cannot do what is asked for.
    #[error(transparent)]
    Wish(#[from] WishError),
    /// There is an attachment, or no room for one.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The pod has an interface of that name.
    #[error("interface {ifname} exists in {netns}; choose another CNI_IFNAME or delete it")]
    InterfaceExists {
        /// The name.
        ifname: String,
        /// Where.
        netns: PathBuf,
    },
    /// The kernel refused a step.
    #[error(transparent)]
    Kernel(#[from] Error),
    /// The switch refused the port.
    #[error(transparent)]
    Dataplane(#[from] DataplaneError),
    /// The tables could not be made.
    #[error(transparent)]
    Tables(#[from] GenerationError),
    /// The attachment could not be stored.
    #[error(transparent)]
    State(#[from] StateError),
}

impl AttachError {
    fn code(&self) -> u32 {
        match self {
            Self::NoNetns | Self::OwnNetns(_) | Self::Identity(_) => code::INVALID_ENVIRONMENT,
            Self::Netns(error) if error.is_absent() => code::UNKNOWN_CONTAINER,
            Self::Netns(error) if *error.kind() == ErrorKind::NotANamespace => code::INVALID_ENVIRONMENT,
            Self::Vanished(_) => code::UNKNOWN_CONTAINER,
            Self::Ledger(LedgerError::Exists(_)) => code::ALREADY_ATTACHED,
            Self::Ledger(LedgerError::HostPortTaken { .. }) => code::HOST_PORT_TAKEN,
            // The pod that has it may be about to go.
            Self::Ledger(LedgerError::Address(IpamError::InUse(_))) => code::TRY_AGAIN_LATER,
            Self::Ledger(LedgerError::Address(
                IpamError::Outside { .. } | IpamError::Reserved { .. } | IpamError::TwoOfFamily(..),
            )) => code::INVALID_CONFIG,
            Self::Wish(WishError::Kernel(_)) => code::ATTACH_FAILED,
            Self::Wish(_) => code::INVALID_CONFIG,
            // Pods that go make room.
            Self::Ledger(LedgerError::Address(IpamError::Full { .. })) => code::TRY_AGAIN_LATER,
            Self::NoNetworks(_) | Self::NoObjects | Self::Ledger(LedgerError::LinkTaken { .. }) => {
                code::TRY_AGAIN_LATER
            }
            Self::Dataplane(DataplaneError::NoFrames { .. }) => code::TRY_AGAIN_LATER,
            Self::Ledger(LedgerError::Address(_) | LedgerError::NoPort) => code::NO_ADDRESS,
            Self::InterfaceExists { .. } => code::INTERFACE_EXISTS,
            Self::State(_) => code::IO_FAILURE,
            Self::Netns(_) | Self::Kernel(_) | Self::Dataplane(_) | Self::Tables(_) => code::ATTACH_FAILED,
        }
    }
}

impl From<AttachError> for CniError {
    fn from(error: AttachError) -> Self {
        CniError::new(error.code(), error.to_string())
    }
}

impl Agent {
    /// Attaches the container of `request`. One call at a time for an attachment.
    pub(crate) fn attach(
        &self,
        request: &CniRequest,
        network: String,
        settings: &AddSettings,
    ) -> Result<AddResult, AttachError> {
        let id = &request.attachment;
        let path = request.netns.as_deref().ok_or(AttachError::NoNetns)?;
        let netns = self.pod_netns(path)?;
        let pod = PodIdentity::from_args(&request.args, &host_link_name(id))?;
        let wishes = self.wishes(settings)?;
        if self.ledger.get(id).is_some() {
            return Err(LedgerError::Exists(id.clone()).into());
        }
        if self.generations.standing() == Standing::Unknown {
            return Err(AttachError::NoObjects);
        }
        // Before any address is taken: one that is given back is not given out again for long.
        let _admission = self.dataplane.admit()?;
        let mut undo = Undo::default();
        let wanted = Wanted { attachment: id.clone(), netns: path.to_owned(), pod, network, wishes };
        let stored = self.ledger.reserve(wanted).map_err(|error| self.explain(error))?;
        undo.push("give the addresses back", || {
            self.ledger.forget(id);
            self.ledger.save()
        });
        check_families(&stored)?;
        let routes = self.wire_up(&stored, &netns, &mut undo)?;
        self.ledger.set_phase(id, Phase::Live);
        undo.push("publish tables without the pod", || {
            self.ledger.set_phase(id, Phase::Pending);
            self.publish()
        });
        self.publish()?;
        self.ledger.save()?;
        check_still_there(path, &netns)?;
        undo.keep();
        let StoredAttachment { pod_namespace, pod_name, addresses, host_veth, port, .. } = &stored;
        info!(attachment = %id, pod = %format_args!("{pod_namespace}/{pod_name}"), ?addresses, host_veth, port, "attached");
        Ok(self.result(&stored, &routes))
    }

    /// Why the node has no addresses for pods is known better by who waits for them.
    fn explain(&self, error: LedgerError) -> AttachError {
        match error {
            LedgerError::Address(none @ IpamError::NoNetworks) => {
                let known = self.readiness.reason(Condition::Node);
                AttachError::NoNetworks(known.unwrap_or_else(|| none.to_string()))
            }
            error => error.into(),
        }
    }

    /// Makes the device of `stored` and binds the switch to it. Returns the pod's routes by it.
    pub(crate) fn wire_up<'a>(
        &'a self,
        stored: &StoredAttachment,
        netns: &Netns,
        undo: &mut Undo<'a>,
    ) -> Result<Vec<Route>, AttachError> {
        let mut node = Netlink::open()?;
        let alias = format!("{}/{}", stored.container_id, stored.ifname);
        let pod_link = self.pod_link(stored, netns, &alias);
        let link = create(&pod_link, &mut node, &stored.netns)?;
        undo.push("delete the pod's device", move || delete_link(link));
        let routes = pod_link.configure(&mut node, link)?;
        let port = PortId(stored.port);
        self.dataplane.add_port(port, link, limits(stored.requested.bandwidth))?;
        undo.push("take the port from the switch", move || self.dataplane.remove_port(port));
        Ok(routes)
    }

    /// The device that `stored` has or is to have.
    pub(crate) fn pod_link<'a>(&self, stored: &'a StoredAttachment, netns: &'a Netns, alias: &'a str) -> PodLink<'a> {
        PodLink {
            host_link: &stored.host_veth,
            alias,
            netns,
            ifname: &stored.ifname,
            mac: MacAddr(stored.mac),
            addresses: &stored.addresses,
            default_route: stored.requested.default_route,
            networks: &stored.requested.routes,
            shape: self.shape,
        }
    }

    fn pod_netns(&self, path: &Path) -> Result<Netns, AttachError> {
        let netns = match Netns::open(path) {
            // Whoever removes a named namespace unmounts it first and unlinks its file then: the file alone may be about to go.
            Err(error) if *error.kind() == ErrorKind::NotANamespace => {
                std::thread::sleep(UNLINKING);
                Netns::open(path)
            }
            opened => opened,
        };
        let netns = netns.map_err(AttachError::Netns)?;
        if netns.id().map_err(AttachError::Netns)? == self.own_netns {
            return Err(AttachError::OwnNetns(path.to_owned()));
        }
        Ok(netns)
    }

    fn result(&self, stored: &StoredAttachment, routes: &[Route]) -> AddResult {
        let link_mtu = self.shape.link_mtu();
        let pod_side = Interface {
            name: stored.ifname.clone(),
            mac: Some(MacAddr(stored.mac).to_string()),
            mtu: Some(link_mtu),
            sandbox: Some(stored.netns.display().to_string()),
            ..Interface::default()
        };
        let node_side = Interface { name: stored.host_veth.clone(), mtu: Some(link_mtu), ..Interface::default() };
        let gateway_of = |address: &IpAddr| match address {
            IpAddr::V4(_) => IpAddr::from(GATEWAY_IPV4),
            IpAddr::V6(_) => IpAddr::from(GATEWAY_IPV6),
        };
        let ips = stored.addresses.iter().map(|address| IpConfig {
            address: IpNet::from(*address),
            gateway: Some(gateway_of(address)),
            interface: Some(1),
        });
        AddResult {
            interfaces: vec![node_side, pod_side],
            ips: ips.collect(),
            routes: routes.iter().map(result_route).collect(),
            dns: Default::default(),
        }
    }
}

fn result_route(route: &Route) -> ResultRoute {
    ResultRoute {
        dst: route.destination,
        gw: route.gateway,
        mtu: route.mtu,
        advmss: route.advmss,
        priority: None,
        table: None,
        scope: (route.scope == Some(Scope::Link)).then_some(253),
    }
}

/// EEXIST is about one of two names. The node's end is ours by its name, so one that is there and in no ledger was left
/// by a failure and goes.
fn create(pod_link: &PodLink<'_>, node: &mut Netlink, netns: &Path) -> Result<LinkIndex, AttachError> {
    match pod_link.create(node) {
        Err(error) if error.is_taken() => {}
        result => return Ok(result?),
    }
    if Netlink::open_in(pod_link.netns)?.find_link(pod_link.ifname)?.is_some() {
        return Err(AttachError::InterfaceExists { ifname: pod_link.ifname.to_owned(), netns: netns.to_owned() });
    }
    if let Some(stale) = node.find_link(pod_link.host_link)? {
        node.delete_link(stale.index)?;
    }
    Ok(pod_link.create(node)?)
}

/// Deletes a device on the node; one that is gone is a success.
pub(crate) fn delete_link(link: LinkIndex) -> Result<(), Error> {
    match Netlink::open()?.delete_link(link) {
        Err(error) if error.is_absent() => Ok(()),
        result => result,
    }
}

/// Our own handle keeps a namespace whose container is gone; the path tells.
fn check_still_there(path: &Path, netns: &Netns) -> Result<(), AttachError> {
    let vanished = || AttachError::Vanished(path.to_owned());
    let now = std::fs::metadata(path).map_err(|_| vanished())?;
    let opened = rustix::fs::fstat(netns).map_err(|_| vanished())?;
    if (now.dev(), now.ino()) == (opened.st_dev, opened.st_ino) { Ok(()) } else { Err(vanished()) }
}
